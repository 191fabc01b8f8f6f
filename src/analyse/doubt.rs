//! Times beside their cells, and which of these they speak against.

use std::collections::HashMap;

use webmatrix_wire::Backend;

use super::speed::timed;
use super::timing::TimingView;
use super::view::CellView;
use crate::plan::{Cell, DEFAULT_PROFILE};
use crate::store::TimingRow;

/// Puts times with their cells, and marks those whose CPU time says that they computed elsewhere than they claim.
pub fn with_timings(cells: &mut [CellView], rows: &[TimingRow]) {
    let by_cell: HashMap<&str, &TimingRow> = rows.iter().map(|row| (row.cell.as_str(), row)).collect();
    let doubts: Vec<Option<String>> = cells.iter().map(|cell| doubt(cell, cells, &by_cell)).collect();
    for (cell, doubt) in cells.iter_mut().zip(doubts) {
        cell.timing = by_cell.get(cell.id.as_str()).map(|row| TimingView::of(row));
        cell.median_ms = match (&cell.timing, cell.median_ms) {
            (Some(timing), Some(_)) => Some(timing.p50),
            (_, median_ms) => median_ms,
        };
        cell.doubt = doubt;
    }
}

/// Of the wasm cell's CPU time, a device's cell may take this part: compiling shaders and copying cost some.
const LIKE: f64 = 0.8;
/// The wasm cell's CPU time tells of inferences if they are this part of it at least.
const INFERRING: f64 = 0.5;
/// Less CPU time than this, in milliseconds, tells of nothing but starting up.
const LEAST_MS: f64 = 500.0;

/// What speaks against a cell's having computed on a device: the CPU was as busy as the wasm cell's.
///
/// It takes nothing from the verdict: a device's driver may well be busy. Software adapters say themselves what they are.
fn doubt(cell: &CellView, cells: &[CellView], times: &HashMap<&str, &TimingRow>) -> Option<String> {
    let claims = timed(cell.evidence).is_ok() && cell.is_green();
    let id: Cell = cell.id.parse().ok().filter(|id: &Cell| {
        claims && matches!(id.backend, Backend::WebGpu | Backend::WebNn | Backend::NativeGpu)
    })?;
    let backend = if id.is_native() { Backend::NativeCpu } else { Backend::Wasm };
    let beside = Cell { backend, profile: DEFAULT_PROFILE.to_owned(), ..id }.to_string();
    let beside = cells.iter().find(|other| other.id == beside && other.is_green())?;
    let (own, other) = (times.get(cell.id.as_str())?, times.get(beside.id.as_str())?);
    let (own_cpu, other_cpu) = (own.cpu_ms?, other.cpu_ms?);
    let tells = own.samples == other.samples
        && other_cpu >= LEAST_MS
        && other.inferring_ms >= INFERRING * other_cpu
        && own_cpu >= LIKE * other_cpu;
    tells.then(|| {
        format!(
            "its processes computed {own_cpu:.0} ms on the CPU, those of the {backend} cell {other_cpu:.0} ms: it may have \
             run there"
        )
    })
}

#[cfg(test)]
mod tests {
    use webmatrix_wire::EvidenceGrade;

    use super::*;
    use crate::analyse::comparison::tests::view as passed;

    fn view(backend: &str, evidence: EvidenceGrade) -> CellView {
        let id = format!("chromium/bert@base/webmatrix/{backend}/fp32/default");
        CellView { median_ms: Some(100.04), ..passed(&id, evidence) }
    }

    fn row(cell: &CellView, inferring_ms: f64, cpu_ms: f64) -> TimingRow {
        let p50 = inferring_ms / 10.0;
        TimingRow {
            cell: cell.id.clone(),
            samples: 10,
            p50,
            p75: p50,
            p90: p50,
            p95: p50,
            p99: p50,
            mad: 0.0,
            outliers: 0,
            low: p50,
            high: p50,
            warmups: 1,
            rested: None,
            inferring_ms,
            cpu_ms: Some(cpu_ms),
            timer_step_us: Some(100.0),
        }
    }

    /// Which of a wasm cell and one that claims a device is doubted.
    fn doubted(evidence: EvidenceGrade, wasm: (f64, f64), device_cpu: f64) -> (bool, bool) {
        let mut cells = [view("wasm", EvidenceGrade::Cpu), view("webgpu", evidence)];
        let rows = [row(&cells[0], wasm.0, wasm.1), row(&cells[1], 50.0, device_cpu)];
        with_timings(&mut cells, &rows);
        (cells[0].doubt.is_some(), cells[1].doubt.is_some())
    }

    #[test]
    fn a_device_that_costs_the_cpu_as_much_as_wasm_is_doubted() {
        use EvidenceGrade::{Hardware, Software};
        assert_eq!(doubted(Hardware, (5000.0, 6000.0), 5500.0), (false, true));
        assert_eq!(doubted(Hardware, (5000.0, 6000.0), 1500.0), (false, false));
        assert_eq!(doubted(Software, (5000.0, 6000.0), 5500.0), (false, false), "it says so itself");
        assert_eq!(doubted(Hardware, (50.0, 6000.0), 5500.0), (false, false), "starting up is most of both");
        assert_eq!(doubted(Hardware, (200.0, 300.0), 290.0), (false, false), "too little to tell");
    }

    #[test]
    fn a_median_is_no_finer_than_its_clock() {
        let mut cells = [view("wasm", EvidenceGrade::Cpu)];
        let rows = [TimingRow { p50: 100.04, ..row(&cells[0], 1.0, 1.0) }];
        with_timings(&mut cells, &rows);
        assert_eq!(cells[0].median_ms, Some(100.0));
    }
}
