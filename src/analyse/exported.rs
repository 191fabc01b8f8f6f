//! A run as other programs read it: cells and op cases alike are cases of suites, each with what became of it, what stands
//! behind it and how it came about.

use std::collections::HashMap;

use webmatrix_wire::{AdapterFacts, BackendFacts, EvidenceGrade, Status};

use super::dossier::Dossier;
use super::speed::speed;
use super::stats::Estimate;
use super::view::CellView;
use crate::collect::{is_real, is_unexpected};
use crate::store::{AttemptRow, CellRow, OpCaseRow};

/// What became of a case, as far as tools that know nothing of models tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed, and something real stands behind it.
    Proven,
    /// It ran and gave another answer.
    Wrong,
    /// It ran and came to no answer, or to one that nothing proves.
    Broken,
    /// It did not run, for a reason that is no failure.
    Absent,
    /// Nothing was decided about it.
    Open,
}

impl Outcome {
    fn of(status: Option<Status>, evidence: EvidenceGrade) -> Self {
        match status {
            None => Self::Open,
            Some(Status::Pass) if is_real(evidence) => Self::Proven,
            Some(Status::Wrong) => Self::Wrong,
            Some(Status::Pass) => Self::Broken,
            Some(status) if is_unexpected(status) => Self::Broken,
            Some(_) => Self::Absent,
        }
    }
}

/// The cases of one browser in one run.
#[derive(Clone, Debug)]
pub struct Suite<'a> {
    /// The run.
    pub run: &'a Dossier,
    /// The browser's label.
    pub browser: &'a str,
    /// Its version, empty if not known.
    pub version: &'a str,
    /// Its cells in the plan's order, then its op cases in the engine's.
    pub cases: Vec<ExportCase<'a>>,
}

/// A cell or an op case.
#[derive(Clone, Debug)]
pub struct ExportCase<'a> {
    /// The cell's id, or `browser/ops/backend/case`.
    pub id: String,
    /// The backend asked for.
    pub backend: &'a str,
    /// What became of it.
    pub outcome: Outcome,
    /// The status; none without a verdict.
    pub status: Option<Status>,
    /// The grade.
    pub evidence: EvidenceGrade,
    /// What kind of implementation answered.
    pub implementation: Option<&'a str>,
    /// Passed only on a retry.
    pub flaky: bool,
    /// Why it is not a pass, or why its evidence is not better.
    pub reason: Option<&'a str>,
    /// Navigation to last message.
    pub wall_ms: Option<f64>,
    /// Median of its timed inferences, milliseconds, or why it says nothing.
    pub speed: Result<Estimate, &'static str>,
    /// What its cell shows; none of an op case.
    pub view: Option<&'a CellView>,
    /// What its cell is stored as; none of an op case.
    pub row: Option<&'a CellRow>,
    /// The GPU that computed it, as its browser tells.
    pub adapter: Option<AdapterFacts>,
    /// The tries before the one that decided.
    pub tries: Vec<&'a AttemptRow>,
    /// The last words of page and driver in the try that decided.
    pub log: Vec<&'a str>,
}

/// What stands behind a run's attempts.
struct Behind<'a> {
    attempts: HashMap<&'a str, &'a AttemptRow>,
    of_cell: HashMap<&'a str, Vec<&'a AttemptRow>>,
    samples: HashMap<&'a str, Vec<f64>>,
    log: HashMap<&'a str, Vec<&'a str>>,
}

/// The suites of a run, in the order in which its browsers first come up.
pub fn suites(run: &Dossier) -> Vec<Suite<'_>> {
    let mut behind = Behind {
        attempts: run.attempts.iter().map(|row| (row.attempt.as_str(), row)).collect(),
        of_cell: HashMap::new(),
        samples: HashMap::new(),
        log: HashMap::new(),
    };
    for row in &run.attempts {
        if let Some(cell) = &row.cell {
            behind.of_cell.entry(cell).or_default().push(row);
        }
    }
    for sample in run.samples.iter().filter(|sample| !sample.warmup) {
        behind.samples.entry(&sample.attempt).or_default().push(sample.ms);
    }
    for line in &run.log {
        behind.log.entry(&line.attempt).or_default().push(&line.text);
    }
    let mut suites: Vec<Suite<'_>> = Vec::new();
    let mut add = |browser, version, case| match suites.iter_mut().find(|suite| suite.browser == browser) {
        Some(suite) => suite.cases.push(case),
        None => suites.push(Suite { run, browser, version, cases: vec![case] }),
    };
    for (at, view) in run.view.cells.iter().enumerate() {
        let case = of_cell(view, run.rows.get(at), &behind);
        add(view.browser.as_str(), view.browser_version.as_str(), case);
    }
    for case in run.view.ops.iter().flat_map(|ops| &ops.cases) {
        add(case.browser.as_str(), case.browser_version.as_str(), of_op(case));
    }
    suites
}

fn of_cell<'a>(view: &'a CellView, row: Option<&'a CellRow>, behind: &Behind<'a>) -> ExportCase<'a> {
    let attempt = row.and_then(|row| row.attempt.as_deref()).unwrap_or_default();
    let decided = behind.attempts.get(attempt);
    let before = |try_: &&&AttemptRow| decided.is_some_and(|decided| try_.number < decided.number);
    let samples = behind.samples.get(attempt).map_or(&[][..], Vec::as_slice);
    ExportCase {
        id: view.id.clone(),
        backend: &view.backend,
        outcome: Outcome::of(view.status, view.evidence),
        status: view.status,
        evidence: view.evidence,
        implementation: view.implementation.as_deref(),
        flaky: view.flaky,
        reason: row.and_then(|row| row.reason.as_deref()).or(view.error.as_deref()),
        wall_ms: row.and_then(|row| row.wall_ms),
        speed: speed(view, samples),
        view: Some(view),
        row,
        adapter: decided.and_then(|decided| adapter(decided)),
        tries: behind.of_cell.get(view.id.as_str()).into_iter().flatten().filter(before).copied().collect(),
        log: behind.log.get(attempt).cloned().unwrap_or_default(),
    }
}

fn of_op(case: &OpCaseRow) -> ExportCase<'_> {
    let status = case.status.parse().ok();
    let evidence = case.evidence.parse().unwrap_or(EvidenceGrade::None);
    ExportCase {
        id: format!("{}/ops/{}/{}", case.browser, case.backend, case.case),
        backend: &case.backend,
        outcome: Outcome::of(status, evidence),
        status,
        evidence,
        implementation: case.implementation.as_deref(),
        flaky: case.flaky,
        reason: case.error.as_deref(),
        wall_ms: None,
        speed: Err("not measured"),
        view: None,
        row: None,
        adapter: None,
        tries: Vec::new(),
        log: Vec::new(),
    }
}

/// The adapter that an attempt's page told of.
pub(super) fn adapter(attempt: &AttemptRow) -> Option<AdapterFacts> {
    let facts: BackendFacts = serde_json::from_str(attempt.facts.as_deref()?).ok()?;
    facts.adapter
}

/// An adapter in a line, by what it calls itself.
pub fn adapter_name(adapter: &AdapterFacts) -> String {
    let words = [&adapter.vendor, &adapter.architecture, &adapter.device, &adapter.description];
    let told: Vec<&str> = words.into_iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
    if told.is_empty() { "does not tell".to_owned() } else { told.join(" ") }
}
