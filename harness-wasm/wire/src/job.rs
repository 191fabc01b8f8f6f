//! What the controller asks of a page.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Backend, Feature, Precision, Variant};

/// One try at a cell; unique across runs and machines.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct AttemptId(pub String);

impl std::fmt::Display for AttemptId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What one page load is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// [`crate::WIRE_VERSION`] of the controller.
    pub wire_version: u32,
    /// The attempt whose token fetched this job.
    pub attempt: AttemptId,
    /// What a person who looks at the page is told.
    pub title: String,
    /// Milliseconds after which the controller gives up.
    pub deadline_ms: u32,
    /// A number drawn for this attempt: known-answer dispatches start from it, so that their
    /// answers cannot be canned.
    pub nonce: u32,
    /// The harness build asked for; none lets the page choose the best that validates. The page takes the best build
    /// that has as much: `relaxed-threads` for `threads`.
    pub variant: Option<Variant>,
    /// Whether that build is to be one with relaxed SIMD; none takes it where the browser validates it.
    #[serde(default)]
    pub relaxed: Option<bool>,
    /// The work.
    pub kind: JobKind,
}

impl JobKind {
    /// The harness build that it needs; none if any will do.
    pub fn variant(&self) -> Option<Variant> {
        match self {
            Self::Pairs(work) | Self::Cold { work, .. } => (work.threads > 1).then_some(Variant::Threads),
            _ => Feature::variant(self.features()),
        }
    }

    /// Whether that build is to have relaxed SIMD; none if the browser decides.
    pub fn relaxed(&self) -> Option<bool> {
        Feature::relaxed(self.features())
    }

    /// What is switched on.
    fn features(&self) -> &[String] {
        match self {
            Self::Cell(cell) | Self::Trace(cell) => &cell.features,
            Self::Ops { features, .. } => features,
            Self::Pairs(_) | Self::Cold { .. } | Self::Probe {} => &[],
        }
    }
}

/// The kinds of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum JobKind {
    /// Find out what this browser can do.
    Probe {},
    /// Run a model.
    Cell(CellJob),
    /// Run a model once on its first backend, and hand in every intermediate result with the outputs.
    Trace(CellJob),
    /// Run every op case of the engine.
    Ops {
        /// On this backend, and no other.
        backend: Backend,
        /// Feature names, as of a cell's profile.
        features: Vec<String>,
    },
    /// Run a subject here and in another runtime, in turn.
    Pairs(PairsJob),
    /// Run a subject once in this fresh page, and time everything from the runtime's first byte on.
    Cold {
        /// By whom.
        side: Side,
        /// What; warm-ups and pairs have no meaning.
        work: PairsJob,
    },
}

/// Something to compute that another runtime computes too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PairsJob {
    /// On this backend, and no other, on both sides.
    pub backend: Backend,
    /// What the engine runs.
    pub ours: Subject,
    /// What the other runtime runs: an ONNX model, by its name among the attempt's files.
    pub onnx: String,
    /// Named inputs of both, safetensors.
    pub inputs: String,
    /// Threads of each side, where it computes on the CPU.
    pub threads: u32,
    /// Pairs before the timed ones.
    pub warmup: u32,
    /// Timed pairs.
    pub pairs: u32,
}

/// What the engine runs against another runtime.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// One op.
    Op {
        /// The subject's name in the engine.
        name: String,
        /// Its weights, safetensors.
        weights: String,
    },
    /// A model.
    Model {
        /// Its class, such as `bert`.
        class: String,
        /// `config.json`.
        config: String,
        /// Safetensors shards, in order.
        weights: Vec<String>,
    },
}

/// Who computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// This project's engine.
    Ours,
    /// The other runtime.
    Peer,
}

impl Side {
    /// The spelling in files and in the names of outputs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Peer => "peer",
        }
    }

    /// The name of this side's output among those of both.
    pub fn output(self, name: &str) -> String {
        format!("{}/{name}", self.as_str())
    }
}

/// A model to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CellJob {
    /// Model class, such as `bert`, or the name of a file.
    pub class: String,
    /// Backends in order of preference; every step down is reported with its reason.
    pub backends: Vec<Backend>,
    /// Precision of the weights.
    pub precision: Precision,
    /// Feature names of the profile.
    pub features: Vec<String>,
    /// Where config, weights and inputs come from.
    pub model: ModelSource,
    /// Inferences before the timed ones.
    pub warmup: u32,
    /// Timed inferences; with `until`, at most.
    pub samples: u32,
    /// When fewer are enough. Then `warmup` is the least, and warming up goes on until times rest.
    #[serde(default)]
    pub until: Option<Until>,
    /// Bytes that the backend may hold of the compiled model; none for as many as it needs.
    pub memory_limit: Option<u64>,
    /// How classes that generate go on.
    pub generation: Generation,
}

/// When measuring ends before all samples are taken.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Until {
    /// The median's 95 % interval is no wider than this part of it.
    pub width: f64,
    /// So many milliseconds were spent on inferences, warm-ups included.
    pub budget_ms: f64,
}

/// How a class that generates goes on from what it is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Tokens to generate; 0 for none.
    pub max_new_tokens: u32,
    /// Whether an end token ends it. Without, end tokens are never chosen, so that runs are alike.
    pub stops: bool,
    /// How the next token is drawn; none for the likeliest each time.
    pub sampling: Option<Sampling>,
}

impl Generation {
    /// Exactly so many new tokens, the likeliest each time.
    pub const fn greedy(max_new_tokens: u32) -> Self {
        Self { max_new_tokens, stops: false, sampling: None }
    }
}

/// How tokens are drawn: the same for the same seed wherever the logits are the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Divides the logits; positive.
    pub temperature: f32,
    /// Only so many likeliest tokens are in the draw; 0 for all.
    pub top_k: u32,
    /// Only the likeliest tokens whose probabilities sum up to this are in the draw; 1 for all.
    pub top_p: f32,
    /// Of the draws.
    pub seed: u64,
}

impl CellJob {
    /// Whether weights are as the job asks: a cell's precision is what was computed with, not what was wished for.
    ///
    /// # Errors
    /// If they are not.
    pub fn holds(&self, quantised: bool) -> Result<(), String> {
        match (self.precision == Precision::Fp32, quantised) {
            (true, true) => Err("the weights are quantised, the job asks for fp32".to_owned()),
            (false, false) => Err(format!("no weight is quantised, the job asks for {}", self.precision)),
            _ => Ok(()),
        }
    }
}

/// Where the page gets a model from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ModelSource {
    /// Files that the controller serves to this attempt, by their names among the attempt's files.
    Files {
        /// `config.json`.
        config: String,
        /// `preprocessor_config.json`, where there is one.
        preprocessor: Option<String>,
        /// Safetensors shards, in order.
        weights: Vec<String>,
        /// Named inputs, safetensors.
        inputs: String,
    },
    /// Seeded synthetic weights and inputs, made in the page.
    Twin {
        /// Dimensions.
        size: TwinSize,
        /// The seed of weights and inputs.
        seed: u64,
        /// Items of an inference.
        batch: u32,
        /// Tokens of its text; none for the twin's usual length.
        tokens: Option<u32>,
    },
    /// A file that onnxruntime-web runs, by its name among the attempt's files, in place of the engine.
    Onnx {
        /// The ONNX model, in one file.
        model: String,
        /// Named inputs of the types that it declares, safetensors.
        inputs: String,
        /// Its symbolic dimensions: backends that know fixed shapes only are told these.
        dims: BTreeMap<String, u32>,
    },
}

/// How large a twin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TwinSize {
    /// The goldens' dimensions.
    Tiny,
    /// Some millions of parameters.
    Small,
    /// The dimensions of the class's well-known checkpoint.
    Base,
}

impl TwinSize {
    /// Every size, small to large.
    pub const ALL: [Self; 3] = [Self::Tiny, Self::Small, Self::Base];

    /// The spelling in ids and files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Base => "base",
        }
    }
}
