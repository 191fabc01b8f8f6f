//! What the server needs of whoever keeps the messages.

use bytes::Bytes;
use webmatrix_wire::{AttemptId, Envelope};

/// Keeps what pages say. An `Ok` is a promise: what was taken in survives the end of this process.
pub trait Inbox: Send + Sync + 'static {
    /// Takes in new messages, in order. Must not block for longer than a small write.
    fn messages(&self, attempt: &AttemptId, messages: Vec<Envelope>) -> std::io::Result<()>;

    /// Takes in the outputs of the model (safetensors, hashed as `sha256`). May block.
    fn outputs(&self, attempt: &AttemptId, outputs: Bytes, sha256: &str) -> std::io::Result<()>;

    /// The page is alive.
    fn heartbeat(&self, attempt: &AttemptId);
}
