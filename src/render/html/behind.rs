//! What stands behind a cell, for its own page: in blocks that the page's script reads when a cell is opened.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;
use webmatrix_wire::Job;

use super::pieces::{parsed, shell};
use crate::analyse::dossier::Dossier;
use crate::analyse::memory::CellMemory;
use crate::analyse::view::CellView;
use crate::analyse::{TimingView, repro};
use crate::collect::{Perplexity, lines};
use crate::store::{AttemptRow, CellRow, JobRow, LogRow, MetricRow, OpRow, SampleRow, TraceRow};

/// Cells of one block: few enough that a cell opens at once, many enough that a page has few blocks.
pub(super) const BLOCK: usize = 64;

/// A browser process.
#[derive(Debug, Serialize)]
pub(super) struct Session<'a> {
    browser: &'a str,
    version: &'a str,
    start_ms: f64,
    facts: Value,
}

/// Everything behind a cell.
#[derive(Debug, Serialize)]
pub(super) struct Behind<'a> {
    reason: Option<&'a str>,
    agreement: Value,
    accuracy: Value,
    perplexity: Option<&'a Perplexity>,
    says: Vec<String>,
    /// The attempt that decided.
    attempt: Option<&'a str>,
    attempts: Vec<Attempt<'a>>,
    /// Milliseconds; warm-ups come first, so many of them.
    samples: Vec<f64>,
    warmups: usize,
    timing: Option<&'a TimingView>,
    doubt: Option<&'a str>,
    metrics: Vec<(&'a str, f64, &'a str)>,
    memory: Option<&'a CellMemory>,
    trace: Option<Trace<'a>>,
    /// Op, what executed it, times.
    ops: Vec<(&'a str, &'a str, u64)>,
    /// Source, level, text.
    log: Vec<(&'a str, &'a str, &'a str)>,
    /// The command that runs it again.
    command: String,
    /// What the model was given, in words.
    inputs: String,
    job: Value,
    outputs_sha256: Option<&'a str>,
}

/// Where it leaves the oracle.
#[derive(Debug, Serialize)]
struct Trace<'a> {
    at: &'a str,
    by: Option<&'a str>,
    says: &'a str,
    layers: Value,
}

#[derive(Debug, Serialize)]
struct Attempt<'a> {
    attempt: &'a str,
    number: u32,
    session: Option<&'a str>,
    started_at: &'a str,
    wall_ms: Option<f64>,
    variant: Option<&'a str>,
    end: Option<&'a str>,
    status: Option<&'a str>,
    evidence: Option<&'a str>,
    reason: Option<&'a str>,
    facts: Value,
}

/// The browser processes of all runs, by their ids.
pub(super) fn sessions(dossiers: &[Dossier]) -> HashMap<&str, Session<'_>> {
    let rows = dossiers.iter().flat_map(|dossier| &dossier.sessions);
    rows.map(|row| {
        let (browser, version) = (row.browser.as_str(), row.version.as_str());
        let facts = parsed(Some(&row.facts));
        (row.session.as_str(), Session { browser, version, start_ms: row.start_ms, facts })
    })
    .collect()
}

/// What stands behind the attempts of one run, by attempt.
struct Stored<'a> {
    attempts: HashMap<&'a str, Vec<&'a AttemptRow>>,
    samples: HashMap<&'a str, Vec<&'a SampleRow>>,
    metrics: HashMap<&'a str, Vec<&'a MetricRow>>,
    memory: HashMap<&'a str, &'a CellMemory>,
    traces: HashMap<&'a str, &'a TraceRow>,
    ops: HashMap<&'a str, Vec<&'a OpRow>>,
    log: HashMap<&'a str, Vec<&'a LogRow>>,
    jobs: HashMap<&'a str, &'a JobRow>,
}

/// The cells of a run with everything behind them, in order.
pub(super) fn cells(dossier: &Dossier) -> Vec<Behind<'_>> {
    let mut attempts: HashMap<&str, Vec<&AttemptRow>> = HashMap::new();
    for attempt in &dossier.attempts {
        attempts.entry(attempt.cell.as_deref().unwrap_or_default()).or_default().push(attempt);
    }
    let stored = Stored {
        attempts,
        samples: grouped(&dossier.samples, |row| &row.attempt),
        metrics: grouped(&dossier.metrics, |row| &row.attempt),
        memory: dossier.memory.iter().map(|memory| (memory.cell.as_str(), memory)).collect(),
        traces: dossier.traces.iter().map(|row| (row.cell.as_str(), row)).collect(),
        ops: grouped(&dossier.ops, |row| &row.attempt),
        log: grouped(&dossier.log, |row| &row.attempt),
        jobs: dossier.jobs.iter().map(|row| (row.attempt.as_str(), row)).collect(),
    };
    let views = dossier.view.cells.iter().enumerate();
    views.map(|(at, view)| behind(dossier.rows.get(at), view, &stored)).collect()
}

fn grouped<T>(rows: &[T], key: fn(&T) -> &String) -> HashMap<&str, Vec<&T>> {
    let mut groups: HashMap<&str, Vec<&T>> = HashMap::new();
    for row in rows {
        groups.entry(key(row)).or_default().push(row);
    }
    groups
}

fn behind<'a>(row: Option<&'a CellRow>, view: &'a CellView, stored: &Stored<'a>) -> Behind<'a> {
    let id = row.and_then(|row| row.attempt.as_deref()).unwrap_or_default();
    let job = stored.jobs.get(id);
    let given: Option<Job> = job.and_then(|row| serde_json::from_str(&row.job).ok());
    let of = |row: &'a AttemptRow| Attempt {
        attempt: &row.attempt,
        number: row.number,
        session: row.session.as_deref(),
        started_at: &row.started_at,
        wall_ms: row.wall_ms,
        variant: row.variant.as_deref(),
        end: row.end.as_deref(),
        status: row.status.as_deref(),
        evidence: row.evidence.as_deref(),
        reason: row.reason.as_deref(),
        facts: parsed(row.facts.as_deref()),
    };
    let samples = stored.samples.get(id).map_or(&[][..], Vec::as_slice);
    let cell = view.id.parse().ok();
    Behind {
        reason: row.and_then(|row| row.reason.as_deref()).or(view.error.as_deref()),
        agreement: parsed(row.and_then(|row| row.agreement.as_deref())),
        accuracy: parsed(row.and_then(|row| row.accuracy.as_deref())),
        perplexity: view.perplexity.as_ref(),
        says: lines(&view.answer),
        attempt: row.and_then(|row| row.attempt.as_deref()),
        attempts: stored.attempts.get(view.id.as_str()).into_iter().flatten().map(|row| of(row)).collect(),
        samples: samples.iter().map(|sample| sample.ms).collect(),
        warmups: samples.iter().filter(|sample| sample.warmup).count(),
        timing: view.timing.as_ref(),
        doubt: view.doubt.as_deref(),
        metrics: of_attempt(&stored.metrics, id, |row| (row.name.as_str(), row.value, row.unit.as_str())),
        memory: stored.memory.get(view.id.as_str()).copied(),
        trace: stored.traces.get(view.id.as_str()).map(|row| Trace {
            at: &row.traced_at,
            by: row.traced_by.as_deref(),
            says: &row.says,
            layers: parsed(Some(&row.layers)),
        }),
        ops: of_attempt(&stored.ops, id, |row| (row.op.as_str(), row.backend.as_str(), row.count)),
        log: of_attempt(&stored.log, id, |row| (row.source.as_str(), row.level.as_str(), row.text.as_str())),
        command: cell.map(|cell| shell(&repro::command(&cell, given.as_ref()))).unwrap_or_default(),
        inputs: given.as_ref().map(repro::inputs).unwrap_or_default(),
        job: parsed(job.map(|row| row.job.as_str())),
        outputs_sha256: job.and_then(|row| row.outputs_sha256.as_deref()),
    }
}

fn of_attempt<'a, T, U>(rows: &HashMap<&str, Vec<&'a T>>, attempt: &str, of: fn(&'a T) -> U) -> Vec<U> {
    rows.get(attempt).into_iter().flatten().map(|row| of(row)).collect()
}
