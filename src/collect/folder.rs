//! A model folder that is to be verified. Whatever can be wrong with it is told before a browser starts.
//!
//! What a page would compute from a NaN is not worth asking: kernels may swallow one (`max(0, NaN)` is
//! 0 on some hardware), and an expected one would be met by any fault. So a folder that holds NaN
//! anywhere is refused, rather than compared.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use pollster::block_on;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use webmatrix_engine::Error;
use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::models::Config;
use webmatrix_engine::run::{Options, Runner};
use webmatrix_wire::Precision;

use super::inputs::Given;
use super::material::{CONFIG, EXPECTED, INDEX, INPUTS, Material, WEIGHTS};
use super::native;
use super::weights::{SourceError, of_folder, shards};
use crate::plan::{MODEL_NAMES, ModelClass, Shape};

/// A folder that cannot be verified: the file, what is wrong with it, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct FolderError {
    path: PathBuf,
    reason: String,
}

/// A folder whose every file is what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFolder {
    /// Where it is.
    pub path: PathBuf,
    /// Its class.
    pub class: ModelClass,
    /// Of its weights.
    pub precision: Precision,
    /// The names of the outputs that are expected of it, in order.
    pub expected: Vec<String>,
}

const LAYOUT: &str = "a folder to verify holds config.json, model.safetensors (or shards with \
                      model.safetensors.index.json), inputs.safetensors and expected.safetensors";

impl ModelFolder {
    /// Reads the folder; `class` is what it holds, else `config.json` says so. Building the model may take
    /// as long as `patience`.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn open(folder: &Path, class: Option<ModelClass>, patience: Duration) -> Result<Self, FolderError> {
        let at = |name: &str| folder.join(name);
        let refuse = |path: PathBuf, reason: String| Err(FolderError { path, reason });
        if !folder.is_dir() {
            return refuse(folder.to_owned(), format!("is no folder: {LAYOUT}"));
        }
        let config = read_config(folder).map_err(|reason| FolderError { path: at(CONFIG), reason })?;
        let class = match class {
            Some(class) => class,
            None => class_of(&config).map_err(|reason| FolderError { path: at(CONFIG), reason })?,
        };
        let weights = shards(class, folder).map_err(|error| of_source(folder, error))?;
        if weights.is_empty() {
            return refuse(at(INDEX), format!("names no shard: {LAYOUT}"));
        }
        let checked = |name: &str| {
            let names = check(&read(&at(name))?, name == EXPECTED);
            names.map_err(|reason| FolderError { path: at(name), reason })
        };
        for shard in &weights {
            checked(shard)?;
        }
        checked(INPUTS)?;
        let expected = checked(EXPECTED)?;
        let (path, precision) = (folder.to_owned(), Precision::Fp32);
        let mut folder = Self { path, class, precision, expected };
        folder.precision = folder.build(patience)?;
        Ok(folder)
    }

    /// Builds the model on the host, so that a weight that is missing or misshapen, or an input that
    /// does not fit, is told once and in full rather than by every page. The precision of its weights.
    fn build(&self, patience: Duration) -> Result<Precision, FolderError> {
        let material = of_folder(self.class, &self.path, Shape::default(), &Given::default())
            .map_err(|error| of_source(&self.path, error))?;
        let precision = material.packed.as_ref().map_or(Precision::Fp32, |packed| packed.precision);
        let (class, (done, built)) = (self.class, mpsc::channel());
        // On a thread of its own, which is left behind if it takes too long: neither a panic nor dimensions
        // that nobody can compute with end more than this folder. A receiver that is gone has been told.
        std::thread::spawn(move || done.send(compile(class, &material)).ok());
        let fault = |reason: &str| Err(FolderError { path: self.path.clone(), reason: reason.to_owned() });
        match built.recv_timeout(patience) {
            Ok(Ok(())) => Ok(precision),
            Ok(Err(error)) => Err(self.of_engine(&error)),
            Err(mpsc::RecvTimeoutError::Timeout) => fault(
                "the model is not built by the deadline: look for a size in config.json that is far too large, \
                 or give it more time with --deadline",
            ),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                fault("the engine panicked while it built this model: please report it")
            }
        }
    }

    /// Which file an error of the engine is about, and what to do about it.
    fn of_engine(&self, error: &Error) -> FolderError {
        let class = self.class;
        let weights =
            if self.path.join(INDEX).is_file() { self.path.join(INDEX) } else { self.path.join(WEIGHTS) };
        let text = match error {
            Error::Data { reason, .. } => reason.clone(),
            other => other.to_string(),
        };
        let (path, remedy) = match error {
            Error::Config { .. } => (self.path.join(CONFIG), "change the field, or leave this model out"),
            Error::Weight { .. } => {
                (weights, "save the checkpoint and its config.json together, or name the class with --class")
            }
            Error::Input { name, .. } if name == "max_new_tokens" => {
                (self.path.join(EXPECTED), "expect fewer tokens in generated_ids")
            }
            Error::Input { .. } => (self.path.join(INPUTS), "save the inputs as the model takes them"),
            Error::Data { file, .. } => (self.path.join(file), "save the file as the model takes it"),
            _ => (self.path.clone(), "the model cannot be built from these files"),
        };
        FolderError { path, reason: format!("as {class}: {text}; {remedy}") }
    }
}

fn compile(class: ModelClass, material: &Material) -> Result<(), Error> {
    let loaded = native::load(class.as_str(), &material.model, &material.files)?;
    let max_new_tokens = material.new_tokens.unwrap_or_default() as usize;
    let options = Options::greedy(max_new_tokens);
    let mut runner = Runner::new(&*loaded.model, &loaded.weights, Cpu::new(Kernels::Oracle), options);
    block_on(runner.compile(&loaded.inputs))
}

/// What folders say in words of their own, so that errors name each file once.
fn of_source(folder: &Path, error: SourceError) -> FolderError {
    match error {
        SourceError::Io { path, error, .. } => FolderError { path, reason: unreadable(&error) },
        SourceError::Index { path, reason, .. }
        | SourceError::FrontEnd { path, reason, .. }
        | SourceError::Weights { path, reason, .. } => FolderError { path, reason },
        SourceError::Expected { reason, .. } => FolderError { path: folder.join(EXPECTED), reason },
        SourceError::Inputs { reason, .. } => FolderError { path: folder.join(INPUTS), reason },
        other @ (SourceError::NoGolden(_)
        | SourceError::NotGiven(_)
        | SourceError::NoFile(_)
        | SourceError::Onnx(_)
        | SourceError::Precision { .. }) => {
            FolderError { path: folder.to_owned(), reason: other.to_string() }
        }
    }
}

fn unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => format!("is missing: {LAYOUT}"),
        _ => format!("cannot be read: {error}"),
    }
}

/// Reads a plain file. A pipe in its place would never end.
fn read(path: &Path) -> Result<Vec<u8>, FolderError> {
    let fault = |reason: String| FolderError { path: path.to_owned(), reason };
    let facts = fs::metadata(path).map_err(|error| fault(unreadable(&error)))?;
    if !facts.is_file() {
        return Err(fault(format!("is no plain file: {LAYOUT}")));
    }
    fs::read(path).map_err(|error| fault(unreadable(&error)))
}

/// The `config.json` of a folder.
pub(super) fn read_config(folder: &Path) -> Result<Config, String> {
    let text = read(&folder.join(CONFIG)).map_err(|error| error.reason)?;
    Config::parse(CONFIG, &text).map_err(|error| error.to_string())
}

/// The class that a `config.json` names.
pub(super) fn class_of(config: &Config) -> Result<ModelClass, String> {
    let known = || format!("use --class with one of {}", MODEL_NAMES.join(", "));
    let named = config.model_type().ok_or_else(|| format!("names no model_type: {}", known()))?;
    named.parse().map_err(|_| {
        format!("model_type {named:?} is no class of the matrix: if it is built like one, {}", known())
    })
}

/// Checks every tensor of a file; their names, in order.
pub(super) fn check(bytes: &[u8], to_compare: bool) -> Result<Vec<String>, String> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| format!("is not a valid safetensors file ({error}): copy or save it anew"))?;
    let mut names: Vec<String> = file.names().into_iter().map(str::to_owned).collect();
    names.sort_unstable();
    if names.is_empty() {
        return Err("holds no tensor: save it anew".to_owned());
    }
    for name in &names {
        let tensor = file.tensor(name).map_err(|error| error.to_string())?;
        if let Some(at) = first_nan(&tensor) {
            return Err(format!(
                "tensor {name} holds NaN (element {at}), which proves nothing: save it anew"
            ));
        }
        if to_compare {
            comparable(&tensor).map_err(|reason| format!("tensor {name} {reason}"))?;
        }
    }
    Ok(names)
}

/// Whether an expected tensor can prove anything.
fn comparable(tensor: &TensorView<'_>) -> Result<(), String> {
    if tensor.shape().contains(&0) {
        return Err(format!("is empty ({:?}), which proves nothing: leave it out", tensor.shape()));
    }
    match tensor.dtype() {
        Dtype::F64 | Dtype::F32 | Dtype::I64 | Dtype::I32 | Dtype::U8 | Dtype::BOOL => Ok(()),
        other => Err(format!("has type {other:?}, too narrow to compare with: save it as F32 or I64")),
    }
}

/// The first element that is no number.
fn first_nan(tensor: &TensorView<'_>) -> Option<usize> {
    fn first<const N: usize>(bytes: &[u8], is_nan: impl Fn([u8; N]) -> bool) -> Option<usize> {
        bytes.as_chunks::<N>().0.iter().position(|chunk| is_nan(*chunk))
    }
    /// A 16-bit float is NaN if its exponent is all ones and its fraction is not zero.
    fn narrow(exponent: u16, bytes: [u8; 2]) -> bool {
        let bits = u16::from_le_bytes(bytes);
        bits & exponent == exponent && bits & !exponent & 0x7fff != 0
    }
    let bytes = tensor.data();
    match tensor.dtype() {
        Dtype::F64 => first(bytes, |b| f64::from_le_bytes(b).is_nan()),
        Dtype::F32 => first(bytes, |b| f32::from_le_bytes(b).is_nan()),
        Dtype::F16 => first(bytes, |b| narrow(0x7c00, b)),
        Dtype::BF16 => first(bytes, |b| narrow(0x7f80, b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nan(dtype: Dtype, bytes: &[u8]) -> Option<usize> {
        let width = if dtype == Dtype::F64 { 8 } else { dtype.bitsize() / 8 };
        let view = TensorView::new(dtype, vec![bytes.len() / width], bytes);
        first_nan(&view.unwrap_or_else(|error| panic!("{error}")))
    }

    #[test]
    fn nan_is_found_in_every_float_type_and_infinity_is_none() {
        let f32s = [1.0, f32::INFINITY, f32::NAN].map(f32::to_le_bytes).concat();
        assert_eq!(nan(Dtype::F32, &f32s), Some(2));
        assert_eq!(nan(Dtype::F64, &[1.0, f64::NAN].map(f64::to_le_bytes).concat()), Some(1));
        let halves = |bits: &[u16]| bits.iter().flat_map(|b| b.to_le_bytes()).collect::<Vec<_>>();
        assert_eq!(nan(Dtype::F16, &halves(&[0x3c00, 0x7c00, 0xfc00, 0xfc01])), Some(3));
        assert_eq!(nan(Dtype::BF16, &halves(&[0x3f80, 0x7f80, 0xff80, 0x7fc0])), Some(3));
        assert_eq!(nan(Dtype::I32, &u32::MAX.to_le_bytes()), None);
    }
}
