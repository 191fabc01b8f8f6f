//! Every op case on a backend of the host.

use webmatrix_engine::backend;
use webmatrix_engine::backend::webgpu::WebGpu;
use webmatrix_engine::run::run_cases;
use webmatrix_engine::tensor::write_safetensors;
use webmatrix_wire::{Backend, BackendFacts, Failed, FailureKind, Message, OpCase, OpCount};

use super::{Scribe, challenged, cpu, failed};

pub(super) async fn job(
    backend: Backend,
    features: &[String],
    nonce: u32,
    scribe: &Scribe<'_, '_>,
) -> Result<Vec<String>, Failed> {
    scribe.hello();
    let mut facts = BackendFacts::new(backend);
    match backend {
        Backend::NativeCpu => every(cpu(features)?, facts, scribe).await,
        Backend::NativeGpu => {
            let device = challenged(nonce, features, &mut facts).await?;
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
    let told = run_cases(&mut backend, scribe, |ran| {
        let ops = OpCount::of(ran.tally, facts.backend);
        scribe.say(Message::OpCase(OpCase {
            case: ran.case.to_owned(),
            ops,
            dispatches: ran.dispatches,
            failed: ran.failed,
        }));
    });
    let (results, total) = told.await?;
    let threads = backend.threads().map(|threads| threads as u32);
    let kernels = backend.kernels().clone();
    let (dispatches, ops) = (backend.dispatches(), OpCount::of(total, facts.backend));
    scribe.say(Message::Backend(Box::new(BackendFacts { dispatches, ops, threads, kernels, ..facts })));
    let bytes = write_safetensors(&results).map_err(|error| failed("outputs", &error))?;
    scribe.0.borrow_mut().hand_in(bytes);
    Ok(results.into_keys().collect())
}
