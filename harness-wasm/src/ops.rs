//! Every op case on one backend: the results are uploaded under the cases' names, for the controller
//! to hold against the oracle.

use webmatrix_engine::backend;
use webmatrix_engine::backend::webgpu::WebGpu;
use webmatrix_engine::backend::webnn::WebNn;
use webmatrix_engine::run::run_cases;
use webmatrix_engine::tensor::write_safetensors;
use webmatrix_wire::{Backend, BackendFacts, FailureKind, Job, Message, OpCase, OpCount};

use crate::report::{Failure, Reporter};
use crate::{threads, webgpu, webnn};

pub(crate) async fn run(
    job: &Job,
    backend: Backend,
    features: &[String],
    reporter: &Reporter,
) -> std::result::Result<(), Failure> {
    match backend {
        Backend::Wasm => every(threads::cpu(features).await?, BackendFacts::new(backend), reporter).await,
        Backend::WebGpu => {
            let (device, facts) = webgpu::WebDevice::create(job.nonce, features).await?;
            every(WebGpu::new(device), facts, reporter).await
        }
        Backend::WebNn => {
            let (context, facts) = webnn::WebContext::create(job.nonce).await?;
            every(WebNn::new(context), facts, reporter).await
        }
        Backend::NativeCpu | Backend::NativeGpu => {
            Err(Failure::new(FailureKind::Unsupported, "backend", "native backends do not run in a page"))
        }
    }
}

async fn every<B: backend::Backend>(
    mut backend: B,
    facts: BackendFacts,
    reporter: &Reporter,
) -> std::result::Result<(), Failure> {
    let told = run_cases(&mut backend, reporter, |ran| {
        let ops = OpCount::of(ran.tally, facts.backend);
        let failed = ran.failed.map(Into::into);
        reporter.send(Message::OpCase(OpCase {
            case: ran.case.to_owned(),
            ops,
            dispatches: ran.dispatches,
            failed,
        }));
    });
    let (results, total) = told.await?;
    let threads = backend.threads().map(|threads| threads as u32);
    let kernels = backend.kernels().clone();
    let (dispatches, ops) = (backend.dispatches(), OpCount::of(total, facts.backend));
    reporter.send(Message::Backend(Box::new(BackendFacts { dispatches, ops, threads, kernels, ..facts })));
    let bytes = write_safetensors(&results).map_err(|error| Failure::engine("outputs", &error))?;
    reporter.outputs(results.into_keys().collect(), &bytes).await
}
