//! Every op case on one backend: the results are uploaded under the cases' names, for the controller
//! to hold against the oracle.

use webmatrix_engine::backend;
use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::backend::webgpu::WebGpu;
use webmatrix_engine::backend::webnn::WebNn;
use webmatrix_engine::ops::cases::{Case, all};
use webmatrix_engine::tensor::{NamedTensors, write_safetensors};
use webmatrix_engine::weights::Weights;
use webmatrix_engine::{Result, Tensor};
use webmatrix_wire::{Backend, BackendFacts, FailureKind, Job, LogLevel, Message};

use crate::report::{Failure, Reporter};
use crate::{webgpu, webnn};

pub(crate) async fn run(
    job: &Job,
    backend: Backend,
    reporter: &Reporter,
) -> std::result::Result<(), Failure> {
    match backend {
        Backend::Wasm => every(Cpu::new(Kernels::Simd), BackendFacts::new(backend), reporter).await,
        Backend::WebGpu => {
            let (device, facts) = webgpu::WebDevice::create(job.nonce).await?;
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
    let cases = all();
    let mut results = NamedTensors::new();
    for (at, case) in cases.iter().enumerate() {
        if at % 16 == 0 {
            reporter.progress("Running op cases", at as f64 / cases.len() as f64).await?;
        }
        match one(&mut backend, case).await {
            Ok(result) => {
                results.insert(case.name.clone(), result);
            }
            // What is not uploaded is missing to the controller; the log says why.
            Err(error) => reporter.log(LogLevel::Error, format!("{}: {error}", case.name)),
        }
    }
    let dispatches = backend.dispatches();
    reporter.send(Message::Backend(Box::new(BackendFacts { dispatches, ..facts })));
    let bytes = write_safetensors(&results).map_err(|error| Failure::engine("outputs", &error))?;
    reporter.outputs(results.into_keys().collect(), &bytes).await
}

async fn one<B: backend::Backend>(backend: &mut B, case: &Case) -> Result<Tensor> {
    let program = backend.compile(&case.graph()?, &Weights::Twin { seed: 0 }).await?;
    let mut outputs = backend.run(program, &case.named_inputs()).await?;
    outputs
        .remove("y")
        .ok_or_else(|| webmatrix_engine::Error::Data { file: "outputs".into(), reason: "no y".into() })
}
