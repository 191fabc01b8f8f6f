//! `webmatrix report`: one or more runs as a document.

use std::path::{Path, PathBuf};

use webmatrix_wire::Precision;

use super::compare::{Texts, of_run};
use crate::analyse::comparison::{Kind, Row};
use crate::analyse::dossier::Dossier;
use crate::analyse::memory::memory;
use crate::analyse::op_matrix::op_matrix;
use crate::analyse::view::{CellView, RunView};
use crate::analyse::with_timings;
use crate::cli::args::{ReportArgs, View};
use crate::cli::config::Places;
use crate::cli::out;
use crate::error::{Exit, ExitStatus, Failure};
use crate::render::{Format, render};
use crate::store::{Database, RunRow, RunSelection, StoreError};

pub(in crate::cli) fn run(args: &ReportArgs) -> Result<ExitStatus, Failure> {
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
    let text = render(&runs, args.format).exit(ExitStatus::BadData)?;
    match target(args) {
        None => out::text(&text),
        Some(file) => {
            write(&file, &text).map_err(|error| {
                Failure::text(ExitStatus::BadData, format!("report {}: {error}", file.display()))
            })?;
            out::line(&file.display().to_string());
        }
    }
    Ok(ExitStatus::AsExpected)
}

/// The runs that match, with what the format shows of them.
fn dossiers(
    database: &Database,
    selection: &RunSelection,
    format: Format,
) -> Result<Vec<Dossier>, StoreError> {
    let one = |row: RunRow| {
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
            ops: op_matrix(database.op_cases(&run)?, &capabilities),
        };
        if format != Format::Html {
            return Ok(Dossier::from(view));
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
        })
    };
    database.runs(selection)?.into_iter().map(one).collect()
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
}

/// The file to write, none for standard output.
fn target(args: &ReportArgs) -> Option<PathBuf> {
    let name = format!("report.{}", args.format.extension());
    match &args.out {
        Some(path) if path.as_os_str() == "-" => None,
        Some(path) if path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/') => {
            Some(path.join(name))
        }
        Some(path) => Some(path.clone()),
        None if args.format == Format::Html => Some(args.db.with_file_name(name)),
        None => None,
    }
}

pub(super) fn write(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, text)
}
