//! Every op case on one backend: the results are uploaded under the cases' names, for the controller
//! to hold against the oracle.

use std::collections::BTreeMap;

use webmatrix_engine::backend;
use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::backend::webgpu::WebGpu;
use webmatrix_engine::backend::webnn::WebNn;
use webmatrix_engine::ops::cases::all;
use webmatrix_engine::run::{CaseRun, run_case};
use webmatrix_engine::tensor::{NamedTensors, write_safetensors};
use webmatrix_wire::{Backend, BackendFacts, FailureKind, Job, Message, OpCase, OpCount};

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
    let mut total = BTreeMap::<&str, u64>::new();
    for (at, case) in cases.iter().enumerate() {
        if at % 16 == 0 {
            reporter.progress("Running op cases", at as f64 / cases.len() as f64).await?;
        }
        let CaseRun { result, tally, dispatches } = run_case(&mut backend, case).await;
        tally.iter().for_each(|(op, count)| *total.entry(op).or_default() += count);
        let failed = match result {
            Ok(result) => {
                results.insert(case.name.clone(), result);
                None
            }
            Err(error) => Some(Failure::engine("op case", &error).into()),
        };
        let ops = counts(tally, facts.backend);
        reporter.send(Message::OpCase(OpCase { case: case.name.clone(), ops, dispatches, failed }));
    }
    let (dispatches, ops) = (backend.dispatches(), counts(total, facts.backend));
    reporter.send(Message::Backend(Box::new(BackendFacts { dispatches, ops, ..facts })));
    let bytes = write_safetensors(&results).map_err(|error| Failure::engine("outputs", &error))?;
    reporter.outputs(results.into_keys().collect(), &bytes).await
}

fn counts(tally: BTreeMap<&str, u64>, backend: Backend) -> Vec<OpCount> {
    tally.into_iter().map(|(op, count)| OpCount { op: op.to_owned(), backend, count }).collect()
}
