//! `models quantize`: a folder whose weights are quantised, from one whose weights are not.
//!
//! The new folder is a model folder like any other. Its expected outputs are the scalar oracle's answer to the quantised
//! weights, so that `verify` can hold browsers to it; what the model gave before is kept beside them, so that every run
//! can say what the precision costs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Serialize;
use webmatrix_wire::{Backend, CellJob, Generation, Precision};

use super::folder::{class_of, read_config};
use super::inputs::Given;
use super::material::{CONFIG, EXPECTED, INPUTS, Material, PREPROCESSOR, WEIGHTS, files_source};
use super::native;
use super::packed::{CALIBRATION, FIT, FULL, PRECISION};
use super::quantisation::Quantisation;
use super::quantised::{PackedModel, Wish, packed};
use super::stop::Stop;
use super::verdict::Reference;
use super::weights::{SourceError, of_folder};
use crate::plan::{ModelClass, Shape};
use crate::serve::FileSource;

/// What was done, for people and programs, beside the weights.
pub const RECORD: &str = "quantisation.json";

/// What a model needs besides config and weights, where its folder has it.
const COPIED: [&str; 15] = [
    PREPROCESSOR,
    "processor_config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "tokenizer.model",
    "chat_template.jinja",
    "LICENSE",
    "LICENSE.txt",
];

/// Bytes that are written before anyone is asked whether to go on.
const CHUNK: usize = 1 << 24;

/// What is to be quantised, how, and where to.
#[derive(Clone, Debug)]
pub struct QuantiseOrder {
    /// A folder with config.json and weights as they were trained.
    pub folder: PathBuf,
    /// Its class; none if its config says so.
    pub class: Option<ModelClass>,
    /// How its matrices are stored.
    pub wish: Wish,
    /// What the cost is measured on, in place of the folder's inputs.
    pub given: Given,
    /// The new folder.
    pub out: PathBuf,
    /// Whether a model folder that is there already is replaced.
    pub force: bool,
}

/// Why nothing was quantised.
#[derive(Debug, thiserror::Error)]
pub enum QuantiseError {
    /// Someone asked to stop.
    #[error("stopped: nothing was written")]
    Stopped,
    /// What the order names is there already, or is what is to be kept.
    #[error("{}: {reason}", path.display())]
    Refused {
        /// Which.
        path: PathBuf,
        /// Why, and the remedy.
        reason: String,
    },
    /// The model cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The model cannot be quantised so.
    #[error("{}: as {class}: {reason}", folder.display())]
    Model {
        /// The folder.
        folder: PathBuf,
        /// Its class.
        class: ModelClass,
        /// Why not.
        reason: String,
    },
    /// The new folder cannot be written.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// How a matrix is stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredMatrix {
    /// Its weight's name.
    pub name: String,
    /// Its weight's shape.
    pub shape: Vec<usize>,
    /// How its rows are stored.
    pub scheme: String,
    /// Bits that a weight takes, scales included.
    pub bits_per_weight: f64,
    /// Bytes that it takes.
    pub bytes: u64,
}

/// A model that was quantised, not yet written.
#[derive(Debug)]
pub struct QuantisedModel {
    /// Its class.
    pub class: ModelClass,
    /// At which its folder is to be run.
    pub precision: Precision,
    /// What was done.
    pub how: Quantisation,
    /// Matrix by matrix.
    pub matrices: Vec<StoredMatrix>,
    /// The answer at full precision to the inputs.
    pub full: Reference,
    /// The oracle's answer to the quantised weights, for the same inputs.
    pub outputs: Bytes,
    inputs: Bytes,
    weights: Bytes,
}

/// Quantises a model; `told` hears the name of every matrix before it is made. Blocks, and may take long; ends soon after
/// `stop` is asked for.
fn quantised(
    order: &QuantiseOrder,
    stop: &Stop,
    told: &dyn Fn(&str),
) -> Result<QuantisedModel, QuantiseError> {
    let refused = |path: &Path, reason: String| QuantiseError::Refused { path: path.to_owned(), reason };
    let folder = &order.folder;
    if !folder.is_dir() {
        return Err(refused(
            folder,
            "is no folder: name one with config.json and model.safetensors".to_owned(),
        ));
    }
    let class = match order.class {
        Some(class) => class,
        None => read_config(folder)
            .and_then(|config| class_of(&config))
            .map_err(|reason| refused(&folder.join(CONFIG), reason))?,
    };
    let plain = of_folder(class, folder, Shape::default(), &order.given)?;
    if let Some(packed) = &plain.packed {
        let reason = format!(
            "holds {} weights already: quantise the folder that it was made from, since every rounding adds to the last",
            packed.precision
        );
        return Err(refused(folder, reason));
    }
    let fault = |error: webmatrix_engine::Error| match error {
        webmatrix_engine::Error::Stopped => QuantiseError::Stopped,
        other => QuantiseError::Model { folder: folder.clone(), class, reason: other.to_string() },
    };
    let text = |reason| QuantiseError::Model { folder: folder.clone(), class, reason };
    let watch = |name: &str| {
        stop.checked()?;
        told(name);
        Ok(())
    };
    let made = packed(class, &plain, &order.wish, &watch).map_err(fault)?;
    stop.checked().map_err(fault)?;
    let about = about(&made);
    let weights = Bytes::from(made.weights.to_safetensors(&made.shapes, &about).map_err(fault)?);
    let matrices =
        made.shapes.keys().filter_map(|name| made.weights.matrix(name).map(|matrix| (name, matrix)));
    let matrices = matrices.map(|(name, matrix)| StoredMatrix {
        name: name.clone(),
        shape: matrix.shape().to_vec(),
        scheme: matrix.packing().scheme.to_string(),
        bits_per_weight: matrix.packing().bits_per_weight(),
        bytes: matrix.bytes() as u64,
    });
    let matrices = matrices.collect();
    let new_tokens = plain.new_tokens.unwrap_or(class.info().new_tokens);
    told("the answer at full precision");
    let full = match &plain.expected {
        Some((source, tensors)) => Reference { source: (*source).to_owned(), tensors: tensors.clone() },
        None => {
            let job = job(class, &plain, Precision::Fp32, new_tokens);
            let tensors = native::oracle(&job, &plain.files, None).map_err(text)?;
            Reference { source: "native-cpu".to_owned(), tensors }
        }
    };
    stop.checked().map_err(fault)?;
    told("the answer of the quantised weights");
    let mut material = plain.clone();
    material.files.insert(WEIGHTS.to_owned(), FileSource::Bytes(weights.clone()));
    let preprocessor = plain.files.contains_key(PREPROCESSOR).then(|| PREPROCESSOR.to_owned());
    material.model = files_source(preprocessor, vec![WEIGHTS.to_owned()]);
    let job = job(class, &material, made.precision, new_tokens);
    let outputs = native::oracle(&job, &material.files, None).map_err(text)?;
    stop.checked().map_err(fault)?;
    let inputs = match plain.files.get(INPUTS) {
        Some(FileSource::Bytes(bytes)) => bytes.clone(),
        Some(FileSource::Disk(path)) => {
            fs::read(path).map_err(|error| QuantiseError::Io { path: path.clone(), error })?.into()
        }
        None => Bytes::new(),
    };
    let PackedModel { precision, how, .. } = made;
    Ok(QuantisedModel { class, precision, how, matrices, full, outputs, inputs, weights })
}

/// What the weights' file says of itself.
fn about(made: &PackedModel) -> BTreeMap<String, String> {
    let mut about = BTreeMap::from([
        (PRECISION.to_owned(), made.precision.to_string()),
        (FIT.to_owned(), made.how.fit.clone()),
    ]);
    about.extend(made.how.calibration.clone().map(|text| (CALIBRATION.to_owned(), text)));
    about
}

fn job(class: ModelClass, material: &Material, precision: Precision, new_tokens: u32) -> CellJob {
    CellJob {
        class: class.as_str().to_owned(),
        backends: vec![Backend::NativeCpu],
        precision,
        features: Vec::new(),
        model: material.model.clone(),
        warmup: 0,
        samples: 1,
        until: None,
        memory_limit: None,
        generation: Generation::greedy(new_tokens),
    }
}

/// Quantises a model on a thread of its own, which is left behind when `stop` is asked for.
///
/// # Errors
/// If the folder that is asked for is there already, or the model cannot be quantised so.
pub async fn quantise(
    order: &QuantiseOrder,
    stop: &Stop,
    told: impl Fn(&str) + Send + 'static,
) -> Result<QuantisedModel, QuantiseError> {
    allowed(order)?;
    let (order, flag) = (order.clone(), stop.clone());
    let folder = order.folder.clone();
    let work = tokio::task::spawn_blocking(move || quantised(&order, &flag, &told));
    match stop.unless(work).await {
        Some(Ok(made)) => made,
        Some(Err(error)) => {
            let reason = format!("quantising failed: {error}");
            Err(QuantiseError::Refused { path: folder, reason })
        }
        None => Err(QuantiseError::Stopped),
    }
}

/// Whether the new folder may be made.
fn allowed(order: &QuantiseOrder) -> Result<(), QuantiseError> {
    let refuse =
        |reason: &str| Err(QuantiseError::Refused { path: order.out.clone(), reason: reason.to_owned() });
    if fs::symlink_metadata(&order.out).is_err() {
        return Ok(());
    }
    if !order.force {
        return refuse("is there already: choose another --out, or replace it with --force");
    }
    let model = order.out.is_dir() && [CONFIG, WEIGHTS].iter().all(|file| order.out.join(file).is_file());
    if !model || order.out.is_symlink() {
        return refuse("is no folder with config.json and model.safetensors: --force replaces only such");
    }
    let source = fs::canonicalize(&order.folder);
    let same = |out: PathBuf| source.as_ref().is_ok_and(|source| source.starts_with(&out));
    if fs::canonicalize(&order.out).is_ok_and(same) {
        return refuse("holds the model that is to be quantised: choose another --out");
    }
    Ok(())
}

/// Writes the folder, whole or not at all; `record` says what was done. Blocks; ends soon after `stop` is asked for. The
/// bytes of its weights' file.
///
/// # Errors
/// If it cannot be written, or is there by now.
pub fn write(
    order: &QuantiseOrder,
    made: &QuantisedModel,
    record: &[u8],
    stop: &Stop,
) -> Result<u64, QuantiseError> {
    let fault = |path: &Path| {
        let path = path.to_owned();
        move |error| QuantiseError::Io { path, error }
    };
    let parent = order.out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(fault(parent))?;
    // Beside the folder that it becomes, so that it can be renamed.
    let staged = tempfile::Builder::new().prefix(".quantize-").tempdir_in(parent).map_err(fault(parent))?;
    let put = |name: &str, bytes: &[u8]| -> Result<(), QuantiseError> {
        let path = staged.path().join(name);
        let mut file = fs::File::create(&path).map_err(fault(&path))?;
        for chunk in bytes.chunks(CHUNK) {
            stop.checked().map_err(|_| QuantiseError::Stopped)?;
            file.write_all(chunk).map_err(fault(&path))?;
        }
        file.sync_all().map_err(fault(&path))
    };
    for name in [CONFIG].into_iter().chain(COPIED) {
        let from = order.folder.join(name);
        if from.is_file() {
            put(name, &fs::read(&from).map_err(fault(&from))?)?;
        }
    }
    put(WEIGHTS, &made.weights)?;
    put(INPUTS, &made.inputs)?;
    put(EXPECTED, &made.outputs)?;
    put(FULL, &made.full.tensors)?;
    put(RECORD, record)?;
    stop.checked().map_err(|_| QuantiseError::Stopped)?;
    allowed(order)?;
    // A folder cannot take another's place in one step: the old one steps aside first.
    let aside = parent.join(format!("{}-replaced", staged.path().file_name().unwrap_or_default().display()));
    let replaces = order.out.exists();
    if replaces {
        fs::rename(&order.out, &aside).map_err(fault(&order.out))?;
    }
    let staged = staged.keep();
    let moved = share(&staged).and_then(|()| fs::rename(&staged, &order.out));
    if let Err(error) = moved {
        fs::remove_dir_all(&staged).ok();
        if replaces {
            fs::rename(&aside, &order.out).map_err(fault(&aside))?;
        }
        return Err(QuantiseError::Io { path: order.out.clone(), error });
    }
    if replaces {
        fs::remove_dir_all(&aside).map_err(fault(&aside))?;
    }
    Ok(made.weights.len() as u64)
}

/// A temporary folder is its maker's alone; a model is for whoever may read what is beside it.
#[cfg(unix)]
fn share(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn share(_folder: &Path) -> io::Result<()> {
    Ok(())
}
