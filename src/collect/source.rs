//! Where the model of a cell comes from, and the independent answer to it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use webmatrix_engine::quant::Scheme;
use webmatrix_engine::tensor::read_safetensors;
use webmatrix_wire::{CellJob, Feature, Generation, ModelSource, Precision};

use super::folder::ModelFolder;
use super::generation::new_tokens;
use super::goldens::golden;
use super::inputs::{Given, front_end, inputs};
use super::native;
use super::onnx::{self, OnnxError};
use super::packed::{FULL, Packed};
use super::quantised::{Quantised, Shelf};
use super::stop::Stop;
use super::verdict::Reference;
use crate::plan::{Cell, CellModel, FileName, ModelClass, ModelFile, Plan, Shape, Size};
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

/// What a page needs to run a cell.
#[derive(Clone, Debug)]
pub(super) struct Material {
    pub(super) model: ModelSource,
    pub(super) files: Files,
    /// Where its tokenizer and vocabulary would lie; none if the model is in no folder.
    pub(super) folder: Option<PathBuf>,
    /// Heights and widths of the pictures that a person gave.
    pub(super) sizes: Vec<[usize; 2]>,
    /// The answer that comes with the model, if one does.
    pub(super) expected: Option<(&'static str, Bytes)>,
    /// How many tokens that answer generates; none if no answer comes.
    pub(super) new_tokens: Option<u32>,
    /// What is known of weights that are quantised already; none if they are as they were trained.
    pub(super) packed: Option<Arc<Packed>>,
}

/// An answer, or why there is none.
pub(super) type Answer = Arc<Result<Reference, String>>;

/// What an answer is to: a model, its inputs, and how its weights are stored.
type Question = (CellModel, Size, Shape, Precision, Option<String>);

/// Finds models and answers. Answers that must be computed are computed once.
#[derive(Debug, Default)]
pub struct Sources {
    own: OwnWeights,
    /// What own weights work on, in place of what their folders say.
    given: Given,
    /// Own weights count only with the answer that comes with them.
    answers_are_given: bool,
    /// Files that another runtime runs.
    files: BTreeMap<FileName, ModelFile>,
    /// How long the host may take to answer to one of them.
    patience: Duration,
    answers: Mutex<HashMap<Question, Answer>>,
    quantised: Shelf,
    /// What was read of folders and files: once a run, so that all its cells run the same, and sentences become tokens
    /// once.
    read: Mutex<HashMap<(CellModel, Shape), Material>>,
}

/// What the answer is called that a person gave with the model.
pub const GIVEN: &str = "given";

pub(super) const CONFIG: &str = "config.json";
pub(super) const PREPROCESSOR: &str = "preprocessor_config.json";
pub(super) const WEIGHTS: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";
pub(super) const INPUTS: &str = "inputs.safetensors";
pub(super) const EXPECTED: &str = "expected.safetensors";

impl Sources {
    /// Sources with the weights that the user gives.
    pub fn new(own: OwnWeights, given: Given) -> Self {
        Self { own, given, ..Self::default() }
    }

    /// With the model files of a plan.
    pub fn with_files(self, plan: &Plan) -> Self {
        let patience = Duration::from_secs(u64::from(plan.deadlines.attempt_s));
        Self { files: plan.files.clone(), patience, ..self }
    }

    /// With matrices that match a pattern stored in a scheme of their own, wherever weights are quantised.
    #[must_use]
    pub fn keeping(mut self, keep: Vec<(String, Scheme)>) -> Self {
        self.quantised.keep(keep);
        self
    }

    /// A folder that is to be verified: without its answer there is nothing to compare with.
    pub fn of_folder(folder: &ModelFolder) -> Self {
        let own = OwnWeights::from([(folder.class, folder.path.clone())]);
        Self { own, answers_are_given: true, ..Self::default() }
    }

    /// Reads what must be there before anything is started.
    pub fn check(&self, plan: &Plan) -> Result<(), SourceError> {
        plan.runnable().try_for_each(|cell| self.material(cell, plan.run.seed).map(drop))
    }

    /// What a page needs to run the cell.
    pub(super) fn material(&self, cell: &Cell, seed: u64) -> Result<Material, SourceError> {
        let class = match &cell.model {
            CellModel::Class(class) => *class,
            CellModel::File(name) => {
                let file = self.files.get(name).ok_or_else(|| SourceError::NoFile(name.clone()))?;
                return self.once(cell, || Ok(onnx::material(file, seed)?));
            }
        };
        match (cell.size, cell.size.twin()) {
            // A golden answers for its own inputs only.
            (Size::Tiny, _) if cell.shape.is_usual() => of_golden(class),
            (_, Some(size)) => Ok(Material {
                model: ModelSource::Twin {
                    size,
                    seed,
                    batch: cell.shape.batch.unwrap_or(1),
                    tokens: cell.shape.tokens,
                },
                files: Files::new(),
                folder: None,
                sizes: Vec::new(),
                expected: None,
                new_tokens: None,
                packed: None,
            }),
            (_, None) => {
                let folder = self.own.get(&class).ok_or(SourceError::NotGiven(class))?;
                let material = self.once(cell, || {
                    let material = of_folder(class, folder, cell.shape, &self.given)?;
                    if self.answers_are_given && material.expected.is_none() {
                        let reason = "was there and is gone".to_owned();
                        return Err(SourceError::Expected { class, reason });
                    }
                    Ok(material)
                })?;
                match &material.packed {
                    Some(packed) if packed.precision != cell.precision => Err(SourceError::Precision {
                        class,
                        path: folder.clone(),
                        holds: packed.precision,
                        asked: cell.precision,
                    }),
                    _ => Ok(material),
                }
            }
        }
    }

    /// The texts that the cell's model is given, as tokens, equally long; none if it reads none.
    pub fn tokens(&self, cell: &Cell, seed: u64) -> Option<Vec<Vec<i64>>> {
        let material = self.material(cell, seed).ok()?;
        let Some(FileSource::Bytes(inputs)) = material.files.get(INPUTS) else { return None };
        let inputs = read_safetensors(INPUTS, inputs).ok()?;
        let ids = inputs.get("input_ids")?;
        let &[_, tokens] = ids.shape() else { return None };
        let row = |row: &[i32]| row.iter().map(|&id| i64::from(id)).collect();
        Some(ids.as_i32().chunks_exact(tokens.max(1)).map(row).collect())
    }

    /// What was read for the cell's model before, else what is read now.
    fn once(
        &self,
        cell: &Cell,
        read: impl FnOnce() -> Result<Material, SourceError>,
    ) -> Result<Material, SourceError> {
        let key = (cell.model.clone(), cell.shape);
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(material) = known.get(&key) {
            return Ok(material.clone());
        }
        let material = read()?;
        known.insert(key, material.clone());
        Ok(material)
    }

    /// The cell's material at its precision; `plain` is that of full precision, or what is of the cell's precision already.
    /// May take long; ends soon after `stop` is asked for.
    pub(super) fn quantised(
        &self,
        class: ModelClass,
        cell: &Cell,
        features: &[String],
        plain: &Material,
        stop: &Stop,
    ) -> Result<Quantised, String> {
        let scheme = Feature::scheme(features).map(str::parse).transpose();
        let scheme: Option<Scheme> = scheme.map_err(|error: webmatrix_engine::Error| error.to_string())?;
        match &plain.packed {
            Some(packed) => Ok(Quantised { material: plain.clone(), how: Arc::clone(&packed.how) }),
            None => self.quantised.get(class, cell, scheme, plain, stop),
        }
    }

    /// The independent answer to a job. May take long: twins' answers are computed on the host.
    pub(super) fn reference(&self, cell: &Cell, job: &CellJob, material: &Material) -> Answer {
        if let Some(packed) = material.packed.as_ref().filter(|_| cell.precision == Precision::Fp32) {
            let kept = packed
                .full
                .clone()
                .map(|tensors| Reference { source: "before-quantising".to_owned(), tensors });
            let none = || "its weights are quantised, and what they gave before is not known".to_owned();
            return Arc::new(kept.ok_or_else(none));
        }
        // The answer that comes with the model is one to generation as it was asked of PyTorch; any other is the
        // oracle's to give.
        let answered = Generation::greedy(material.new_tokens.unwrap_or_default());
        let given = material.expected.as_ref().filter(|_| job.generation == answered);
        if let Some((source, tensors)) = given {
            return Arc::new(Ok(Reference { source: (*source).to_owned(), tensors: tensors.clone() }));
        }
        let scheme = Feature::scheme(&job.features).map(str::to_owned);
        let key = (cell.model.clone(), cell.size, cell.shape, cell.precision, scheme);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = answers.entry(key).or_insert_with(|| {
            Arc::new(match cell.model {
                CellModel::File(_) => onnx::answer(&material.files, self.patience),
                CellModel::Class(_) => native::oracle(job, &material.files, None).map(of_oracle),
            })
        });
        answer.clone()
    }
}

/// The oracle's answer to outputs whose caches are packed. May take long.
pub(super) fn adopting(job: &CellJob, material: &Material, outputs: &[u8]) -> Result<Reference, String> {
    native::oracle(job, &material.files, Some(outputs)).map(of_oracle)
}

fn of_oracle(tensors: Bytes) -> Reference {
    Reference { source: "native-cpu".to_owned(), tensors }
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

pub(super) fn files_source(preprocessor: Option<String>, weights: Vec<String>) -> ModelSource {
    ModelSource::Files { config: CONFIG.to_owned(), preprocessor, weights, inputs: INPUTS.to_owned() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_once_a_run() {
        let class = "bert".parse().unwrap_or_else(|error| panic!("{error}"));
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let golden = golden("bert").unwrap_or_else(|| panic!("no golden"));
        for (file, bytes) in [(CONFIG, golden.config), (WEIGHTS, golden.weights), (INPUTS, golden.inputs)] {
            std::fs::write(folder.path().join(file), bytes).unwrap_or_else(|error| panic!("{error}"));
        }
        let sources = Sources::new(OwnWeights::from([(class, folder.path().to_owned())]), Given::default());
        let cell = "native/bert@own/webmatrix/native-cpu/fp32/default".parse();
        let cell = cell.unwrap_or_else(|error| panic!("{error}"));
        let inputs = || {
            let material = sources.material(&cell, 0).unwrap_or_else(|error| panic!("{error}"));
            match material.files.get(INPUTS) {
                Some(FileSource::Bytes(bytes)) => bytes.clone(),
                other => panic!("{other:?}"),
            }
        };
        let first = inputs();
        std::fs::remove_file(folder.path().join(INPUTS)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(first.as_ptr(), inputs().as_ptr(), "read again");
    }
}
