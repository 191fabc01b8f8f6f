//! Tables for people, in plain text.

mod ops;

use std::collections::BTreeMap;
use std::fmt::Write;

use webmatrix_wire::{EvidenceGrade, Status};

use super::comparison::{COSTS, COSTS_NOTE, costs_of};
use crate::analyse::comparison::Row;
use crate::analyse::view::{CellView, RunView};

pub(super) fn render(runs: &[&RunView]) -> String {
    let mut text = String::new();
    for run in runs {
        // Writing to a string cannot fail.
        one(&mut text, run).ok();
    }
    text
}

fn one(text: &mut String, view: &RunView) -> std::fmt::Result {
    let run = &view.run;
    writeln!(text, "# {}: run {}\n", escape(&run.matrix), escape(&run.run))?;
    let end = match (&run.ended_at, run.interrupted) {
        (Some(at), Some(true)) => format!("interrupted {at}"),
        (Some(at), _) => format!("ended {at}"),
        (None, _) => "not ended".to_owned(),
    };
    writeln!(text, "Started {}, {end}. webmatrix {}.\n", run.started_at, escape(&run.webmatrix_version))?;
    for browser in &view.browsers {
        let what = match &browser.problem {
            Some(problem) => format!("unavailable: {}", escape(problem)),
            None => escape(&browser.version),
        };
        writeln!(text, "- {}: {what}", escape(&browser.label))?;
    }
    text.push('\n');
    if let Some(matrix) = &view.ops {
        ops::matrix(text, matrix)?;
    }
    if !view.cells.is_empty() || view.ops.is_none() {
        matrix(text, &view.cells)?;
        costs(text, &view.costs)?;
        not_green(text, &view.cells)?;
    }
    writeln!(text, "{LEGEND}")
}

const LEGEND: &str = "\
`PASS` ran on hardware, agrees with the independent answer · `PASS (software)` the same on a GPU interface \
implemented on the CPU · `PASS (cpu)` on the CPU, as asked · `pass (fallback)` right, but not by the backend \
asked for · everything else is named by its status. `~` flaky: passed only on a retry.
";

/// One table: a line a browser and backend, a column a model.
fn matrix(text: &mut String, cells: &[CellView]) -> std::fmt::Result {
    let mut columns: Vec<String> = Vec::new();
    let mut lines: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    for cell in cells {
        let column = format!("{}@{}", cell.model, cell.size);
        let mut name = format!("{} {}", cell.browser, cell.backend);
        if cell.precision != "fp32" || cell.profile != "default" {
            write!(name, " {} {}", cell.precision, cell.profile)?;
        }
        if !columns.contains(&column) {
            columns.push(column.clone());
        }
        let at = match lines.iter().position(|(line, _)| *line == name) {
            Some(at) => at,
            None => {
                lines.push((name, BTreeMap::new()));
                lines.len() - 1
            }
        };
        lines[at].1.insert(column, word(cell));
    }
    writeln!(text, "| | {} |", columns.join(" | "))?;
    writeln!(text, "|---|{}", "---|".repeat(columns.len()))?;
    for (line, words) in &lines {
        let words: Vec<&str> =
            columns.iter().map(|column| words.get(column).map_or("", String::as_str)).collect();
        writeln!(text, "| {line} | {} |", words.join(" | "))?;
    }
    text.push('\n');
    Ok(())
}

/// What cells save and cost, a line each.
fn costs(text: &mut String, rows: &[Row]) -> std::fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(text, "| {} |\n|{}", COSTS.join(" | "), "---|".repeat(COSTS.len()))?;
    for row in rows {
        writeln!(text, "| {} |", costs_of(row).map(|cell| escape(&cell)).join(" | "))?;
    }
    writeln!(text, "\n{COSTS_NOTE}\n")
}

fn word(cell: &CellView) -> String {
    let Some(status) = cell.status else { return "no verdict".to_owned() };
    let mut word = match (status, cell.evidence) {
        (Status::Pass, EvidenceGrade::Hardware) => "PASS".to_owned(),
        (Status::Pass, EvidenceGrade::Software | EvidenceGrade::Cpu) => format!("PASS ({})", cell.evidence),
        (Status::Pass, evidence) => format!("pass ({evidence})"),
        (status, _) => status.to_string(),
    };
    if cell.flaky {
        word.push('~');
    }
    if let Some(ms) = cell.median_ms.filter(|_| status == Status::Pass) {
        let _written = write!(word, " {ms:.2} ms");
    }
    if let Some(cosine) = cell.accuracy.as_ref().and_then(|accuracy| accuracy.cosine) {
        let _written = write!(word, ", cos {cosine:.4}");
    }
    word
}

/// Why each cell that is not green is not, one line a reason.
fn not_green(text: &mut String, cells: &[CellView]) -> std::fmt::Result {
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for cell in cells.iter().filter(|cell| !cell.is_green()) {
        let status = cell.status.map_or("no verdict", Status::as_str);
        let reason = format!("{status}: {}", escape(cell.error.as_deref().unwrap_or_default()));
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, ids)) => ids.push(&cell.id),
            None => reasons.push((reason, vec![&cell.id])),
        }
    }
    if reasons.is_empty() {
        return Ok(());
    }
    writeln!(text, "## Not green\n\n| why | cells | first |\n|---|---|---|")?;
    for (reason, ids) in &reasons {
        let first = ids.first().copied().unwrap_or_default();
        writeln!(text, "| {reason} | {} | `{first}` |", ids.len())?;
    }
    text.push('\n');
    Ok(())
}

/// Text of browsers and users, made harmless inside a table: no markup, no HTML, no new lines.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' => escaped.extend(['\\', c]),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
