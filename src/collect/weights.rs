//! The material of goldens and of folders of weights.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use webmatrix_wire::Precision;

use super::generation::new_tokens;
use super::goldens::golden;
use super::inputs::{Given, front_end, inputs};
use super::material::{
    CONFIG, EXPECTED, GIVEN, INDEX, INPUTS, Material, PREPROCESSOR, WEIGHTS, files_source,
};
use super::onnx::error::OnnxError;
use super::packed::{FULL, Packed};
use crate::plan::{FileName, ModelClass, Shape};
use crate::serve::{FileSource, Files};

/// A folder of weights that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file is missing or cannot be read.
    #[error("weights of {class}: {}: {error}", path.display())]
    Io {
        /// The class.
        class: ModelClass,
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Weights that cannot be read.
    #[error("weights of {class}: {}: {reason}", path.display())]
    Weights {
        /// The class.
        class: ModelClass,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The index of a sharded checkpoint cannot be understood.
    #[error("weights of {class}: {}: {reason}", path.display())]
    Index {
        /// The class.
        class: ModelClass,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The folder's front end cannot be honoured.
    #[error("weights of {class}: {}: {reason}", path.display())]
    FrontEnd {
        /// The class.
        class: ModelClass,
        /// The file.
        path: PathBuf,
        /// Why not, and the remedy.
        reason: String,
    },
    /// No inputs are there and none can be made.
    #[error("weights of {class}: {reason}")]
    Inputs {
        /// The class.
        class: ModelClass,
        /// Why none can be made.
        reason: String,
    },
    /// The weights are of another precision than is asked for.
    #[error(
        "weights of {class}: {}: holds {holds} weights, and {asked} is asked for: run it with --precisions {holds}, or \
         take the folder that it was made from",
        path.display()
    )]
    Precision {
        /// The class.
        class: ModelClass,
        /// The folder.
        path: PathBuf,
        /// What the weights are.
        holds: Precision,
        /// What the cell is of.
        asked: Precision,
    },
    /// The expected outputs do not fit the model.
    #[error("weights of {class}: {EXPECTED}: {reason}")]
    Expected {
        /// The class.
        class: ModelClass,
        /// What does not fit.
        reason: String,
    },
    /// There is no golden of the class.
    #[error("no golden model of {0} is built in")]
    NoGolden(ModelClass),
    /// The size is `own`, but nothing was given.
    #[error("no weights of {0} were given: add --weights {0}=DIR, or --weights hub")]
    NotGiven(ModelClass),
    /// A model file cannot be run.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The plan has no such file.
    #[error("no model file is called {0}")]
    NoFile(FileName),
}

pub(super) fn of_golden(class: ModelClass) -> Result<Material, SourceError> {
    let golden = golden(class.as_str()).ok_or(SourceError::NoGolden(class))?;
    let file = |name: &str, bytes| (name.to_owned(), FileSource::Bytes(Bytes::from_static(bytes)));
    let fit = |reason| SourceError::Expected { class, reason };
    let new_tokens = new_tokens(class, golden.config, golden.inputs, golden.expected).map_err(fit)?;
    Ok(Material {
        model: files_source(None, vec![WEIGHTS.to_owned()]),
        files: Files::from([
            file(CONFIG, golden.config),
            file(WEIGHTS, golden.weights),
            file(INPUTS, golden.inputs),
        ]),
        folder: None,
        sizes: Vec::new(),
        expected: Some(("pytorch-golden", golden.expected())),
        new_tokens: Some(new_tokens),
        packed: None,
    })
}

/// The precision of a folder's weights, if they are quantised.
///
/// # Errors
/// If its weights cannot be found.
pub fn packed_precision(class: ModelClass, folder: &Path) -> Result<Option<Precision>, SourceError> {
    let shards = shards(class, folder)?;
    let fault =
        |(shard, reason): (String, String)| SourceError::Weights { class, path: folder.join(shard), reason };
    Ok(Packed::read(folder, &shards).map_err(fault)?.map(|packed| packed.precision))
}

pub(super) fn of_folder(
    class: ModelClass,
    folder: &Path,
    shape: Shape,
    given: &Given,
) -> Result<Material, SourceError> {
    let fault = |path: PathBuf| move |error| SourceError::Io { class, path, error };
    let present = |name: &str| {
        let path = folder.join(name);
        std::fs::metadata(&path).map_err(fault(path.clone())).map(|_| FileSource::Disk(path))
    };
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).map(Bytes::from).map_err(fault(path))
    };
    let mut files = Files::from([(CONFIG.to_owned(), present(CONFIG)?)]);
    let weights = shards(class, folder)?;
    for shard in &weights {
        files.insert(shard.clone(), present(shard)?);
    }
    let packed = Packed::read(folder, &weights).map_err(|(shard, reason)| SourceError::Weights {
        class,
        path: folder.join(shard),
        reason,
    })?;
    let preprocessor = if folder.join(PREPROCESSOR).is_file() { Some(read(PREPROCESSOR)?) } else { None };
    if let Some(text) = &preprocessor {
        let refuse = |reason| SourceError::FrontEnd { class, path: folder.join(PREPROCESSOR), reason };
        front_end(class.as_str(), &read(CONFIG)?, text).map_err(refuse)?;
        files.insert(PREPROCESSOR.to_owned(), FileSource::Bytes(text.clone()));
    }
    let own = if folder.join(INPUTS).is_file() { Some(read(INPUTS)?) } else { None };
    let as_they_are = shape.is_usual() && given.is_empty();
    let (inputs, sizes) = match own {
        Some(own) if as_they_are => (own, Vec::new()),
        own => {
            let (config, front_end) = (read(CONFIG)?, preprocessor.as_deref());
            let made = inputs(class.as_str(), (&config, front_end), folder, own.as_deref(), given, shape);
            made.map_err(|reason| SourceError::Inputs { class, reason })?
        }
    };
    // The answer that is given is the answer to the inputs that are given.
    let (expected, new_tokens) = if as_they_are && folder.join(EXPECTED).is_file() {
        let expected = read(EXPECTED)?;
        let fit = |reason| SourceError::Expected { class, reason };
        let new_tokens = new_tokens(class, &read(CONFIG)?, &inputs, &expected).map_err(fit)?;
        (Some((GIVEN, expected)), Some(new_tokens))
    } else {
        (None, None)
    };
    // So is what was kept of full precision.
    let full = if as_they_are && folder.join(FULL).is_file() { Some(read(FULL)?) } else { None };
    let packed = packed.map(|packed| Arc::new(Packed { full, ..packed }));
    // A text that is scored is not continued.
    let new_tokens = if given.corpus.is_some() { Some(0) } else { new_tokens };
    files.insert(INPUTS.to_owned(), FileSource::Bytes(inputs));
    let preprocessor = preprocessor.map(|_| PREPROCESSOR.to_owned());
    let model = files_source(preprocessor, weights);
    Ok(Material { model, files, folder: Some(folder.to_owned()), sizes, expected, new_tokens, packed })
}

/// The shards of a checkpoint: the one file, or those that its index names.
pub(super) fn shards(class: ModelClass, folder: &Path) -> Result<Vec<String>, SourceError> {
    let path = folder.join(INDEX);
    if !path.is_file() {
        return Ok(vec![WEIGHTS.to_owned()]);
    }
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let text = std::fs::read(&path).map_err(|error| SourceError::Io { class, path: path.clone(), error })?;
    let fault = |reason: String| SourceError::Index { class, path: path.clone(), reason };
    let index: Index = serde_json::from_slice(&text).map_err(|error| fault(error.to_string()))?;
    let mut shards: Vec<String> = index.weight_map.into_values().collect();
    shards.sort();
    shards.dedup();
    // A shard is a file beside its index: a name with folders in it would reach elsewhere.
    match shards.iter().find(|shard| shard.contains(['/', '\\']) || shard.starts_with('.')) {
        Some(bad) => Err(fault(format!("shard {bad:?} is not a plain file name"))),
        None => Ok(shards),
    }
}
