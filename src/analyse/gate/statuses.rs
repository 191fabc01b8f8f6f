//! What became of the cells' statuses since the baseline.

use serde::Serialize;
use webmatrix_wire::{EvidenceGrade, Status};

use super::Confirmed;
use super::snapshot::{Snapshot, TakenCell};
use crate::collect::is_unexpected;
use crate::plan::KnownFailures;

/// How a cell's status stands to that of the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The baseline has no such cell.
    Added,
    /// The run has no such cell.
    Deleted,
    /// Status, or what stands behind a pass, is another.
    Changed,
    /// All is as it was.
    Unchanged,
}

/// What a change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// What passed does not, or what was as expected is not; an alarm.
    Regression,
    /// It passes, and less stands behind it; an alarm.
    Weaker,
    /// Another version of the browser says itself that it lacks what it had: nobody's fault here, and no alarm.
    BrowserChanged,
    /// A known failure.
    Known,
    /// It passes, or more stands behind it.
    Fixed,
    /// Neither better nor worse.
    Other,
}

/// A status that is not as it was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatusLine {
    /// The cell's id.
    pub cell: String,
    /// How it stands to the baseline.
    pub change: Change,
    /// What that means.
    pub meaning: Meaning,
    /// In the baseline.
    pub before: Option<String>,
    /// In the run.
    pub after: Option<String>,
    /// Why, in the words that were recorded, or what is known of it.
    pub note: Option<String>,
    /// Whether it was seen again.
    pub confirmed: Confirmed,
}

/// The lines of all cells that are not as they were, and how many are.
pub(super) fn lines(
    candidate: &Snapshot,
    baseline: &Snapshot,
    known: &KnownFailures,
) -> (Vec<StatusLine>, usize) {
    let mut lines = Vec::new();
    let mut unchanged = 0;
    for cell in &candidate.cells {
        match baseline.cell(&cell.cell) {
            None => lines.push(line(Change::Added, None, Some(cell), known)),
            Some(before) if state(before) == state(cell) => unchanged += 1,
            Some(before) => lines.push(line(Change::Changed, Some(before), Some(cell), known)),
        }
    }
    let gone = baseline.cells.iter().filter(|cell| candidate.cell(&cell.cell).is_none());
    lines.extend(gone.map(|cell| line(Change::Deleted, Some(cell), None, known)));
    lines.sort_by_key(|line| line.meaning);
    (lines, unchanged)
}

/// What is compared: the status, and of a pass what stands behind it.
fn state(cell: &TakenCell) -> String {
    match cell.status {
        Some(Status::Pass) => format!("pass ({})", cell.evidence),
        Some(status) => status.to_string(),
        None => "no verdict".to_owned(),
    }
}

fn line(
    change: Change,
    before: Option<&TakenCell>,
    after: Option<&TakenCell>,
    known: &KnownFailures,
) -> StatusLine {
    let mut note = after.and_then(|cell| cell.reason.clone());
    let mut meaning = match (before, after) {
        (Some(before), Some(after)) => meaning(before, after),
        // A cell that was not asked for says nothing about itself.
        _ => Meaning::Other,
    };
    if let (Some(before), Some(after), Meaning::BrowserChanged) = (before, after, meaning) {
        let versions = format!("{} was {}", after.browser_version, before.browser_version);
        note = Some(note.map_or_else(|| versions.clone(), |words| format!("{versions}: {words}")));
    }
    if let (Some(after), Meaning::Regression) = (after, meaning)
        && let Some(status) = after.status
        && let Some(waited) = known.failures.iter().find(|entry| entry.is_of_status(&after.cell, status))
    {
        meaning = Meaning::Known;
        note = Some(format!("known until {}: {}", waited.until, waited.reason));
    }
    let cell = after.or(before).map(|cell| cell.cell.clone()).unwrap_or_default();
    let (before, after) = (before.map(state), after.map(state));
    StatusLine { cell, change, meaning, before, after, note, confirmed: Confirmed::NotTried }
}

fn meaning(before: &TakenCell, after: &TakenCell) -> Meaning {
    let unexpected = |cell: &TakenCell| cell.status.is_none_or(is_unexpected);
    match (before.is_green(), after.is_green()) {
        (true, true) if strength(after.evidence) < strength(before.evidence) => Meaning::Weaker,
        (_, true) => Meaning::Fixed,
        (true, false) => {
            let other_version = !before.browser_version.is_empty()
                && !after.browser_version.is_empty()
                && before.browser_version != after.browser_version;
            if after.status == Some(Status::Unsupported) && other_version {
                Meaning::BrowserChanged
            } else {
                Meaning::Regression
            }
        }
        (false, false) if unexpected(after) && !unexpected(before) => Meaning::Regression,
        (false, false) => Meaning::Other,
    }
}

/// How much a grade is worth beside others of the same cell.
const fn strength(evidence: EvidenceGrade) -> u8 {
    match evidence {
        EvidenceGrade::Hardware => 4,
        EvidenceGrade::Software | EvidenceGrade::Cpu => 3,
        EvidenceGrade::Fallback => 2,
        EvidenceGrade::Simulated => 1,
        EvidenceGrade::None => 0,
    }
}
