//! What a page tells the controller.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{AttemptId, Backend, Memory, ProbeReport, Variant};

/// Messages sent together. Accepted as a whole or not at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// [`crate::WIRE_VERSION`] of the page.
    pub wire_version: u32,
    /// The attempt that the token belongs to.
    pub attempt: AttemptId,
    /// In order of `seq`.
    pub messages: Vec<Envelope>,
}

/// One message with its place in the attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Counts up from 0 within the attempt; a repeated one is acknowledged and ignored.
    pub seq: u64,
    /// Milliseconds on the page's monotonic clock.
    pub at_ms: f64,
    /// The message.
    pub message: Message,
}

/// The controller's answer to a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// How many messages of the batch are now in the journal, repeats included.
    pub accepted: u64,
}

/// Everything that a page can say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Message {
    /// The harness is up.
    Hello(Hello),
    /// Where the job stands.
    Progress(Progress),
    /// What the browser can do.
    Probe(Box<ProbeReport>),
    /// How the job's files came.
    Loaded(Loaded),
    /// What a backend really created and ran.
    Backend(Box<BackendFacts>),
    /// What came of an op case.
    OpCase(OpCase),
    /// A one-off duration.
    Timing(Timing),
    /// One timed inference.
    Sample(Sample),
    /// What another runtime really is, and where it runs what it was given.
    Peer(PeerFacts),
    /// One inference on each side.
    Pair(Pair),
    /// When a timed inference gave its tokens.
    Tokens(Tokens),
    /// Memory in use at this moment.
    Memory(Memory),
    /// A named number.
    Metric(Metric),
    /// A line for the log.
    Log(Log),
    /// The job is finished; the last message.
    Done(Done),
    /// The job cannot be finished; the last message.
    Failed(Failed),
}

/// How the files of a job came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Loaded {
    /// Requests for files, or for parts of them.
    pub requests: u32,
    /// Requests that were under way at once, at most.
    pub together: u32,
    /// Bytes that came.
    pub bytes: u64,
    /// Whether the device was being made meanwhile.
    pub beside_device: bool,
}

/// When the tokens of a timed inference came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// The sample's index.
    pub sample: u32,
    /// Milliseconds from the start of the inference to each new token, never falling.
    pub ms: Vec<f64>,
}

/// What another runtime tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PeerFacts {
    /// Its name, such as `onnxruntime-web`.
    pub runtime: String,
    /// Its version, in its own words.
    pub version: String,
    /// The execution provider that was asked for.
    pub provider: String,
    /// Threads that it was given.
    pub threads: u32,
    /// How many of the model's nodes it put on which of its providers; empty if it did not say.
    pub placed: Vec<Placed>,
}

/// Nodes of a model on an execution provider of another runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Placed {
    /// The provider's own name, such as `CPUExecutionProvider`.
    pub provider: String,
    /// How many nodes.
    pub nodes: u64,
}

/// One inference on each side, one right after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Counts up from 0, warm-ups first.
    pub index: u32,
    /// Whether it is a warm-up.
    pub warmup: bool,
    /// Whether ours came first.
    pub ours_first: bool,
    /// Milliseconds of ours, from inputs in JavaScript's arrays to outputs in JavaScript's arrays.
    pub ours_ms: f64,
    /// Milliseconds of the other's, between the same two points.
    pub peer_ms: f64,
}

/// The harness introduces itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// The build that was loaded.
    pub variant: Variant,
    /// Why not a better one.
    pub variant_reason: String,
    /// `navigator.userAgent`.
    pub user_agent: String,
    /// `crossOriginIsolated`.
    pub cross_origin_isolated: bool,
}

/// Where the job stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// What is being done, for people.
    pub stage: String,
    /// Between 0 and 1.
    pub fraction: f64,
}

/// What a backend really created and ran. Facts only; the controller grades them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BackendFacts {
    /// The backend that ran the model.
    pub backend: Backend,
    /// Steps down from the preferred backend, in order.
    pub steps_down: Vec<StepDown>,
    /// Its adapter, for WebGPU.
    pub adapter: Option<AdapterFacts>,
    /// The device type the WebNN context was asked for: a wish, not a fact.
    pub webnn_device_type: Option<String>,
    /// The known-answer computation that this backend did from the job's nonce.
    pub challenge: Option<Challenge>,
    /// Ops executed per inference, by name and by what executed them.
    pub ops: Vec<OpCount>,
    /// GPU dispatches or WebNN graph dispatches over the whole job.
    pub dispatches: u64,
    /// Threads that computed a part of something; none where only the job's own was there to.
    #[serde(default)]
    pub threads: Option<u32>,
    /// GPU dispatches over the whole job by our kernel's name and, behind a plus, what its variant uses beyond core
    /// WebGPU, such as `gemv+subgroups`.
    #[serde(default)]
    pub kernels: BTreeMap<String, u64>,
    /// When its pipelines were made; none where there are none.
    #[serde(default)]
    pub pipelines: Option<Pipelines>,
}

/// When a device's pipelines were made, and how many of them at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Pipelines {
    /// While the model was compiled, before any inference.
    pub ahead: u32,
    /// Within inferences, which waited for them.
    pub within: u32,
    /// That were being made at once, at most.
    pub together: u32,
}

impl BackendFacts {
    /// Facts of a backend that has nothing to tell yet.
    pub const fn new(backend: Backend) -> Self {
        Self {
            backend,
            steps_down: Vec::new(),
            adapter: None,
            webnn_device_type: None,
            challenge: None,
            ops: Vec::new(),
            dispatches: 0,
            threads: None,
            kernels: BTreeMap::new(),
            pipelines: None,
        }
    }
}

/// A step down the preference list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StepDown {
    /// The backend given up.
    pub from: Backend,
    /// In the browser's words.
    pub reason: String,
}

/// `GPUAdapterInfo`, as the browser tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AdapterFacts {
    /// `vendor`.
    pub vendor: String,
    /// `architecture`.
    pub architecture: String,
    /// `device`.
    pub device: String,
    /// `description`.
    pub description: String,
    /// `isFallbackAdapter`.
    pub is_fallback: bool,
    /// `subgroupMinSize`, 0 if absent.
    pub subgroup_min_size: u32,
    /// `subgroupMaxSize`, 0 if absent.
    pub subgroup_max_size: u32,
}

/// A computation whose answer the controller knows: `answer[i]` must be
/// [`Challenge::expected`]`(nonce)[i]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    /// What the backend computed.
    pub answer: Vec<u32>,
}

impl Challenge {
    /// Lanes in a challenge.
    pub const LANES: u32 = 64;

    /// The challenge's inputs: small whole numbers that float32 holds exactly.
    pub fn operands(nonce: u32) -> (Vec<f32>, Vec<f32>) {
        let mut state = nonce | 1;
        let mut draw = || {
            // xorshift32 (Marsaglia 2003): any fixed mixing would do, it only has to differ per nonce.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 20) as f32
        };
        let a = (0..Self::LANES).map(|_| draw()).collect();
        let b = (0..Self::LANES).map(|_| draw()).collect();
        (a, b)
    }

    /// The one right answer: `a * b + a`, exact in float32 because it stays below 2^24.
    pub fn expected(nonce: u32) -> Vec<u32> {
        let (a, b) = Self::operands(nonce);
        a.iter().zip(&b).map(|(a, b)| (a * b + a) as u32).collect()
    }
}

/// Executions of one op.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OpCount {
    /// WebNN's name, or our extension's.
    pub op: String,
    /// What executed it.
    pub backend: Backend,
    /// Times per inference.
    pub count: u64,
}

impl OpCount {
    /// What a backend executed, by op.
    pub fn of<'t>(tally: impl IntoIterator<Item = (&'t str, u64)>, backend: Backend) -> Vec<Self> {
        tally.into_iter().map(|(op, count)| Self { op: op.to_owned(), backend, count }).collect()
    }
}

/// What came of an op case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OpCase {
    /// The case's name in the engine.
    pub case: String,
    /// Ops executed for it, by name and by what executed them; a decomposed op counts as its parts.
    pub ops: Vec<OpCount>,
    /// GPU dispatches or WebNN graph dispatches for it.
    pub dispatches: u64,
    /// Why it has no result; none if its result is among the outputs.
    pub failed: Option<Failed>,
}

/// The parts of a job that are timed once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Fetching and instantiating the module.
    Module,
    /// Fetching (or making) config, weights and inputs.
    Load,
    /// Creating the device or context.
    Device,
    /// Building graphs, compiling pipelines, uploading weights.
    Compile,
    /// The first inference.
    First,
    /// Everything from the job's beginning to the end of the first inference. Parts may overlap, so that it is not their sum.
    Start,
}

/// A one-off duration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Of what.
    pub phase: Phase,
    /// Milliseconds.
    pub ms: f64,
}

/// One timed inference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Counts up from 0, warm-ups first.
    pub index: u32,
    /// Whether it is a warm-up.
    pub warmup: bool,
    /// Milliseconds from inputs in to outputs read back.
    pub ms: f64,
}

/// A named number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Such as `repeatable`.
    pub name: String,
    /// Finite.
    pub value: f64,
    /// Such as `ms`.
    pub unit: String,
}

/// How serious a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For the record.
    Info,
    /// Worth a look.
    Warn,
    /// Explains a failure.
    Error,
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// How serious.
    pub level: LogLevel,
    /// The line.
    pub text: String,
}

/// The job is finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// Milliseconds of the page's own work: from the harness's start, when page and module are loaded.
    pub page_ms: f64,
    /// Names of the outputs uploaded before this message.
    pub outputs: Vec<String>,
}

/// Why a job could not be finished, as far as the page can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The browser lacks the backend, or the backend what the model needs.
    Unsupported,
    /// The harness cannot do it yet.
    NotImplemented,
    /// Memory ran out.
    Oom,
    /// The backend holds more than the job lets it.
    OverLimit,
    /// `GPUDevice.lost` resolved.
    DeviceLost,
    /// Anything else.
    Error,
}

/// The job cannot be finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Failed {
    /// Which verdict it leads to.
    pub kind: FailureKind,
    /// What was being done.
    pub stage: String,
    /// In the browser's words.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::{Batch, Challenge};

    #[test]
    fn challenge_stays_exact_in_float32() {
        for nonce in [0, 1, 7, u32::MAX, 0x9e37_79b9] {
            let (a, b) = Challenge::operands(nonce);
            for ((a, b), want) in a.iter().zip(&b).zip(Challenge::expected(nonce)) {
                assert_eq!(u64::from(want), *a as u64 * *b as u64 + *a as u64);
                assert!(want < 1 << 24, "{want} is not exact in float32");
            }
        }
        assert_ne!(Challenge::expected(3), Challenge::expected(5));
    }

    #[test]
    fn nonsense_is_refused() {
        let good = r#"{"wire_version":1,"attempt":"a","messages":[{"seq":0,"at_ms":1.5,"message":{"sample":{"index":0,"warmup":false,"ms":2.0}}}]}"#;
        assert!(serde_json::from_str::<Batch>(good).is_ok());
        for bad in [
            good.replace("2.0", "NaN"),
            good.replace("2.0", "null"),
            good.replace("\"index\":0", "\"index\":-1"),
            good.replace("sample", "simple"),
            good.replace("\"ms\":2.0", "\"ms\":2.0,\"extra\":1"),
        ] {
            assert!(serde_json::from_str::<Batch>(&bad).is_err(), "{bad}");
        }
    }
}
