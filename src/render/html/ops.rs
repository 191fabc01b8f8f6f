//! The op matrix of a run, for the page.

use serde::Serialize;
use webmatrix_wire::{EvidenceGrade, Status};

use super::pieces::Tile;
use crate::analyse::op_matrix::{OpCell, OpColumn, OpMatrix};
use crate::collect::{is_real, is_unexpected};
use crate::store::OpCaseRow;

#[derive(Debug, Serialize)]
pub(super) struct Ops {
    pub(super) tiles: Vec<Tile>,
    groups: Vec<Group>,
    /// Browsers whose WebNN context tells its limits.
    limits: Vec<String>,
    rows: Vec<Row>,
    failures: Vec<Failure>,
    cases: Vec<Case>,
}

/// A browser's columns.
#[derive(Debug, Serialize)]
struct Group {
    browser: String,
    version: String,
    backends: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    op: String,
    dtype: String,
    cells: Vec<Slot>,
    limits: Vec<Limit>,
}

#[derive(Debug, Default, Serialize)]
struct Slot {
    class: String,
    label: String,
    title: String,
}

/// Whether a context takes the row's type.
#[derive(Debug, Serialize)]
struct Limit {
    class: &'static str,
    label: String,
    title: String,
}

#[derive(Debug, Serialize)]
struct Failure {
    place: String,
    ops: String,
    status: String,
    reason: String,
}

/// A case on every backend.
#[derive(Debug, Serialize)]
struct Case {
    name: String,
    dtype: String,
    cells: Vec<String>,
}

pub(super) fn ops(matrix: &OpMatrix) -> Ops {
    let rows = matrix.rows.iter().enumerate().map(|(at, row)| Row {
        op: row.op.clone(),
        dtype: row.dtype.clone(),
        cells: row.cells.iter().map(|cell| cell.as_ref().map(slot).unwrap_or_default()).collect(),
        limits: matrix.limits.iter().map(|limits| limit(limits.ops[at].as_deref(), &row.dtype)).collect(),
    });
    Ops {
        tiles: tiles(&matrix.cases),
        groups: groups(&matrix.columns),
        limits: matrix.limits.iter().map(|limits| limits.browser.clone()).collect(),
        rows: rows.collect(),
        failures: failures(matrix),
        cases: cases(matrix),
    }
}

fn groups(columns: &[OpColumn]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for column in columns {
        match groups.last_mut().filter(|group| group.browser == column.browser) {
            Some(group) => group.backends.push(column.backend.clone()),
            None => groups.push(Group {
                browser: column.browser.clone(),
                version: column.browser_version.clone(),
                backends: vec![column.backend.clone()],
            }),
        }
    }
    groups
}

fn slot(cell: &OpCell) -> Slot {
    // How much of its tolerance the worst element uses: the number that a kernel is judged by.
    let used = cell.ratio.map_or_else(|| "right".to_owned(), |ratio| format!("{:.0} %", ratio * 100.0));
    let (class, label) = match cell.status {
        Some(Status::Pass) if cell.is_green() => (format!("pass {}", cell.evidence), format!("✓ {used}")),
        Some(Status::Pass) | None => ("none".to_owned(), "? unproven".to_owned()),
        Some(status) if is_unexpected(status) => ("bad".to_owned(), format!("✗ {status}")),
        Some(Status::Unsupported) => ("lack".to_owned(), "– lacks".to_owned()),
        Some(Status::Unavailable) => ("absent".to_owned(), "… away".to_owned()),
        Some(other) => ("none".to_owned(), format!("· {other}")),
    };
    let flaky = if cell.flaky { " flaky" } else { "" };
    let mut title = format!("{} of {} cases proven", cell.proven, cell.cases);
    if cell.evidence != EvidenceGrade::None {
        title.push_str(&format!(", evidence {}", cell.evidence));
    }
    if let Some(max_abs) = cell.max_abs {
        title.push_str(&format!(", max abs {max_abs:.2e}"));
    }
    if let Some(error) = &cell.error {
        title.push_str(&format!("; {error}"));
    }
    Slot { class: format!("{class}{flaky}"), label, title }
}

/// What a browser says of itself is no proof: never green.
fn limit(taken: Option<&[String]>, dtype: &str) -> Limit {
    match taken {
        None => Limit { class: "none", label: "made of others".to_owned(), title: String::new() },
        Some(types) if types.iter().any(|known| known == dtype) => {
            Limit { class: "lack", label: "takes it".to_owned(), title: types.join(" ") }
        }
        Some(types) => Limit { class: "none", label: "does not".to_owned(), title: types.join(" ") },
    }
}

fn tiles(cases: &[OpCaseRow]) -> Vec<Tile> {
    let tile = |class, label, test: &dyn Fn(Status, EvidenceGrade) -> bool| Tile {
        class,
        label,
        look: "",
        count: cases
            .iter()
            .filter_map(|case| Some((case.status.parse().ok()?, case.evidence.parse().ok()?)))
            .filter(|(status, grade)| test(*status, *grade))
            .count(),
    };
    let graded = |wanted| move |status, grade| status == Status::Pass && grade == wanted && is_real(grade);
    let is = |wanted| move |status, _| status == wanted;
    let tiles = [
        tile("good", "op cases proven on hardware", &graded(EvidenceGrade::Hardware)),
        tile("good", "op cases proven on a software GPU", &graded(EvidenceGrade::Software)),
        tile("good", "op cases proven on the CPU", &graded(EvidenceGrade::Cpu)),
        tile("", "op cases right by fallback", &graded(EvidenceGrade::Fallback)),
        tile("bad", "op cases ran and failed", &|status, _| is_unexpected(status)),
        tile("", "op cases unsupported by the browser", &is(Status::Unsupported)),
        tile("", "op cases not on this machine", &is(Status::Unavailable)),
    ];
    tiles.into_iter().filter(|tile| tile.count > 0).collect()
}

/// Ops that are not proven, by backend and reason.
fn failures(matrix: &OpMatrix) -> Vec<Failure> {
    let mut failures: Vec<(bool, Failure)> = Vec::new();
    for (at, column) in matrix.columns.iter().enumerate() {
        for row in &matrix.rows {
            let Some(cell) = row.cells[at].as_ref().filter(|cell| !cell.is_green()) else { continue };
            let place = format!("{} {}", column.browser, column.backend);
            let status = cell.status.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
            let reason = cell.error.clone().unwrap_or_default();
            let op = format!("{} {}", row.op, row.dtype);
            let known = failures.iter_mut().find(|(_, known)| {
                (&known.place, &known.status, &known.reason) == (&place, &status, &reason)
            });
            match known {
                Some((_, known)) => known.ops.push_str(&format!(", {op}")),
                None => {
                    let calm = !cell.status.is_some_and(is_unexpected);
                    failures.push((calm, Failure { place, ops: op, status, reason }));
                }
            }
        }
    }
    // What ran and failed comes first: it is what someone must look at.
    failures.sort_by_key(|(calm, _)| *calm);
    for (_, failure) in &mut failures {
        // Where everything has one reason, the names say nothing.
        if failure.ops.matches(", ").count() + 1 == matrix.rows.len() {
            failure.ops = "every op".to_owned();
        }
    }
    failures.into_iter().map(|(_, failure)| failure).collect()
}

fn cases(matrix: &OpMatrix) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for row in &matrix.cases {
        let column = matrix
            .columns
            .iter()
            .position(|column| (&column.browser, &column.backend) == (&row.browser, &row.backend));
        let at = *places.entry(row.case.as_str()).or_insert_with(|| {
            let cells = vec![String::new(); matrix.columns.len()];
            cases.push(Case { name: row.case.clone(), dtype: row.dtype.clone(), cells });
            cases.len() - 1
        });
        if let Some(column) = column {
            cases[at].cells[column] = match row.max_abs {
                Some(max_abs) => format!("{} {max_abs:.1e}", row.status),
                None => row.status.clone(),
            };
        }
    }
    cases
}
