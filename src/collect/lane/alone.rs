//! A job of its own: no cell, no op cases, in a browser started for it.

use bytes::Bytes;
use webmatrix_wire::{BackendFacts, JobKind, Pair, PeerFacts};

use super::{Judged, Lane};
use crate::collect::CollectError;
use crate::collect::end::End;
use crate::serve::Files;

/// What a page said of a job of its own.
#[derive(Clone, Debug)]
pub struct PageSaid {
    /// The number that known-answer computations started from.
    pub nonce: u32,
    /// How it ended.
    pub end: End,
    /// What our backend created and ran.
    pub facts: Option<BackendFacts>,
    /// What another runtime told of itself.
    pub peer: Option<PeerFacts>,
    /// The timed pairs.
    pub pairs: Vec<Pair>,
    /// The timed inferences, milliseconds.
    pub samples: Vec<f64>,
    /// Named tensors, safetensors.
    pub outputs: Option<Bytes>,
}

impl Lane<'_> {
    /// Sends one page to work; the error is why there is none.
    pub(in crate::collect) async fn alone(
        mut self,
        title: &str,
        kind: JobKind,
        files: Files,
    ) -> Result<Result<PageSaid, String>, CollectError> {
        let said = self.page(title, kind, files).await;
        self.close().await;
        said
    }

    async fn page(
        &mut self,
        title: &str,
        kind: JobKind,
        files: Files,
    ) -> Result<Result<PageSaid, String>, CollectError> {
        let Some(session) = self.ensure_running().await? else {
            return Ok(Err(self.hopeless.clone().unwrap_or_else(|| "the run was stopped".to_owned())));
        };
        let job = self.job(title.to_owned(), self.ctx.settings.deadlines.attempt_s, kind)?;
        self.started(&job, None, 1, Some(session))?;
        let over = self.send(&job, files).await;
        let Judged { end, watch, .. } = self.ended(&job, over, None).await?;
        let (facts, peer, outputs) = (watch.facts, watch.peer, watch.outputs);
        Ok(Ok(PageSaid {
            nonce: job.nonce,
            end,
            facts,
            peer,
            pairs: watch.pairs,
            samples: watch.samples,
            outputs,
        }))
    }
}
