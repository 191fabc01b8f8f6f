//! What happens while the program works. Stages emit events; only reporters turn them into text.

use std::sync::Arc;

use serde::Serialize;
use webmatrix_wire::{AttemptId, EvidenceGrade, Status};

use crate::plan::{Cell, OpsTarget};

/// Something that happened during a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// The plan is made.
    RunStarted {
        /// The run's id.
        run: String,
        /// Cells that will run.
        runnable: usize,
        /// Cells of the matrix.
        cells: usize,
    },
    /// A browser's turn begins.
    BrowserStarted {
        /// Its label.
        browser: String,
        /// Cells that will run in it.
        cells: usize,
    },
    /// A try at a cell, or a probe, begins.
    AttemptStarted {
        /// The try.
        attempt: AttemptId,
        /// The browser's label.
        browser: String,
        /// The cell; none for a probe.
        cell: Option<Cell>,
        /// 1 for the first try.
        number: u32,
    },
    /// The page says where it stands.
    AttemptProgress {
        /// The try.
        attempt: AttemptId,
        /// The browser's label.
        browser: String,
        /// In the page's words.
        stage: String,
        /// Between 0 and 1.
        fraction: f64,
    },
    /// A cell has its verdict.
    CellDecided {
        /// The cell.
        cell: Cell,
        /// The plan meant it to run.
        runnable: bool,
        /// The verdict.
        status: Status,
        /// Passed only on a retry.
        flaky: bool,
        /// What stands behind it.
        evidence: EvidenceGrade,
        /// Its timed inferences, in milliseconds.
        samples_ms: Vec<f64>,
        /// What its outputs say, an item a line.
        says: Vec<String>,
        /// Why, where it is not a pass.
        reason: Option<String>,
    },
    /// The op cases of a backend have their verdicts.
    OpsDecided {
        /// The browser and its backend.
        target: OpsTarget,
        /// The plan meant them to run.
        runnable: bool,
        /// Cases by status.
        counts: Vec<(Status, usize)>,
        /// What stands behind the passes, the weakest.
        evidence: EvidenceGrade,
        /// The first that is not a pass, and why.
        reason: Option<String>,
    },
    /// A browser has no more cells.
    BrowserEnded {
        /// Its label.
        browser: String,
    },
    /// Something a person should know that is no verdict.
    Note {
        /// In a sentence.
        text: String,
    },
    /// All cells have their verdicts, or the run was stopped.
    RunEnded {
        /// The run's id.
        run: String,
        /// Cells by status.
        counts: Vec<(Status, usize)>,
        /// Stopped before its end.
        interrupted: bool,
    },
}

/// Where events go. Cheap to clone.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(&RunEvent) + Send + Sync>);

impl Events {
    /// Events go to `listener`, which is called from any thread and must not block.
    pub fn new(listener: impl Fn(&RunEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    /// Events go nowhere.
    pub fn none() -> Self {
        Self::new(|_| ())
    }

    /// Tells the listener.
    pub fn emit(&self, event: &RunEvent) {
        (self.0)(event);
    }

    /// Tells people something that is no verdict.
    pub fn note(&self, text: impl Into<String>) {
        self.emit(&RunEvent::Note { text: text.into() });
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}
