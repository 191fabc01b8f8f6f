//! A subject here and in another runtime, in one page and in turn.
//!
//! Both sides are timed between the same two points: inputs in JavaScript's arrays, outputs in JavaScript's arrays.

use std::collections::BTreeMap;

use webmatrix_engine::NamedTensors;
use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::backend::webgpu::WebGpu;
use webmatrix_engine::backend::webnn::WebNn;
use webmatrix_engine::backend::{self, ProgramId};
use webmatrix_engine::ir::Graph;
use webmatrix_engine::run::{Loaded, Options, Runner, WarmUp, subject};
use webmatrix_engine::tensor::{read_safetensors, write_safetensors};
use webmatrix_engine::weights::Weights;
use webmatrix_wire::{
    Backend, BackendFacts, FailureKind, Job, Message, OpCount, Pair, PairsJob, Side, Subject,
};

use crate::arrays::Arrays;
use crate::peer::{Peer, Session};
use crate::report::{Failure, Reporter};
use crate::sys::{breathe, now};
use crate::{threads, webgpu, webnn};

/// Measures pairs, after both sides have said what they are.
pub(crate) async fn run(job: &Job, work: &PairsJob, reporter: &Reporter) -> Result<(), Failure> {
    reporter.progress("Loading the subject", 0.05).await?;
    let (ours, model) = (load(work, reporter).await?, fetch(&work.onnx, reporter).await?);
    reporter.progress("Opening the other runtime", 0.1).await?;
    let peer = Peer::open(work.backend, work.threads, &model, &BTreeMap::new()).await?;
    let (facts, _) = peer.facts().await?;
    reporter.send(Message::Peer(facts));
    let session = peer.session().await?;
    match work.backend {
        Backend::Wasm => {
            let facts = BackendFacts::new(work.backend);
            pairs(work, cpu(work).await?, facts, &ours, &session, reporter).await
        }
        Backend::WebGpu => {
            let (device, facts) = webgpu::WebDevice::create(job.nonce, &[]).await?;
            pairs(work, WebGpu::new(device), facts, &ours, &session, reporter).await
        }
        Backend::WebNn => {
            let (context, facts) = webnn::WebContext::create(job.nonce).await?;
            pairs(work, WebNn::new(context), facts, &ours, &session, reporter).await
        }
        Backend::NativeCpu | Backend::NativeGpu => Err(no_page()),
    }
}

/// Runs the subject once on one side: the sample is everything since the runtime was asked for. `began` is when ours
/// was.
pub(crate) async fn cold(
    job: &Job,
    side: Side,
    work: &PairsJob,
    began: f64,
    reporter: &Reporter,
) -> Result<(), Failure> {
    let (began, outputs) = match side {
        Side::Ours => {
            let ours = load(work, reporter).await?;
            let outputs = match work.backend {
                Backend::Wasm => once(cpu(work).await?, &ours).await?,
                Backend::WebGpu => {
                    let (device, _) = webgpu::WebDevice::create(job.nonce, &[]).await?;
                    once(WebGpu::new(device), &ours).await?
                }
                Backend::WebNn => {
                    let (context, _) = webnn::WebContext::create(job.nonce).await?;
                    once(WebNn::new(context), &ours).await?
                }
                Backend::NativeCpu | Backend::NativeGpu => return Err(no_page()),
            };
            (began, outputs)
        }
        Side::Peer => {
            let began = now();
            let inputs = arrays(work, &fetch(&work.inputs, reporter).await?)?;
            let model = fetch(&work.onnx, reporter).await?;
            let peer = Peer::open(work.backend, work.threads, &model, &BTreeMap::new()).await?;
            (began, peer.session().await?.run(&inputs).await?)
        }
    };
    reporter.sample(0, false, now() - began);
    hand_in([(side, &outputs)], reporter).await
}

async fn cpu(work: &PairsJob) -> Result<Cpu, Failure> {
    Ok(Cpu::with_crew(Kernels::Simd, threads::crew(work.threads).await?))
}

fn no_page() -> Failure {
    Failure::new(FailureKind::Unsupported, "backend", "native backends do not run in a page")
}

/// What our side needs.
struct Ours {
    kind: Kind,
    inputs: Arrays,
}

enum Kind {
    Op { graph: Graph, weights: Weights },
    Model(Loaded),
}

async fn fetch(name: &str, reporter: &Reporter) -> Result<Vec<u8>, Failure> {
    let fetched = reporter.client().file(name).await;
    fetched.map_err(|text| Failure::new(FailureKind::Error, "load", text))
}

/// The inputs of both, in an application's memory.
fn arrays(work: &PairsJob, bytes: &[u8]) -> Result<Arrays, Failure> {
    let tensors = read_safetensors(&work.inputs, bytes).map_err(|error| Failure::engine("load", &error))?;
    Ok(Arrays::of(&tensors))
}

async fn load(work: &PairsJob, reporter: &Reporter) -> Result<Ours, Failure> {
    let engine = |error: webmatrix_engine::Error| Failure::engine("load", &error);
    let shards = async |names: &[String]| -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let mut shards = Vec::with_capacity(names.len());
        for name in names {
            shards.push((name.clone(), fetch(name, reporter).await?));
        }
        Ok(shards)
    };
    let inputs = fetch(&work.inputs, reporter).await?;
    let kind = match &work.ours {
        Subject::Op { name, weights } => {
            let shards = shards(std::slice::from_ref(weights)).await?;
            let weights = Weights::of_shards(shards).map_err(engine)?;
            let (graph, weights) = subject::prepare(name, weights).map_err(engine)?;
            Kind::Op { graph, weights }
        }
        Subject::Model { class, config, weights } => {
            let config = fetch(config, reporter).await?;
            let loaded = Loaded::from_files(class, &config, None, shards(weights).await?, &inputs);
            Kind::Model(loaded.map_err(engine)?)
        }
    };
    Ok(Ours { kind, inputs: arrays(work, &inputs)? })
}

/// Our side, compiled.
enum Ready<'o, B> {
    Op { backend: B, program: ProgramId },
    Model(Runner<'o, B>),
}

impl<'o, B: backend::Backend> Ready<'o, B> {
    async fn new(mut backend: B, ours: &'o Ours) -> Result<Self, Failure> {
        let engine = |error: webmatrix_engine::Error| Failure::engine("compile", &error);
        match &ours.kind {
            Kind::Op { graph, weights } => {
                let program = backend.compile(graph, weights).await.map_err(engine)?;
                Ok(Self::Op { backend, program })
            }
            Kind::Model(loaded) => {
                let mut runner = Runner::new(&*loaded.model, &loaded.weights, backend, Options::default());
                runner.compile(&loaded.inputs).await.map_err(engine)?;
                Ok(Self::Model(runner))
            }
        }
    }

    fn backend(&mut self) -> &mut B {
        match self {
            Self::Op { backend, .. } => backend,
            Self::Model(runner) => runner.backend(),
        }
    }

    /// Runs it once: from arrays of JavaScript to arrays of JavaScript.
    async fn run(&mut self, inputs: &Arrays) -> Result<Arrays, Failure> {
        let engine = |error: webmatrix_engine::Error| Failure::engine("inference", &error);
        let inputs = inputs.tensors()?;
        let outputs: NamedTensors = match self {
            Self::Op { backend, program } => backend.run_taking(*program, inputs).await.map_err(engine)?,
            Self::Model(runner) => runner.infer(&inputs).await.map_err(engine)?,
        };
        Ok(Arrays::of(&outputs))
    }
}

async fn once<B: backend::Backend>(backend: B, ours: &Ours) -> Result<Arrays, Failure> {
    Ready::new(backend, ours).await?.run(&ours.inputs).await
}

async fn pairs<B: backend::Backend>(
    work: &PairsJob,
    backend: B,
    facts: BackendFacts,
    ours: &Ours,
    peer: &Session<'_>,
    reporter: &Reporter,
) -> Result<(), Failure> {
    reporter.progress("Compiling", 0.2).await?;
    let mut ready = Ready::new(backend, ours).await?;
    ready.backend().take_tally();
    let mut latest = None;
    let (mut warm, began) = ([WarmUp::default(), WarmUp::default()], now());
    let (mut index, mut timed) = (0, 0);
    while timed < work.pairs {
        // Both sides rest before the first pair that counts.
        let warmup = timed == 0 && (index < work.warmup || !warm.iter().all(WarmUp::is_over));
        reporter.progress("Measuring", 0.3 + 0.65 * f64::from(timed) / f64::from(work.pairs)).await?;
        breathe().await;
        // A B B A: whatever one side leaves behind for the next, both leave as often.
        let ours_first = index % 2 == 0;
        let (mut ours_ms, mut peer_ms) = (0.0, 0.0);
        let mut outputs = (None, None);
        for ours_now in [ours_first, !ours_first] {
            let start = now();
            if ours_now {
                outputs.0 = Some(ready.run(&ours.inputs).await?);
                ours_ms = now() - start;
            } else {
                outputs.1 = Some(peer.run(&ours.inputs).await?);
                peer_ms = now() - start;
            }
        }
        let lasted_ms = now() - began;
        if warmup {
            warm.iter_mut().zip([ours_ms, peer_ms]).for_each(|(side, ms)| side.took(ms, lasted_ms));
        } else {
            timed += 1;
        }
        reporter.send(Message::Pair(Pair { index, warmup, ours_first, ours_ms, peer_ms }));
        if index == 0 {
            let mut ops = OpCount::of(ready.backend().take_tally(), facts.backend);
            ops.extend(OpCount::of(ready.backend().take_host_tally(), Backend::Wasm));
            let dispatches = ready.backend().dispatches();
            let threads = ready.backend().threads().map(|threads| threads as u32);
            let told = BackendFacts { ops, dispatches, threads, ..facts.clone() };
            reporter.send(Message::Backend(Box::new(told)));
        }
        latest = outputs.0.zip(outputs.1);
        index += 1;
    }
    let Some((ours, peer)) = latest else {
        return Err(Failure::new(FailureKind::Error, "pairs", "the job asks for no pair"));
    };
    hand_in([(Side::Ours, &ours), (Side::Peer, &peer)], reporter).await
}

/// Uploads the outputs of each side under its name.
async fn hand_in<const N: usize>(sides: [(Side, &Arrays); N], reporter: &Reporter) -> Result<(), Failure> {
    let mut all = NamedTensors::new();
    for (side, outputs) in sides {
        all.extend(outputs.tensors()?.into_iter().map(|(name, tensor)| (side.output(&name), tensor)));
    }
    let bytes = write_safetensors(&all).map_err(|error| Failure::engine("outputs", &error))?;
    reporter.outputs(all.into_keys().collect(), &bytes).await
}
