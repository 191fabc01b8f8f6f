//! Lines, for logs and pipes: one a decided cell.

use std::fmt::Write;

use webmatrix_wire::{EvidenceGrade, Status};

use super::Reporter;
use crate::analyse::median;
use crate::cli::out;
use crate::event::RunEvent;

/// Counts cells, so that a reader sees how far it is.
#[derive(Default)]
pub(super) struct Plain {
    runnable: usize,
    decided: usize,
}

impl Reporter for Plain {
    fn event(&mut self, event: &RunEvent) {
        if let Some(line) = self.line(event) {
            out::note(&line);
        }
    }
}

impl Plain {
    fn line(&mut self, event: &RunEvent) -> Option<String> {
        match event {
            RunEvent::RunStarted { run, runnable, cells } => {
                self.runnable = *runnable;
                Some(format!("run {run}: {runnable} of {cells} cells"))
            }
            RunEvent::BrowserStarted { browser, cells } => Some(format!("{browser}: {cells} cells")),
            RunEvent::CellDecided { runnable: false, .. } => None,
            RunEvent::CellDecided { .. } => {
                self.decided += 1;
                Some(format!("[{}/{}] {}", self.decided, self.runnable, decided(event)?))
            }
            RunEvent::OpsDecided { runnable: false, .. } => None,
            RunEvent::OpsDecided { .. } => {
                self.decided += 1;
                Some(format!("[{}/{}] {}", self.decided, self.runnable, ops_decided(event)?))
            }
            RunEvent::AttemptStarted { number, cell: Some(cell), .. } if *number > 1 => {
                Some(format!("again, try {number}: {cell}"))
            }
            RunEvent::Note { text } => Some(text.clone()),
            RunEvent::RunEnded { .. } => ended(event),
            RunEvent::AttemptStarted { .. }
            | RunEvent::AttemptProgress { .. }
            | RunEvent::BrowserEnded { .. } => None,
        }
    }
}

/// A decided cell in a line, and below it what its outputs say.
pub(super) fn decided(event: &RunEvent) -> Option<String> {
    let RunEvent::CellDecided { cell, status, flaky, evidence, samples_ms, says, reason, .. } = event else {
        return None;
    };
    let mut line = format!("{status:<11} {cell}");
    if *evidence != EvidenceGrade::None {
        write!(line, " ({evidence})").ok()?;
    }
    if *flaky {
        line.push_str(" flaky");
    }
    match (median(samples_ms), reason) {
        (Some(ms), _) if *status == Status::Pass => write!(line, " {ms:.2} ms").ok()?,
        (_, Some(reason)) if *status != Status::Pass => write!(line, ": {reason}").ok()?,
        _ => {}
    }
    for said in says {
        write!(line, "\n    {said}").ok()?;
    }
    Some(line)
}

/// A backend's op cases in a line.
pub(super) fn ops_decided(event: &RunEvent) -> Option<String> {
    let RunEvent::OpsDecided { target, counts, evidence, reason, .. } = event else { return None };
    let counts: Vec<String> = counts.iter().map(|(status, count)| format!("{count} {status}")).collect();
    let mut line = format!("{target} {}", counts.join(", "));
    if *evidence != EvidenceGrade::None {
        write!(line, " ({evidence})").ok()?;
    }
    if let Some(reason) = reason {
        write!(line, ": {reason}").ok()?;
    }
    Some(line)
}

/// The end of a run in a line.
pub(super) fn ended(event: &RunEvent) -> Option<String> {
    let RunEvent::RunEnded { run, counts, interrupted } = event else { return None };
    let counts: Vec<String> = counts.iter().map(|(status, count)| format!("{count} {status}")).collect();
    let how = if *interrupted { "interrupted" } else { "ended" };
    Some(format!("run {run} {how}: {}", counts.join(", ")))
}
