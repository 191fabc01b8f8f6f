//! The host in place of a page: it does a page's job and says the same messages into the same inbox.
//!
//! How an attempt is watched, recorded and judged is the same for the host and for a browser.

mod ops;

use std::cell::RefCell;
use std::io;
use std::time::Instant;

use bytes::Bytes;
use pollster::block_on;
use sha2::{Digest, Sha256};
use webmatrix_engine::backend::cpu::{Cpu, Crew, Kernels};
use webmatrix_engine::backend::webgpu::{NativeDevice, Tuning, WebGpu, known_answer};
use webmatrix_engine::backend::{self, Made};
use webmatrix_engine::plan::caches::Caches;
use webmatrix_engine::run::{
    Loaded, Options, Runner, Sampling, Schedule, Span, Until, Witness, measure, trace,
};
use webmatrix_engine::tensor::{read_safetensors, write_safetensors};
use webmatrix_engine::{Error, Result};
use webmatrix_wire::{
    AdapterFacts, AttemptId, Backend, BackendFacts, CellJob, Challenge, Done, Envelope, Failed, FailureKind,
    Feature, Generation, Hello, Job, JobKind, Memory, Message, Metric, ModelSource, OpCount, Phase,
    Pipelines, Progress, Sample, Timing, Tokens, Variant,
};

use crate::serve::{FileSource, Files, Inbox};

/// How the host speaks: like a page, one numbered message at a time.
pub(super) struct Voice<'a> {
    inbox: &'a dyn Inbox,
    attempt: &'a AttemptId,
    next: u64,
    started: Instant,
    /// The first message that could not be recorded, after which nothing more is said.
    failed: Option<io::Error>,
}

impl<'a> Voice<'a> {
    pub(super) fn new(inbox: &'a dyn Inbox, attempt: &'a AttemptId) -> Self {
        Self { inbox, attempt, next: 0, started: Instant::now(), failed: None }
    }

    fn now_ms(&self) -> f64 {
        self.started.elapsed().as_secs_f64() * 1000.0
    }

    fn attempt_io(&mut self, act: impl FnOnce(&mut Self) -> io::Result<()>) {
        if self.failed.is_none() {
            self.failed = act(self).err();
        }
    }

    fn say(&mut self, message: Message) {
        self.attempt_io(|voice| {
            let envelope = Envelope { seq: voice.next, at_ms: voice.now_ms(), message };
            voice.inbox.messages(voice.attempt, vec![envelope])?;
            voice.next += 1;
            Ok(())
        });
    }

    fn hand_in(&mut self, outputs: Vec<u8>) {
        self.attempt_io(|voice| {
            let sha256 = hex::encode(Sha256::digest(&outputs));
            voice.inbox.outputs(voice.attempt, Bytes::from(outputs), &sha256)
        });
    }
}

/// Takes down what the engine does, in the words of a page.
struct Scribe<'v, 'a>(RefCell<&'v mut Voice<'a>>);

impl Scribe<'_, '_> {
    fn say(&self, message: Message) {
        self.0.borrow_mut().say(message);
    }

    fn hello(&self) {
        self.say(Message::Hello(Hello {
            variant: Variant::Simd,
            variant_reason: "built for the host".into(),
            user_agent: format!("webmatrix/{} {}", env!("CARGO_PKG_VERSION"), std::env::consts::OS),
            cross_origin_isolated: false,
        }));
    }

    fn timing(&self, phase: Phase, ms: f64) {
        self.say(Message::Timing(Timing { phase, ms }));
    }
}

impl Witness for Scribe<'_, '_> {
    type Stop = Failed;

    fn now(&self) -> f64 {
        self.0.borrow().now_ms()
    }

    async fn progress(&self, stage: &'static str, fraction: f64) -> std::result::Result<(), Failed> {
        self.say(Message::Progress(Progress { stage: stage.into(), fraction }));
        Ok(())
    }

    fn span(&self, span: Span, ms: f64) {
        match span {
            Span::Compile => self.timing(Phase::Compile, ms),
            Span::First => {
                self.timing(Phase::First, ms);
                self.timing(Phase::Start, self.now());
            }
        }
    }

    fn sample(&self, index: u32, warmup: bool, ms: f64) {
        self.say(Message::Sample(Sample { index, warmup, ms }));
    }

    fn tokens(&self, sample: u32, ms: Vec<f64>) {
        self.say(Message::Tokens(Tokens { sample, ms }));
    }

    fn memory(&self, held: backend::Held, kept: u64) {
        let memory = Memory::of(held.weights, held.activations, held.states, held.io, kept);
        self.say(Message::Memory(memory));
    }

    fn metric(&self, name: &'static str, value: f64, unit: &'static str) {
        self.say(Message::Metric(Metric { name: name.into(), value, unit: unit.into() }));
    }

    fn failed(&self, stage: &'static str, error: Error) -> Failed {
        failed(stage, &error)
    }
}

fn failed(stage: &str, error: &Error) -> Failed {
    let kind = match error {
        Error::DeviceLost(_) => FailureKind::DeviceLost,
        Error::OutOfMemory(_) => FailureKind::Oom,
        Error::OverLimit { .. } => FailureKind::OverLimit,
        Error::Unsupported { .. } => FailureKind::Unsupported,
        Error::UnknownClass(_) => FailureKind::NotImplemented,
        _ => FailureKind::Error,
    };
    Failed { kind, stage: stage.to_owned(), text: error.to_string() }
}

/// Does the job on the host. Blocks until it has said its last word.
pub(super) fn work(job: &Job, files: &Files, voice: &mut Voice<'_>) -> io::Result<()> {
    let outcome = match &job.kind {
        JobKind::Cell(cell) => block_on(cell_job(cell, job.nonce, files, &Scribe(RefCell::new(voice)))),
        JobKind::Trace(cell) => trace_job(cell, files, &Scribe(RefCell::new(voice))),
        JobKind::Ops { backend, features } => {
            block_on(ops::job(*backend, features, job.nonce, &Scribe(RefCell::new(voice))))
        }
        JobKind::Probe {} | JobKind::Pairs(_) | JobKind::Cold { .. } => {
            let text = "the host is not probed, and has no other runtime beside it".to_owned();
            Err(Failed { kind: FailureKind::NotImplemented, stage: "start".into(), text })
        }
    };
    let last = match outcome {
        Ok(outputs) => Message::Done(Done { page_ms: voice.now_ms(), outputs }),
        Err(failed) => Message::Failed(failed),
    };
    voice.say(last);
    voice.failed.take().map_or(Ok(()), Err)
}

async fn cell_job(
    cell: &CellJob,
    nonce: u32,
    files: &Files,
    scribe: &Scribe<'_, '_>,
) -> std::result::Result<Vec<String>, Failed> {
    scribe.hello();
    let start = scribe.now();
    let loaded = load(&cell.class, &cell.model, files).map_err(|error| failed("load", &error))?;
    scribe.timing(Phase::Load, scribe.now() - start);
    cell.holds(loaded.weights.is_quantised()).map_err(|text| Failed {
        kind: FailureKind::Error,
        stage: "load".into(),
        text,
    })?;
    let start = scribe.now();
    let mut facts = BackendFacts::new(cell.backends.first().copied().unwrap_or(Backend::NativeCpu));
    match facts.backend {
        Backend::NativeCpu => {
            scribe.timing(Phase::Device, 0.0);
            finish(cell, &loaded, cpu(&cell.features)?, facts, scribe).await
        }
        Backend::NativeGpu => {
            let device = challenged(nonce, &cell.features, &mut facts).await?;
            scribe.timing(Phase::Device, scribe.now() - start);
            let limit = Feature::offload(&cell.features, cell.memory_limit).map_err(|reason| Failed {
                kind: FailureKind::Unsupported,
                stage: "device".into(),
                text: reason.to_owned(),
            })?;
            let gpu = WebGpu::new(device);
            let gpu = limit.into_iter().fold(gpu, WebGpu::offloading);
            finish(cell, &loaded, gpu, facts, scribe).await
        }
        other => {
            let text = format!("{other} runs in a browser only");
            Err(Failed { kind: FailureKind::Unsupported, stage: "backend".into(), text })
        }
    }
}

/// The CPU's executor with the threads and kernels that a job's features ask for.
fn cpu(features: &[String]) -> std::result::Result<Cpu, Failed> {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
    let crew = Crew::spawned(Feature::threads(features, cores) as usize).map_err(|error| Failed {
        kind: FailureKind::Error,
        stage: "threads".into(),
        text: error.to_string(),
    })?;
    Ok(Cpu::with_crew(Kernels::Simd, crew).with_relaxed_dot(Feature::relaxed_dot(features)))
}

/// A device that has answered the job's challenge; what that says is put with the facts.
async fn challenged(
    nonce: u32,
    features: &[String],
    facts: &mut BackendFacts,
) -> std::result::Result<NativeDevice, Failed> {
    let device =
        NativeDevice::with(Tuning::named(features)).await.map_err(|error| failed("device", &error))?;
    let (a, b) = Challenge::operands(nonce);
    let answer = known_answer(&device, &a, &b).await.map_err(|error| failed("known answer", &error))?;
    facts.challenge = Some(Challenge { answer });
    facts.adapter = Some(adapter_facts(&device));
    Ok(device)
}

async fn finish<B: backend::Backend>(
    cell: &CellJob,
    loaded: &Loaded,
    backend: B,
    facts: BackendFacts,
    scribe: &Scribe<'_, '_>,
) -> std::result::Result<Vec<String>, Failed> {
    let schedule = schedule(cell);
    let measured = measure(loaded, backend, options(cell), schedule, scribe).await?;
    let ops = OpCount::of(measured.tally, facts.backend);
    let (dispatches, threads, kernels) = (measured.dispatches, measured.threads, measured.kernels);
    let pipelines =
        measured.pipelines.map(|Made { ahead, within, together }| Pipelines { ahead, within, together });
    let told = BackendFacts { ops, dispatches, threads, kernels, pipelines, ..facts };
    scribe.say(Message::Backend(Box::new(told)));
    let bytes = write_safetensors(&measured.outputs).map_err(|error| failed("outputs", &error))?;
    scribe.0.borrow_mut().hand_in(bytes);
    Ok(measured.outputs.into_keys().collect())
}

/// Runs the model once with every intermediate result kept, and hands them in.
fn trace_job(
    cell: &CellJob,
    files: &Files,
    scribe: &Scribe<'_, '_>,
) -> std::result::Result<Vec<String>, Failed> {
    let traced = || -> Result<Vec<u8>> {
        let loaded = load(&cell.class, &cell.model, files)?;
        let results = match cell.backends.first() {
            Some(Backend::NativeGpu) => {
                let device = block_on(NativeDevice::with(Tuning::named(&cell.features)))?;
                block_on(trace(&loaded, WebGpu::new(device), options(cell)))?
            }
            _ => block_on(trace(&loaded, Cpu::new(Kernels::Simd), options(cell)))?,
        };
        write_safetensors(&results)
    };
    scribe.0.borrow_mut().hand_in(traced().map_err(|error| failed("trace", &error))?);
    Ok(Vec::new())
}

/// As [`oracle`], with every intermediate result.
pub(super) fn oracle_trace(cell: &CellJob, files: &Files) -> std::result::Result<Bytes, String> {
    let traced = || -> Result<Bytes> {
        let loaded = load(&cell.class, &cell.model, files)?;
        let results = block_on(trace(&loaded, Cpu::new(Kernels::Oracle), options(cell)))?;
        write_safetensors(&results).map(Bytes::from)
    };
    traced().map_err(|error| format!("the native-cpu oracle: {error}"))
}

/// How often the job says to infer.
fn schedule(cell: &CellJob) -> Schedule {
    let until = cell.until.map(|until| Until { width: until.width, budget_ms: until.budget_ms });
    Schedule { warmup: cell.warmup, samples: cell.samples, until, memory_limit: cell.memory_limit }
}

fn options(cell: &CellJob) -> Options {
    let Generation { max_new_tokens, stops, sampling } = cell.generation;
    let sampling = sampling.map_or(Sampling::Greedy, |drawn| Sampling::Drawn {
        temperature: drawn.temperature,
        top_k: drawn.top_k as usize,
        top_p: drawn.top_p,
        seed: drawn.seed,
    });
    let caches = Caches::asked(&cell.features);
    Options { max_new_tokens: max_new_tokens as usize, stops, sampling, caches }
}

fn adapter_facts(device: &NativeDevice) -> AdapterFacts {
    let info = device.info();
    AdapterFacts {
        vendor: format!("{:#06x}", info.vendor),
        architecture: format!("{:?}", info.backend),
        device: info.name.clone(),
        description: format!("{} {}", info.driver, info.driver_info),
        is_fallback: device.is_software(),
        ..AdapterFacts::default()
    }
}

/// Reads a model from the files of a job.
pub(super) fn load(class: &str, model: &ModelSource, files: &Files) -> Result<Loaded> {
    let read = |name: &String| -> Result<Vec<u8>> {
        let fault = |reason: String| Error::Data { file: name.clone(), reason };
        match files.get(name) {
            Some(FileSource::Bytes(bytes)) => Ok(bytes.to_vec()),
            Some(FileSource::Disk(path)) => std::fs::read(path).map_err(|error| fault(error.to_string())),
            None => Err(fault("not among the job's files".into())),
        }
    };
    match model {
        ModelSource::Files { config, preprocessor, weights, inputs } => {
            let preprocessor = preprocessor.as_ref().map(read).transpose()?;
            let shards = weights.iter().map(|name| Ok((name.clone(), read(name)?))).collect::<Result<_>>()?;
            Loaded::from_files(class, &read(config)?, preprocessor.as_deref(), shards, &read(inputs)?)
        }
        ModelSource::Twin { size, seed, batch, tokens } => {
            let (batch, tokens) = (*batch as usize, tokens.map(|tokens| tokens as usize));
            Loaded::twin_of(class, size.as_str(), *seed, batch, tokens)
        }
        ModelSource::Onnx { model, .. } => {
            let reason = "the engine reads no ONNX files".to_owned();
            Err(Error::Data { file: model.clone(), reason })
        }
    }
}

/// The answer of the scalar oracle to a job: named tensors, safetensors. Blocks.
///
/// The oracle shares the models with every backend but no kernel: it catches wrong kernels and wrong
/// browsers. Wrong models are caught by the goldens. Where caches are packed, `kept` are the outputs that it takes over
/// their rounding from, wherever that is right.
pub(super) fn oracle(
    cell: &CellJob,
    files: &Files,
    kept: Option<&[u8]>,
) -> std::result::Result<Bytes, String> {
    let answer = || -> Result<Bytes> {
        let loaded = load(&cell.class, &cell.model, files)?;
        let mut runner =
            Runner::new(&*loaded.model, &loaded.weights, Cpu::new(Kernels::Oracle), options(cell));
        if let Some(kept) = kept {
            runner = runner.adopting(&read_safetensors("the outputs", kept)?);
        }
        write_safetensors(&block_on(runner.infer_kept(&loaded.inputs))?).map(Bytes::from)
    };
    answer().map_err(|error| format!("the native-cpu oracle: {error}"))
}
