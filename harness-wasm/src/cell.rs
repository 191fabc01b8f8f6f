//! A cell's job: load the model, step down the backends until one stands, measure, upload.

use webmatrix_engine::backend::Tally;
use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::backend::webgpu::WebGpu;
use webmatrix_engine::backend::webnn::WebNn;
use webmatrix_engine::models::{Config, Model, model, twin_config};
use webmatrix_engine::run::{Options, Runner};
use webmatrix_engine::tensor::{NamedTensors, read_safetensors, write_safetensors};
use webmatrix_engine::weights::{Checkpoint, Weights, twin::Draw};
use webmatrix_wire::{
    Backend, BackendFacts, CellJob, FailureKind, Job, Message, ModelSource, OpCount, Phase, Precision,
    StepDown,
};

use crate::report::{Failure, Reporter};
use crate::sys::{breathe, now};
use crate::{webgpu, webnn};

/// Everything a model needs, in memory.
struct Loaded {
    model: Box<dyn Model>,
    weights: Weights,
    inputs: NamedTensors,
}

pub(crate) async fn run(job: &Job, cell: &CellJob, reporter: &Reporter) -> Result<(), Failure> {
    if cell.precision != Precision::Fp32 {
        let text = format!("precision {} is not built yet", cell.precision);
        return Err(Failure::new(FailureKind::NotImplemented, "plan", text));
    }
    reporter.progress("Loading the model", 0.05).await?;
    let start = now();
    let loaded = load(cell, reporter).await?;
    reporter.timing(Phase::Load, now() - start);

    let mut steps_down = Vec::new();
    for &backend in &cell.backends {
        reporter.progress("Creating the backend", 0.2).await?;
        let start = now();
        let facts = |facts: BackendFacts| BackendFacts { steps_down: steps_down.clone(), ..facts };
        let attempt = match backend {
            Backend::Wasm => {
                reporter.timing(Phase::Device, 0.0);
                let made = plain_facts(Backend::Wasm);
                measure(cell, &loaded, Cpu::new(Kernels::Simd), facts(made), reporter).await
            }
            Backend::WebGpu => match webgpu::WebDevice::create(job.nonce).await {
                Ok((device, made)) => {
                    reporter.timing(Phase::Device, now() - start);
                    measure(cell, &loaded, WebGpu::new(device), facts(made), reporter).await
                }
                Err(failure) => Err(failure),
            },
            Backend::WebNn => match webnn::WebContext::create(job.nonce).await {
                Ok((context, made)) => {
                    reporter.timing(Phase::Device, now() - start);
                    measure(cell, &loaded, WebNn::new(context), facts(made), reporter).await
                }
                Err(failure) => Err(failure),
            },
            Backend::NativeCpu | Backend::NativeGpu => {
                Err(Failure::new(FailureKind::Unsupported, "backend", "native backends do not run in a page"))
            }
        };
        match attempt {
            // The last preference has nothing below it: its failure is the cell's.
            Err(failure)
                if failure.kind == FailureKind::Unsupported && Some(&backend) != cell.backends.last() =>
            {
                steps_down.push(StepDown { from: backend, reason: failure.text });
            }
            other => return other,
        }
    }
    Err(Failure::new(FailureKind::Error, "backend", "the job names no backend"))
}

async fn load(cell: &CellJob, reporter: &Reporter) -> Result<Loaded, Failure> {
    let engine = |error: webmatrix_engine::Error| Failure::engine("load", &error);
    let fetched = |text: String| Failure::new(FailureKind::Error, "load", text);
    match &cell.model {
        ModelSource::Files { config, weights, inputs } => {
            let config = Config::parse(config, &reporter.client().file(config).await.map_err(fetched)?)
                .map_err(engine)?;
            let model = model(&cell.class, &config).map_err(engine)?;
            let mut shards = Vec::with_capacity(weights.len());
            for name in weights {
                shards.push((name.clone(), reporter.client().file(name).await.map_err(fetched)?));
            }
            let weights = Weights::Files(Checkpoint::new(shards).map_err(engine)?);
            let bytes = reporter.client().file(inputs).await.map_err(fetched)?;
            let inputs = read_safetensors(inputs, &bytes).map_err(engine)?;
            Ok(Loaded { model, weights, inputs })
        }
        ModelSource::Twin { size, seed } => {
            let config = twin_config(&cell.class, size.as_str()).map_err(engine)?;
            let model = model(&cell.class, &config).map_err(engine)?;
            let inputs = model.twin_inputs(&mut Draw::new(*seed, "inputs"));
            Ok(Loaded { model, weights: Weights::Twin { seed: *seed }, inputs })
        }
    }
}

/// Facts of a backend that has no device to tell of.
pub(crate) fn plain_facts(backend: Backend) -> BackendFacts {
    BackendFacts {
        backend,
        steps_down: Vec::new(),
        adapter: None,
        webnn_device_type: None,
        challenge: None,
        ops: Vec::new(),
        dispatches: 0,
    }
}

async fn measure<B: webmatrix_engine::backend::Backend>(
    cell: &CellJob,
    loaded: &Loaded,
    backend: B,
    facts: BackendFacts,
    reporter: &Reporter,
) -> Result<(), Failure> {
    let options = Options { max_new_tokens: cell.max_new_tokens as usize };
    let mut runner = Runner::new(&*loaded.model, &loaded.weights, backend, options);
    let engine = |stage| move |error: webmatrix_engine::Error| Failure::engine(stage, &error);

    reporter.progress("Compiling", 0.3).await?;
    let start = now();
    runner.compile(&loaded.inputs).await.map_err(engine("compile"))?;
    reporter.timing(Phase::Compile, now() - start);

    reporter.progress("First inference", 0.5).await?;
    runner.backend().take_tally();
    let start = now();
    let first = runner.infer(&loaded.inputs).await.map_err(engine("first inference"))?;
    reporter.timing(Phase::First, now() - start);
    let tally = runner.backend().take_tally();

    let total = cell.warmup + cell.samples;
    let mut last = first.clone();
    for index in 0..total {
        reporter.progress("Measuring", 0.6 + 0.35 * f64::from(index) / f64::from(total)).await?;
        // Timers and messages of the page run now rather than inside the sample.
        breathe().await;
        let start = now();
        last = runner.infer(&loaded.inputs).await.map_err(engine("sample"))?;
        reporter.sample(index, index < cell.warmup, now() - start);
    }
    // Same input, same graph, same machine: anything but the same bits is worth knowing.
    let repeatable = first.iter().zip(&last).all(|((_, a), (_, b))| a.bytes() == b.bytes());
    reporter.metric("repeatable", f64::from(u8::from(repeatable)), "bool");

    let backend = runner.into_backend();
    let dispatches = backend.dispatches();
    let ops = op_counts(facts.backend, tally);
    reporter.send(Message::Backend(Box::new(BackendFacts { ops, dispatches, ..facts })));
    let bytes = write_safetensors(&last).map_err(|error| Failure::engine("outputs", &error))?;
    reporter.outputs(last.keys().cloned().collect(), &bytes).await
}

fn op_counts(backend: Backend, tally: Tally) -> Vec<OpCount> {
    tally.into_iter().map(|(op, count)| OpCount { op: op.to_owned(), backend, count }).collect()
}
