//! A cell's job: load the model, step down the backends until one stands, measure, upload.

use futures_util::future::join;
use webmatrix_engine::backend::webgpu::WebGpu;
use webmatrix_engine::backend::webnn::WebNn;
use webmatrix_engine::backend::{self, Made, Split};
use webmatrix_engine::plan::caches::Caches;
use webmatrix_engine::run::{Loaded, Options, Sampling, Span, Witness, measure, trace as engine_trace};
use webmatrix_engine::tensor::write_safetensors;
use webmatrix_wire::{
    Backend, BackendFacts, CellJob, FailureKind, Feature, Generation, Job, LogLevel, Memory, Message,
    ModelSource, OpCount, Phase, Pipelines, StepDown,
};

use crate::file::File;
use crate::load::Loader;
use crate::probe::timer_step_us;
use crate::report::{Failure, Reporter};
use crate::schedule::schedule;
use crate::sys::{breathe, now};
use crate::{file, limits, threads, webgpu, webnn};

pub(crate) async fn run(job: &Job, cell: &CellJob, reporter: &Reporter) -> Result<(), Failure> {
    if let ModelSource::Onnx { model, inputs, dims } = &cell.model {
        return file::run(job, cell, &File { model, inputs, dims }, reporter).await;
    }
    // What is told of times can be no finer.
    reporter.metric("timer_step", timer_step_us(), "us");
    reporter.progress("Loading the model", 0.05).await?;
    let start = now();
    let loader = Loader::of(cell, reporter.client());
    let (loaded, mut early) = if loader.is_at_once() && cell.backends.first() == Some(&Backend::WebGpu) {
        // The files are asked for first: what waits for the network waits beside the device.
        let (loaded, early) = join(load(cell, &loader), early(job, cell, &loader)).await;
        (loaded?, Some(early))
    } else {
        (load(cell, &loader).await?, None)
    };
    reporter.timing(Phase::Load, now() - start);
    if loader.told().requests > 0 {
        reporter.send(Message::Loaded(loader.told()));
    }
    cell.holds(loaded.weights.is_quantised())
        .map_err(|text| Failure::new(FailureKind::Error, "load", text))?;

    let mut steps_down = Vec::new();
    for &backend in &cell.backends {
        reporter.progress("Creating the backend", 0.2).await?;
        match on_backend(job, cell, backend, early.take(), &loaded, &steps_down, reporter).await {
            // The last preference has nothing below it: its failure is the cell's.
            Err(failure)
                if failure.kind == FailureKind::Unsupported && Some(&backend) != cell.backends.last() =>
            {
                reporter.log(LogLevel::Warn, format!("{backend}: {}", failure.text));
                steps_down.push(StepDown { from: backend, reason: failure.text });
            }
            other => return other,
        }
    }
    Err(Failure::new(FailureKind::Error, "backend", "the job names no backend"))
}

/// A WebGPU device that was made while files came, and how many milliseconds that took.
struct Early {
    device: Result<(webgpu::WebDevice, BackendFacts), Failure>,
    ms: f64,
}

async fn early(job: &Job, cell: &CellJob, loader: &Loader<'_>) -> Early {
    loader.note_device();
    let start = now();
    let device = webgpu::WebDevice::create(job.nonce, &cell.features).await;
    Early { device, ms: now() - start }
}

async fn load(cell: &CellJob, loader: &Loader<'_>) -> Result<Loaded, Failure> {
    let engine = |error: webmatrix_engine::Error| Failure::engine("load", &error);
    match &cell.model {
        ModelSource::Files { config, preprocessor, weights, inputs } => {
            let mut names = vec![config.as_str(), inputs.as_str()];
            names.extend(preprocessor.as_deref());
            names.extend(weights.iter().map(String::as_str));
            let mut files = loader.files(&names).await?.into_iter();
            let mut next = || files.next().unwrap_or_default();
            let (config, inputs) = (next(), next());
            let preprocessor = preprocessor.is_some().then(&mut next);
            let shards = weights.iter().cloned().zip(files).collect();
            Loaded::from_files(&cell.class, &config, preprocessor.as_deref(), shards, &inputs).map_err(engine)
        }
        ModelSource::Twin { size, seed, batch, tokens } => {
            let (batch, tokens) = (*batch as usize, tokens.map(|tokens| tokens as usize));
            Loaded::twin_of(&cell.class, size.as_str(), *seed, batch, tokens).map_err(engine)
        }
        ModelSource::Onnx { .. } => {
            Err(Failure::new(FailureKind::NotImplemented, "load", "the engine reads no ONNX files"))
        }
    }
}

async fn on_backend(
    job: &Job,
    cell: &CellJob,
    backend: Backend,
    early: Option<Early>,
    loaded: &Loaded,
    steps_down: &[StepDown],
    reporter: &Reporter,
) -> Result<(), Failure> {
    let start = now();
    let before = early.as_ref().map(|early| early.ms);
    let created = |facts: BackendFacts| {
        reporter.timing(Phase::Device, before.unwrap_or(now() - start));
        BackendFacts { steps_down: steps_down.to_vec(), ..facts }
    };
    match backend {
        Backend::Wasm => {
            let cpu = threads::cpu(&cell.features).await?;
            let facts = created(BackendFacts::new(backend));
            finish(cell, loaded, cpu, facts, reporter).await
        }
        Backend::WebGpu => {
            let limit = Feature::offload(&cell.features, cell.memory_limit);
            let limit = limit.map_err(|reason| Failure::new(FailureKind::Unsupported, "device", reason))?;
            let (device, facts) = match early {
                Some(early) => early.device?,
                None => webgpu::WebDevice::create(job.nonce, &cell.features).await?,
            };
            let gpu = limit.into_iter().fold(WebGpu::new(device), WebGpu::offloading);
            finish(cell, loaded, gpu, created(facts), reporter).await
        }
        Backend::WebNn => {
            let (backend, facts) = beside_host(job, cell).await?;
            finish(cell, loaded, backend, created(facts), reporter).await
        }
        Backend::NativeCpu | Backend::NativeGpu => {
            Err(Failure::new(FailureKind::Unsupported, "backend", "native backends do not run in a page"))
        }
    }
}

/// WebNN with the host beside it, for the ops that its context refuses.
async fn beside_host(
    job: &Job,
    cell: &CellJob,
) -> Result<(Split<WebNn<webnn::WebContext>>, BackendFacts), Failure> {
    let (context, facts) = webnn::WebContext::create(job.nonce).await?;
    let refusal = limits::refusal(&context.limits(), &cell.features);
    Ok((Split::new(WebNn::new(context), refusal), facts))
}

/// Measures on a backend that stands, tells its facts and uploads its outputs.
async fn finish<B: backend::Backend>(
    cell: &CellJob,
    loaded: &Loaded,
    backend: B,
    facts: BackendFacts,
    reporter: &Reporter,
) -> Result<(), Failure> {
    let schedule = schedule(cell);
    let measured = measure(loaded, backend, options(cell), schedule, reporter).await?;
    let mut ops = OpCount::of(measured.tally, facts.backend);
    ops.extend(OpCount::of(measured.host_tally, Backend::Wasm));
    for refusal in measured.refusals {
        reporter.log(LogLevel::Warn, format!("run on the host: {refusal}"));
    }
    if let Some(moved) = measured.moved {
        let (uploads, bytes) = (moved.uploads, moved.bytes);
        let text = format!("offload: weights were uploaded again {uploads} times, {bytes} bytes");
        reporter.log(LogLevel::Info, text);
    }
    let (dispatches, threads, kernels) = (measured.dispatches, measured.threads, measured.kernels);
    let pipelines =
        measured.pipelines.map(|Made { ahead, within, together }| Pipelines { ahead, within, together });
    let told = BackendFacts { ops, dispatches, threads, kernels, pipelines, ..facts };
    reporter.send(Message::Backend(Box::new(told)));
    let bytes = write_safetensors(&measured.outputs).map_err(|error| Failure::engine("outputs", &error))?;
    reporter.outputs(measured.outputs.into_keys().collect(), &bytes).await
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

/// Runs the model once on the backend asked for, with every intermediate result kept: for the controller
/// to hold against the oracle.
pub(crate) async fn trace(job: &Job, cell: &CellJob, reporter: &Reporter) -> Result<(), Failure> {
    reporter.progress("Loading the model", 0.05).await?;
    let loaded = load(cell, &Loader::of(cell, reporter.client())).await?;
    reporter.progress("Tracing", 0.3).await?;
    match cell.backends.first() {
        Some(Backend::Wasm) => traced(cell, &loaded, threads::cpu(&cell.features).await?, reporter).await,
        Some(Backend::WebGpu) => {
            let (device, _) = webgpu::WebDevice::create(job.nonce, &cell.features).await?;
            traced(cell, &loaded, WebGpu::new(device), reporter).await
        }
        Some(Backend::WebNn) => {
            let (backend, _) = beside_host(job, cell).await?;
            traced(cell, &loaded, backend, reporter).await
        }
        Some(Backend::NativeCpu | Backend::NativeGpu) | None => {
            Err(Failure::new(FailureKind::Unsupported, "backend", "the job names no backend of a page"))
        }
    }
}

async fn traced<B: backend::Backend>(
    cell: &CellJob,
    loaded: &Loaded,
    backend: B,
    reporter: &Reporter,
) -> Result<(), Failure> {
    let results = engine_trace(loaded, backend, options(cell)).await;
    let results = results.map_err(|error| Failure::engine("trace", &error))?;
    let bytes = write_safetensors(&results).map_err(|error| Failure::engine("outputs", &error))?;
    // The names are in the file; a message has no room for all of them.
    reporter.outputs(Vec::new(), &bytes).await
}

impl Witness for Reporter {
    type Stop = Failure;

    fn now(&self) -> f64 {
        now()
    }

    async fn progress(&self, stage: &'static str, fraction: f64) -> Result<(), Failure> {
        Self::progress(self, stage, fraction).await?;
        // Timers and messages of the page run now rather than inside what is timed next.
        breathe().await;
        Ok(())
    }

    fn span(&self, span: Span, ms: f64) {
        match span {
            Span::Compile => self.timing(Phase::Compile, ms),
            Span::First => self.first(ms),
        }
    }

    fn sample(&self, index: u32, warmup: bool, ms: f64) {
        Self::sample(self, index, warmup, ms);
    }

    fn tokens(&self, index: u32, ms: Vec<f64>) {
        Self::tokens(self, index, ms);
    }

    fn memory(&self, held: backend::Held, kept: u64) {
        Self::memory(self, Memory::of(held.weights, held.activations, held.states, held.io, kept));
    }

    fn metric(&self, name: &'static str, value: f64, unit: &'static str) {
        Self::metric(self, name, value, unit);
    }

    fn failed(&self, stage: &'static str, error: webmatrix_engine::Error) -> Failure {
        Failure::engine(stage, &error)
    }
}
