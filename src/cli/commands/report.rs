//! `webmatrix report`: one or more runs as a document.

use std::path::{Path, PathBuf};

use webmatrix_wire::Precision;

use super::ledger;
use super::stored::{Texts, of_run};
use crate::analyse::comparison::{Kind, Row};
use crate::analyse::dossier::{Dossier, Past};
use crate::analyse::memory::memory;
use crate::analyse::op_matrix::op_matrix;
use crate::analyse::run_view::RunView;
use crate::analyse::view::CellView;
use crate::analyse::with_timings;
use crate::cli::args::{ReportArgs, View};
use crate::cli::config::Places;
use crate::cli::out;
use crate::error::{Exit, ExitStatus, Failure};
use crate::render::{Format, Rendered, documents};
use crate::store::{Database, ParquetCell, RunRow, RunSelection, StoreError};

pub(in crate::cli) fn run(args: &ReportArgs) -> Result<ExitStatus, Failure> {
    let claims = ledger::ledger(args.claims.as_deref())?;
    let database = Database::open_read_only(&args.db).exit(ExitStatus::BadData)?;
    let mut runs = dossiers(&database, &args.run, args.format).exit(ExitStatus::BadData)?;
    for run in &mut runs {
        if args.view == View::Matrix {
            run.view.costs = costs(&database, &run.view.run.run, args)?;
        }
        if let Some(precisions) = &args.precisions {
            only(run, precisions);
        }
        if args.precisions.is_some() && run.view.cells.is_empty() {
            let text = format!("run {} has no cell of these precisions", run.view.run.run);
            return Err(Failure::text(ExitStatus::BadData, text));
        }
    }
    // Whoever keeps the flag of runs in the environment means every browser.
    let browsers = args.browsers.as_ref().filter(|browsers| !browsers.iter().any(|label| label == "all"));
    if let Some(browsers) = browsers {
        runs.iter_mut().for_each(|run| only_browsers(run, browsers));
        if runs.iter().all(|run| run.view.cells.is_empty() && run.view.ops.is_none()) {
            let text =
                format!("no run has cells of {}: `--format jsonl` names its browsers", browsers.join(", "));
            return Err(Failure::text(ExitStatus::BadData, text));
        }
    }
    if args.format.shows_claims() && args.view == View::Full {
        for run in &mut runs {
            ledger::judge(&database, &args.db, &claims, run).exit(ExitStatus::BadData)?;
        }
    }
    if args.format == Format::Parquet {
        return parquet(&database, &runs, args);
    }
    let documents = documents(&runs, args.format).exit(ExitStatus::BadData)?;
    deliver(&documents, args)?;
    Ok(ExitStatus::AsExpected)
}

/// Earlier runs that a page shows beside one.
const PAST: u32 = 20;
/// Writes the cells as a Parquet file, which has no place on standard output.
fn parquet(database: &Database, runs: &[Dossier], args: &ReportArgs) -> Result<ExitStatus, Failure> {
    let name = format!("{}.{}", args.format.stem(), args.format.extension());
    let file = match &args.out {
        Some(path) if path.as_os_str() == "-" => {
            let text = "a Parquet file is no text: name it with --out FILE";
            return Err(Failure::text(ExitStatus::Usage, text));
        }
        Some(path) if is_folder(path) => path.join(name),
        Some(path) => path.clone(),
        None => args.db.with_file_name(name),
    };
    let row = |cell: &CellView| ParquetCell {
        run: cell.run.clone(),
        cell: cell.id.clone(),
        agrees: cell.agreement.as_ref().map(|agreement| agreement.ok),
        max_abs: cell.agreement.as_ref().map(|agreement| agreement.max_abs),
        max_rel: cell.agreement.as_ref().map(|agreement| agreement.max_rel),
        cosine: cell.agreement.as_ref().map(|agreement| agreement.cosine),
    };
    let cells: Vec<ParquetCell> = runs.iter().flat_map(|run| &run.view.cells).map(row).collect();
    if cells.is_empty() {
        let text =
            "a Parquet file has a row for each cell, and no run has any: op cases are in --format jsonl";
        return Err(Failure::text(ExitStatus::TooLittleEvidence, text));
    }
    database.write_parquet(&cells, &file).exit(ExitStatus::BadData)?;
    out::line(&file.display().to_string());
    Ok(ExitStatus::AsExpected)
}

fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/')
}

/// Where the documents go: several only into a folder, where what is of one browser has no other to stand for all.
fn deliver(documents: &[Rendered], args: &ReportArgs) -> Result<(), Failure> {
    let place = match &args.out {
        Some(path) if path.as_os_str() == "-" => Place::Output,
        Some(path) if is_folder(path) => Place::Folder(path.clone()),
        Some(path) => Place::File(path.clone()),
        None => match documents {
            [page] if args.format == Format::Html => Place::File(args.db.with_file_name(&page.name)),
            _ => Place::Output,
        },
    };
    let alone = || match documents {
        [] => Err(Failure::text(ExitStatus::TooLittleEvidence, "the run has nothing to report")),
        [_, _, ..] if args.format == Format::Wptreport => {
            let text =
                "a wptreport is of one browser: choose one with --browsers, or name a folder with --out DIR/";
            Err(Failure::text(ExitStatus::Usage, text))
        }
        [one, ..] => Ok(&one.text),
    };
    let keep = |file: PathBuf, text: &str| {
        out::file(&file, text).map_err(|error| {
            Failure::text(ExitStatus::BadData, format!("report {}: {error}", file.display()))
        })?;
        out::line(&file.display().to_string());
        Ok(())
    };
    match place {
        Place::Output => out::text(alone()?),
        Place::File(file) => keep(file, alone()?)?,
        Place::Folder(folder) => {
            for document in documents {
                keep(folder.join(&document.name), &document.text)?;
            }
        }
    }
    Ok(())
}

/// Where documents go.
enum Place {
    Output,
    File(PathBuf),
    Folder(PathBuf),
}

/// The runs that match, with what the format shows of them.
pub(super) fn dossiers(
    database: &Database,
    selection: &RunSelection,
    format: Format,
) -> Result<Vec<Dossier>, StoreError> {
    let runs = database.runs(selection)?.into_iter();
    let whole = format.shows_evidence() || format.shows_claims();
    runs.map(|row| dossier(database, row, whole)).collect()
}

/// A run as viewed; with everything behind its cells, if that is wanted.
pub(super) fn dossier(database: &Database, row: RunRow, whole: bool) -> Result<Dossier, StoreError> {
    let run = row.run.clone();
    let rows = database.cells(&run)?;
    let capabilities = database.capabilities(&run)?;
    let mut cells = CellView::all(&rows, &database.answers(&run)?);
    with_timings(&mut cells, &database.timings(&run)?);
    let view = RunView {
        run: row,
        environment: database.environment(&run)?,
        browsers: database.browsers(&run)?,
        cells,
        costs: Vec::new(),
        claims: Vec::new(),
        ops: op_matrix(database.op_cases(&run)?, &capabilities),
    };
    if !whole {
        return Ok(Dossier { capabilities, ..Dossier::from(view) });
    }
    Ok(Dossier {
        view,
        attempts: database.attempts(&run)?,
        sessions: database.sessions(&run)?,
        samples: database.samples(&run)?,
        metrics: database.metrics(&run)?,
        memory: memory(&rows, &database.memory(&run)?, &database.caches(&run)?),
        rows,
        ops: database.ops(&run)?,
        capabilities,
        log: database.log(&run)?,
        traces: database.traces(&run)?,
        jobs: database.jobs(&run)?,
        past: past(database, &run)?,
    })
}

/// Runs before this one that had cells of its, the last of them with what its cells are timed against.
fn past(database: &Database, run: &str) -> Result<Past, StoreError> {
    let cells = database.past(run, PAST)?;
    let mut ids: Vec<&str> = cells.iter().map(|row| row.run.as_str()).collect();
    ids.dedup();
    let mut runs = Vec::new();
    for id in &ids {
        runs.extend(database.runs(&RunSelection::Id((*id).to_owned()))?);
    }
    let Some(&last) = ids.last() else { return Ok(Past::default()) };
    let (browsers, samples) = (database.browsers(last)?, database.samples(last)?);
    Ok(Past { runs, cells, browsers, samples })
}

/// What the cells of a run save and cost. Uploaded outputs lie beside the database.
fn costs(database: &Database, run: &str, args: &ReportArgs) -> Result<Vec<Row>, Failure> {
    let out = args.db.parent().unwrap_or(Path::new(".")).to_owned();
    let places = Places { out, db: args.db.clone() };
    let all = of_run(database, &places, run, Kind::Precisions, &Texts::new(), |_| true)?;
    Ok(all.rows)
}

/// Leaves cells of other precisions out.
fn only(run: &mut Dossier, precisions: &[Precision]) {
    let wanted = |name: &str| precisions.iter().any(|precision| precision.as_str() == name);
    run.rows.retain(|row| wanted(&row.precision));
    run.view.cells.retain(|cell| wanted(&cell.precision));
    run.view.costs.retain(|row| wanted(&row.precision));
    run.past.cells.retain(|row| row.cell.split('/').nth(4).is_some_and(wanted));
}

/// Leaves other browsers out.
fn only_browsers(run: &mut Dossier, browsers: &[String]) {
    run.rows.retain(|row| browsers.contains(&row.browser));
    run.view.cells.retain(|cell| browsers.contains(&cell.browser));
    run.view.costs.retain(|row| browsers.contains(&row.browser));
    run.view.browsers.retain(|browser| browsers.contains(&browser.label));
    run.past
        .cells
        .retain(|row| row.cell.split('/').next().is_some_and(|label| browsers.iter().any(|b| b == label)));
    if let Some(ops) = run.view.ops.take() {
        let cases = ops.cases.into_iter().filter(|case| browsers.contains(&case.browser)).collect();
        run.view.ops = op_matrix(cases, &run.capabilities);
    }
}
