//! The host in place of a page: it says the same messages into the same inbox.
//!
//! This is the seam to the engine: what [`work`], [`oracle`] and [`inputs`] do is the engine's; how an
//! attempt is watched, recorded and judged is the same for the host and for a browser.

use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use webmatrix_wire::{AttemptId, CellJob, Envelope, Failed, FailureKind, Job, Message};

use crate::serve::{Files, Inbox};

/// How the host speaks: like a page, one numbered message at a time.
pub(super) struct Voice<'a> {
    inbox: &'a dyn Inbox,
    attempt: &'a AttemptId,
    next: u64,
    started: Instant,
}

impl<'a> Voice<'a> {
    pub(super) fn new(inbox: &'a dyn Inbox, attempt: &'a AttemptId) -> Self {
        Self { inbox, attempt, next: 0, started: Instant::now() }
    }

    /// Milliseconds since the work began.
    pub(super) fn now_ms(&self) -> f64 {
        self.started.elapsed().as_secs_f64() * 1000.0
    }

    /// Says one message.
    pub(super) fn say(&mut self, message: Message) -> std::io::Result<()> {
        let envelope = Envelope { seq: self.next, at_ms: self.now_ms(), message };
        self.inbox.messages(self.attempt, vec![envelope])?;
        self.next += 1;
        Ok(())
    }

    /// Hands in the model's outputs, safetensors.
    #[expect(dead_code, reason = "used once the engine is connected")]
    pub(super) fn hand_in(&mut self, outputs: Bytes) -> std::io::Result<()> {
        let sha256 = hex::encode(Sha256::digest(&outputs));
        self.inbox.outputs(self.attempt, outputs, &sha256)
    }
}

/// Does the job on the host. Blocks until it has said its last word.
pub(super) fn work(_job: &Job, _files: &Files, voice: &mut Voice<'_>) -> std::io::Result<()> {
    voice.say(Message::Failed(Failed {
        kind: FailureKind::NotImplemented,
        stage: "start".to_owned(),
        text: "the engine is not connected to the host yet".to_owned(),
    }))
}

/// The answer of the scalar oracle to a job: named tensors, safetensors. Blocks.
pub(super) fn oracle(_job: &CellJob, _files: &Files) -> Result<Bytes, String> {
    Err("the native-cpu oracle is not connected yet".to_owned())
}

/// Inputs for a model that came without: named tensors, safetensors.
pub(super) fn inputs(_class: &str, _config: &[u8], folder: &Path) -> Result<Bytes, String> {
    Err(format!("{} has no inputs.safetensors, and none can be made yet", folder.display()))
}
