//! One op case on a backend: the one procedure by which op cases are run, in a page and on the host.

use crate::backend::{Backend, Tally};
use crate::error::{Error, Result};
use crate::ops::cases::Case;
use crate::tensor::Tensor;
use crate::weights::Weights;

/// What came of a case.
#[derive(Debug)]
pub struct CaseRun {
    /// The op's result.
    pub result: Result<Tensor>,
    /// Ops that the backend executed for it; a decomposed op counts as its parts.
    pub tally: Tally,
    /// Dispatches to a device; 0 where there is none.
    pub dispatches: u64,
}

/// Compiles the case's graph and runs it once.
pub async fn run_case<B: Backend>(backend: &mut B, case: &Case) -> CaseRun {
    let before = backend.dispatches();
    let result = async {
        let program = backend.compile(&case.graph()?, &Weights::Twin { seed: 0 }).await?;
        let mut outputs = backend.run(program, &case.named_inputs()).await?;
        outputs.remove("y").ok_or_else(|| Error::Data { file: "outputs".into(), reason: "no y".into() })
    }
    .await;
    CaseRun { result, tally: backend.take_tally(), dispatches: backend.dispatches() - before }
}
