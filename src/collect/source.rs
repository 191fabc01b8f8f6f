//! Where the model of a cell comes from, and the independent answer to it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use safetensors::SafeTensors;
use webmatrix_wire::{CellJob, ModelSource};

use super::goldens::golden;
use super::native;
use super::verdict::Reference;
use crate::plan::{Cell, ModelClass, Plan, Size};
use crate::serve::{FileSource, Files};

/// Weights that the user gives, by class.
pub type OwnWeights = BTreeMap<ModelClass, PathBuf>;

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
    /// No inputs are there and none can be made.
    #[error("weights of {class}: {reason}")]
    Inputs {
        /// The class.
        class: ModelClass,
        /// Why none can be made.
        reason: String,
    },
    /// There is no golden of the class.
    #[error("no golden model of {0} is built in")]
    NoGolden(ModelClass),
    /// The size is `own`, but nothing was given.
    #[error("no weights of {0} were given: add --weights {0}=DIR")]
    NotGiven(ModelClass),
}

/// What a page needs to run a cell.
#[derive(Clone, Debug)]
pub(super) struct Material {
    pub(super) model: ModelSource,
    pub(super) files: Files,
    /// The answer that comes with the model, if one does.
    expected: Option<(&'static str, Bytes)>,
}

impl Material {
    /// How many tokens the given answer generates; none if no answer is given.
    pub(super) fn new_tokens(&self) -> Option<u32> {
        let (_, answer) = self.expected.as_ref()?;
        let width = |tensors: &SafeTensors<'_>, name: &str| Some(*tensors.tensor(name).ok()?.shape().get(1)?);
        let all = width(&SafeTensors::deserialize(answer).ok()?, "generated_ids");
        let prompt = match self.files.get(INPUTS)? {
            FileSource::Bytes(bytes) => width(&SafeTensors::deserialize(bytes).ok()?, "input_ids"),
            FileSource::Disk(path) => {
                width(&SafeTensors::deserialize(&std::fs::read(path).ok()?).ok()?, "input_ids")
            }
        };
        // An answer without generated tokens asks for none.
        Some(all.map_or(0, |all| all.saturating_sub(prompt.unwrap_or(0)) as u32))
    }
}

/// An answer, or why there is none.
type Answer = Arc<Result<Reference, String>>;

/// Finds models and answers. Answers that must be computed are computed once.
#[derive(Debug, Default)]
pub struct Sources {
    own: OwnWeights,
    answers: Mutex<HashMap<(ModelClass, Size), Answer>>,
}

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const INPUTS: &str = "inputs.safetensors";
const EXPECTED: &str = "expected.safetensors";

impl Sources {
    /// Sources with the weights that the user gives.
    pub fn new(own: OwnWeights) -> Self {
        Self { own, answers: Mutex::default() }
    }

    /// Reads what must be there before anything is started.
    pub fn check(&self, plan: &Plan) -> Result<(), SourceError> {
        plan.runnable().try_for_each(|cell| self.material(cell, plan.run.seed).map(drop))
    }

    /// What a page needs to run the cell.
    pub(super) fn material(&self, cell: &Cell, seed: u64) -> Result<Material, SourceError> {
        match (cell.size, cell.size.twin()) {
            (Size::Tiny, _) => of_golden(cell.model),
            (_, Some(size)) => {
                Ok(Material { model: ModelSource::Twin { size, seed }, files: Files::new(), expected: None })
            }
            (_, None) => {
                let folder = self.own.get(&cell.model).ok_or(SourceError::NotGiven(cell.model))?;
                of_folder(cell.model, folder)
            }
        }
    }

    /// The independent answer to a job. May take long: twins' answers are computed on the host.
    pub(super) fn reference(&self, cell: &Cell, job: &CellJob, material: &Material) -> Answer {
        if let Some((source, tensors)) = &material.expected {
            return Arc::new(Ok(Reference { source: (*source).to_owned(), tensors: tensors.clone() }));
        }
        let key = (cell.model, cell.size);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = answers.entry(key).or_insert_with(|| {
            let answer = native::oracle(job, &material.files);
            Arc::new(answer.map(|tensors| Reference { source: "native-cpu".to_owned(), tensors }))
        });
        answer.clone()
    }
}

fn of_golden(class: ModelClass) -> Result<Material, SourceError> {
    let golden = golden(class.as_str()).ok_or(SourceError::NoGolden(class))?;
    let file = |name: &str, bytes| (name.to_owned(), FileSource::Bytes(Bytes::from_static(bytes)));
    Ok(Material {
        model: files_source(vec![WEIGHTS.to_owned()]),
        files: Files::from([
            file(CONFIG, golden.config),
            file(WEIGHTS, golden.weights),
            file(INPUTS, golden.inputs),
        ]),
        expected: Some(("pytorch-golden", golden.expected())),
    })
}

fn files_source(weights: Vec<String>) -> ModelSource {
    ModelSource::Files { config: CONFIG.to_owned(), weights, inputs: INPUTS.to_owned() }
}

fn of_folder(class: ModelClass, folder: &Path) -> Result<Material, SourceError> {
    let fault = |path: PathBuf| move |error| SourceError::Io { class, path, error };
    let present = |name: &str| {
        let path = folder.join(name);
        std::fs::metadata(&path).map_err(fault(path.clone())).map(|_| FileSource::Disk(path))
    };
    let mut files = Files::from([(CONFIG.to_owned(), present(CONFIG)?)]);
    let weights = shards(class, folder)?;
    for shard in &weights {
        files.insert(shard.clone(), present(shard)?);
    }
    let inputs = folder.join(INPUTS);
    let inputs = if inputs.is_file() {
        FileSource::Disk(inputs)
    } else {
        let config = std::fs::read(folder.join(CONFIG)).map_err(fault(folder.join(CONFIG)))?;
        let made = native::inputs(class.as_str(), &config, folder);
        FileSource::Bytes(made.map_err(|reason| SourceError::Inputs { class, reason })?)
    };
    files.insert(INPUTS.to_owned(), inputs);
    let expected = folder.join(EXPECTED);
    let expected = if expected.is_file() {
        Some(("given", std::fs::read(&expected).map_err(fault(expected.clone()))?.into()))
    } else {
        None
    };
    Ok(Material { model: files_source(weights), files, expected })
}

/// The shards of a checkpoint: the one file, or those that its index names.
fn shards(class: ModelClass, folder: &Path) -> Result<Vec<String>, SourceError> {
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
