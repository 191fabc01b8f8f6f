//! What the gate knows of a run: the stable form of baseline files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use webmatrix_wire::{EvidenceGrade, Status};

use crate::analyse::speed::timed;
use crate::analyse::stats::median;
use crate::collect::is_real;
use crate::store::{CellRow, EnvironmentRow, FigureRow, RunRow};

/// The version of baseline files. Older ones are read: they only know less of what was tried again.
pub const VERSION: u32 = 2;

/// The facts of a machine that make times comparable.
const MACHINE: [&str; 4] = ["os", "arch", "cpu", "cores"];

/// A baseline in a file: a run, and the runs before it that tell its noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// [`VERSION`].
    pub version: u32,
    /// What is held against.
    pub run: Snapshot,
    /// Earlier runs, oldest first.
    pub history: Vec<Snapshot>,
}

/// What the gate knows of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// The run.
    pub run: String,
    /// Its matrix.
    pub matrix: String,
    /// UTC, RFC 3339.
    pub started_at: String,
    /// The branch that was checked out where it was started.
    pub branch: Option<String>,
    /// The commit.
    pub commit: Option<String>,
    /// The facts that make times comparable, by name.
    pub machine: BTreeMap<String, String>,
    /// Its cells, in the plan's order.
    pub cells: Vec<TakenCell>,
}

/// What the gate knows of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakenCell {
    /// Its id.
    pub cell: String,
    /// None without a verdict.
    pub status: Option<Status>,
    /// What stands behind it.
    pub evidence: EvidenceGrade,
    /// Passed only on a retry.
    pub flaky: bool,
    /// Why it is not a pass.
    pub reason: Option<String>,
    /// Empty if not known.
    pub browser_version: String,
    /// By metric.
    pub figures: BTreeMap<String, Figure>,
    /// What fresh browsers gave by metric, one after another, where a gate over this run raised an alarm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<BTreeMap<String, Figure>>,
}

/// One number of a cell in a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// The median of what was measured.
    pub value: f64,
    /// Its standard error within the run, as part of it.
    pub error: f64,
    /// How many were measured.
    pub count: u64,
}

impl Snapshot {
    /// A run as the store has it.
    pub fn of(
        run: &RunRow,
        environment: &[EnvironmentRow],
        cells: &[CellRow],
        figures: &[FigureRow],
    ) -> Self {
        let fact = |name: &str| environment.iter().find(|row| row.name == name).map(|row| row.value.clone());
        let machine = MACHINE.iter().filter_map(|name| Some(((*name).to_owned(), fact(name)?))).collect();
        let mut by_cell: BTreeMap<(&str, &str), Vec<&FigureRow>> = BTreeMap::new();
        for row in figures {
            by_cell.entry((&row.cell, &row.metric)).or_default().push(row);
        }
        let mut taken: BTreeMap<&str, BTreeMap<String, Figure>> = BTreeMap::new();
        for ((cell, metric), rows) in by_cell {
            if let Some(figure) = figure(&rows) {
                taken.entry(cell).or_default().insert(metric.to_owned(), figure);
            }
        }
        let cell = |row: &CellRow| {
            let status: Option<Status> = row.status.as_deref().and_then(|status| status.parse().ok());
            TakenCell {
                cell: row.cell.clone(),
                status,
                evidence: row
                    .evidence
                    .as_deref()
                    .and_then(|grade| grade.parse().ok())
                    .unwrap_or(EvidenceGrade::None),
                flaky: row.flaky.unwrap_or(false),
                reason: row.reason.clone().filter(|_| status != Some(Status::Pass)),
                browser_version: row.browser_version.clone(),
                figures: taken.remove(row.cell.as_str()).unwrap_or_default(),
                again: Vec::new(),
            }
        };
        Self {
            run: run.run.clone(),
            matrix: run.matrix.clone(),
            started_at: run.started_at.clone(),
            branch: fact("branch"),
            commit: fact("commit"),
            machine,
            cells: cells.iter().map(cell).collect(),
        }
    }

    /// Takes in what a gate over this run had fresh browsers do: later gates know by it which alarms were none.
    #[must_use]
    pub fn tried_again(mut self, fresh: &Self) -> Self {
        for cell in fresh.cells.iter().filter(|cell| cell.is_green()) {
            let own = self.cells.iter_mut().find(|own| own.cell == cell.cell);
            own.into_iter().for_each(|own| own.again.push(cell.figures.clone()));
        }
        self
    }

    /// A cell by its id.
    pub(super) fn cell(&self, id: &str) -> Option<&TakenCell> {
        self.cells.iter().find(|cell| cell.cell == id)
    }
}

impl TakenCell {
    /// Proven: it passed, and something real stands behind it.
    pub fn is_green(&self) -> bool {
        self.status == Some(Status::Pass) && is_real(self.evidence)
    }

    /// Whether its times are those of what it claims, and not of software in its place.
    pub(super) fn is_timed(&self) -> bool {
        self.is_green() && timed(self.evidence).is_ok()
    }
}

/// The median of a normal distribution's |x|, as part of its standard deviation, inverted; times what a median's error is
/// larger than a mean's.
const ERROR_BY_MAD: f64 = 1.4826 * 1.253_314_137_315_5;

/// Of the attempts that passed: several are rounds, whose differences hold more than those of samples that follow one another.
fn figure(rows: &[&FigureRow]) -> Option<Figure> {
    let values: Vec<f64> = rows.iter().map(|row| row.value).collect();
    let value = median(&values).filter(|value| value.is_finite() && *value > 0.0)?;
    let distances: Vec<f64> = values.iter().map(|one| (one - value).abs()).collect();
    let (scatter, n) = match rows {
        [one] => (one.scatter, one.count as f64),
        _ => (median(&distances)?, rows.len() as f64),
    };
    let count = rows.iter().map(|row| row.count).sum();
    Some(Figure { value, error: ERROR_BY_MAD * scatter / n.sqrt() / value, count })
}
