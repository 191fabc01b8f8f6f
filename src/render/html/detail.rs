//! What the page's script shows of a cell, as data.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;

use crate::analyse::dossier::Dossier;
use crate::analyse::memory::CellMemory;
use crate::analyse::view::CellView;
use crate::collect::lines;
use crate::store::{AttemptRow, CellRow, LogRow, MetricRow, OpRow, SampleRow};

/// The page's data.
#[derive(Debug, Serialize)]
pub(super) struct Data<'a> {
    cells: Vec<Cell<'a>>,
    sessions: HashMap<&'a str, Session<'a>>,
}

#[derive(Debug, Serialize)]
struct Session<'a> {
    browser: &'a str,
    version: &'a str,
    start_ms: f64,
    facts: Value,
}

/// A cell with everything behind it.
#[derive(Debug, Serialize)]
struct Cell<'a> {
    id: &'a str,
    status: &'a str,
    flaky: bool,
    evidence: &'a str,
    implementation: Option<&'a str>,
    reason: Option<&'a str>,
    browser_version: &'a str,
    agreement: Value,
    accuracy: Value,
    says: Vec<String>,
    median_ms: Option<f64>,
    wall_ms: Option<f64>,
    page_ms: Option<f64>,
    attempt: Option<Attempt<'a>>,
    samples: Vec<&'a SampleRow>,
    metrics: Vec<&'a MetricRow>,
    memory: Option<&'a CellMemory>,
    ops: Vec<&'a OpRow>,
    log: Vec<&'a LogRow>,
}

#[derive(Debug, Serialize)]
struct Attempt<'a> {
    attempt: &'a str,
    session: Option<&'a str>,
    started_at: &'a str,
    variant: Option<&'a str>,
    facts: Value,
}

/// What the runs' cells show when chosen.
pub(super) fn data(dossiers: &[Dossier]) -> Data<'_> {
    let sessions = dossiers.iter().flat_map(|dossier| &dossier.sessions);
    Data {
        cells: dossiers.iter().flat_map(cells).collect(),
        sessions: sessions
            .map(|row| {
                let (browser, version) = (row.browser.as_str(), row.version.as_str());
                (
                    row.session.as_str(),
                    Session { browser, version, start_ms: row.start_ms, facts: parsed(Some(&row.facts)) },
                )
            })
            .collect(),
    }
}

/// What stands behind the attempts of one run, by attempt.
struct Behind<'a> {
    attempts: HashMap<&'a str, &'a AttemptRow>,
    samples: HashMap<&'a str, Vec<&'a SampleRow>>,
    metrics: HashMap<&'a str, Vec<&'a MetricRow>>,
    memory: HashMap<&'a str, &'a CellMemory>,
    ops: HashMap<&'a str, Vec<&'a OpRow>>,
    log: HashMap<&'a str, Vec<&'a LogRow>>,
}

fn cells(dossier: &Dossier) -> Vec<Cell<'_>> {
    let behind = Behind {
        attempts: dossier.attempts.iter().map(|row| (row.attempt.as_str(), row)).collect(),
        samples: grouped(&dossier.samples, |row| &row.attempt),
        metrics: grouped(&dossier.metrics, |row| &row.attempt),
        memory: dossier.memory.iter().map(|memory| (memory.cell.as_str(), memory)).collect(),
        ops: grouped(&dossier.ops, |row| &row.attempt),
        log: grouped(&dossier.log, |row| &row.attempt),
    };
    dossier.rows.iter().zip(&dossier.view.cells).map(|(row, view)| cell(row, view, &behind)).collect()
}

fn grouped<T>(rows: &[T], key: fn(&T) -> &String) -> HashMap<&str, Vec<&T>> {
    let mut groups: HashMap<&str, Vec<&T>> = HashMap::new();
    for row in rows {
        groups.entry(key(row)).or_default().push(row);
    }
    groups
}

fn cell<'a>(row: &'a CellRow, view: &CellView, behind: &Behind<'a>) -> Cell<'a> {
    let id = row.attempt.as_deref().unwrap_or_default();
    Cell {
        id: &row.cell,
        status: row.status.as_deref().unwrap_or("no verdict"),
        flaky: row.flaky.unwrap_or(false),
        evidence: row.evidence.as_deref().unwrap_or("none"),
        implementation: row.implementation.as_deref(),
        reason: row.reason.as_deref(),
        browser_version: &row.browser_version,
        agreement: parsed(row.agreement.as_deref()),
        accuracy: parsed(row.accuracy.as_deref()),
        says: lines(&view.answer),
        median_ms: row.median_ms,
        wall_ms: row.wall_ms,
        page_ms: row.page_ms,
        attempt: behind.attempts.get(id).map(|attempt| Attempt {
            attempt: &attempt.attempt,
            session: attempt.session.as_deref(),
            started_at: &attempt.started_at,
            variant: attempt.variant.as_deref(),
            facts: parsed(attempt.facts.as_deref()),
        }),
        samples: behind.samples.get(id).cloned().unwrap_or_default(),
        metrics: behind.metrics.get(id).cloned().unwrap_or_default(),
        memory: behind.memory.get(row.cell.as_str()).copied(),
        ops: behind.ops.get(id).cloned().unwrap_or_default(),
        log: behind.log.get(id).cloned().unwrap_or_default(),
    }
}

/// A JSON column; null where it holds none.
fn parsed(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null)
}
