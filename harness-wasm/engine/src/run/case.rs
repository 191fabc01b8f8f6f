//! Op cases on a backend: the one procedure by which they are run, in a page and on the host.

use crate::backend::{Backend, Tally};
use crate::error::{Error, Result};
use crate::ops::cases::{Case, all};
use crate::run::Witness;
use crate::tensor::{NamedTensors, Tensor};
use crate::weights::Weights;

/// What came of a case, besides its result.
#[derive(Debug)]
pub struct CaseRun<'c, F> {
    /// The case's name.
    pub case: &'c str,
    /// Ops that the backend executed for it; a decomposed op counts as its parts.
    pub tally: Tally,
    /// Dispatches to a device; 0 where there is none.
    pub dispatches: u64,
    /// Why it has no result, in the witness's terms.
    pub failed: Option<F>,
}

/// Runs every case once and tells what came of each; gives the results by case, and the ops executed in all.
///
/// # Errors
/// If the witness wants to stop.
pub async fn run_cases<B: Backend, W: Witness>(
    backend: &mut B,
    witness: &W,
    mut tell: impl FnMut(CaseRun<'_, W::Stop>),
) -> std::result::Result<(NamedTensors, Tally), W::Stop> {
    let cases = all();
    let (mut results, mut total) = (NamedTensors::new(), Tally::new());
    for (at, case) in cases.iter().enumerate() {
        if at % 16 == 0 {
            witness.progress("Running op cases", at as f64 / cases.len() as f64).await?;
        }
        let before = backend.dispatches();
        let failed = match one(backend, case).await {
            Ok(result) => {
                results.insert(case.name.clone(), result);
                None
            }
            Err(error) => Some(witness.failed("op case", error)),
        };
        let tally = backend.take_tally();
        tally.iter().for_each(|(op, count)| *total.entry(op).or_default() += count);
        tell(CaseRun { case: &case.name, tally, dispatches: backend.dispatches() - before, failed });
    }
    Ok((results, total))
}

/// Compiles the case's graph and runs it once.
async fn one<B: Backend>(backend: &mut B, case: &Case) -> Result<Tensor> {
    let program = backend.compile(&case.graph()?, &Weights::Twin { seed: 0 }).await?;
    let mut outputs = backend.run(program, &case.named_inputs()).await?;
    outputs.remove("y").ok_or_else(|| Error::Data { file: "outputs".into(), reason: "no y".into() })
}
