//! The cells of a run column by column: each different text once, numbers with four digits, so that ten thousand cells stay
//! small.

use std::collections::HashMap;

use serde::Serialize;
use webmatrix_wire::{EvidenceGrade, MemoryKind, Status};

use crate::analyse::dossier::Dossier;
use crate::analyse::frontier::{KEPT, loses};
use crate::analyse::memory::CellMemory;
use crate::analyse::spread::{Spread, spread};
use crate::collect::{is_real, is_unexpected};
use crate::render::text::rounded;

/// Metrics that cells are charted by.
const METRICS: [&str; 11] = [
    "weight_bytes",
    "bits_per_weight",
    "time_to_first_token",
    "tokens_per_second",
    "items_per_second",
    "phase.module",
    "phase.load",
    "phase.device",
    "phase.compile",
    "phase.first",
    "phase.start",
];

/// Text of many cells.
#[derive(Debug, Default, Serialize)]
pub(super) struct Coded {
    /// Each different one.
    names: Vec<String>,
    /// Which of them each cell has.
    of: Vec<u32>,
}

impl Coded {
    pub(super) fn of<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut known: HashMap<&str, u32> = HashMap::new();
        let mut coded = Self::default();
        for text in texts {
            let next = coded.names.len() as u32;
            let code = *known.entry(text).or_insert_with(|| {
                coded.names.push(text.to_owned());
                next
            });
            coded.of.push(code);
        }
        coded
    }
}

/// A number of each cell, rounded to four digits; empty where no cell has one.
pub(super) type Numbers = Vec<Option<f64>>;

pub(super) fn numbers(values: impl Iterator<Item = Option<f64>>) -> Numbers {
    let numbers: Numbers = values.map(|value| value.and_then(rounded)).collect();
    if numbers.iter().all(Option::is_none) { Vec::new() } else { numbers }
}

/// The cells of a run, one by one in each column.
#[derive(Debug, Serialize)]
pub(super) struct Cells {
    count: usize,
    browser: Coded,
    model: Coded,
    size: Coded,
    runtime: Coded,
    backend: Coded,
    precision: Coded,
    profile: Coded,
    status: Coded,
    evidence: Coded,
    implementation: Coded,
    /// How a cell looks: `hardware cpu software fallback` are proven, `bad` ran and failed.
    look: Coded,
    /// Why it is no pass.
    reason: Coded,
    /// Which passed only on a retry.
    flaky: Vec<usize>,
    /// Which computed on the CPU as much as the cell that claims no more than that.
    doubted: Vec<usize>,
    /// Which keep less than `kept` of what full precision gives.
    lossy: Vec<usize>,
    kept: f64,
    /// Milliseconds of the timed inferences.
    least: Numbers,
    q1: Numbers,
    median: Numbers,
    q3: Numbers,
    most: Numbers,
    timed: Numbers,
    wall: Numbers,
    page: Numbers,
    /// Of the outputs, with the independent answer.
    max_abs: Numbers,
    /// Of the outputs, with those at full precision.
    cosine: Numbers,
    same: Numbers,
    metrics: Vec<(&'static str, Numbers)>,
    /// Bytes by what they are for.
    memory: Vec<(&'static str, Numbers)>,
}

/// How a verdict looks.
pub(super) fn look(status: Option<Status>, evidence: EvidenceGrade) -> &'static str {
    match status {
        Some(Status::Pass) if is_real(evidence) => match evidence {
            EvidenceGrade::Hardware => "hardware",
            EvidenceGrade::Cpu => "cpu",
            EvidenceGrade::Software => "software",
            _ => "fallback",
        },
        Some(Status::Pass) => "unproven",
        Some(status) if is_unexpected(status) => "bad",
        Some(Status::Unsupported) => "lack",
        Some(Status::Unavailable) => "absent",
        Some(_) => "none",
        None => "open",
    }
}

impl Cells {
    pub(super) fn of(dossier: &Dossier) -> Self {
        let cells = || dossier.view.cells.iter();
        let mut samples: HashMap<&str, Vec<f64>> = HashMap::new();
        for sample in dossier.samples.iter().filter(|sample| !sample.warmup) {
            samples.entry(&sample.attempt).or_default().push(sample.ms);
        }
        let mut metrics: HashMap<(&str, &str), f64> = HashMap::new();
        for metric in dossier.metrics.iter().filter(|metric| METRICS.contains(&metric.name.as_str())) {
            metrics.insert((&metric.attempt, &metric.name), metric.value);
        }
        let memory: HashMap<&str, &CellMemory> =
            dossier.memory.iter().map(|memory| (memory.cell.as_str(), memory)).collect();
        // A view without anything behind it has no rows: then nothing is known of attempts.
        let attempts: Vec<&str> = cells()
            .enumerate()
            .map(|(at, _)| dossier.rows.get(at).and_then(|row| row.attempt.as_deref()).unwrap_or_default())
            .collect();
        let spreads: Vec<Option<Spread>> =
            attempts.iter().map(|attempt| samples.get(attempt).and_then(|samples| spread(samples))).collect();
        let of_spread =
            |of: fn(&Spread) -> f64| numbers(spreads.iter().map(|spread| spread.as_ref().map(of)));
        let metric = |name: &'static str| {
            (name, numbers(attempts.iter().map(|attempt| metrics.get(&(*attempt, name)).copied())))
        };
        let part = |kind: MemoryKind| {
            let bytes = |memory: &&CellMemory| memory.parts.get(&kind).map(|bytes| *bytes as f64);
            (kind.as_str(), numbers(cells().map(|cell| memory.get(cell.id.as_str()).and_then(bytes))))
        };
        let told = |name, of: fn(&CellMemory) -> Option<u64>| {
            let bytes = |memory: &&CellMemory| of(memory).map(|bytes| bytes as f64);
            (name, numbers(cells().map(|cell| memory.get(cell.id.as_str()).and_then(bytes))))
        };
        let mut bytes: Vec<(&'static str, Numbers)> = MemoryKind::PARTS.map(part).into();
        bytes.push(told("files", |memory| memory.files));
        bytes.push(told("heap_peak", |memory| memory.heap_peak));
        bytes.push(told("linear", |memory| memory.linear));
        Self {
            count: dossier.view.cells.len(),
            browser: Coded::of(cells().map(|cell| cell.browser.as_str())),
            model: Coded::of(cells().map(|cell| cell.model.as_str())),
            size: Coded::of(cells().map(|cell| cell.size.as_str())),
            runtime: Coded::of(cells().map(|cell| cell.runtime.as_str())),
            backend: Coded::of(cells().map(|cell| cell.backend.as_str())),
            precision: Coded::of(cells().map(|cell| cell.precision.as_str())),
            profile: Coded::of(cells().map(|cell| cell.profile.as_str())),
            status: Coded::of(cells().map(|cell| cell.status.map_or("no verdict", Status::as_str))),
            evidence: Coded::of(cells().map(|cell| cell.evidence.as_str())),
            implementation: Coded::of(cells().map(|cell| cell.implementation.as_deref().unwrap_or_default())),
            look: Coded::of(cells().map(|cell| look(cell.status, cell.evidence))),
            reason: Coded::of(cells().map(|cell| cell.error.as_deref().unwrap_or_default())),
            flaky: cells().enumerate().filter(|(_, cell)| cell.flaky).map(|(at, _)| at).collect(),
            doubted: cells().enumerate().filter(|(_, cell)| cell.doubt.is_some()).map(|(at, _)| at).collect(),
            lossy: cells().enumerate().filter(|(_, cell)| loses(cell)).map(|(at, _)| at).collect(),
            kept: KEPT,
            least: of_spread(|spread| spread.least),
            q1: of_spread(|spread| spread.q1),
            // The one that every other format tells.
            median: numbers(cells().map(|cell| cell.median_ms)),
            q3: of_spread(|spread| spread.q3),
            most: of_spread(|spread| spread.most),
            timed: of_spread(|spread| spread.count as f64),
            wall: numbers(dossier.rows.iter().map(|row| row.wall_ms)),
            page: numbers(dossier.rows.iter().map(|row| row.page_ms)),
            max_abs: numbers(cells().map(|cell| cell.agreement.as_ref().map(|agreement| agreement.max_abs))),
            cosine: numbers(cells().map(|cell| cell.accuracy.as_ref().and_then(|accuracy| accuracy.cosine))),
            same: numbers(cells().map(|cell| cell.accuracy.as_ref().and_then(|accuracy| accuracy.agreement))),
            metrics: METRICS.into_iter().map(metric).filter(|(_, numbers)| !numbers.is_empty()).collect(),
            memory: bytes.into_iter().filter(|(_, numbers)| !numbers.is_empty()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_once_and_numbers_keep_four_digits() {
        let coded = Coded::of(["a", "b", "a"].into_iter());
        assert_eq!((coded.names, coded.of), (vec!["a".to_owned(), "b".to_owned()], vec![0, 1, 0]));
        let told = numbers([Some(1.234_567), None, Some(1_234_567.0), Some(7.0), Some(f64::NAN)].into_iter());
        assert_eq!(told, [Some(1.235), None, Some(1_235_000.0), Some(7.0), None]);
        assert!(numbers([None, None].into_iter()).is_empty());
    }

    #[test]
    fn only_what_is_proven_looks_proven() {
        use {EvidenceGrade as E, Status as S};
        for status in S::ALL.iter().copied().map(Some).chain([None]) {
            for &evidence in E::ALL {
                let proven = ["hardware", "cpu", "software", "fallback"].contains(&look(status, evidence));
                assert_eq!(proven, status == Some(S::Pass) && is_real(evidence), "{status:?} {evidence:?}");
            }
        }
        assert_eq!(look(Some(S::Pass), E::Software), "software");
    }
}
