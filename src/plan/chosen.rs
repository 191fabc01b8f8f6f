//! Cells that are chosen by arguments, in place of a matrix file.

use std::collections::{BTreeMap, BTreeSet};

use webmatrix_wire::{Backend, Precision};

use super::cell::NATIVE;
use super::expand::{Overrides, plan};
use super::found::{Found, PlanError};
use super::generation::Generation;
use super::matrix::{Axes, Deadlines, Include, Matrix, RunSettings};
use super::model::{ModelClass, Runtime, Size};
use super::planned::Plan;

/// Inferences before the timed ones, where times are held against one another.
pub(super) const WARMUP: u32 = 2;

/// What arguments choose.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chosen {
    /// Model classes, or `all`.
    pub models: Vec<String>,
    /// Model sizes; without, tiny.
    pub sizes: Option<Vec<Size>>,
    /// Items of an inference.
    pub batches: Option<Vec<u32>>,
    /// Tokens of its text.
    pub sequence_lengths: Option<Vec<u32>>,
    /// Browser labels; without, every browser found, and the host where a backend of it is named.
    pub browsers: Option<Vec<String>>,
    /// Backends; without, all that there are.
    pub backends: Option<Vec<Backend>>,
    /// Classes whose weights the user gives.
    pub own_weights: BTreeSet<ModelClass>,
    /// In place of the default seconds for one attempt.
    pub attempt_s: Option<u32>,
    /// In place of the default seconds for everything.
    pub total_s: Option<u32>,
}

impl Chosen {
    /// These models in the browsers of this machine, and in the host, which has backends of its own. Of the browsers that are
    /// not here, only those that are named are a part of it.
    pub(super) fn matrix(
        &self,
        name: &str,
        precisions: Vec<Precision>,
        run: RunSettings,
        found: &[Found],
    ) -> Matrix {
        Matrix {
            name: name.to_owned(),
            description: String::new(),
            axes: Axes {
                browsers: found.iter().map(|found| found.label.clone()).collect(),
                models: self.models.clone(),
                sizes: vec![Size::Tiny],
                batches: Vec::new(),
                sequence_lengths: Vec::new(),
                runtimes: vec![Runtime::WebMatrix],
                backends: vec![Backend::Wasm, Backend::WebGpu, Backend::WebNn],
                precisions,
                profiles: vec!["default".to_owned()],
            },
            include: vec![Include {
                reason: "the host has backends of its own".to_owned(),
                browsers: Some(vec![NATIVE.to_owned()]),
                backends: Some(vec![Backend::NativeCpu, Backend::NativeGpu]),
                ..Include::default()
            }],
            exclude: Vec::new(),
            run,
            generation: Generation::default(),
            deadlines: Deadlines::default(),
            profiles: BTreeMap::new(),
        }
    }

    /// Plans the cells of such a matrix.
    ///
    /// # Errors
    /// If a browser or model is named that nobody knows, or no cell is left.
    pub(super) fn plan(&self, matrix: &Matrix, found: &[Found]) -> Result<Plan, PlanError> {
        let overrides = Overrides {
            browsers: Some(labels(self.browsers.as_deref(), self.backends.as_deref(), found)),
            sizes: self.sizes.clone(),
            batches: self.batches.clone(),
            sequence_lengths: self.sequence_lengths.clone(),
            backends: self.backends.clone(),
            own_weights: self.own_weights.clone(),
            attempt_s: self.attempt_s,
            total_s: self.total_s,
            ..Overrides::default()
        };
        let mut plan = plan(matrix, &overrides, found)?;
        if self.browsers.is_none() {
            // Nobody asked for these by name: that they cannot be used is a line, not a failure.
            plan.missing.clear();
        }
        Ok(plan)
    }
}

/// The labels to plan for: where none is named, the browsers of this machine, and the host where one of its backends is
/// named.
fn labels(browsers: Option<&[String]>, backends: Option<&[Backend]>, found: &[Found]) -> Vec<String> {
    if let Some(labels) = browsers {
        return labels.to_vec();
    }
    let named = |native| backends.iter().copied().flatten().any(|backend| backend.is_native() == native);
    let mut labels = Vec::new();
    if backends.is_none() || named(false) {
        labels.extend(found.iter().map(|found| found.label.clone()));
    }
    if named(true) {
        labels.push(NATIVE.to_owned());
    }
    labels
}
