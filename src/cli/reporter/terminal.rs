//! A bar per browser, and a line for every cell that is decided.

use std::collections::HashMap;
use std::time::Duration;

use console::style;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use webmatrix_wire::{EvidenceGrade, Status};

use super::Reporter;
use super::plain::{decided, ended, ops_decided};
use crate::collect::is_unexpected;
use crate::event::RunEvent;

#[derive(Default)]
pub(super) struct Terminal {
    bars: MultiProgress,
    of_browser: HashMap<String, ProgressBar>,
}

impl Terminal {
    fn line(&self, line: &str) {
        // A terminal that is gone needs no line.
        self.bars.println(line).ok();
    }

    fn bar(&self, browser: &str) -> Option<&ProgressBar> {
        self.of_browser.get(browser)
    }
}

impl Reporter for Terminal {
    fn event(&mut self, event: &RunEvent) {
        match event {
            RunEvent::RunStarted { run, runnable, cells } => {
                self.line(&format!("run {run}: {runnable} of {cells} cells"));
            }
            RunEvent::BrowserStarted { browser, cells } => {
                let bar = self.bars.add(ProgressBar::new(*cells as u64).with_prefix(browser.clone()));
                let template = "{prefix:>16} [{bar:24}] {pos}/{len} {elapsed} eta {eta} {wide_msg}";
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style.progress_chars("=> "));
                }
                bar.set_message("starting");
                bar.enable_steady_tick(Duration::from_millis(250));
                self.of_browser.insert(browser.clone(), bar);
            }
            RunEvent::AttemptStarted { browser, cell, number, .. } => {
                if let Some(bar) = self.bar(browser) {
                    let what = cell.as_ref().map_or_else(|| "probe".to_owned(), what);
                    bar.set_message(if *number > 1 { format!("{what}, try {number}") } else { what });
                }
            }
            RunEvent::AttemptProgress { browser, stage, .. } => {
                if let Some(bar) = self.bar(browser) {
                    let message = bar.message();
                    let what = message.split(": ").next().unwrap_or_default();
                    bar.set_message(format!("{what}: {stage}"));
                }
            }
            RunEvent::CellDecided { cell, status, evidence, .. } => {
                if let Some(bar) = self.bar(&cell.browser) {
                    bar.inc(1);
                    if let Some(line) = decided(event) {
                        self.line(&coloured(&line, *status, *evidence));
                    }
                }
            }
            RunEvent::OpsDecided { target, counts, evidence, .. } => {
                if let Some(bar) = self.bar(&target.browser) {
                    bar.inc(1);
                    // Ran-and-failed colours the line; else a pass does, where there is one.
                    let red = counts.iter().find(|(status, _)| is_unexpected(*status));
                    let status = red.or_else(|| counts.first()).map_or(Status::Error, |(status, _)| *status);
                    if let Some(line) = ops_decided(event) {
                        self.line(&coloured(&line, status, *evidence));
                    }
                }
            }
            RunEvent::BrowserEnded { browser } => {
                if let Some(bar) = self.of_browser.remove(browser) {
                    bar.finish_and_clear();
                }
            }
            RunEvent::Note { text } => self.line(text),
            RunEvent::RunEnded { .. } => {
                if let Some(line) = ended(event) {
                    self.line(&line);
                }
            }
        }
    }
}

/// A cell without its browser, whose bar it stands in.
fn what(cell: &crate::plan::Cell) -> String {
    format!("{}@{}{} {} {}", cell.model, cell.size, cell.shape, cell.backend, cell.precision)
}

/// Green only for what is proven; brighter for hardware.
fn coloured(line: &str, status: Status, evidence: EvidenceGrade) -> String {
    let line = style(line);
    let line = match (status, evidence) {
        (Status::Pass, EvidenceGrade::Hardware) => line.green().bold(),
        (Status::Pass, EvidenceGrade::Software | EvidenceGrade::Cpu) => line.green(),
        (Status::Pass, _) => line.yellow(),
        (Status::Unsupported | Status::NotApplicable | Status::Skipped, _) => line.dim(),
        (Status::NotImplemented | Status::Unavailable, _) => line.dim(),
        _ => line.red(),
    };
    line.to_string()
}
