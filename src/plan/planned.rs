//! What is to be done: the cells and op cases of a run, each with the decision whether it runs.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use webmatrix_wire::{Backend, Status};

use super::cell::{Cell, NATIVE};
use super::file::{FileName, ModelFile};
use super::generation::Generation;
use super::matrix::{Deadlines, RunSettings};
use super::thresholds::Thresholds;

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

/// Where every op case is run together: on one backend of one browser.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpsTarget {
    /// The browser's label, or [`NATIVE`].
    pub browser: String,
    /// What executes the op.
    pub backend: Backend,
}

impl OpsTarget {
    /// Whether it is the host's rather than a browser's.
    pub fn is_native(&self) -> bool {
        self.browser == NATIVE
    }
}

impl fmt::Display for OpsTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/ops/{}", self.browser, self.backend)
    }
}

/// A target and what happens to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedOps {
    /// The target.
    pub target: OpsTarget,
    /// What happens to it.
    pub decision: Decision,
}
