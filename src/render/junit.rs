//! JUnit XML, which CI systems read: a suite for each browser of a run, a case for each cell or op case.
//!
//! What gave another answer is a `failure`, what came to none an `error`, and what did not run is `skipped`, each with its
//! words. A case that passed only on a retry is a success with the tries before it (`flakyFailure`, `flakyError`).

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};
use webmatrix_wire::Status;

use super::RenderError;
use super::text::{first_line, one_line, visible};
use crate::analyse::dossier::Dossier;
use crate::analyse::exported::{ExportCase, Outcome, Suite, adapter_name, suites};
use crate::store::AttemptRow;

/// Lines of a log that a failure shows.
const LOG_LINES: usize = 20;

pub(super) fn render(runs: &[Dossier]) -> Result<String, RenderError> {
    let mut report = Report::new("webmatrix");
    for suite in runs.iter().flat_map(suites) {
        report.add_test_suite(of_suite(&suite));
    }
    Ok(report.to_string()?)
}

fn of_suite(suite: &Suite<'_>) -> TestSuite {
    let run = &suite.run.view.run;
    let mut made = TestSuite::new(one_line(&format!("{} {}", run.matrix, suite.browser)));
    made.extra.insert("timestamp".into(), run.started_at.as_str().into());
    let told = [
        ("run", run.run.as_str()),
        ("browser_version", suite.version),
        ("webmatrix", &run.webmatrix_version),
        ("harness", &run.harness),
    ];
    made.add_properties(told.map(|(name, value)| (name.to_owned(), one_line(value))));
    let machine = suite.run.view.environment.iter();
    made.add_properties(machine.map(|fact| (one_line(&fact.name), one_line(&fact.value))));
    let wall_ms: f64 = suite.cases.iter().filter_map(|case| case.wall_ms).sum();
    made.set_time(duration(Some(wall_ms)));
    made.add_test_cases(suite.cases.iter().map(of_case));
    made
}

fn of_case(case: &ExportCase<'_>) -> TestCase {
    let mut made = TestCase::new(one_line(&case.id), status(case));
    made.set_classname(one_line(&class(case)));
    made.set_time(duration(case.wall_ms));
    made.add_properties(properties(case));
    if matches!(case.outcome, Outcome::Wrong | Outcome::Broken) && !case.log.is_empty() {
        let from = case.log.len().saturating_sub(LOG_LINES);
        made.set_system_out(visible(&case.log[from..].join("\n")));
    }
    made
}

/// What CI systems group by: `browser.backend`.
fn class(case: &ExportCase<'_>) -> String {
    let browser = case.id.split('/').next().unwrap_or_default();
    format!("{}.{}", browser.replace('.', "_"), case.backend)
}

fn status(case: &ExportCase<'_>) -> TestCaseStatus {
    let word = case.status.map_or("no verdict", Status::as_str);
    let reason = case.reason.unwrap_or_default();
    let mut status = match case.outcome {
        Outcome::Proven => TestCaseStatus::success(),
        Outcome::Wrong => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Outcome::Broken => TestCaseStatus::non_success(NonSuccessKind::Error),
        Outcome::Absent | Outcome::Open => TestCaseStatus::skipped(),
    };
    if case.outcome != Outcome::Proven {
        status.set_type(word).set_message(format!("{word}: {}", first_line(reason)));
        status.set_description(visible(reason));
    }
    status.add_reruns(case.tries.iter().map(|before| of_try(before)));
    status
}

fn of_try(before: &AttemptRow) -> TestRerun {
    let word = before.status.as_deref().unwrap_or("no verdict");
    let kind = if word == Status::Wrong.as_str() { NonSuccessKind::Failure } else { NonSuccessKind::Error };
    let reason = before.reason.as_deref().unwrap_or_default();
    let mut made = TestRerun::new(kind);
    made.set_type(one_line(word)).set_message(one_line(&format!("{word}: {}", first_line(reason))));
    made.set_time(duration(before.wall_ms)).set_description(visible(reason));
    made
}

/// What stands behind a case. A time is told only where it is of what the case claims.
fn properties(case: &ExportCase<'_>) -> Vec<(String, String)> {
    let mut told: Vec<(&str, String)> = vec![
        ("status", case.status.map_or("no verdict", Status::as_str).to_owned()),
        ("evidence", case.evidence.to_string()),
    ];
    let mut add = |name, value: Option<String>| {
        if let Some(value) = value {
            told.push((name, value));
        }
    };
    add("implementation", case.implementation.map(str::to_owned));
    add("adapter", case.adapter.as_ref().map(adapter_name));
    add("reason", case.reason.filter(|_| case.outcome == Outcome::Proven).map(str::to_owned));
    if let Some(agreement) = case.view.and_then(|view| view.agreement.as_ref()) {
        add("reference", Some(agreement.reference.clone()));
        add("max_abs", Some(agreement.max_abs.to_string()));
        add("max_rel", Some(agreement.max_rel.to_string()));
        add("cosine", Some(agreement.cosine.to_string()));
    }
    add("median_ms", case.speed.ok().map(|median| median.value.to_string()));
    add("attempt", case.row.and_then(|row| row.attempt.clone()));
    told.into_iter().map(|(name, value)| (name.to_owned(), one_line(&value))).collect()
}

/// A time in the format's seconds; what is not known, or is none, took none.
fn duration(ms: Option<f64>) -> Duration {
    Duration::try_from_secs_f64(ms.unwrap_or_default() / 1000.0).unwrap_or_default()
}
