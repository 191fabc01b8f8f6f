//! The matrix of `webmatrix verify`: one model folder, in every browser that is wanted.

use std::collections::BTreeMap;

use webmatrix_wire::{Backend, Precision};

use super::cell::NATIVE;
use super::expand::{Found, Overrides, Plan, PlanError, plan};
use super::generation::Generation;
use super::matrix::{Axes, Deadlines, Include, Matrix, RunSettings};
use super::model::{ModelClass, Runtime, Size};

/// What is asked of one model folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// The folder's class.
    pub class: ModelClass,
    /// Of its weights.
    pub precision: Precision,
    /// Browser labels; without, every browser found.
    pub browsers: Option<Vec<String>>,
    /// Backends; without, all that there are.
    pub backends: Option<Vec<Backend>>,
    /// In place of the default seconds for one attempt.
    pub attempt_s: Option<u32>,
    /// In place of the default seconds for everything.
    pub total_s: Option<u32>,
}

/// The labels to plan for: where none is named, the browsers of this machine, and the host where one of its backends is
/// named.
pub(super) fn labels(
    browsers: Option<&[String]>,
    backends: Option<&[Backend]>,
    found: &[Found],
) -> Vec<String> {
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

/// A matrix that is made of arguments: these models in the browsers of this machine, and in the host, which has backends of
/// its own. Of the browsers that are not here, only those that are named are a part of it.
pub(super) fn of_arguments(
    name: &str,
    found: &[Found],
    models: Vec<String>,
    precisions: Vec<Precision>,
    run: RunSettings,
) -> Matrix {
    Matrix {
        name: name.to_owned(),
        description: String::new(),
        axes: Axes {
            browsers: found.iter().map(|found| found.label.clone()).collect(),
            models,
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

/// Plans what is asked.
///
/// Nothing is tried twice: a verification tells what happened, not what happens on a good day.
///
/// # Errors
/// If a browser is named that nobody knows, or no cell is left.
pub fn verification(asked: &Verification, found: &[Found]) -> Result<Plan, PlanError> {
    let labels = labels(asked.browsers.as_deref(), asked.backends.as_deref(), found);
    let run = RunSettings { warmup: 0, samples: 1, retries: 0, ..RunSettings::default() };
    let models = vec![asked.class.as_str().to_owned()];
    let matrix = of_arguments("verify", found, models, vec![asked.precision], run);
    let overrides = Overrides {
        browsers: Some(labels),
        backends: asked.backends.clone(),
        own_weights: [asked.class].into(),
        attempt_s: asked.attempt_s,
        total_s: asked.total_s,
        ..Overrides::default()
    };
    let mut plan = plan(&matrix, &overrides, found)?;
    if asked.browsers.is_none() {
        // Nobody asked for these by name: that they cannot be used is a line, not a failure.
        plan.missing.clear();
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Decision;

    fn lines(browsers: Option<&[&str]>, backends: Option<&[Backend]>) -> String {
        let asked = Verification {
            class: "bert".parse().unwrap_or_else(|error| panic!("{error}")),
            precision: Precision::Fp32,
            browsers: browsers.map(|labels| labels.iter().map(|label| (*label).to_owned()).collect()),
            backends: backends.map(<[Backend]>::to_vec),
            attempt_s: None,
            total_s: None,
        };
        let found = |label: &str, problem: Option<&str>| Found {
            label: label.to_owned(),
            problem: problem.map(str::to_owned),
        };
        let found = [found("chromium", None), found("firefox", Some("no driver"))];
        let plan = match verification(&asked, &found) {
            Ok(plan) => plan,
            Err(error) => return error.to_string(),
        };
        let mut lines: Vec<String> = plan
            .cells
            .iter()
            .map(|planned| match &planned.decision {
                Decision::Run => format!("{} {} runs", planned.cell.browser, planned.cell.backend),
                Decision::Never { status, .. } => {
                    format!("{} {} {status}", planned.cell.browser, planned.cell.backend)
                }
            })
            .collect();
        lines.push(format!("missing: {}", plan.missing.join(", ")));
        lines.join("\n")
    }

    #[test]
    fn by_default_every_browser_found_with_every_backend() {
        insta::assert_snapshot!(lines(None, None), @r"
        chromium wasm runs
        chromium webgpu runs
        chromium webnn runs
        firefox wasm unavailable
        firefox webgpu unavailable
        firefox webnn unavailable
        missing: 
        ");
    }

    #[test]
    fn the_host_takes_part_where_it_or_a_backend_of_it_is_named() {
        insta::assert_snapshot!(lines(Some(&["native"]), None), @r"
        native native-cpu runs
        native native-gpu runs
        missing: 
        ");
        insta::assert_snapshot!(lines(None, Some(&[Backend::NativeCpu])), @r"
        native native-cpu runs
        missing: 
        ");
        insta::assert_snapshot!(lines(Some(&["chromium", "native"]), Some(&[Backend::Wasm, Backend::NativeGpu])), @r"
        chromium wasm runs
        native native-gpu runs
        missing: 
        ");
    }

    #[test]
    fn what_is_named_and_cannot_be_had_is_missing() {
        insta::assert_snapshot!(lines(Some(&["firefox", "edge"]), Some(&[Backend::Wasm])), @r"
        firefox wasm unavailable
        edge wasm unavailable
        missing: firefox, edge
        ");
        insta::assert_snapshot!(lines(Some(&["native"]), Some(&[Backend::Wasm])), @r#"the matrix "verify" has no cell left with these options"#);
    }
}
