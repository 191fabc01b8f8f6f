//! The well-known checkpoint of each class: where it is kept, at which revision, with which hashes.
//!
//! `matrices/models/CLASS.toml`, one a class; `matrices/README.md` describes the fields.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::model::ModelClass;

/// A checkpoint as its pin names it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// `OWNER/NAME` on the hub.
    pub repo: String,
    /// A commit, or a branch or tag where no commit is known.
    pub revision: String,
    /// Under which the weights are given away.
    pub licence: String,
    /// What a person should know, and where revision and hashes are from.
    pub note: String,
    /// The SHA-256 of files, where known.
    #[serde(default)]
    pub sha256: BTreeMap<String, String>,
}

/// The pins that the program carries.
const PINS: &[(&str, &str)] = &[
    ("bert", include_str!("../../matrices/models/bert.toml")),
    ("t5", include_str!("../../matrices/models/t5.toml")),
    ("llama", include_str!("../../matrices/models/llama.toml")),
    ("qwen2", include_str!("../../matrices/models/qwen2.toml")),
    ("qwen3", include_str!("../../matrices/models/qwen3.toml")),
    ("clip", include_str!("../../matrices/models/clip.toml")),
    ("vit", include_str!("../../matrices/models/vit.toml")),
    ("clap", include_str!("../../matrices/models/clap.toml")),
    ("whisper", include_str!("../../matrices/models/whisper.toml")),
    ("wav2vec2", include_str!("../../matrices/models/wav2vec2.toml")),
    ("llava", include_str!("../../matrices/models/llava.toml")),
    ("llava_next", include_str!("../../matrices/models/llava_next.toml")),
    ("xclip", include_str!("../../matrices/models/xclip.toml")),
    ("detr", include_str!("../../matrices/models/detr.toml")),
];

/// A checkpoint that cannot be named so.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The class has no pin, or one that cannot be read.
    #[error("matrices/models/{class}.toml: {reason}")]
    Pin {
        /// The class.
        class: ModelClass,
        /// What is wrong.
        reason: String,
    },
    /// No repository of the hub is called so.
    #[error("{0:?} is no repository of the hub: write OWNER/NAME")]
    Repo(String),
    /// No revision can be called so.
    #[error("{0:?} is no revision: write a branch, a tag or a commit")]
    Revision(String),
}

impl Checkpoint {
    /// The class's pinned checkpoint.
    pub fn pinned(class: ModelClass) -> Result<Self, CheckpointError> {
        let fault = |reason: String| CheckpointError::Pin { class, reason };
        let text = PINS.iter().find(|(name, _)| *name == class.as_str()).map(|(_, text)| *text);
        let pin: Self = toml::from_str(text.ok_or_else(|| fault("is missing".to_owned()))?)
            .map_err(|error| fault(error.to_string()))?;
        match pin.sha256.iter().find(|(_, hash)| !is_hex(hash, 64)) {
            Some((file, _)) => Err(fault(format!("the sha256 of {file} is not 64 hexadecimal digits"))),
            None => pin.checked(),
        }
    }

    /// The checkpoint with what the user says in place of its pin. Hashes hold for one commit of one
    /// repository: elsewhere they are dropped.
    pub fn or(self, repo: Option<String>, revision: Option<String>) -> Result<Self, CheckpointError> {
        let same_repo = repo.as_ref().is_none_or(|repo| *repo == self.repo);
        let revision = match revision {
            Some(revision) => revision,
            None if same_repo => self.revision.clone(),
            None => "main".to_owned(),
        };
        let sha256 =
            if same_repo && revision == self.revision { self.sha256.clone() } else { BTreeMap::new() };
        let (licence, note) = if same_repo {
            (self.licence, self.note)
        } else {
            ("see the model card".to_owned(), String::new())
        };
        Self { repo: repo.unwrap_or(self.repo), revision, licence, note, sha256 }.checked()
    }

    /// Whether the revision is a commit, which is always the same files.
    pub fn is_commit(&self) -> bool {
        is_commit(&self.revision)
    }

    /// Names become parts of paths and addresses: what could reach elsewhere is refused.
    fn checked(self) -> Result<Self, CheckpointError> {
        let plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
        };
        let parts: Vec<&str> = self.repo.split('/').collect();
        if parts.len() != 2 || !parts.iter().all(|part| plain(part)) {
            return Err(CheckpointError::Repo(self.repo));
        }
        if !self.revision.split('/').all(plain) {
            return Err(CheckpointError::Revision(self.revision));
        }
        Ok(self)
    }
}

/// Whether the text is a whole commit hash.
pub fn is_commit(text: &str) -> bool {
    is_hex(text, 40)
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bert() -> Checkpoint {
        let class = "bert".parse().unwrap_or_else(|error| panic!("{error}"));
        Checkpoint::pinned(class).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn every_class_has_a_pin_and_one_without_commit_says_so() {
        assert_eq!(PINS.len(), ModelClass::all().count());
        for class in ModelClass::all() {
            let pin = Checkpoint::pinned(class).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(pin.is_commit(), !pin.note.contains("NOT PINNED"), "{class}");
            assert!(pin.is_commit() || pin.sha256.is_empty(), "{class}: hashes of a branch");
        }
    }

    #[test]
    fn hashes_hold_for_their_own_revision_only() {
        let own = |repo: Option<&str>, revision: Option<&str>| {
            bert().or(repo.map(str::to_owned), revision.map(str::to_owned))
        };
        let same = own(None, None).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(same, bert());
        let again = own(Some(&same.repo), Some(&same.revision)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(again, same);
        let branch = own(None, Some("main")).unwrap_or_else(|error| panic!("{error}"));
        assert!(branch.sha256.is_empty() && !branch.is_commit() && branch.repo == same.repo);
        let other = own(Some("me/mine"), None).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((other.repo.as_str(), other.revision.as_str()), ("me/mine", "main"));
        assert!(other.sha256.is_empty());
    }

    #[test]
    fn what_could_reach_elsewhere_is_refused() {
        for repo in ["mine", "a/b/c", "../x", "a/..", "a/b?c", "/b", "a/"] {
            assert!(bert().or(Some(repo.to_owned()), None).is_err(), "{repo}");
        }
        for revision in ["", "..", "a/../b", "a b", "a#b", "/main"] {
            assert!(bert().or(None, Some(revision.to_owned())).is_err(), "{revision}");
        }
        assert!(bert().or(None, Some("refs/pr/7".to_owned())).is_ok());
    }
}
