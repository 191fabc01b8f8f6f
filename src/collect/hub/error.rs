//! Why a checkpoint is not to be had.

use std::path::PathBuf;

use hf_hub::api::sync::ApiError;

use crate::error::ExitStatus;
use crate::plan::ModelClass;

/// A checkpoint that is not to be had: what is wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// There is no place for a cache.
    #[error("this user has no home folder: set HF_HOME to a folder for checkpoints")]
    NoHome,
    /// It was never pulled, or not to its end.
    #[error("weights of {class}: {repo} is not pulled: type `webmatrix models pull {class}`")]
    NotPulled {
        /// The class.
        class: ModelClass,
        /// Its repository.
        repo: String,
    },
    /// A file in the cache is not what was pulled.
    #[error(
        "weights of {class}: {}: is not what was pulled: type `webmatrix models pull {class}`", path.display()
    )]
    Changed {
        /// The class.
        class: ModelClass,
        /// The file.
        path: PathBuf,
    },
    /// Nothing may be asked of the hub.
    #[error("{what} is not in the cache, and HF_HUB_OFFLINE forbids to ask for it")]
    Offline {
        /// What is missing.
        what: String,
    },
    /// The hub does not answer, or breaks off.
    #[error("{file}: {reason}; what has come is kept: type the same again to go on")]
    Unreachable {
        /// The file that was asked for.
        file: String,
        /// In the network's words.
        reason: String,
    },
    /// The hub says no.
    #[error(
        "{repo}: the hub refuses ({status}): there is no such repository, or it needs a token: accept its \
         licence on its page, then set HF_TOKEN"
    )]
    Denied {
        /// The repository.
        repo: String,
        /// The status.
        status: u16,
    },
    /// A file that must be there is not.
    #[error("{repo} holds no {file} at revision {revision}{hint}")]
    Missing {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// The file.
        file: String,
        /// What else to try.
        hint: &'static str,
    },
    /// A file is not the one that it should be.
    #[error("{file}: sha256 is {got}, where {whose} {expected}: it is deleted, and must not be used")]
    Hash {
        /// The file.
        file: String,
        /// What it should be.
        expected: String,
        /// What it is.
        got: String,
        /// Who says what it should be.
        whose: &'static str,
    },
    /// The hub's answer makes no sense.
    #[error("{file}: the hub's answer cannot be used: {reason}")]
    Answer {
        /// The file that was asked for.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The cache cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

impl HubError {
    /// How the program exits because of it.
    pub fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Offline { .. } | Self::Unreachable { .. } | Self::Denied { .. } => ExitStatus::Unavailable,
            _ => ExitStatus::BadData,
        }
    }
}

/// The status with which the hub refused, if it did.
pub(super) fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match &**error {
            ureq::Error::StatusCode(status) => Some(*status),
            _ => None,
        },
        ApiError::TooManyRetries(error) => status(error),
        _ => None,
    }
}

/// Whether the next try may go better.
pub(super) fn is_passing(error: &ApiError) -> bool {
    match (status(error), error) {
        (Some(status), _) => status == 429 || status >= 500,
        (None, ApiError::RequestError(_) | ApiError::IoError(_)) => true,
        _ => false,
    }
}
