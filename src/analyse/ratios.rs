//! How many times as long cells take as others of their run, for charts.

use std::collections::HashMap;

use serde::Serialize;

use super::comparison::{Kind, Measured, comparison};
use super::dossier::Dossier;
use super::stats::Estimate;

/// Intervals are drawn from every sample many times over: of more, a report would take minutes.
pub(super) const MOST_SAMPLES: usize = 4000;

/// A cell beside another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Beside {
    /// What differs: precisions in one place, or places.
    pub kind: Kind,
    /// The cell, by its place in the run.
    pub cell: usize,
    /// The cell that it is held against.
    pub against: usize,
    /// How many times as long it takes, with the 95 % interval where there is one.
    pub ratio: Estimate,
    /// Whether the two were run in turn.
    pub in_turn: bool,
    /// What may be concluded.
    pub says: String,
}

/// The times of every time that a cell was run and passed, in order, by the cell's id.
pub(super) fn rounds(dossier: &Dossier) -> HashMap<&str, Vec<Vec<f64>>> {
    let mut samples: HashMap<&str, Vec<f64>> = HashMap::new();
    for sample in dossier.samples.iter().filter(|sample| !sample.warmup) {
        samples.entry(&sample.attempt).or_default().push(sample.ms);
    }
    let mut rounds: HashMap<&str, Vec<Vec<f64>>> = HashMap::new();
    for attempt in &dossier.attempts {
        if let (Some(cell), Some("pass")) = (&attempt.cell, attempt.status.as_deref()) {
            let timed = samples.remove(attempt.attempt.as_str()).unwrap_or_default();
            rounds.entry(cell).or_default().push(timed);
        }
    }
    rounds
}

/// Latency ratios of the cells of a run that were timed on what they claim; nothing where there are too many samples.
pub fn ratios(dossier: &Dossier) -> Vec<Beside> {
    let rounds = rounds(dossier);
    if rounds.values().flatten().map(Vec::len).sum::<usize>() > MOST_SAMPLES {
        return Vec::new();
    }
    let cells: Vec<Measured<'_>> = dossier
        .view
        .cells
        .iter()
        .filter(|view| view.is_green())
        .map(|view| Measured::timed(view, rounds.get(view.id.as_str()).map_or(&[], Vec::as_slice)))
        .collect();
    let places: HashMap<&str, usize> =
        dossier.view.cells.iter().enumerate().map(|(at, view)| (view.id.as_str(), at)).collect();
    let of = |kind: Kind| {
        let rows = comparison(kind, &dossier.view.run.run, &cells).rows;
        let places = &places;
        rows.into_iter().filter_map(move |row| {
            let against = *places.get(row.latency.against?.as_str())?;
            let cell = *places.get(row.cell.as_str())?;
            let beside = |ratio| Beside {
                kind,
                cell,
                against,
                ratio,
                in_turn: row.latency.in_turn,
                says: row.latency.says.clone(),
            };
            row.latency.ratio.map(beside)
        })
    };
    of(Kind::Platforms).chain(of(Kind::Precisions)).filter(|beside| beside.cell != beside.against).collect()
}
