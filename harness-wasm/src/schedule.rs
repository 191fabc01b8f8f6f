//! How often a page infers.

use webmatrix_engine::run::{Schedule, Until};
use webmatrix_wire::CellJob;

/// How often the job says to infer.
pub(crate) fn schedule(cell: &CellJob) -> Schedule {
    let until = cell.until.map(|until| Until { width: until.width, budget_ms: until.budget_ms });
    Schedule { warmup: cell.warmup, samples: cell.samples, until, memory_limit: cell.memory_limit }
}
