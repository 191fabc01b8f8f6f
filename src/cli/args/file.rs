//! Models from files, which another runtime runs.

use std::path::PathBuf;
use std::str::FromStr;

use crate::plan::{FileName, Runtime};

/// Under which the help lists them.
const RUNTIME: &str = "Another runtime";

/// Which runtime, and which files it runs.
#[derive(Clone, Debug, Default, clap::Args)]
pub(in crate::cli) struct FileArgs {
    /// What drives the page: webmatrix, or ort-web for onnxruntime-web with ONNX files [default: webmatrix]
    #[arg(long, help_heading = RUNTIME, env = "WEBMATRIX_RUNTIME", value_name = "RUNTIME")]
    pub(in crate::cli) runtime: Option<Runtime>,
    /// An ONNX model in one file; its name in ids is the file's, unless given
    #[arg(long, help_heading = RUNTIME, num_args = 1.., env = "WEBMATRIX_MODEL_FILE", value_name = "[NAME=]FILE")]
    pub(in crate::cli) model_file: Vec<NamedFile>,
    /// Its inputs, safetensors; those that are not given are seeded
    #[arg(long, help_heading = RUNTIME, num_args = 1.., env = "WEBMATRIX_INPUTS", value_name = "[NAME=]FILE")]
    pub(in crate::cli) inputs: Vec<NamedFile>,
    /// The outputs expected of it, safetensors; without, rten computes them on the host
    #[arg(long, help_heading = RUNTIME, num_args = 1.., env = "WEBMATRIX_EXPECTED", value_name = "[NAME=]FILE")]
    pub(in crate::cli) expected: Vec<NamedFile>,
    /// A symbolic dimension of its inputs
    #[arg(long, help_heading = RUNTIME, num_args = 1.., env = "WEBMATRIX_DIM", value_name = "NAME=N")]
    pub(in crate::cli) dim: Vec<BoundDim>,
}

/// A file, of the model of this name if one is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct NamedFile {
    pub(in crate::cli) name: Option<FileName>,
    pub(in crate::cli) path: PathBuf,
}

impl FromStr for NamedFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, path)) if !path.is_empty() => match name.parse() {
                Ok(name) => Ok(Self { name: Some(name), path: path.into() }),
                // A path may have the sign in it; one that is no path either says what a name is.
                Err(_) if name.contains(['/', '\\']) => Ok(Self { name: None, path: text.into() }),
                Err(error) => Err(format!("{error}; a path with = in it is written ./{text}")),
            },
            _ if text.is_empty() => Err("no file is given".to_owned()),
            _ => Ok(Self { name: None, path: text.into() }),
        }
    }
}

/// A dimension with its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct BoundDim {
    pub(in crate::cli) name: String,
    pub(in crate::cli) size: usize,
}

/// Longer than any axis that a page has memory for.
const LONGEST: usize = 1 << 24;

impl FromStr for BoundDim {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, size) =
            text.rsplit_once('=').filter(|(name, _)| !name.is_empty()).ok_or("write NAME=N")?;
        match size.parse() {
            Ok(size) if (1..=LONGEST).contains(&size) => Ok(Self { name: name.to_owned(), size }),
            _ => Err(format!("{size:?} is no size: 1 to {LONGEST}")),
        }
    }
}
