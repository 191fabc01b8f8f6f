//! The gate: what is worse than it was, told apart from what only differs.
//!
//! A status is compared with the baseline's. A number is compared with the level that the baseline and the runs before it stand
//! at; it has changed if that is significant among all numbers of the run, matters, and lies outside of what earlier runs kept
//! within. An alarm is one only after it was seen again in fresh browsers. A step is told once: what earlier gates told is found
//! by asking them again, with what their fresh browsers gave.

mod figures;
mod judgement;
mod noise;
mod series;
mod snapshot;
mod statuses;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde::Serialize;
use webmatrix_wire::Status;

pub use figures::{Conclusion, FigureLine};
pub use judgement::POWER;
pub use snapshot::{Baseline, Figure, Snapshot, TakenCell, VERSION};
pub use statuses::{Change, Meaning, StatusLine};

/// How often what raises an alarm is run again, each time in fresh browsers: every one of them has to show it. A machine that now
/// and then does something else does so twice in a row often enough to be believed, and three times hardly ever.
pub const CONFIRMATIONS: usize = 2;

use super::stats::median;
use crate::error::ExitStatus;
use crate::plan::{GateRules, KnownFailure, KnownFailures};

/// Whether an alarm was seen again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirmed {
    /// Nobody tried.
    NotTried,
    /// In fresh browsers, it was.
    Yes,
    /// In fresh browsers, it was not.
    No,
}

/// A run in a line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Named {
    /// The run.
    pub run: String,
    /// Its matrix.
    pub matrix: String,
    /// UTC, RFC 3339.
    pub started_at: String,
    /// The branch.
    pub branch: Option<String>,
    /// The commit.
    pub commit: Option<String>,
}

impl Named {
    fn of(snapshot: &Snapshot) -> Self {
        let Snapshot { run, matrix, started_at, branch, commit, .. } = snapshot.clone();
        Self { run, matrix, started_at, branch, commit }
    }
}

/// What the gate says of a run: the stable machine form.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gate {
    /// [`VERSION`].
    pub version: u32,
    /// What is judged.
    pub run: Named,
    /// What it is held against.
    pub baseline: Named,
    /// Earlier runs that were looked at.
    pub history: usize,
    /// Why times were not compared.
    pub no_times: Option<String>,
    /// Cells that are green in both.
    pub compared: usize,
    /// Cells whose statuses are as they were.
    pub unchanged: usize,
    /// Cells whose statuses are not.
    pub statuses: Vec<StatusLine>,
    /// All numbers that were compared, alarms first.
    pub figures: Vec<FigureLine>,
    /// The median of what changes for the worse would have been seen, by metric.
    pub visible: Vec<(String, f64)>,
    /// Known failures that are over: they fail until they are renewed or taken out.
    pub expired: Vec<KnownFailure>,
    /// Known failures that no cell has any more.
    pub passed: Vec<KnownFailure>,
    /// Why no alarm was tried again.
    pub not_tried: Option<String>,
}

/// What is judged, and by what.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// The run.
    pub candidate: &'a Snapshot,
    /// What it is held against.
    pub baseline: &'a Snapshot,
    /// Runs before the baseline, oldest first.
    pub history: &'a [Snapshot],
    /// What is a change.
    pub rules: &'a GateRules,
    /// What is waited for.
    pub known: &'a KnownFailures,
    /// Today.
    pub today: Date,
}

/// Judges a run.
pub fn gate(judged: &Judged<'_>) -> Gate {
    let &Judged { candidate, baseline, history, rules, known, today } = judged;
    let (over, standing): (Vec<KnownFailure>, Vec<KnownFailure>) =
        known.failures.iter().cloned().partition(|failure| failure.is_expired(today));
    let known = KnownFailures { failures: standing };
    let (statuses, unchanged) = statuses::lines(candidate, baseline, &known);
    let figures = figures::lines(candidate, baseline, history, rules, &known);
    let is_green = |snapshot: &Snapshot, id: &str| snapshot.cell(id).is_some_and(TakenCell::is_green);
    let green = candidate.cells.iter().filter(|cell| cell.is_green() && is_green(baseline, &cell.cell));
    let fails = |failure: &&KnownFailure| {
        !candidate.cells.iter().any(|cell| {
            let metric = |line: &FigureLine| {
                line.cell == cell.cell
                    && line.conclusion == Conclusion::Known
                    && failure.is_of_metric(&cell.cell, &line.metric)
            };
            cell.status.is_none_or(|status| failure.is_of_status(&cell.cell, status))
                || figures.iter().any(metric)
        })
    };
    let passed = known.failures.iter().filter(fails).cloned().collect();
    Gate {
        version: VERSION,
        run: Named::of(candidate),
        baseline: Named::of(baseline),
        history: history.len(),
        no_times: no_times(candidate, baseline),
        compared: green.count(),
        unchanged,
        visible: visible(&figures, rules),
        statuses,
        figures,
        expired: over,
        passed,
        not_tried: None,
    }
}

fn no_times(candidate: &Snapshot, baseline: &Snapshot) -> Option<String> {
    let fact = |snapshot: &Snapshot, name: &str| snapshot.machine.get(name).cloned().unwrap_or_default();
    let names: BTreeSet<&String> = candidate.machine.keys().chain(baseline.machine.keys()).collect();
    let other = names.into_iter().find(|name| fact(candidate, name) != fact(baseline, name))?;
    Some(format!(
        "another machine: {other} is {:?}, the baseline's {:?}",
        fact(candidate, other),
        fact(baseline, other)
    ))
}

fn visible(figures: &[FigureLine], rules: &GateRules) -> Vec<(String, f64)> {
    let of = |metric: &String| {
        let all: Vec<f64> =
            figures.iter().filter(|line| line.metric == *metric).map(|line| line.visible).collect();
        Some((metric.clone(), median(&all)?))
    };
    rules.metrics.keys().filter_map(of).collect()
}

impl StatusLine {
    /// Whether it is an alarm, as far as is known.
    pub fn is_alarm(&self) -> bool {
        matches!(self.meaning, Meaning::Regression | Meaning::Weaker) && self.confirmed != Confirmed::No
    }
}

impl FigureLine {
    /// Whether it is an alarm, as far as is known.
    pub fn is_alarm(&self) -> bool {
        self.conclusion == Conclusion::Regression && self.confirmed != Confirmed::No
    }
}

impl Gate {
    /// The cells that raise an alarm: those to run again.
    pub fn alarming(&self) -> BTreeSet<&str> {
        let statuses = self.statuses.iter().filter(|line| line.is_alarm()).map(|line| line.cell.as_str());
        let figures = self.figures.iter().filter(|line| line.is_alarm()).map(|line| line.cell.as_str());
        statuses.chain(figures).collect()
    }

    /// Takes in what fresh browsers made of the cells that raised an alarm. A wrong output stays one: that it does not come
    /// each time makes it no better.
    pub fn confirm(&mut self, again: &Snapshot, rules: &GateRules) {
        for line in self.statuses.iter_mut().filter(|line| line.is_alarm()) {
            let Some(cell) = again.cell(&line.cell) else { continue };
            let wrong = line.after.as_deref() == Some(Status::Wrong.as_str());
            let back = cell.is_green()
                && (line.meaning != Meaning::Weaker
                    || line.before == Some(format!("pass ({})", cell.evidence)));
            line.confirmed = if back && !wrong { Confirmed::No } else { Confirmed::Yes };
            // In the end it is green in both.
            self.compared += usize::from(back && !wrong && line.meaning == Meaning::Regression);
            if back {
                let now = "in a fresh browser it was as before: it is flaky";
                line.note =
                    Some(line.note.take().map_or_else(|| now.to_owned(), |note| format!("{note}; {now}")));
            }
        }
        for line in self.figures.iter_mut().filter(|line| line.is_alarm()) {
            let cell = again.cell(&line.cell).filter(|cell| cell.is_green());
            if let Some(figure) = cell.and_then(|cell| cell.figures.get(&line.metric)) {
                line.confirm(figure, rules.false_share);
            }
        }
    }

    /// How the gate exits: numbers count only when they were seen again.
    pub fn exit_status(&self) -> ExitStatus {
        let statuses = self.statuses.iter().any(StatusLine::is_alarm);
        let figures = self.figures.iter().any(|line| line.is_alarm() && line.confirmed == Confirmed::Yes);
        if statuses || figures || !self.expired.is_empty() {
            ExitStatus::Unexpected
        } else if self.compared == 0 {
            ExitStatus::TooLittleEvidence
        } else {
            ExitStatus::AsExpected
        }
    }
}
