//! What the template shows of a run: tiles, the matrix, failures, browsers, facts.

use std::collections::BTreeMap;

use serde::Serialize;
use webmatrix_wire::{EvidenceGrade, Status};

use super::ops::{Ops, ops};
use crate::analyse::comparison;
use crate::analyse::dossier::Dossier;
use crate::analyse::view::CellView;
use crate::collect::is_unexpected;
use crate::render::comparison::{COSTS, COSTS_NOTE, class, costs_of};
use crate::store::CapabilityRow;

/// Cells named for one reason, before the rest is counted.
const NAMED: usize = 4;

#[derive(Debug, Serialize)]
pub(super) struct Run {
    id: String,
    matrix: String,
    started: String,
    tiles: Vec<Tile>,
    statuses: Vec<String>,
    grades: Vec<String>,
    groups: Vec<Group>,
    rows: Vec<Row>,
    /// What cells save and cost: headings, lines, and what must be known to read them.
    costs: Option<Costs>,
    failures: Vec<Failure>,
    ops: Option<Ops>,
    browsers: Vec<Browser>,
    facts: Vec<Fact>,
}

#[derive(Debug, Serialize)]
pub(super) struct Tile {
    pub(super) class: &'static str,
    pub(super) count: usize,
    pub(super) label: &'static str,
}

/// A browser's columns.
#[derive(Debug, Serialize)]
struct Group {
    browser: String,
    version: String,
    columns: Vec<Column>,
}

/// A backend of a browser.
#[derive(Debug, Serialize)]
struct Column {
    backend: String,
    label: String,
}

#[derive(Debug, Serialize)]
struct Row {
    model: String,
    rest: String,
    cells: Vec<Slot>,
}

/// A place in the matrix, empty where no cell was planned.
#[derive(Debug, Default, Serialize)]
struct Slot {
    first: bool,
    id: String,
    index: usize,
    class: String,
    symbol: &'static str,
    label: String,
    status: String,
    evidence: String,
    search: String,
    aria: String,
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

#[derive(Debug, Serialize)]
struct Failure {
    ids: Vec<String>,
    more: usize,
    status: String,
    reason: String,
}

#[derive(Debug, Serialize)]
struct Browser {
    label: String,
    version: String,
    problem: Option<String>,
    webgpu: String,
    webnn: String,
    wasm: String,
}

#[derive(Debug, Serialize)]
struct Fact {
    name: String,
    value: String,
}

/// The run; `first` is the number of its first cell in the page's data.
pub(super) fn run(dossier: &Dossier, first: usize) -> Run {
    let cells = &dossier.view.cells;
    let run = &dossier.view.run;
    let groups = groups(cells);
    let mut facts = vec![
        Fact { name: "run".into(), value: run.run.clone() },
        Fact { name: "command line".into(), value: arguments(&run.arguments) },
        Fact {
            name: "webmatrix".into(),
            value: format!("{}, harness {}", run.webmatrix_version, run.harness),
        },
    ];
    facts.extend(
        dossier
            .view
            .environment
            .iter()
            .map(|fact| Fact { name: fact.name.clone(), value: fact.value.clone() }),
    );
    Run {
        id: run.run.clone(),
        matrix: format!("{} matrix", run.matrix),
        started: run.started_at.get(..16).unwrap_or_default().replace('T', " ") + " UTC",
        tiles: tiles(cells),
        statuses: distinct(cells.iter().map(status_name)),
        grades: distinct(cells.iter().map(|cell| cell.evidence.to_string())),
        rows: rows(cells, &groups, first),
        groups,
        costs: costs(&dossier.view.costs),
        failures: failures(cells),
        ops: dossier.view.ops.as_ref().map(ops),
        browsers: browsers(dossier),
        facts,
    }
}

fn costs(rows: &[comparison::Row]) -> Option<Costs> {
    let line = |row: &comparison::Row| Cost { class: class(row.status, row.evidence), cells: costs_of(row) };
    let lines: Vec<Cost> = rows.iter().map(line).collect();
    (!lines.is_empty()).then_some(Costs { header: COSTS, lines, note: COSTS_NOTE })
}

fn arguments(json: &str) -> String {
    let words: Vec<String> = serde_json::from_str(json).unwrap_or_default();
    format!("webmatrix {}", words.join(" "))
}

fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    names.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

fn status_name(cell: &CellView) -> String {
    cell.status.map_or_else(|| "no verdict".to_owned(), |status| status.to_string())
}

fn tiles(cells: &[CellView]) -> Vec<Tile> {
    let tile = |class, label, test: &dyn Fn(&CellView) -> bool| Tile {
        class,
        label,
        count: cells.iter().filter(|cell| test(cell)).count(),
    };
    let graded = |grade| move |cell: &CellView| cell.is_green() && cell.evidence == grade;
    let is = |status| move |cell: &CellView| cell.status == Some(status);
    [
        tile("good", "proven on hardware", &graded(EvidenceGrade::Hardware)),
        tile("good", "proven on a software GPU", &graded(EvidenceGrade::Software)),
        tile("good", "proven on the CPU", &graded(EvidenceGrade::Cpu)),
        tile("", "right by fallback", &graded(EvidenceGrade::Fallback)),
        tile("bad", "ran and failed", &|cell| cell.status.is_some_and(is_unexpected)),
        tile("", "unsupported by the browser", &is(Status::Unsupported)),
        tile("", "not on this machine", &is(Status::Unavailable)),
        tile("", "not built yet", &is(Status::NotImplemented)),
        tile("", "cannot exist", &is(Status::NotApplicable)),
        tile("", "without a verdict", &|cell| cell.status.is_none()),
    ]
    .into_iter()
    .filter(|tile| tile.count > 0)
    .collect()
}

/// Browsers and their backends, in the plan's order.
fn groups(cells: &[CellView]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for cell in cells {
        // A backend that cannot exist in this browser needs no column of its own.
        if cell.status == Some(Status::NotApplicable) {
            continue;
        }
        let at = groups.iter().position(|group| group.browser == cell.browser).unwrap_or_else(|| {
            let (browser, version) = (cell.browser.clone(), cell.browser_version.clone());
            groups.push(Group { browser, version, columns: Vec::new() });
            groups.len() - 1
        });
        if !groups[at].columns.iter().any(|column| column.backend == cell.backend) {
            groups[at].columns.push(Column { backend: cell.backend.clone(), label: cell.backend.clone() });
        }
    }
    for group in &mut groups {
        let mut own = cells.iter().filter(|cell| cell.browser == group.browser);
        if own.all(|cell| matches!(cell.status, Some(Status::Unavailable | Status::NotApplicable))) {
            // One column says that the browser is absent as well as three.
            group.columns.truncate(1);
            group.columns.iter_mut().for_each(|column| column.label = "any".to_owned());
        }
    }
    // Absent browsers stand last: what was measured is read first.
    groups.sort_by_key(|group| group.columns.iter().all(|column| column.label == "any"));
    groups
}

fn rows(cells: &[CellView], groups: &[Group], first: usize) -> Vec<Row> {
    let key = |cell: &CellView| {
        let mut rest = format!("{} {}", cell.size, cell.precision);
        if cell.profile != "default" {
            rest = format!("{rest} {}", cell.profile);
        }
        if cell.runtime != "webmatrix" {
            rest = format!("{rest} {}", cell.runtime);
        }
        (cell.model.clone(), rest)
    };
    let mut order: Vec<(String, String)> = Vec::new();
    let mut by_place: BTreeMap<(usize, &str, &str), usize> = BTreeMap::new();
    for (index, cell) in cells.iter().enumerate() {
        let key = key(cell);
        let row = order.iter().position(|known| *known == key).unwrap_or_else(|| {
            order.push(key);
            order.len() - 1
        });
        by_place.insert((row, &cell.browser, &cell.backend), index);
    }
    let columns: Vec<(&str, usize, &str)> = groups
        .iter()
        .flat_map(|group| {
            let backends = group.columns.iter().map(|column| column.backend.as_str()).enumerate();
            backends.map(|(at, backend)| (group.browser.as_str(), at, backend))
        })
        .collect();
    order
        .into_iter()
        .enumerate()
        .map(|(row, (model, rest))| Row {
            model,
            rest,
            cells: columns
                .iter()
                .map(|&(browser, at, backend)| match by_place.get(&(row, browser, backend)) {
                    Some(&index) => slot(&cells[index], first + index, at == 0),
                    None => Slot { first: at == 0, ..Slot::default() },
                })
                .collect(),
        })
        .collect()
}

fn slot(cell: &CellView, index: usize, first: bool) -> Slot {
    let status = status_name(cell);
    let time = cell.median_ms.map_or_else(|| "right".to_owned(), milliseconds);
    let (class, symbol, label) = match cell.status {
        Some(Status::Pass) if cell.is_green() => match cell.evidence {
            // A software GPU's time is no statement about speed, so none is shown at a glance.
            EvidenceGrade::Software => ("pass software".to_owned(), "✓", "sw".to_owned()),
            EvidenceGrade::Fallback => ("pass fallback".to_owned(), "✓", "fb".to_owned()),
            grade => (format!("pass {grade}"), "✓", time),
        },
        Some(Status::Pass) => ("none".to_owned(), "?", cell.evidence.to_string()),
        Some(status) if is_unexpected(status) => ("bad".to_owned(), "✗", status.to_string()),
        Some(Status::Unsupported) => ("lack".to_owned(), "–", "lacks".to_owned()),
        Some(Status::Unavailable) => ("absent".to_owned(), "…", "away".to_owned()),
        Some(Status::NotImplemented) => ("none".to_owned(), "·", "not built".to_owned()),
        Some(Status::NotApplicable) => ("none".to_owned(), "·", "n/a".to_owned()),
        Some(other) => ("none".to_owned(), "·", other.to_string()),
        None => ("none".to_owned(), "?", "no verdict".to_owned()),
    };
    // What a quantised model is asked first is what it still knows.
    let cosine = cell.accuracy.as_ref().and_then(|accuracy| accuracy.cosine).filter(|_| cell.is_green());
    let label = cosine.map_or(label, |cosine| format!("cos {cosine:.4}"));
    let flaky = if cell.flaky { " flaky" } else { "" };
    let mut aria = format!("{} {} on {} {}: {status}", cell.model, cell.size, cell.browser, cell.backend);
    if cell.evidence != EvidenceGrade::None {
        aria = format!("{aria}, evidence {}", cell.evidence);
    }
    Slot {
        first,
        id: cell.id.clone(),
        index,
        class: format!("{class}{flaky}"),
        symbol,
        label,
        status,
        evidence: cell.evidence.to_string(),
        search: format!("{} {}", cell.id, cell.error.as_deref().unwrap_or_default()).to_lowercase(),
        aria,
    }
}

/// Three significant digits: more would claim more than a noisy clock can say.
fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms >= 100.0 => format!("{ms:.0} ms"),
        ms if ms >= 10.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.2} ms"),
    }
}

/// An id without what is the same everywhere.
fn short(id: &str) -> String {
    id.replacen("/webmatrix/", "/", 1).trim_end_matches("/default").to_owned()
}

/// Cells that are neither proven nor impossible, by status and reason, in the plan's order.
fn failures(cells: &[CellView]) -> Vec<Failure> {
    let mut failures: Vec<Failure> = Vec::new();
    for cell in cells.iter().filter(|cell| !cell.is_green() && cell.status != Some(Status::NotApplicable)) {
        let (status, reason) = (status_name(cell), cell.error.clone().unwrap_or_default());
        match failures.iter_mut().find(|known| known.status == status && known.reason == reason) {
            Some(known) if known.ids.len() < NAMED => known.ids.push(short(&cell.id)),
            Some(known) => known.more += 1,
            None => failures.push(Failure { ids: vec![short(&cell.id)], more: 0, status, reason }),
        }
    }
    // What ran and failed comes first: it is what someone must look at.
    failures.sort_by_key(|failure| !failure.status.parse().is_ok_and(is_unexpected));
    failures
}

fn browsers(dossier: &Dossier) -> Vec<Browser> {
    let of = |label: &str, area: &str| -> Vec<&CapabilityRow> {
        dossier.capabilities.iter().filter(|row| row.browser == label && row.area == area).collect()
    };
    dossier
        .view
        .browsers
        .iter()
        .map(|browser| Browser {
            label: browser.label.clone(),
            version: browser.version.clone(),
            problem: browser.problem.clone(),
            webgpu: tried(&of(&browser.label, "webgpu")),
            webnn: tried(&of(&browser.label, "webnn")),
            wasm: had(&of(&browser.label, "wasm")),
        })
        .collect()
}

/// What was tried: what worked by name, what did not in the browser's words.
fn tried(rows: &[&CapabilityRow]) -> String {
    if rows.is_empty() {
        return "not probed".to_owned();
    }
    let usable: Vec<&str> = rows.iter().filter(|row| row.usable).map(|row| row.name.as_str()).collect();
    let mut words: Vec<String> = Vec::new();
    if !usable.is_empty() {
        words.push(format!("computes ({})", usable.join(", ")));
    }
    for row in rows.iter().filter(|row| !row.usable) {
        let why = row.error.as_deref().unwrap_or("no reason given");
        if !words.iter().any(|known| known.ends_with(why)) {
            words.push(format!("{}: {why}", row.name));
        }
    }
    words.join("; ")
}

fn had(rows: &[&CapabilityRow]) -> String {
    let names: Vec<&str> = rows.iter().filter(|row| row.usable).map(|row| row.name.as_str()).collect();
    if names.is_empty() { "not probed".to_owned() } else { names.join(", ") }
}
