//! Models from files that another runtime reads, and what a cell's model can be.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use webmatrix_wire::Precision;

use super::label::is_label;
use super::model::ModelClass;

/// The model of a cell.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CellModel {
    /// A class, which our engine builds.
    Class(ModelClass),
    /// A file, which another runtime reads.
    File(FileName),
}

impl CellModel {
    /// The spelling in ids, reports and the database.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Class(class) => class.as_str(),
            Self::File(name) => name.as_str(),
        }
    }

    /// The class; none of a file.
    pub const fn class(&self) -> Option<ModelClass> {
        match self {
            Self::Class(class) => Some(*class),
            Self::File(_) => None,
        }
    }
}

impl fmt::Display for CellModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a model file is called in ids, reports and the database, whatever it is called on disk: a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName(String);

/// Characters of a name: an id is a file's name here and there.
const LONGEST: usize = 48;

impl FileName {
    /// The name of a file that was given none: its stem, in small letters, with what an id cannot hold replaced.
    pub fn of(path: &Path) -> Self {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
        let mut name = String::new();
        for c in stem.chars() {
            let kept = if c.is_ascii_alphanumeric() || "._".contains(c) { c } else { '-' };
            if !(kept == '-' && name.ends_with('-')) && name.len() < LONGEST {
                name.push(kept);
            }
        }
        let name = name.trim_matches(['-', '.', '_']);
        Self(if name.is_empty() { "model" } else { name }.to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Text that names no model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a model file's name is made of small letters, digits and -._, at most {LONGEST} of them, and begins with a letter or digit"
)]
pub struct FileNameError;

impl FromStr for FileName {
    type Err = FileNameError;

    fn from_str(text: &str) -> Result<Self, FileNameError> {
        if is_label(text) && text.len() <= LONGEST { Ok(Self(text.to_owned())) } else { Err(FileNameError) }
    }
}

impl TryFrom<String> for FileName {
    type Error = FileNameError;

    fn try_from(text: String) -> Result<Self, FileNameError> {
        text.parse()
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> Self {
        name.0
    }
}

/// A model file with what it is run on. It stands in the plan, and so in the journal: a resumed run reads the same
/// files, or says that they are not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// The model.
    pub onnx: PinnedFile,
    /// Precision of its weights, as it says itself.
    pub precision: Precision,
    /// The symbolic dimensions of its inputs, bound.
    pub dims: BTreeMap<String, usize>,
    /// Named inputs, safetensors; what they lack is seeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<PinnedFile>,
    /// The outputs expected of it, safetensors; none where the host is to compute them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<PinnedFile>,
}

/// A file as it was when the run was planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Hash of its bytes.
    pub sha256: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_names_are_harmless() {
        let names = [
            "bert.onnx",
            "../../etc/passwd",
            "Model (1) FINAL.onnx",
            "a/b@c+t4/d.onnx",
            "<script>alert(1)</script>.onnx",
            "'; DROP TABLE cell; --.onnx",
            "..",
            "",
            "-rf.onnx",
            "модель.onnx",
            "con\u{202e}xnno.onnx",
            "k-means.v2.onnx",
        ];
        let named: Vec<String> = names.iter().map(|name| FileName::of(Path::new(name)).to_string()).collect();
        insta::assert_snapshot!(named.join("\n"), @r"
        bert
        passwd
        model-1-final
        d
        script
        drop-table-cell
        model
        model
        rf
        model
        con-xnno
        k-means.v2
        ");
    }

    proptest! {
        #[test]
        fn every_path_gets_a_name_that_reads_back(path in ".{0,120}") {
            let name = FileName::of(Path::new(&path));
            prop_assert_eq!(name.as_str().parse::<FileName>(), Ok(name));
        }
    }
}
