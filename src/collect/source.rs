//! Where the model of a cell comes from, and the independent answer to it.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use webmatrix_engine::quant::Scheme;
use webmatrix_engine::tensor::read_safetensors;
use webmatrix_wire::{CellJob, Feature, Generation, ModelSource, Precision};

use super::folder::ModelFolder;
use super::inputs::Given;
use super::material::{INPUTS, Material};
use super::native;
use super::onnx;
use super::quantised::{Quantised, Shelf};
use super::stop::Stop;
use super::verdict::Reference;
use super::weights::{SourceError, of_folder, of_golden};
use crate::plan::{Cell, CellModel, FileName, ModelClass, ModelFile, Plan, Shape, Size};
use crate::serve::{FileSource, Files};

/// Weights that the user gives, by class.
pub type OwnWeights = BTreeMap<ModelClass, PathBuf>;

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

    /// The texts that the cell's model is given to be scored by, as [`Self::tokens`]; none if it has another task.
    pub(super) fn scored(&self, cell: &Cell, seed: u64) -> Option<Vec<Vec<i64>>> {
        self.given.corpus.as_ref().and_then(|_| self.tokens(cell, seed))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::goldens::golden;
    use crate::collect::material::{CONFIG, WEIGHTS};

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
