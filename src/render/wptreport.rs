//! `wptreport.json`, the form in which web-platform-tests keep results: of one browser, a test for each cell or op case.
//!
//! | cell | test |
//! |---|---|
//! | `pass` | `OK`; each output a subtest, `PASS` |
//! | `wrong` | `OK`: it ran; each output a subtest, `PASS` or `FAIL` |
//! | `timeout` | `TIMEOUT` |
//! | `crash`, `device_lost`, `oom` | `CRASH` |
//! | `error` | `ERROR` |
//! | `unsupported` | `PRECONDITION_FAILED` |
//! | anything else that did not run | `SKIP` |
//!
//! What nobody wanted says what was `expected`. A test that passed only on a retry has the statuses of the tries before in
//! `known_intermittent`.

use serde::Serialize;
use webmatrix_wire::Status;

use super::RenderError;
use super::text::{address, one_line, visible};
use crate::analyse::dossier::Dossier;
use crate::analyse::exported::{ExportCase, Outcome, Suite, suites};
use crate::collect::Agreement;

#[derive(Serialize)]
struct Document<'a> {
    run_info: RunInfo<'a>,
    /// Milliseconds since 1970.
    time_start: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_end: Option<i64>,
    results: Vec<TestResult>,
}

#[derive(Serialize)]
struct RunInfo<'a> {
    product: &'a str,
    browser_version: &'a str,
    browser_channel: &'a str,
    os: &'a str,
    os_version: &'a str,
    processor: &'a str,
    /// What made the results, where others name their revision of the tests.
    revision: &'a str,
    webmatrix_version: &'a str,
    webmatrix_run: &'a str,
}

#[derive(Serialize)]
struct TestResult {
    test: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'static str>,
    message: Option<String>,
    /// Milliseconds; what did not run took none.
    duration: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    known_intermittent: Vec<&'static str>,
    subtests: Vec<Subtest>,
}

#[derive(Serialize)]
struct Subtest {
    name: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'static str>,
    message: Option<String>,
}

/// The document of each browser, by its label.
pub(super) fn render(run: &Dossier) -> Result<Vec<(String, String)>, RenderError> {
    suites(run).iter().map(|suite| Ok((suite.browser.to_owned(), document(suite)?))).collect()
}

fn document(suite: &Suite<'_>) -> Result<String, RenderError> {
    let view = &suite.run.view;
    let fact = |name: &str| {
        view.environment.iter().find(|fact| fact.name == name).map_or("", |fact| fact.value.as_str())
    };
    let browser = view.browsers.iter().find(|browser| browser.label == suite.browser);
    let document = Document {
        run_info: RunInfo {
            product: suite.browser,
            browser_version: suite.version,
            browser_channel: browser.map_or("", |browser| &browser.channel),
            os: fact("os"),
            os_version: fact("system"),
            processor: fact("arch"),
            revision: &view.run.harness,
            webmatrix_version: &view.run.webmatrix_version,
            webmatrix_run: &view.run.run,
        },
        time_start: milliseconds(&view.run.started_at).unwrap_or_default(),
        time_end: view.run.ended_at.as_deref().and_then(milliseconds),
        results: suite.cases.iter().map(result).collect(),
    };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

fn milliseconds(at: &str) -> Option<i64> {
    at.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

fn result(case: &ExportCase<'_>) -> TestResult {
    let status = test_status(case.status);
    let failed = case.outcome == Outcome::Broken;
    TestResult {
        test: format!("/webmatrix/{}", address(&case.id)),
        status,
        expected: (failed && status != "OK").then_some("OK"),
        message: message(case),
        duration: case.wall_ms.unwrap_or_default().round() as u64,
        known_intermittent: intermittent(case),
        subtests: subtests(case),
    }
}

fn test_status(status: Option<Status>) -> &'static str {
    match status {
        Some(Status::Pass | Status::Wrong) => "OK",
        Some(Status::Error) => "ERROR",
        Some(Status::Timeout) => "TIMEOUT",
        Some(Status::Crash | Status::DeviceLost | Status::Oom) => "CRASH",
        Some(Status::Unsupported) => "PRECONDITION_FAILED",
        Some(Status::NotApplicable | Status::Unavailable | Status::NotImplemented | Status::Skipped)
        | None => "SKIP",
    }
}

/// What is particular, in our words, since the format has fewer.
fn message(case: &ExportCase<'_>) -> Option<String> {
    let word = match (case.outcome, case.status) {
        (Outcome::Proven, _) => format!("evidence {}", case.evidence),
        (_, Some(status)) => status.to_string(),
        (_, None) => "no verdict".to_owned(),
    };
    let reason = case.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    Some(visible(&format!("{word}{reason}")))
}

/// The statuses of tries before the one that passed, each once.
fn intermittent(case: &ExportCase<'_>) -> Vec<&'static str> {
    let mut statuses = Vec::new();
    if case.flaky {
        for before in &case.tries {
            let status = before.status.as_deref().and_then(|status| status.parse().ok());
            let status = test_status(status);
            if !statuses.contains(&status) {
                statuses.push(status);
            }
        }
    }
    statuses
}

/// Output by output, where outputs were compared; else the answer as one.
fn subtests(case: &ExportCase<'_>) -> Vec<Subtest> {
    let passed = match case.outcome {
        Outcome::Proven => true,
        Outcome::Wrong => false,
        Outcome::Broken | Outcome::Absent | Outcome::Open => return Vec::new(),
    };
    let subtest = |name: &str, ok: bool, message: Option<&str>| Subtest {
        name: one_line(name),
        status: if ok { "PASS" } else { "FAIL" },
        expected: (!ok).then_some("PASS"),
        message: message.map(visible),
    };
    let agreement = case.row.and_then(|row| row.agreement.as_deref());
    let agreement: Option<Agreement> = agreement.and_then(|text| serde_json::from_str(text).ok());
    let outputs = agreement.iter().flat_map(|agreement| &agreement.outputs);
    let mut made: Vec<Subtest> =
        outputs.map(|output| subtest(&output.name, output.ok, output.fault.as_deref())).collect();
    // Whatever is known of outputs, what is wrong has a subtest that fails.
    if made.is_empty() || (!passed && made.iter().all(|subtest| subtest.status == "PASS")) {
        made.push(subtest("the answer", passed, case.reason.filter(|_| !passed)));
    }
    made
}
