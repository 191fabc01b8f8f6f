//! Model files for another runtime: what they declare, what they are run on, and the independent answer to them.
//! Whatever can be wrong with one is told before a browser starts.

mod declared;
pub(super) mod error;
mod host;
mod inputs;
mod sound;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};
use webmatrix_wire::ModelSource;

use super::folder::check;
use super::material::{EXPECTED, GIVEN, INPUTS, Material};
use super::verdict::Reference;
use crate::plan::{ModelFile, PinnedFile};
use crate::serve::{FileSource, Files};
use declared::Declared;
pub use error::OnnxError;

/// The model's name among an attempt's files.
const MODEL: &str = "model.onnx";

/// What is asked of a model file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnnxAsked {
    /// The model.
    pub model: PathBuf,
    /// Named inputs, safetensors.
    pub inputs: Option<PathBuf>,
    /// Expected outputs, safetensors.
    pub expected: Option<PathBuf>,
    /// Symbolic dimensions; those that the model does not have are left alone.
    pub dims: BTreeMap<String, usize>,
}

impl OnnxAsked {
    /// Reads the files and binds the model's dimensions.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn read(&self) -> Result<ModelFile, OnnxError> {
        let (onnx, bytes) = pin(&self.model)?;
        let declared = declare(&self.model, &bytes)?;
        let given = self.inputs.as_deref().map(pin).transpose()?;
        let expected = self.expected.as_deref().map(pin).transpose()?;
        let dims = match &given {
            Some((_, bytes)) => {
                let at = |reason| fault(self.inputs.as_deref().unwrap_or(&self.model), reason);
                check(bytes, false).map_err(at)?;
                let tensors = SafeTensors::deserialize(bytes).map_err(|error| at(error.to_string()))?;
                inputs::bind(&declared, &self.asked_of(&declared), Some(&tensors)).map_err(at)?
            }
            None => inputs::bind(&declared, &self.asked_of(&declared), None)
                .map_err(|reason| fault(&self.model, reason))?,
        };
        let (inputs, expected) = (given.map(|(file, _)| file), expected.map(|(file, _)| file));
        Ok(ModelFile { onnx, precision: declared.precision, dims, inputs, expected })
    }

    /// Those of the dimensions that the model has.
    fn asked_of(&self, declared: &Declared) -> BTreeMap<String, usize> {
        let has = inputs::bind(declared, &BTreeMap::new(), None).unwrap_or_default();
        self.dims
            .iter()
            .filter(|(name, _)| has.contains_key(*name))
            .map(|(n, size)| (n.clone(), *size))
            .collect()
    }
}

fn fault(path: &Path, reason: String) -> OnnxError {
    OnnxError { path: path.to_owned(), reason }
}

/// Whether bytes are an ONNX model that can be run.
///
/// # Errors
/// In words that go behind the file's name.
pub fn check_onnx(bytes: &[u8]) -> Result<(), String> {
    Declared::read(bytes).map(drop)
}

fn declare(path: &Path, bytes: &[u8]) -> Result<Declared, OnnxError> {
    Declared::read(bytes).map_err(|reason| fault(path, reason))
}

/// Reads a plain file and says what it was. A pipe in its place would never end.
fn pin(path: &Path) -> Result<(PinnedFile, Bytes), OnnxError> {
    let unreadable = |error: std::io::Error| fault(path, format!("cannot be read: {error}"));
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(fault(path, "is no plain file".to_owned()));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    let sha256 = hex::encode(Sha256::digest(&bytes));
    // A resumed run may be started from elsewhere.
    let absolute = std::path::absolute(path).map_err(unreadable)?;
    Ok((PinnedFile { path: absolute, sha256 }, Bytes::from(bytes)))
}

/// The file, if it still is what the plan says.
fn again(file: &PinnedFile) -> Result<Bytes, OnnxError> {
    let (now, bytes) = pin(&file.path)?;
    if now.sha256 != file.sha256 {
        return Err(fault(
            &file.path,
            "is another file than when the run was planned: start a new run".to_owned(),
        ));
    }
    Ok(bytes)
}

/// What a page needs to run the file, with the answer if one is given.
pub(super) fn material(file: &ModelFile, seed: u64) -> Result<Material, OnnxError> {
    let model = again(&file.onnx)?;
    let declared = declare(&file.onnx.path, &model)?;
    let given = file.inputs.as_ref().map(again).transpose()?;
    let at = |reason| fault(file.inputs.as_ref().map_or(&*file.onnx.path, |inputs| &*inputs.path), reason);
    let tensors = given.as_deref().map(SafeTensors::deserialize).transpose();
    let tensors = tensors.map_err(|error| at(error.to_string()))?;
    let inputs = inputs::inputs(&declared, &file.dims, tensors.as_ref(), seed).map_err(at)?;
    let expected = match &file.expected {
        Some(expected) => {
            let bytes = again(expected)?;
            let names = check(&bytes, true).map_err(|reason| fault(&expected.path, reason))?;
            if let Some(name) = names.iter().find(|name| !declared.outputs.contains(name)) {
                let gives = declared.outputs.join(", ");
                return Err(fault(
                    &expected.path,
                    format!("{name:?} is no output of the model: it gives {gives}"),
                ));
            }
            Some((GIVEN, bytes))
        }
        None => None,
    };
    Ok(Material {
        model: ModelSource::Onnx {
            model: MODEL.to_owned(),
            inputs: INPUTS.to_owned(),
            dims: inputs::symbols(&declared, &file.dims),
        },
        files: Files::from([
            (MODEL.to_owned(), FileSource::Bytes(model)),
            (INPUTS.to_owned(), FileSource::Bytes(inputs)),
        ]),
        folder: None,
        sizes: Vec::new(),
        expected,
        new_tokens: Some(0),
        packed: None,
    })
}

/// The host's answer to a job with such material.
pub(super) fn answer(files: &Files, patience: Duration) -> Result<Reference, String> {
    let bytes = |name: &str| match files.get(name) {
        Some(FileSource::Bytes(bytes)) => Ok(bytes.clone()),
        Some(FileSource::Disk(path)) => fs::read(path).map(Bytes::from).map_err(|error| error.to_string()),
        None => Err(format!("{name} is not among the job's files")),
    };
    let tensors = host::answer(bytes(MODEL)?.to_vec(), bytes(INPUTS)?, patience)?;
    // What cannot be compared proves nothing, on the host neither.
    check(&tensors, true).map_err(|reason| format!("{} on the host: {reason} ({EXPECTED})", host::NAME))?;
    Ok(Reference { source: host::NAME.to_owned(), tensors })
}
