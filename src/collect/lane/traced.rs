//! A cell's model once more, with every intermediate result kept.

use std::sync::Arc;

use bytes::Bytes;
use webmatrix_wire::JobKind;

use super::{Judged, Lane};
use crate::collect::CollectError;
use crate::collect::end::End;
use crate::collect::native;
use crate::collect::verdict::Reference;
use crate::plan::Cell;

/// One inference of a cell's model with every intermediate result, on its backend and by the oracle; each
/// with the outputs, named tensors, safetensors.
#[derive(Debug)]
pub struct Traced {
    /// On the cell's backend, or why not.
    pub backend: Result<Bytes, String>,
    /// By the oracle on the host, or why not.
    pub oracle: Result<Bytes, String>,
    /// The independent answer that the cell was judged by.
    pub reference: Arc<Result<Reference, String>>,
}

impl Traced {
    fn not(why: &str) -> Self {
        let not = || Err(why.to_owned());
        Self { backend: not(), oracle: not(), reference: Arc::new(Err(why.to_owned())) }
    }
}

impl Lane<'_> {
    /// Runs a cell's model once more with every intermediate result kept.
    pub(in crate::collect) async fn trace_only(mut self, cell: &Cell) -> Result<Traced, CollectError> {
        let outcome = self.trace(cell).await;
        self.close().await;
        outcome
    }

    async fn trace(&mut self, cell: &Cell) -> Result<Traced, CollectError> {
        let material = match self.ctx.sources.material(cell, self.ctx.settings.run.seed) {
            Ok(material) => material,
            Err(error) => return Ok(Traced::not(&error.to_string())),
        };
        let work = self.work(cell, &material);
        let session = if cell.is_native() { None } else { self.ensure_running().await? };
        if session.is_none() && !cell.is_native() {
            return Ok(Traced::not(self.hopeless.as_deref().unwrap_or("the run was stopped")));
        }
        let title = format!("trace of {cell}");
        let job = self.job(title, self.ctx.settings.deadlines.attempt_s, JobKind::Trace(work.clone()))?;
        self.started(&job, None, 1, session)?;
        let over = self.send(&job, material.files.clone()).await;
        let Judged { end, watch, .. } = self.ended(&job, over, None).await?;
        let backend = match (end, watch.outputs) {
            (End::Done(_), Some(outputs)) => Ok(outputs),
            (End::Failed(failed), _) => Err(format!("{}: {}", failed.stage, failed.text)),
            (end, _) => Err(format!("it came to no end: {end:?}")),
        };
        let reference = self.answer(cell, &work, &material).await;
        let oracle = tokio::task::spawn_blocking(move || native::oracle_trace(&work, &material.files)).await;
        let oracle = oracle.unwrap_or_else(|error| Err(format!("the oracle failed: {error}")));
        Ok(Traced { backend, oracle, reference })
    }
}
