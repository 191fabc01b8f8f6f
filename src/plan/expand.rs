//! From a matrix to its cells, each with the decision whether it runs.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use webmatrix_wire::{Backend, Feature, Precision, Status, UnknownName};

use super::cell::{Cell, NATIVE};
use super::decide::decide;
use super::file::{CellModel, FileName, ModelFile};
use super::found::{Catalogue, Found, PlanError};
use super::generation::Generation;
use super::matrix::{Include, Matrix, profile_of};
use super::model::{ModelClass, Runtime, Size};
use super::planned::{Decision, Plan, PlannedCell};
use super::shape::Shape;
use super::thresholds::Thresholds;

/// What the command line puts in place of the matrix's own words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// In place of `axes.browsers`; blocks that name browsers are narrowed to these.
    pub browsers: Option<Vec<String>>,
    /// In place of every `models`.
    pub models: Option<Vec<String>>,
    /// In place of every `sizes`.
    pub sizes: Option<Vec<Size>>,
    /// In place of `axes.backends`; blocks that name backends are narrowed to these.
    pub backends: Option<Vec<Backend>>,
    /// In place of every `precisions`.
    pub precisions: Option<Vec<Precision>>,
    /// In place of every profile: one profile with these features.
    pub features: Option<Vec<String>>,
    /// Classes whose weights the user gives: their size is `own`.
    pub own_weights: BTreeSet<ModelClass>,
    /// Files in place of every model: another runtime runs them.
    pub files: BTreeMap<FileName, ModelFile>,
    /// In place of every `batches`.
    pub batches: Option<Vec<u32>>,
    /// In place of every `sequence_lengths`.
    pub sequence_lengths: Option<Vec<u32>>,
    /// In place of what it says in `generation`.
    pub generation: Generation,
    /// What evidence is graded by.
    pub thresholds: Thresholds,
    /// In place of `run.samples`.
    pub samples: Option<u32>,
    /// In place of `run.retries`.
    pub retries: Option<u32>,
    /// In place of `run.memory_limit`.
    pub memory_limit: Option<u64>,
    /// In place of `run.interval_width`.
    pub interval_width: Option<f64>,
    /// In place of `run.time_budget_s`.
    pub time_budget_s: Option<f64>,
    /// In place of `run.cool_down_s`.
    pub cool_down_s: Option<u32>,
    /// In place of `deadlines.attempt_s`.
    pub attempt_s: Option<u32>,
    /// In place of `deadlines.total_s`.
    pub total_s: Option<u32>,
}

/// Spans the matrix over the browsers found.
///
/// Whether a browser has WebGPU or WebNN is not decided here: only a probe in its page may say so.
pub fn plan(matrix: &Matrix, overrides: &Overrides, found: &[Found]) -> Result<Plan, PlanError> {
    let catalogue = Catalogue::new(found);
    let asked = overrides.browsers.as_ref().map(|labels| catalogue.resolve(labels)).transpose()?;
    let mut run = matrix.run;
    run.samples = overrides.samples.unwrap_or(run.samples);
    run.retries = overrides.retries.unwrap_or(run.retries);
    run.memory_limit = overrides.memory_limit.or(run.memory_limit);
    run.interval_width = overrides.interval_width.or(run.interval_width);
    run.time_budget_s = overrides.time_budget_s.or(run.time_budget_s);
    run.cool_down_s = overrides.cool_down_s.unwrap_or(run.cool_down_s);
    let mut deadlines = matrix.deadlines;
    deadlines.attempt_s = overrides.attempt_s.unwrap_or(deadlines.attempt_s);
    deadlines.total_s = overrides.total_s.unwrap_or(deadlines.total_s);

    let generation = overrides.generation.or(matrix.generation);

    let mut profiles = BTreeMap::new();
    let mut seen = HashSet::new();
    let mut cells = Vec::new();
    for block in blocks(matrix, overrides, &catalogue, asked.as_deref())? {
        for cell in block.cells(overrides) {
            if !seen.insert(cell.clone()) {
                continue;
            }
            let features = match &overrides.features {
                Some(features) => features.clone(),
                None => matrix.features(&cell.profile).to_vec(),
            };
            let mut decision = decide(&cell, &features, matrix, &generation, &catalogue);
            if let (Decision::Run, Err(reason)) = (&decision, Feature::offload(&features, run.memory_limit)) {
                decision = Decision::Never { status: Status::NotApplicable, reason: reason.to_owned() };
            }
            profiles.insert(cell.profile.clone(), features);
            cells.push(PlannedCell { cell, decision });
        }
    }
    if cells.is_empty() {
        return Err(PlanError::Empty(matrix.name.clone()));
    }
    let missing = match &overrides.browsers {
        Some(labels) => labels.iter().filter(|l| *l != "all" && !catalogue.usable(l)).cloned().collect(),
        None => Vec::new(),
    };
    Ok(Plan {
        matrix: matrix.name.clone(),
        cells,
        ops: Vec::new(),
        run,
        generation,
        thresholds: overrides.thresholds.clone(),
        deadlines,
        profiles,
        files: overrides.files.clone(),
        missing,
    })
}

/// A product of axes.
struct Block {
    browsers: Vec<String>,
    models: Vec<ModelClass>,
    sizes: Vec<Size>,
    shapes: Vec<Shape>,
    runtimes: Vec<Runtime>,
    backends: Vec<Backend>,
    precisions: Vec<Precision>,
    profiles: Vec<String>,
}

impl Block {
    fn cells(&self, overrides: &Overrides) -> Vec<Cell> {
        let mut cells = Vec::new();
        for browser in &self.browsers {
            for (model, size, shape) in self.models(overrides) {
                let file = match &model {
                    CellModel::Class(_) => None,
                    CellModel::File(name) => overrides.files.get(name),
                };
                let (runtimes, precisions) = match file {
                    // A file is of the precision that it is of, and no runtime of the host's reads it.
                    Some(file) if browser != NATIVE => (&[Runtime::OrtWeb][..], &[file.precision][..]),
                    Some(_) => continue,
                    None => (&self.runtimes[..], &self.precisions[..]),
                };
                for &runtime in runtimes {
                    for &backend in self.backends.iter().filter(|b| file.is_none() || !b.is_native()) {
                        for &precision in precisions {
                            for profile in &self.profiles {
                                let (browser, profile) = (browser.clone(), profile.clone());
                                let model = model.clone();
                                cells.push(Cell {
                                    browser,
                                    model,
                                    size,
                                    shape,
                                    runtime,
                                    backend,
                                    precision,
                                    profile,
                                });
                            }
                        }
                    }
                }
            }
        }
        cells
    }

    /// The models of the block, with their sizes and shapes.
    fn models(&self, overrides: &Overrides) -> Vec<(CellModel, Size, Shape)> {
        if !overrides.files.is_empty() {
            let files = overrides.files.keys();
            return files.map(|name| (CellModel::File(name.clone()), Size::File, Shape::default())).collect();
        }
        let mut models = Vec::new();
        for &model in &self.models {
            let own = overrides.own_weights.contains(&model);
            let sizes = if own { &[Size::Own][..] } else { &self.sizes };
            for &size in sizes {
                models.extend(self.shapes.iter().map(|&shape| (CellModel::Class(model), size, shape)));
            }
        }
        models
    }
}

/// The matrix's blocks with the overrides in place: `axes` is replaced, a block's own words about
/// browsers and backends are narrowed.
fn blocks(
    matrix: &Matrix,
    overrides: &Overrides,
    catalogue: &Catalogue<'_>,
    asked: Option<&[String]>,
) -> Result<Vec<Block>, PlanError> {
    let native_has_a_block =
        matrix.include.iter().any(|include| include.browsers.iter().flatten().any(|label| label == NATIVE));
    // Where the host has a block and takes part, its backends are that block's business alone.
    let native_runs =
        native_has_a_block && asked.is_none_or(|asked| asked.iter().any(|label| label == NATIVE));
    let mut blocks = Vec::new();
    let whole = Include::default();
    for (at, include) in std::iter::once(&whole).chain(&matrix.include).enumerate() {
        let of_axes = catalogue.resolve(&matrix.axes.browsers)?;
        let browsers = match (&include.browsers, asked) {
            (None, None) => of_axes,
            (None, Some(asked)) => narrow_to_machine(of_axes, asked, catalogue)
                .into_iter()
                .filter(|label| !(label == NATIVE && native_has_a_block && at == 0))
                .collect(),
            (Some(own), None) => catalogue.resolve(own)?,
            (Some(own), Some(asked)) => {
                catalogue.resolve(own)?.into_iter().filter(|label| asked.contains(label)).collect()
            }
        };
        let models = overrides.models.as_ref().or(include.models.as_ref()).unwrap_or(&matrix.axes.models);
        let backends = match (&include.backends, &overrides.backends) {
            (None, None) => matrix.axes.backends.clone(),
            (None, Some(asked)) if native_runs => {
                asked.iter().copied().filter(|backend| !backend.is_native()).collect()
            }
            (None, Some(asked)) => asked.clone(),
            (Some(own), None) => own.clone(),
            (Some(own), Some(asked)) => {
                own.iter().copied().filter(|backend| asked.contains(backend)).collect()
            }
        };
        let profiles = match &overrides.features {
            Some(features) => vec![profile_of(features)],
            None => include.profiles.clone().unwrap_or_else(|| matrix.axes.profiles.clone()),
        };
        blocks.push(Block {
            browsers,
            models: resolve_models(models)?,
            sizes: pick(&overrides.sizes, &include.sizes, &matrix.axes.sizes),
            shapes: Shape::product(
                &pick(&overrides.batches, &include.batches, &matrix.axes.batches),
                &pick(&overrides.sequence_lengths, &include.sequence_lengths, &matrix.axes.sequence_lengths),
            ),
            runtimes: matrix.axes.runtimes.clone(),
            backends,
            precisions: pick(&overrides.precisions, &include.precisions, &matrix.axes.precisions),
            profiles,
        });
    }
    Ok(blocks)
}

/// `--browsers` chooses among the browsers on this machine; those that the matrix names and the
/// machine lacks stay, as `unavailable`: what was not covered is not hidden by what was.
fn narrow_to_machine(of_matrix: Vec<String>, asked: &[String], catalogue: &Catalogue<'_>) -> Vec<String> {
    let absent = of_matrix
        .into_iter()
        .filter(|label| label != NATIVE && catalogue.get(label).is_none() && !asked.contains(label));
    asked.iter().cloned().chain(absent).collect()
}

fn pick<T: Clone>(first: &Option<Vec<T>>, second: &Option<Vec<T>>, last: &[T]) -> Vec<T> {
    first.as_ref().or(second.as_ref()).cloned().unwrap_or_else(|| last.to_vec())
}

fn resolve_models(names: &[String]) -> Result<Vec<ModelClass>, UnknownName> {
    let mut models = Vec::new();
    for name in names {
        let these = if name == "all" { ModelClass::all().collect() } else { vec![name.parse()?] };
        for model in these {
            if !models.contains(&model) {
                models.push(model);
            }
        }
    }
    Ok(models)
}
