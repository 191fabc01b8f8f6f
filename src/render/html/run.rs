//! What the page knows of a run as a whole: counts, changes, failures, browsers and what they can, charts.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::Value;
use webmatrix_wire::{EvidenceGrade, Status};

use super::claims::{Claim, claims};
use super::columns::{Cells, Coded, Numbers, look, numbers};
use super::headline;
use super::ops::{Ops, ops};
use super::pieces::{Tile, parsed, shell};
use crate::analyse::changes::{Changes, changes};
use crate::analyse::comparison;
use crate::analyse::dossier::{Dossier, Past};
use crate::analyse::frontier::{Frontier, frontiers};
use crate::analyse::ratios::{Beside, ratios};
use crate::analyse::view::CellView;
use crate::collect::is_unexpected;
use crate::render::rows::{COSTS, COSTS_NOTE, class, costs_of};
use crate::store::{BrowserRow, EnvironmentRow, PastRow, RunRow};

#[derive(Debug, Serialize)]
pub(super) struct Run<'a> {
    id: &'a str,
    matrix: &'a str,
    started: &'a str,
    ended: Option<&'a str>,
    interrupted: Option<bool>,
    exit_code: Option<u8>,
    headline: String,
    command: String,
    webmatrix: &'a str,
    harness: &'a str,
    environment: &'a [EnvironmentRow],
    browsers: &'a [BrowserRow],
    tiles: Vec<Tile>,
    changes: Option<Changes>,
    failures: Vec<Failure>,
    cells: Cells,
    capabilities: Vec<Capability<'a>>,
    ops: Option<Ops>,
    frontiers: Vec<Frontier>,
    ratios: Vec<Beside>,
    claims: Vec<Claim<'a>>,
    /// What cells save and cost: headings, lines, and what must be known to read them.
    costs: Option<Costs>,
    past: Vec<PastRun<'a>>,
    /// The first block of what stands behind its cells.
    behind: usize,
}

#[derive(Debug, Serialize)]
struct Costs {
    header: [&'static str; 7],
    lines: Vec<Cost>,
    note: &'static str,
}

#[derive(Debug, Serialize)]
struct Cost {
    /// How its verdict looks.
    class: String,
    cells: [String; 7],
}

/// Cells that did not pass for one reason.
#[derive(Debug, Serialize)]
struct Failure {
    status: String,
    reason: String,
    /// Whether it ran.
    bad: bool,
    cells: Vec<usize>,
}

/// A thing that a probe tried or was told.
#[derive(Debug, Serialize)]
struct Capability<'a> {
    browser: &'a str,
    area: &'a str,
    name: &'a str,
    present: bool,
    usable: bool,
    error: Option<&'a str>,
    facts: Value,
}

/// An earlier run, cell by cell of this one.
#[derive(Debug, Serialize)]
struct PastRun<'a> {
    id: &'a str,
    matrix: &'a str,
    started: &'a str,
    webmatrix: &'a str,
    /// All its cells, by how they look.
    counts: BTreeMap<&'static str, usize>,
    /// Empty for a cell that it did not have.
    looks: Coded,
    median: Numbers,
}

/// The run; `behind` is the number of its first block.
pub(super) fn run(dossier: &Dossier, behind: usize) -> Run<'_> {
    let RunRow { run, matrix, started_at, ended_at, exit_code, interrupted, .. } = &dossier.view.run;
    let cells = &dossier.view.cells;
    let capability = |row: &crate::store::CapabilityRow| parsed(row.facts.as_deref());
    Run {
        id: run,
        matrix,
        started: started_at,
        ended: ended_at.as_deref(),
        interrupted: *interrupted,
        exit_code: *exit_code,
        headline: headline(std::slice::from_ref(dossier)),
        command: command(&dossier.view.run.arguments),
        webmatrix: &dossier.view.run.webmatrix_version,
        harness: &dossier.view.run.harness,
        environment: &dossier.view.environment,
        browsers: &dossier.view.browsers,
        tiles: tiles(cells),
        changes: changes(dossier),
        failures: failures(cells),
        cells: Cells::of(dossier),
        capabilities: dossier
            .capabilities
            .iter()
            .map(|row| Capability {
                browser: &row.browser,
                area: &row.area,
                name: &row.name,
                present: row.present,
                usable: row.usable,
                error: row.error.as_deref(),
                facts: capability(row),
            })
            .collect(),
        ops: dossier.view.ops.as_ref().map(ops),
        frontiers: frontiers(dossier),
        ratios: ratios(dossier),
        claims: claims(dossier),
        costs: costs(&dossier.view.costs),
        past: past(cells, &dossier.past),
        behind,
    }
}

/// The command line of a run, as a shell takes it.
fn command(json: &str) -> String {
    let mut words = vec!["webmatrix".to_owned()];
    words.extend(serde_json::from_str::<Vec<String>>(json).unwrap_or_default());
    shell(&words)
}

fn costs(rows: &[comparison::Row]) -> Option<Costs> {
    let line = |row: &comparison::Row| Cost { class: class(row.status, row.evidence), cells: costs_of(row) };
    let lines: Vec<Cost> = rows.iter().map(line).collect();
    (!lines.is_empty()).then_some(Costs { header: COSTS, lines, note: COSTS_NOTE })
}

fn tiles(cells: &[CellView]) -> Vec<Tile> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let status = |status: Status| cells.iter().filter(|cell| cell.status == Some(status)).count();
    for cell in cells {
        *counts.entry(look(cell.status, cell.evidence)).or_default() += 1;
    }
    let tile = |class, look: &'static str, label| Tile {
        class,
        count: counts.get(look).copied().unwrap_or_default(),
        label,
        look,
    };
    let impossible = status(Status::NotApplicable);
    let mut tiles = vec![
        tile("good", "hardware", "proven on hardware"),
        tile("good", "software", "proven on a software GPU"),
        tile("good", "cpu", "proven on the CPU"),
        tile("", "fallback", "right by fallback"),
        tile("bad", "bad", "ran and failed"),
        tile("", "lack", "unsupported by the browser"),
        tile("", "absent", "not on this machine"),
        tile("", "unproven", "right, with nothing real behind it"),
        tile("", "none", "skipped, not built yet, or cannot exist"),
        tile("", "open", "without a verdict"),
    ];
    if impossible > 0 && impossible == counts.get("none").copied().unwrap_or_default() {
        tiles[8].label = "cannot exist";
    }
    tiles.retain(|tile| tile.count > 0);
    tiles
}

/// Cells that are neither proven nor impossible, by status and reason, in the plan's order.
fn failures(cells: &[CellView]) -> Vec<Failure> {
    let mut failures: Vec<Failure> = Vec::new();
    let mut places: HashMap<(Option<Status>, &str), usize> = HashMap::new();
    let is_told = |cell: &CellView| !cell.is_green() && cell.status != Some(Status::NotApplicable);
    for (at, cell) in cells.iter().enumerate().filter(|(_, cell)| is_told(cell)) {
        let reason = cell.error.as_deref().unwrap_or_default();
        let place = *places.entry((cell.status, reason)).or_insert_with(|| {
            failures.push(Failure {
                status: cell.status.map_or_else(|| "no verdict".to_owned(), |status| status.to_string()),
                reason: reason.to_owned(),
                bad: cell.status.is_some_and(is_unexpected),
                cells: Vec::new(),
            });
            failures.len() - 1
        });
        failures[place].cells.push(at);
    }
    // What ran and failed comes first: it is what someone must look at.
    failures.sort_by_key(|failure| !failure.bad);
    failures
}

fn past<'a>(cells: &[CellView], past: &'a Past) -> Vec<PastRun<'a>> {
    let mut by_run: HashMap<&str, HashMap<&str, &PastRow>> = HashMap::new();
    for row in &past.cells {
        by_run.entry(&row.run).or_default().insert(&row.cell, row);
    }
    let looked = |row: &PastRow| {
        let status = row.status.as_ref().and_then(|status| status.parse().ok());
        let evidence = row.evidence.as_ref().and_then(|grade| grade.parse().ok());
        look(status, evidence.unwrap_or(EvidenceGrade::None))
    };
    let one = |run: &'a RunRow| {
        let rows = by_run.remove(run.run.as_str()).unwrap_or_default();
        let mut counts = BTreeMap::new();
        for row in rows.values() {
            *counts.entry(looked(row)).or_default() += 1;
        }
        let own = || cells.iter().map(|cell| rows.get(cell.id.as_str()));
        PastRun {
            id: &run.run,
            matrix: &run.matrix,
            started: &run.started_at,
            webmatrix: &run.webmatrix_version,
            counts,
            looks: Coded::of(own().map(|row| row.map_or("", |row| looked(row)))),
            median: numbers(own().map(|row| row.and_then(|row| row.median_ms))),
        }
    };
    past.runs.iter().map(one).collect()
}
