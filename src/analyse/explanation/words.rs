//! What statuses and grades mean, and what can be done.

use webmatrix_wire::{EvidenceGrade, Status};

use crate::analyse::view::CellView;
use crate::plan::NATIVE;

/// The status in a sentence.
pub(super) fn means(view: &CellView) -> String {
    let place = if view.browser == NATIVE { "the host" } else { view.browser.as_str() };
    let subject =
        format!("{}@{} at {} on {} in {place}", view.model, view.size, view.precision, view.backend);
    let Some(status) = view.status else {
        return format!("{subject} has no verdict: the run ended before it was decided.");
    };
    let retried = if view.flaky { " It passed only on a retry, so it is flaky." } else { "" };
    match status {
        Status::Pass => format!("{subject} ran and gave the right answer.{retried}"),
        Status::Wrong => format!("{subject} ran to its end and gave a wrong answer."),
        Status::Error => format!("{subject} was tried and came to no answer that is proven."),
        Status::Timeout => format!("{subject} was not done by its deadline."),
        Status::Crash => format!("{subject} brought its page, browser or driver down."),
        Status::DeviceLost => format!("{subject} lost its GPU device while it ran."),
        Status::Oom => format!("{subject} ran out of memory."),
        Status::Unsupported => {
            format!("{subject} is not to be had: the browser lacks what it needs, and says so itself.")
        }
        Status::NotApplicable => format!("{subject} cannot exist."),
        Status::Unavailable => {
            format!("{subject} was not run: the browser or its driver is not on that machine.")
        }
        Status::NotImplemented => format!("{subject} is not built yet."),
        Status::Skipped => format!("{subject} was not run."),
    }
}

/// A grade in a sentence.
pub(super) const fn grade(evidence: EvidenceGrade) -> &'static str {
    match evidence {
        EvidenceGrade::Hardware => "evidence hardware: a GPU that is one did the work",
        EvidenceGrade::Software => {
            "evidence software: the GPU's interface is a program on the CPU, or not proven to be anything else; that shows \
             what is computed, not how fast"
        }
        EvidenceGrade::Cpu => "evidence cpu: the CPU did the work, or nothing proves that anything else did",
        EvidenceGrade::Fallback => {
            "evidence fallback: another backend than the one asked for did a part of the work"
        }
        EvidenceGrade::Simulated => "evidence simulated: no browser had a part in it, so it proves nothing",
        EvidenceGrade::None => "evidence none: nothing proves that anything ran",
    }
}

/// What to do, the most promising first.
pub(super) fn remedies(view: &CellView) -> Vec<String> {
    let (browser, backend) = (&view.browser, &view.backend);
    let ops = format!(
        "`webmatrix run --suite ops --browsers {browser} --backends {backend}` tries every op on its own"
    );
    let Some(status) = view.status else {
        return vec![format!("`webmatrix run --resume {}` completes the run", view.run)];
    };
    match status {
        Status::Pass => match view.evidence {
            EvidenceGrade::Software => {
                vec!["on a machine with a GPU and its driver, `--hardware-gpu` has browsers use it".to_owned()]
            }
            EvidenceGrade::Fallback => vec![ops],
            _ => Vec::new(),
        },
        Status::Wrong => vec![ops, "other precisions and backends in the same browser may be right: `webmatrix report --format markdown` shows them".to_owned()],
        Status::Error => vec![
            "the log's last lines and the reason above name the step that failed".to_owned(),
            format!("`webmatrix probe --browsers {browser}` says what the browser can do"),
        ],
        Status::Timeout => vec![
            "`--deadline S` gives a try more time".to_owned(),
            "a smaller `--size` or fewer `--samples` need less".to_owned(),
        ],
        Status::Crash => vec![
            "a newer browser or driver may have it mended".to_owned(),
            format!("`webmatrix browsers check {browser}` says what is wrong with this one"),
        ],
        Status::DeviceLost => vec!["the GPU's driver ended it: a newer one, or a smaller model, may last".to_owned()],
        Status::Oom => vec![
            "a lower precision or a smaller `--size` holds less".to_owned(),
            "`--memory-limit SIZE` steps precisions down until one fits".to_owned(),
        ],
        Status::Unsupported => vec![
            format!("`webmatrix probe --browsers {browser}` says what it has"),
            "another version of the browser, or another backend, may have it".to_owned(),
        ],
        Status::Unavailable => vec![format!("`webmatrix browsers check {browser}` says what is missing, and what to type")],
        Status::NotApplicable | Status::NotImplemented | Status::Skipped => Vec::new(),
    }
}
