//! Checkpoints from the hub, in the cache that Hugging Face's own tools keep.
//!
//! What `--weights hub` runs was pulled and hashed before: a run itself downloads nothing.

mod error;
mod pull;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use hf_hub::{Cache, Repo, RepoType};
use serde::{Deserialize, Serialize};

pub use error::HubError;
pub use pull::Told;

use super::material::CONFIG;
use crate::plan::{Checkpoint, ModelClass};

/// Where checkpoints come from and are kept, as the environment says.
#[derive(Clone, Debug)]
pub struct Hub {
    cache: Cache,
    endpoint: Option<String>,
    token: Option<String>,
    offline: bool,
}

/// A checkpoint in the cache, whose every file was hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pulled {
    /// `OWNER/NAME` on the hub.
    pub repo: String,
    /// The revision that was asked for.
    pub revision: String,
    /// The commit that it was.
    pub commit: String,
    /// Where the files lie.
    pub folder: PathBuf,
    /// The files.
    pub files: Vec<PulledFile>,
}

/// A file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PulledFile {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its hash.
    pub sha256: String,
    /// What the hash was compared with.
    pub check: Check,
}

/// What a file's hash was compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// The hash in the class's pin.
    Pin,
    /// The hash by which the hub itself keeps the file.
    Hub,
    /// Nothing: it is only recorded.
    Nothing,
}

impl Hub {
    /// As Hugging Face's tools read the environment: `HF_HOME` or `HF_HUB_CACHE`, `HF_ENDPOINT`, `HF_TOKEN` or the
    /// token of a login, `HF_HUB_OFFLINE`.
    pub fn from_env() -> Result<Self, HubError> {
        let set =
            |name: &str| std::env::var(name).ok().map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        if set("HF_HOME").is_none() && directories::BaseDirs::new().is_none() {
            return Err(HubError::NoHome);
        }
        let home = Cache::from_env();
        Ok(Self {
            token: set("HF_TOKEN").or_else(|| home.token()),
            cache: set("HF_HUB_CACHE").map_or(home, |folder| Cache::new(folder.into())),
            endpoint: set("HF_ENDPOINT").map(|endpoint| endpoint.trim_end_matches('/').to_owned()),
            offline: set("HF_HUB_OFFLINE")
                .is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str())),
        })
    }

    /// The folder of a checkpoint that was pulled.
    ///
    /// # Errors
    /// If it was not, or is no longer what was hashed then; the text says what to type.
    pub fn snapshot(&self, class: ModelClass, checkpoint: &Checkpoint) -> Result<PathBuf, HubError> {
        let absent = || HubError::NotPulled { class, repo: checkpoint.repo.clone() };
        let folder = self.cached(checkpoint).ok_or_else(absent)?;
        let commit = folder.file_name().and_then(|name| name.to_str()).ok_or_else(absent)?;
        let record = std::fs::read(self.record(checkpoint, commit)).map_err(|_| absent())?;
        let record: Pulled = serde_json::from_slice(&record).map_err(|_| absent())?;
        let changed = |file: &PulledFile| HubError::Changed { class, path: folder.join(&file.name) };
        for file in &record.files {
            let bytes = std::fs::metadata(folder.join(&file.name)).map(|facts| facts.len()).ok();
            let pinned = checkpoint.sha256.get(&file.name);
            if bytes != Some(file.bytes) || pinned.is_some_and(|pinned| *pinned != file.sha256) {
                return Err(changed(file));
            }
        }
        Ok(folder)
    }

    /// The folder in which the cache has the revision, if it has it.
    fn cached(&self, checkpoint: &Checkpoint) -> Option<PathBuf> {
        let repo = self.cache.repo(repo(&checkpoint.repo, &checkpoint.revision));
        if checkpoint.is_commit() {
            return Some(repo.pointer_path(&checkpoint.revision)).filter(|folder| folder.is_dir());
        }
        repo.get(CONFIG).and_then(|config| config.parent().map(PathBuf::from))
    }

    /// Beside the snapshots, so that a snapshot holds what the hub holds and nothing else.
    fn record(&self, checkpoint: &Checkpoint, commit: &str) -> PathBuf {
        let folder = repo(&checkpoint.repo, commit).folder_name();
        self.cache.path().join(folder).join("webmatrix").join(format!("{commit}.json"))
    }
}

fn repo(name: &str, revision: &str) -> Repo {
    Repo::with_revision(name.to_owned(), RepoType::Model, revision.to_owned())
}
