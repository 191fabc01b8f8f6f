//! The matrix of `webmatrix verify`: one model folder, in every browser that is wanted.

use webmatrix_wire::{Backend, Precision};

use super::chosen::Chosen;
use super::found::{Found, PlanError};
use super::matrix::RunSettings;
use super::model::ModelClass;
use super::planned::Plan;

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

/// Plans what is asked.
///
/// Nothing is tried twice: a verification tells what happened, not what happens on a good day.
///
/// # Errors
/// If a browser is named that nobody knows, or no cell is left.
pub fn verification(asked: &Verification, found: &[Found]) -> Result<Plan, PlanError> {
    let run = RunSettings { warmup: 0, samples: 1, retries: 0, ..RunSettings::default() };
    let chosen = Chosen {
        models: vec![asked.class.as_str().to_owned()],
        browsers: asked.browsers.clone(),
        backends: asked.backends.clone(),
        own_weights: [asked.class].into(),
        attempt_s: asked.attempt_s,
        total_s: asked.total_s,
        ..Chosen::default()
    };
    chosen.plan(&chosen.matrix("verify", vec![asked.precision], run, found), found)
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
