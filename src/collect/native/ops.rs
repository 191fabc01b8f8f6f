//! Every op case on a backend of the host.

use webmatrix_engine::backend;
use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::backend::webgpu::WebGpu;
use webmatrix_engine::ops::cases::all;
use webmatrix_engine::run::{CaseRun, run_case};
use webmatrix_engine::tensor::{NamedTensors, write_safetensors};
use webmatrix_wire::{Backend, BackendFacts, Failed, FailureKind, Message, OpCase, Progress};

use super::{Scribe, challenged, counts, failed};

pub(super) async fn job(
    backend: Backend,
    nonce: u32,
    scribe: &Scribe<'_, '_>,
) -> Result<Vec<String>, Failed> {
    scribe.hello();
    let mut facts = BackendFacts::new(backend);
    match backend {
        Backend::NativeCpu => every(Cpu::new(Kernels::Simd), facts, scribe).await,
        Backend::NativeGpu => {
            let device = challenged(nonce, &mut facts).await?;
            every(WebGpu::new(device), facts, scribe).await
        }
        other => {
            let text = format!("{other} runs in a browser only");
            Err(Failed { kind: FailureKind::Unsupported, stage: "backend".into(), text })
        }
    }
}

async fn every<B: backend::Backend>(
    mut backend: B,
    facts: BackendFacts,
    scribe: &Scribe<'_, '_>,
) -> Result<Vec<String>, Failed> {
    let cases = all();
    let mut results = NamedTensors::new();
    let mut total = backend::Tally::new();
    for (at, case) in cases.iter().enumerate() {
        if at % 16 == 0 {
            let fraction = at as f64 / cases.len() as f64;
            scribe.say(Message::Progress(Progress { stage: "Running op cases".into(), fraction }));
        }
        let CaseRun { result, tally, dispatches } = run_case(&mut backend, case).await;
        tally.iter().for_each(|(op, count)| *total.entry(op).or_default() += count);
        let failed = match result {
            Ok(result) => {
                results.insert(case.name.clone(), result);
                None
            }
            Err(error) => Some(failed("op case", &error)),
        };
        let ops = counts(tally, facts.backend);
        scribe.say(Message::OpCase(OpCase { case: case.name.clone(), ops, dispatches, failed }));
    }
    let (dispatches, ops) = (backend.dispatches(), counts(total, facts.backend));
    scribe.say(Message::Backend(Box::new(BackendFacts { dispatches, ops, ..facts })));
    let bytes = write_safetensors(&results).map_err(|error| failed("outputs", &error))?;
    scribe.0.borrow_mut().hand_in(bytes);
    Ok(results.into_keys().collect())
}
