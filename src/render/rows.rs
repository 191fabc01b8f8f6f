//! A row of a comparison, in words.

use webmatrix_wire::{EvidenceGrade, Status};

use crate::analyse::Estimate;
use crate::analyse::comparison::{Latency, Row};
use crate::collect::is_unexpected;

pub(super) fn optional<T>(value: Option<T>, told: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), told)
}

/// A value with its interval.
pub(super) fn range(estimate: Estimate, places: usize) -> String {
    match (estimate.lo, estimate.hi) {
        (Some(lo), Some(hi)) => format!("{:.places$} ({lo:.places$}–{hi:.places$})", estimate.value),
        _ => format!("{:.places$}", estimate.value),
    }
}

pub(super) fn verdict(row: &Row) -> String {
    match (row.status, row.evidence) {
        (Some(Status::Pass), evidence) => format!("pass ({evidence})"),
        (Some(status), _) => status.to_string(),
        (None, _) => "no verdict".to_owned(),
    }
}

/// How much less memory than what it is held against.
pub(super) fn memory(row: &Row) -> String {
    let less = row.memory.as_ref().and_then(|memory| memory.reduction);
    optional(less, |less| match less {
        less if less < 0.0 => format!("{:.1} % more", -100.0 * less),
        less => format!("{:.1} % less", 100.0 * less),
    })
}

/// How many times as long it takes, and whether that says anything.
pub(super) fn latency(row: &Row) -> String {
    ratio(&row.latency)
}

/// The same of any time.
pub(super) fn ratio(time: &Latency) -> String {
    match time.ratio {
        Some(ratio) => format!("{}, {}", range(ratio, 2), time.says),
        None => time.says.clone(),
    }
}

/// What stands over the columns of [`costs_of`].
pub(super) const COSTS: [&str; 7] = ["model", "place", "precision", "verdict", "memory", "cosine", "latency"];

/// What must be known to read them.
pub(super) const COSTS_NOTE: &str = "Memory and latency beside fp16 in the same place, where that passed, else fp32; cosine \
     of what pages uploaded, beside what was uploaded at fp32 there, or as it was recorded. In brackets: 95 % bootstrap \
     intervals. Where cells were not run in turn, what changed on the machine meanwhile is a part of the ratio.";

/// What a cell saves and costs, as a report shows it.
pub(super) fn costs_of(row: &Row) -> [String; 7] {
    [
        format!("{}@{}", row.model, row.size),
        format!("{} {}", row.browser, row.backend),
        row.precision.clone(),
        verdict(row),
        memory(row),
        cosine(row),
        latency(row),
    ]
}

pub(super) fn cosine(row: &Row) -> String {
    optional(row.accuracy.as_ref().and_then(|accuracy| accuracy.cosine), |cosine| range(cosine, 5))
}

/// How a verdict looks, in the words of the report's style.
pub(super) fn class(status: Option<Status>, evidence: EvidenceGrade) -> String {
    match status {
        Some(Status::Pass) => format!("pass {evidence}"),
        Some(status) if is_unexpected(status) => "bad".to_owned(),
        Some(Status::Unsupported) => "lack".to_owned(),
        _ => "none".to_owned(),
    }
}
