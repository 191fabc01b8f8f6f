//! What is wrong with a model file.

use std::path::PathBuf;

/// A file that cannot be run: which, what is wrong with it, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct OnnxError {
    pub(super) path: PathBuf,
    pub(super) reason: String,
}
