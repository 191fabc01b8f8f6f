//! Tables for people, in plain text.

mod claims;
mod ops;
mod times;

use std::collections::BTreeMap;
use std::fmt::Write;

use webmatrix_wire::{EvidenceGrade, Status};

use super::rows::{COSTS, COSTS_NOTE, costs_of};
use super::text::{address, visible};
use crate::analyse::comparison::Row;
use crate::analyse::frontier::{KEPT, loses};
use crate::analyse::run_view::RunView;
use crate::analyse::timed;
use crate::analyse::view::CellView;

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
        times::doubted(text, &view.cells)?;
        times::table(text, &view.cells)?;
        claims::claims(text, &view.claims)?;
    }
    writeln!(text, "{}", legend())
}

/// What words and signs in tables mean.
fn legend() -> String {
    LEGEND.replace("KEPT", &KEPT.to_string())
}

const LEGEND: &str = "\
`PASS` ran on hardware, agrees with the independent answer · `PASS (software)` the same on a GPU interface \
implemented on the CPU · `PASS (cpu)` on the CPU, as asked · `pass (fallback)` right, but not by the backend \
asked for · everything else is named by its status. `~` flaky: passed only on a retry. \
`≈ lossy`: computed right, and weights of this precision keep less than KEPT of what full precision gives (cosine, or \
choices that are the same). `⚠ doubted`: the CPU was as busy as for the cell that computes on it.
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
    let headings: Vec<String> = columns.iter().map(|column| escape(column)).collect();
    writeln!(text, "| | {} |", headings.join(" | "))?;
    writeln!(text, "|---|{}", "---|".repeat(columns.len()))?;
    for (line, words) in &lines {
        let words: Vec<&str> =
            columns.iter().map(|column| words.get(column).map_or("", String::as_str)).collect();
        writeln!(text, "| {} | {} |", escape(line), words.join(" | "))?;
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
    // A time is told where it is of what the cell claims.
    if let Some(ms) = cell.median_ms.filter(|_| status == Status::Pass && timed(cell.evidence).is_ok()) {
        let _written = write!(word, " {ms:.2} ms");
    }
    if let Some(cosine) = cell.accuracy.as_ref().and_then(|accuracy| accuracy.cosine) {
        let _written = write!(word, ", cos {cosine:.4}");
    }
    if loses(cell) {
        word.push_str(" ≈ lossy");
    }
    if cell.doubt.is_some() {
        word.push_str(" ⚠ doubted");
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
        writeln!(text, "| {reason} | {} | {} |", ids.len(), code(first))?;
    }
    text.push('\n');
    Ok(())
}

/// Text of browsers and users, made harmless inside a table: no markup, no HTML, no links, nobody mentioned, no new lines,
/// and what would not be seen written out.
pub(super) fn escape(text: &str) -> String {
    let text = visible(&text.replace(['\n', '\r', '\t'], " "));
    let mut escaped = String::with_capacity(text.len());
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        let rest = &text[at..];
        let after = rest.chars().nth(1).unwrap_or(' ');
        match c {
            // Between letters it is one.
            '_' if before.is_alphanumeric() && after.is_alphanumeric() => escaped.push(c),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '~' => escaped.extend(['\\', c]),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '$' => escaped.push_str("&#36;"),
            // What looks like an address is made a link, unless its parts are not next to one another.
            ':' if rest.starts_with("://") => escaped.push_str("&#58;"),
            '.' if ends_with_www(&escaped) => escaped.push_str("&#46;"),
            // Behind a letter nobody is meant.
            '@' if !before.is_alphanumeric() => escaped.push_str("@\u{200b}"),
            c => escaped.push(c),
        }
        before = c;
    }
    escaped
}

fn ends_with_www(text: &str) -> bool {
    text.as_bytes().last_chunk::<3>().is_some_and(|end| end.eq_ignore_ascii_case(b"www"))
}

/// An id as code.
fn code(id: &str) -> String {
    format!("`{}`", address(id))
}

/// What a step of a CI system may show of its summary, in bytes, with room for what others wrote there before.
const SUMMARY: usize = 900_000;

/// The runs in a sentence each, what is not green first: for the summary of a CI system's job, which holds only so much.
pub(super) fn summary(runs: &[&RunView]) -> String {
    let mut text = String::new();
    for view in runs {
        text.push_str(&format!("## webmatrix {}\n\n{}\n\n", escape(&view.run.matrix), sentence(view)));
        let mut body = String::new();
        // Writing to a string cannot fail.
        summary_of(&mut body, view).ok();
        text.push_str(&body);
    }
    cut(text, SUMMARY)
}

fn summary_of(text: &mut String, view: &RunView) -> std::fmt::Result {
    not_green(text, &view.cells)?;
    times::doubted(text, &view.cells)?;
    if !view.cells.is_empty() {
        matrix(text, &view.cells)?;
        costs(text, &view.costs)?;
    }
    if let Some(matrix) = &view.ops {
        ops::matrix(text, matrix)?;
    }
    writeln!(text, "{}", legend())
}

/// A run in a sentence.
fn sentence(view: &RunView) -> String {
    let statuses = view.cells.iter().map(|cell| cell.status);
    let ops = view.ops.iter().flat_map(|ops| &ops.cases).map(|case| case.status.parse().ok());
    let mut counts: BTreeMap<Option<Status>, usize> = BTreeMap::new();
    statuses.chain(ops).for_each(|status| *counts.entry(status).or_default() += 1);
    let told = counts.iter().map(|(status, count)| {
        format!("{count} {}", status.map_or("without a verdict", Status::as_str).replace('_', " "))
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() { "Nothing ran.".to_owned() } else { format!("Cases: {}.", told.join(", ")) }
}

/// As many whole lines as there is room for, and how many are left out.
fn cut(text: String, room: usize) -> String {
    if text.len() <= room {
        return text;
    }
    let fits = text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= room).map(|(at, _)| at).last();
    let kept = text[..fits.unwrap_or_default()].rfind('\n').map_or("", |end| &text[..=end]);
    let left = text[kept.len()..].lines().count();
    format!("{kept}\n{left} lines are left out, because a summary holds no more; the report has them.\n")
}
