//! From a matrix to its cells, each with the decision whether it runs.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};
use webmatrix_engine::models::Prompt;
use webmatrix_engine::run::{Loaded, no_packed_caches};
use webmatrix_wire::{Backend, Feature, Precision, Status, TwinSize, UnknownName};

use super::axis::BrowserKind;
use super::cell::{Cell, NATIVE};
use super::file::{CellModel, FileName, ModelFile};
use super::generation::Generation;
use super::matrix::{DEFAULT_PROFILE, Deadlines, Exclude, Include, Matrix, RunSettings};
use super::model::{ModelClass, Runtime, Size};
use super::ops::{OpsTarget, PlannedOps};
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
    /// In place of `deadlines.attempt_s`.
    pub attempt_s: Option<u32>,
    /// In place of `deadlines.total_s`.
    pub total_s: Option<u32>,
}

/// A browser as planning needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its label.
    pub label: String,
    /// Why it cannot be used, with the remedy; none if it can.
    pub problem: Option<String>,
}

/// What is to be done, in order, and what is not, with reasons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The matrix's name.
    pub matrix: String,
    /// Every cell of the matrix, in the order in which reports list them.
    pub cells: Vec<PlannedCell>,
    /// Where op cases are run, in the order in which reports list them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ops: Vec<PlannedOps>,
    /// How each cell is run.
    pub run: RunSettings,
    /// How classes that generate go on.
    #[serde(default, skip_serializing_if = "Generation::is_usual")]
    pub generation: Generation,
    /// What evidence is graded by.
    #[serde(default, skip_serializing_if = "Thresholds::is_strict")]
    pub thresholds: Thresholds,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// The features of each profile in use.
    pub profiles: BTreeMap<String, Vec<String>>,
    /// The model files of its cells.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<FileName, ModelFile>,
    /// Browsers that were asked for by name and cannot be used.
    pub missing: Vec<String>,
}

/// A cell and what happens to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedCell {
    /// The cell.
    pub cell: Cell,
    /// What happens to it.
    pub decision: Decision,
}

/// What happens to a cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Decision {
    /// It runs.
    Run,
    /// It never runs: the status it gets, and why.
    Never {
        /// One of `unavailable not_applicable not_implemented skipped`.
        status: Status,
        /// For people.
        reason: String,
    },
}

impl Plan {
    /// Of a command that has jobs of its own for browsers: it is recorded as a run, but no cell is.
    pub fn without_cells(name: &str, deadlines: Deadlines, missing: Vec<String>) -> Self {
        Self {
            matrix: name.to_owned(),
            cells: Vec::new(),
            ops: Vec::new(),
            run: RunSettings::default(),
            generation: Generation::default(),
            thresholds: Thresholds::default(),
            deadlines,
            profiles: BTreeMap::new(),
            files: BTreeMap::new(),
            missing,
        }
    }

    /// The cells that run.
    pub fn runnable(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|planned| planned.decision == Decision::Run).map(|planned| &planned.cell)
    }

    /// The targets of op cases that run.
    pub fn runnable_ops(&self) -> impl Iterator<Item = &OpsTarget> {
        self.ops.iter().filter(|planned| planned.decision == Decision::Run).map(|planned| &planned.target)
    }

    /// The browsers in which something runs, in order.
    pub fn browsers(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        let cells = self.runnable().map(|cell| cell.browser.as_str());
        let ops = self.runnable_ops().map(|target| target.browser.as_str());
        cells.chain(ops).filter(|label| seen.insert(*label)).collect()
    }
}

/// Overrides that name what is not there.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A name of no axis.
    #[error(transparent)]
    Name(#[from] UnknownName),
    /// A browser nobody knows.
    #[error("unknown browser {label:?}: known are {known}; --browser-path {label}=KIND:PATH adds one")]
    Browser {
        /// What was asked for.
        label: String,
        /// What could be.
        known: String,
    },
    /// Everything was filtered out.
    #[error("the matrix {0:?} has no cell left with these options")]
    Empty(String),
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
            let decision = decide(&cell, &features, matrix, &generation, &catalogue);
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

/// The browsers that can be spoken of: every known kind, and every program found.
struct Catalogue<'a> {
    found: &'a [Found],
}

impl<'a> Catalogue<'a> {
    const fn new(found: &'a [Found]) -> Self {
        Self { found }
    }

    /// Every label, found ones first, then the kinds that are not on this machine.
    fn all(&self) -> Vec<String> {
        let mut labels: Vec<String> = self.found.iter().map(|found| found.label.clone()).collect();
        for kind in BrowserKind::ALL {
            if !labels.iter().any(|label| label == kind.as_str()) {
                labels.push(kind.as_str().to_owned());
            }
        }
        labels
    }

    fn get(&self, label: &str) -> Option<&Found> {
        self.found.iter().find(|found| found.label == label)
    }

    fn usable(&self, label: &str) -> bool {
        label == NATIVE || self.get(label).is_some_and(|found| found.problem.is_none())
    }

    /// Replaces `all`, and refuses labels that name nothing.
    fn resolve(&self, labels: &[String]) -> Result<Vec<String>, PlanError> {
        let mut resolved: Vec<String> = Vec::new();
        let all = self.all();
        for label in labels {
            let these = if label == "all" {
                all.clone()
            } else if label == NATIVE || all.contains(label) {
                vec![label.clone()]
            } else {
                return Err(PlanError::Browser { label: label.clone(), known: all.join(", ") });
            };
            for label in these {
                if !resolved.contains(&label) {
                    resolved.push(label);
                }
            }
        }
        Ok(resolved)
    }
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
            Some(features) if features.is_empty() => vec![DEFAULT_PROFILE.to_owned()],
            Some(features) => vec![features.join("-")],
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

/// The first reason against running the cell wins: impossible, absent, not built, not wanted.
fn decide(
    cell: &Cell,
    features: &[String],
    matrix: &Matrix,
    generation: &Generation,
    catalogue: &Catalogue<'_>,
) -> Decision {
    let never = |status, reason: String| Decision::Never { status, reason };
    if cell.backend.is_native() != cell.is_native() {
        let reason = if cell.is_native() {
            format!("{} exists in browsers only; the host has native-cpu and native-gpu", cell.backend)
        } else {
            format!("{} runs on the host, not in a browser: its browser label is {NATIVE}", cell.backend)
        };
        return never(Status::NotApplicable, reason);
    }
    if !cell.is_native() {
        match catalogue.get(&cell.browser) {
            None => return never(Status::Unavailable, format!("{} is not on this machine", cell.browser)),
            Some(Found { problem: Some(problem), .. }) => return never(Status::Unavailable, problem.clone()),
            Some(_) => {}
        }
    }
    if cell.runtime == Runtime::OrtWeb && cell.model.class().is_some() {
        let reason = "ort-web runs files, not classes: give it one with --runtime ort-web --model-file FILE";
        return never(Status::NotApplicable, reason.to_owned());
    }
    if let Some(exclude) = matrix.exclude.iter().find(|exclude| exclude.matches(cell)) {
        return never(Status::Skipped, exclude.reason.clone());
    }
    if let Err(reason) = takes(cell, generation) {
        return never(Status::NotApplicable, reason);
    }
    if cell.runtime == Runtime::OrtWeb && !features.is_empty() {
        let reason = format!("{} are features of our engine, which runs no files", features.join(", "));
        return never(Status::NotApplicable, reason);
    }
    if let Some(decision) = features_of(cell.backend, Some(cell.precision), features) {
        return decision;
    }
    if Feature::all(features).any(|feature| matches!(feature, Feature::Caches(_)))
        && let Err(reason) = packs(cell)
    {
        return never(Status::NotApplicable, reason);
    }
    Decision::Run
}

/// Whether the cell's class can keep its caches packed.
fn packs(cell: &Cell) -> Result<(), String> {
    let class = cell.model.as_str();
    // What a class keeps does not depend on its size.
    let twin =
        Loaded::twin(class, TwinSize::Tiny.as_str(), 0).map_err(|error| format!("{class}: {error}"))?;
    no_packed_caches(&*twin.model).map_or(Ok(()), |why| Err(format!("{class}: {why}")))
}

/// Why a backend cannot run with these features, of a model whose weights are of this precision.
pub(super) fn features_of(
    backend: Backend,
    precision: Option<Precision>,
    features: &[String],
) -> Option<Decision> {
    features.iter().find_map(|name| {
        let (status, reason) = match name.parse::<Feature>() {
            Err(unknown) => (Status::NotImplemented, unknown.to_string()),
            Ok(Feature::ShaderF16) if precision.is_some_and(|precision| precision != Precision::Fp16) => {
                (Status::NotApplicable, "shader-f16 is for weights in fp16".to_owned())
            }
            Ok(feature) if feature.backends().contains(&backend) => return None,
            Ok(feature) => {
                let names: Vec<&str> = feature.backends().iter().map(|known| known.as_str()).collect();
                (Status::NotApplicable, format!("{feature} is a feature of {}", names.join(" and ")))
            }
        };
        Some(Decision::Never { status, reason })
    })
}

/// Whether the class takes inputs of the cell's shape and generates as many tokens as are asked for: asked of the engine,
/// which makes the twin's inputs and nothing else. Of weights that are given nothing is known yet.
fn takes(cell: &Cell, generation: &Generation) -> Result<(), String> {
    let (Some(size), Some(class)) = (cell.size.twin(), cell.model.class()) else { return Ok(()) };
    let new = match (class.info().new_tokens, generation.max_new_tokens) {
        (0, _) => 0,
        (usual, asked) => asked.unwrap_or(usual) as usize,
    };
    if cell.shape.tokens.is_none() && (new == 0 || generation.max_new_tokens.is_none()) {
        return Ok(());
    }
    let class = class.as_str();
    let loaded = Loaded::twin_of(class, size.as_str(), 0, 1, cell.shape.tokens.map(|tokens| tokens as usize));
    let loaded = loaded.map_err(|error| {
        let tokens = cell.shape.tokens.unwrap_or_default();
        format!("{class}@{size} with {tokens} tokens: {error}", size = cell.size)
    })?;
    let Some(decoder) = loaded.model.decoder().filter(|_| new > 0) else { return Ok(()) };
    let text = loaded.inputs.get("input_ids").and_then(|ids| ids.shape().last().copied());
    let (tokens, what) = match decoder.prompt() {
        Prompt::Given => (text.unwrap_or_default(), "tokens"),
        Prompt::Start(start) => (start.len(), "to start with"),
    };
    if decoder.max_context() < tokens + new {
        return Err(format!(
            "{class}@{size} has {} positions, too few for {tokens} {what} and {new} new ones",
            decoder.max_context(),
            size = cell.size,
        ));
    }
    Ok(())
}

impl Exclude {
    fn matches(&self, cell: &Cell) -> bool {
        fn on<T: PartialEq>(list: &Option<Vec<T>>, value: &T) -> bool {
            list.as_ref().is_none_or(|list| list.contains(value))
        }
        on(&self.browsers, &cell.browser)
            && self.models.as_ref().is_none_or(|list| cell.model.class().is_some_and(|m| list.contains(&m)))
            && on(&self.sizes, &cell.size)
            && self.batches.as_ref().is_none_or(|list| cell.shape.batch.is_some_and(|n| list.contains(&n)))
            && self
                .sequence_lengths
                .as_ref()
                .is_none_or(|list| cell.shape.tokens.is_some_and(|n| list.contains(&n)))
            && on(&self.backends, &cell.backend)
            && on(&self.precisions, &cell.precision)
            && on(&self.profiles, &cell.profile)
    }
}
