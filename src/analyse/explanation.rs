//! Why a cell has its status, in plain words: what is stored of it, what differs from the last run in which it was
//! otherwise, and what to do about it.

mod circumstances;
mod words;

use serde::Serialize;
use webmatrix_wire::{BackendFacts, EvidenceGrade, Status};

use super::dossier::Dossier;
use super::exported::adapter_name;
use super::view::CellView;
use crate::collect::{Agreement, OutputAgreement, is_unexpected};
use crate::plan::Plan;
use crate::store::{AttemptRow, CellRow, HistoryRow, LogRow};
pub use circumstances::{Circumstances, Difference};

/// The version of the document.
pub const VERSION: u32 = 1;

/// Log lines that are shown.
const LINES: usize = 12;

/// Words that make a line of a log worth reading.
const TELLING: [&str; 12] = [
    "error",
    "fail",
    "lost",
    "crash",
    "invalid",
    "unsupported",
    "denied",
    "refus",
    "out of memory",
    "timeout",
    "abort",
    "killed",
];

/// Why a cell has its status.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// [`VERSION`].
    pub version: u32,
    /// The cell's id.
    pub cell: String,
    /// The run.
    pub run: String,
    /// When it was started, UTC, RFC 3339.
    pub started_at: String,
    /// The status; none without a verdict.
    pub status: Option<Status>,
    /// The grade.
    pub evidence: EvidenceGrade,
    /// Passed only on a retry.
    pub flaky: bool,
    /// What that means, in a sentence.
    pub means: String,
    /// Why, in the words of whoever found out.
    pub reason: Option<String>,
    /// What stands behind it, a statement each.
    pub behind: Vec<String>,
    /// How its outputs compare.
    pub outputs: Vec<OutputAgreement>,
    /// Every try, in order.
    pub tries: Vec<Try>,
    /// The lines of page and driver that matter.
    pub log: Vec<String>,
    /// What became of it in every run, the oldest first.
    pub history: Vec<HistoryRow>,
    /// The last run in which it was otherwise, and what was different there.
    pub otherwise: Option<Otherwise>,
    /// What to do.
    pub remedies: Vec<String>,
    /// What running it again showed; none if nobody did.
    pub again: Option<Again>,
}

/// A try at the cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Try {
    /// 1 for the first.
    pub number: u32,
    /// How it ended.
    pub end: String,
    /// What it alone makes of the cell.
    pub status: Option<String>,
    /// Why it is not a pass.
    pub reason: Option<String>,
    /// From navigation to the end.
    pub wall_ms: Option<f64>,
}

/// Another run, in which the cell was otherwise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Otherwise {
    /// The run.
    pub run: HistoryRow,
    /// What was different there; nothing if no difference is stored.
    pub differences: Vec<Difference>,
}

/// What running the cell again showed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Again {
    /// Why it was not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The status now.
    pub status: Option<Status>,
    /// Why it is not a pass.
    pub reason: Option<String>,
    /// The first op that leaves the oracle, with its layer; told of a cell that is wrong again.
    pub trace: Option<String>,
    /// With each switch left out, one at a time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ablation: Vec<Ablated>,
}

/// The cell with one switch of the browser left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ablated {
    /// The switch.
    pub without: String,
    /// The status then; none if the run was stopped first.
    pub status: Option<Status>,
    /// Why it is not a pass.
    pub reason: Option<String>,
}

/// What is known of a cell in one run.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The run, with everything behind it.
    pub run: &'a Dossier,
    /// Its plan.
    pub plan: Option<&'a Plan>,
    /// The cell's id.
    pub cell: &'a str,
}

impl<'a> Known<'a> {
    fn row(&self) -> Option<(&'a CellRow, &'a CellView)> {
        let at = self.run.rows.iter().position(|row| row.cell == self.cell)?;
        Some((self.run.rows.get(at)?, self.run.view.cells.get(at)?))
    }

    /// The try that decided.
    fn decided(&self) -> Option<&'a AttemptRow> {
        let attempt = self.row()?.0.attempt.as_ref()?;
        self.run.attempts.iter().find(|row| row.attempt == *attempt)
    }
}

/// The latest run before or after that had another status: before it, if there is one, since that is when things changed.
pub fn otherwise<'a>(history: &'a [HistoryRow], run: &str) -> Option<&'a HistoryRow> {
    let at = history.iter().position(|past| past.run == run)?;
    let other = |past: &&HistoryRow| past.status.is_some() && past.status != history[at].status;
    history[..at].iter().rev().find(other).or_else(|| history[at + 1..].iter().rev().find(other))
}

/// Explains a cell; none if the run has none of that id. `other` is the cell where it was otherwise.
pub fn explanation(
    known: Known<'_>,
    history: &[HistoryRow],
    other: Option<Known<'_>>,
) -> Option<Explanation> {
    let (row, view) = known.row()?;
    let agreement: Option<Agreement> =
        row.agreement.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let past = other.and_then(|other| history.iter().find(|past| past.run == other.run.view.run.run));
    let otherwise = past.zip(other).map(|(past, other)| Otherwise {
        run: past.clone(),
        differences: Circumstances::of(&other).differences(&Circumstances::of(&known)),
    });
    Some(Explanation {
        version: VERSION,
        cell: row.cell.clone(),
        run: row.run.clone(),
        started_at: known.run.view.run.started_at.clone(),
        status: view.status,
        evidence: view.evidence,
        flaky: view.flaky,
        means: words::means(view),
        reason: row.reason.clone(),
        behind: behind(&known, view),
        outputs: agreement.map(|agreement| agreement.outputs).unwrap_or_default(),
        tries: tries(&known),
        log: log(&known),
        history: history.to_vec(),
        otherwise,
        remedies: words::remedies(view),
        again: None,
    })
}

/// What the page told, as far as it bears on the verdict.
fn behind(known: &Known<'_>, view: &CellView) -> Vec<String> {
    let mut told = vec![words::grade(view.evidence).to_owned()];
    let decided = known.decided();
    let facts = decided.and_then(|attempt| attempt.facts.as_deref());
    if let Some(facts) = facts.and_then(|text| serde_json::from_str::<BackendFacts>(text).ok()) {
        told.push(format!("{} was asked for, and {} computed", view.backend, facts.backend));
        for step in &facts.steps_down {
            told.push(format!("stepped down from {}: {}", step.from, step.reason));
        }
        if let Some(adapter) = &facts.adapter {
            let fallback = if adapter.is_fallback { ", which the browser calls a fallback" } else { "" };
            told.push(format!("adapter: {}{fallback}", adapter_name(adapter)));
        }
        if let Some(device) = &facts.webnn_device_type {
            told.push(format!("WebNN was asked for the device type {device}"));
        }
        told.push(
            match (&facts.challenge, view.evidence) {
                (None, _) => "no known-answer computation was done",
                (Some(_), EvidenceGrade::None) => "a known-answer computation was done, and proved nothing",
                // There is no grade without a right answer.
                (Some(_), _) => "its known-answer computation was right",
            }
            .to_owned(),
        );
        let ops: u64 = facts.ops.iter().map(|op| op.count).sum();
        told.push(format!("{ops} ops an inference, {} dispatches in all", facts.dispatches));
        for op in facts.ops.iter().filter(|op| op.backend.as_str() != view.backend && op.count > 0) {
            told.push(format!("{} ran {} times on {}", op.op, op.count, op.backend));
        }
    } else if decided.is_some() {
        told.push("the page never said what ran".to_owned());
    }
    if let Some(agreement) = &view.agreement {
        let word = if agreement.ok { "agree with" } else { "differ from" };
        told.push(format!("its outputs {word} {}, cosine {:.6}", agreement.reference, agreement.cosine));
    }
    if let Some(accuracy) = view.accuracy.as_ref().and_then(|accuracy| accuracy.cosine) {
        told.push(format!("its precision costs: cosine {accuracy:.6} with full precision"));
    }
    if let Some(trace) = known.run.traces.iter().find(|trace| trace.cell == known.cell) {
        told.push(format!("traced {}: {}", trace.traced_at, trace.says));
    }
    // What a browser lacks only its probe may say.
    if view.status == Some(Status::Unsupported) {
        let tried = known.run.capabilities.iter();
        let tried = tried.filter(|tried| tried.browser == view.browser && tried.area == view.backend);
        told.extend(tried.map(|tried| {
            let word = match &tried.error {
                Some(error) => error.as_str(),
                None if tried.usable => "works",
                None if tried.present => "is there and does not work",
                None => "is absent",
            };
            format!("its probe tried {} {}: {word}", tried.area, tried.name)
        }));
    }
    told
}

fn tries(known: &Known<'_>) -> Vec<Try> {
    let of_cell = known.run.attempts.iter().filter(|attempt| attempt.cell.as_deref() == Some(known.cell));
    let told = of_cell.map(|attempt| Try {
        number: attempt.number,
        end: attempt.end.clone().unwrap_or_else(|| "never".to_owned()),
        status: attempt.status.clone(),
        reason: attempt.reason.clone(),
        wall_ms: attempt.wall_ms,
    });
    told.collect()
}

/// Of the lines of the cell's tries those that speak of trouble; where none does and something is wrong, the last.
fn log(known: &Known<'_>) -> Vec<String> {
    let of_cell = |line: &&LogRow| {
        let attempt = known.run.attempts.iter().find(|attempt| attempt.attempt == line.attempt);
        attempt.is_some_and(|attempt| attempt.cell.as_deref() == Some(known.cell))
    };
    let lines: Vec<&LogRow> = known.run.log.iter().filter(of_cell).collect();
    let is_telling = |line: &&&LogRow| {
        let text = line.text.to_lowercase();
        line.level != "info" || TELLING.iter().any(|word| text.contains(word))
    };
    let mut telling: Vec<&&LogRow> = lines.iter().filter(is_telling).collect();
    let failed = known.row().is_some_and(|(_, view)| view.status.is_some_and(is_unexpected));
    if telling.is_empty() && failed {
        telling = lines.iter().collect();
    }
    let from = telling.len().saturating_sub(LINES);
    telling[from..].iter().map(|line| format!("{}: {}", line.source, line.text)).collect()
}

#[cfg(test)]
mod tests;
