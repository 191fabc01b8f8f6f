//! What is stored of a run's cells, read so that they stand beside one another.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::analyse::comparison::{Comparison, Kind, Measured, Phases, comparison};
use crate::analyse::view::CellView;
use crate::analyse::with_timings;
use crate::cli::config::Places;
use crate::cli::out;
use crate::error::{Exit, ExitStatus, Failure};
use crate::plan::Cell;
use crate::store::{Database, MetricRow, OutputsRow, StoreError};

/// Texts that cells were to score, as tokens, by the cells' ids.
pub(super) type Texts = HashMap<String, Vec<Vec<i64>>>;

/// What is stored of a run's cells, beside one another.
pub(super) fn of_run(
    database: &Database,
    places: &Places,
    run: &str,
    kind: Kind,
    texts: &Texts,
    wanted: impl Fn(&Cell) -> bool,
) -> Result<Comparison, Failure> {
    let rows = database.cells(run).exit(ExitStatus::BadData)?;
    let rounds = rounds_of(database, run).exit(ExitStatus::BadData)?;
    let metrics = database.metrics(run).exit(ExitStatus::BadData)?;
    let phases = phases_of(database, run, &metrics).exit(ExitStatus::BadData)?;
    let metric = |attempt: &str, name: &str| {
        metrics.iter().find(|row| row.attempt == attempt && row.name == name).map(|row| row.value)
    };
    let stored = database.outputs(run).exit(ExitStatus::BadData)?;
    let (outputs, gone) = uploaded(&stored, &places.out);
    if gone > 0 {
        out::note(&format!(
            "{gone} of {} outputs under {} are gone or were changed: nothing is told of their accuracy",
            stored.len(),
            places.out.display()
        ));
    }
    // A cell that cannot exist stands beside nothing.
    let is_there = |row: &&crate::store::CellRow| {
        let cell = row.cell.parse::<Cell>();
        row.status.as_deref() != Some("not_applicable") && cell.is_ok_and(|cell| wanted(&cell))
    };
    let rows: Vec<_> = rows.iter().filter(is_there).collect();
    let mut views: Vec<CellView> = rows.iter().map(|row| CellView::of((*row).clone())).collect();
    with_timings(&mut views, &database.timings(run).exit(ExitStatus::BadData)?);
    let cells: Vec<Measured<'_>> = rows
        .iter()
        .zip(&views)
        .map(|(row, view)| {
            let attempt = row.attempt.as_deref().unwrap_or_default();
            Measured {
                view,
                rounds: rounds.get(&view.id).map_or(&[], Vec::as_slice),
                weights: metric(attempt, "weight_bytes").zip(metric(attempt, "bits_per_weight")),
                outputs: outputs.get(attempt).map(Vec::as_slice),
                texts: texts.get(&view.id).map(Vec::as_slice),
                phases: phases.get(&view.id),
            }
        })
        .collect();
    Ok(comparison(kind, run, &cells))
}

/// The times of every time that a cell was run and passed, in order, by the cell's id.
pub(super) fn rounds_of(
    database: &Database,
    run: &str,
) -> Result<HashMap<String, Vec<Vec<f64>>>, StoreError> {
    let mut samples: HashMap<String, Vec<f64>> = HashMap::new();
    for sample in database.samples(run)?.into_iter().filter(|sample| !sample.warmup) {
        samples.entry(sample.attempt).or_default().push(sample.ms);
    }
    let mut rounds: HashMap<String, Vec<Vec<f64>>> = HashMap::new();
    for attempt in database.attempts(run)? {
        if let (Some(cell), Some("pass")) = (attempt.cell, attempt.status.as_deref()) {
            rounds.entry(cell).or_default().push(samples.remove(&attempt.attempt).unwrap_or_default());
        }
    }
    Ok(rounds)
}

/// The parts of the start of every time that a cell was run and passed, by the cell's id.
fn phases_of(
    database: &Database,
    run: &str,
    metrics: &[MetricRow],
) -> Result<HashMap<String, Phases>, StoreError> {
    let mut told: HashMap<(&str, &str), f64> = HashMap::new();
    told.extend(metrics.iter().map(|row| ((row.attempt.as_str(), row.name.as_str()), row.value)));
    let mut phases: HashMap<String, Phases> = HashMap::new();
    for attempt in database.attempts(run)? {
        let (Some(cell), Some("pass")) = (attempt.cell, attempt.status.as_deref()) else { continue };
        let of_cell = phases.entry(cell).or_default();
        for (part, metric) in PHASES {
            let ms = told.get(&(attempt.attempt.as_str(), metric));
            of_cell.entry(part).or_default().push(ms.copied().into_iter().collect());
        }
    }
    Ok(phases)
}

/// The parts of a start, and the metrics that they are stored as.
const PHASES: [(&str, &str); 5] = [
    ("load", "phase.load"),
    ("device", "phase.device"),
    ("compile", "phase.compile"),
    ("first", "phase.first"),
    ("start", "phase.start"),
];

/// What pages uploaded, by attempt, as long as it is still what was recorded, and how many files are gone or were changed.
pub(super) fn uploaded(rows: &[OutputsRow], out: &Path) -> (HashMap<String, Vec<u8>>, usize) {
    let mut gone = HashSet::new();
    let mut uploaded = HashMap::new();
    for row in rows {
        match std::fs::read(out.join(&row.file)) {
            Ok(bytes) if hex::encode(Sha256::digest(&bytes)) == row.sha256 => {
                uploaded.insert(row.attempt.clone(), bytes);
            }
            _ => drop(gone.insert(row.file.as_str())),
        }
    }
    (uploaded, gone.len())
}
