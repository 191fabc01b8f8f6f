//! How long cells take and which are doubted, in plain text.

use std::fmt::{Result, Write};

use super::{code, escape};
use crate::analyse::view::CellView;
use crate::analyse::{TimingView, timed};
use crate::render::text::rounded;

const COLUMNS: [&str; 11] = [
    "cell",
    "timed",
    "p50 ms",
    "p75",
    "p90",
    "p95",
    "p99",
    "MAD",
    "outliers",
    "clock's step µs",
    "before them",
];

/// Proven cells whose CPU time says that they computed elsewhere than they claim, a line each.
pub(super) fn doubted(text: &mut String, cells: &[CellView]) -> Result {
    let doubted: Vec<(&CellView, &String)> =
        cells.iter().filter_map(|cell| Some((cell, cell.doubt.as_ref()?))).collect();
    if doubted.is_empty() {
        return Ok(());
    }
    writeln!(text, "## Doubted\n\n| cell | why |\n|---|---|")?;
    for (cell, why) in doubted {
        writeln!(text, "| {} | {} |", code(&cell.id), escape(why))?;
    }
    writeln!(
        text,
        "\nThey passed, and a doubt takes nothing from that: a device's driver may well be busy.\n"
    )
}

/// The times of cells that were timed on what they claim, a line each.
pub(super) fn table(text: &mut String, cells: &[CellView]) -> Result {
    let told = |cell: &&CellView| cell.is_green() && timed(cell.evidence).is_ok();
    let timed: Vec<(&CellView, &TimingView)> =
        cells.iter().filter(told).filter_map(|cell| Some((cell, cell.timing.as_ref()?))).collect();
    if timed.is_empty() {
        return Ok(());
    }
    // Only where the processes can be seen.
    let cpu = timed.iter().any(|(_, timing)| timing.cpu_ms.is_some());
    let last = if cpu { " CPU ms |" } else { "" };
    writeln!(text, "## Times\n\n| {} |{last}", COLUMNS.join(" | "))?;
    writeln!(text, "|{}", "---|".repeat(COLUMNS.len() + usize::from(cpu)))?;
    for (cell, timing) in timed {
        write!(text, "| {} | {} |", code(&cell.id), timing.samples)?;
        for ms in [timing.p50, timing.p75, timing.p90, timing.p95, timing.p99, timing.mad] {
            write!(text, " {} |", number(Some(ms)))?;
        }
        write!(text, " {} | {} | {} |", timing.outliers, number(timing.timer_step_us), before(timing))?;
        let cpu = if cpu { format!(" {} |", number(timing.cpu_ms)) } else { String::new() };
        writeln!(text, "{cpu}")?;
    }
    writeln!(text, "\n{NOTE}\n")
}

const NOTE: &str = "\
Milliseconds of the timed inferences, none finer than the clock's step. Outliers lie beyond three quartile ranges of the \
quartiles and take part in everything. CPU is what the cell's processes computed over the whole attempt.";

/// What came before the timed ones.
fn before(timing: &TimingView) -> String {
    let rest = match timing.rested {
        Some(true) => ", until times rested",
        Some(false) => ", and times did not rest",
        None => "",
    };
    format!("{} warm-up{}{rest}", timing.warmups, if timing.warmups == 1 { "" } else { "s" })
}

/// Four digits, as everywhere.
fn number(value: Option<f64>) -> String {
    value.and_then(rounded).map(|value| value.to_string()).unwrap_or_default()
}
