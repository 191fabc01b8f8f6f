//! One run with everything behind its cells, for the report that shows it.

use crate::analyse::memory::CellMemory;
use crate::analyse::run_view::RunView;
use crate::store::{
    AttemptRow, BrowserRow, CapabilityRow, CellRow, JobRow, LogRow, MetricRow, OpRow, PastRow, RunRow,
    SampleRow, SessionRow, TraceRow,
};

/// One run, as stored and as viewed. `rows` and `view.cells` are the same cells in the same order.
#[derive(Clone, Debug, PartialEq)]
pub struct Dossier {
    /// What every report shows.
    pub view: RunView,
    /// The cells as stored.
    pub rows: Vec<CellRow>,
    /// Every try.
    pub attempts: Vec<AttemptRow>,
    /// Browser processes.
    pub sessions: Vec<SessionRow>,
    /// Timed inferences.
    pub samples: Vec<SampleRow>,
    /// Named numbers.
    pub metrics: Vec<MetricRow>,
    /// What the memory of its cells was for.
    pub memory: Vec<CellMemory>,
    /// What executed the ops.
    pub ops: Vec<OpRow>,
    /// What the probes found.
    pub capabilities: Vec<CapabilityRow>,
    /// What pages and drivers had to say.
    pub log: Vec<LogRow>,
    /// Where traced cells leave the oracle.
    pub traces: Vec<TraceRow>,
    /// What the pages that decided were given.
    pub jobs: Vec<JobRow>,
    /// Earlier runs of some of the same cells.
    pub past: Past,
}

/// Runs before one, as far as they had cells of its.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// The runs, oldest first.
    pub runs: Vec<RunRow>,
    /// Their cells, by run.
    pub cells: Vec<PastRow>,
    /// The browsers of the last one.
    pub browsers: Vec<BrowserRow>,
    /// The timed inferences of the last one.
    pub samples: Vec<SampleRow>,
}

impl From<RunView> for Dossier {
    /// A dossier with nothing behind the view.
    fn from(view: RunView) -> Self {
        Self {
            view,
            rows: Vec::new(),
            attempts: Vec::new(),
            sessions: Vec::new(),
            samples: Vec::new(),
            metrics: Vec::new(),
            memory: Vec::new(),
            ops: Vec::new(),
            capabilities: Vec::new(),
            log: Vec::new(),
            traces: Vec::new(),
            jobs: Vec::new(),
            past: Past::default(),
        }
    }
}
