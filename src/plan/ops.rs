//! The matrix of `webmatrix run --suite ops`: every op case of the engine, in every browser on every backend.

use webmatrix_wire::{Backend, Precision};

use super::cell::NATIVE;
use super::decide::features_of;
use super::found::{Found, PlanError};
use super::matrix::DEFAULT_PROFILE;
use super::planned::{Decision, OpsTarget, Plan, PlannedOps};
use super::verification::{Verification, verification};

/// What is asked of the op suite.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpsSuite {
    /// Browser labels; without, every browser found, and the host.
    pub browsers: Option<Vec<String>>,
    /// Backends; without, all that there are.
    pub backends: Option<Vec<Backend>>,
    /// Features to switch on.
    pub features: Vec<String>,
    /// In place of the default number of further tries.
    pub retries: Option<u32>,
    /// In place of the default seconds for one attempt: all cases on one backend.
    pub attempt_s: Option<u32>,
    /// In place of the default seconds for everything.
    pub total_s: Option<u32>,
}

/// Op cases in a page of a slow machine: what one attempt takes at most, in seconds.
const ATTEMPT_S: u32 = 300;

/// Plans the op suite.
///
/// # Errors
/// If a browser is named that nobody knows, or no target is left.
pub fn ops_suite(asked: &OpsSuite, found: &[Found]) -> Result<Plan, PlanError> {
    let empty = || PlanError::Empty("ops".to_owned());
    // Browsers and backends are spanned as for one model; which, no target tells.
    let class = super::ModelClass::all().next().ok_or_else(empty)?;
    let mut browsers = asked.browsers.clone();
    if browsers.is_none() && asked.backends.is_none() {
        let found = found.iter().map(|found| found.label.clone());
        browsers = Some(found.chain([NATIVE.to_owned()]).collect());
    }
    let one = Verification {
        class,
        precision: Precision::Fp32,
        browsers,
        backends: asked.backends.clone(),
        attempt_s: Some(asked.attempt_s.unwrap_or(ATTEMPT_S)),
        total_s: asked.total_s,
    };
    let mut plan = verification(&one, found).map_err(|error| match error {
        PlanError::Empty(_) => empty(),
        other => other,
    })?;
    plan.ops = std::mem::take(&mut plan.cells)
        .into_iter()
        .map(|planned| PlannedOps {
            target: OpsTarget { browser: planned.cell.browser, backend: planned.cell.backend },
            decision: match planned.decision {
                Decision::Run => {
                    features_of(planned.cell.backend, None, &asked.features).unwrap_or(Decision::Run)
                }
                never => never,
            },
        })
        .collect();
    plan.matrix = "ops".to_owned();
    plan.profiles.clear();
    if !asked.features.is_empty() {
        plan.profiles.insert(DEFAULT_PROFILE.to_owned(), asked.features.clone());
    }
    plan.run.retries = asked.retries.unwrap_or(super::RunSettings::default().retries);
    if asked.browsers.is_none() {
        // Nobody asked for these by name: that they cannot be used is a line, not a failure.
        plan.missing.clear();
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(browsers: Option<&[&str]>, backends: Option<&[Backend]>) -> String {
        let asked = OpsSuite {
            browsers: browsers.map(|labels| labels.iter().map(|label| (*label).to_owned()).collect()),
            backends: backends.map(<[Backend]>::to_vec),
            ..OpsSuite::default()
        };
        let found = |label: &str, problem: Option<&str>| Found {
            label: label.to_owned(),
            problem: problem.map(str::to_owned),
        };
        let plan = match ops_suite(&asked, &[found("chromium", None), found("firefox", Some("no driver"))]) {
            Ok(plan) => plan,
            Err(error) => return error.to_string(),
        };
        assert!(plan.cells.is_empty());
        let line = |planned: &PlannedOps| match &planned.decision {
            Decision::Run => planned.target.to_string(),
            Decision::Never { status, .. } => format!("{} {status}", planned.target),
        };
        let lines: Vec<String> = plan.ops.iter().map(line).collect();
        format!("{}\nmissing: {}", lines.join("\n"), plan.missing.join(", "))
    }

    #[test]
    fn by_default_every_browser_found_and_the_host() {
        insta::assert_snapshot!(lines(None, None), @r"
        chromium/ops/wasm
        chromium/ops/webgpu
        chromium/ops/webnn
        firefox/ops/wasm unavailable
        firefox/ops/webgpu unavailable
        firefox/ops/webnn unavailable
        native/ops/native-cpu
        native/ops/native-gpu
        missing:
        ");
    }

    #[test]
    fn what_is_named_is_what_is_run() {
        insta::assert_snapshot!(lines(Some(&["chromium", "native"]), Some(&[Backend::WebNn, Backend::NativeCpu])), @r"
        chromium/ops/webnn
        native/ops/native-cpu
        missing:
        ");
        insta::assert_snapshot!(lines(Some(&["firefox"]), Some(&[Backend::Wasm])), @r"
        firefox/ops/wasm unavailable
        missing: firefox
        ");
        insta::assert_snapshot!(lines(Some(&["native"]), Some(&[Backend::Wasm])), @r#"
        the matrix "ops" has no cell left with these options
        "#);
    }
}
