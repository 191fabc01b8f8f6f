//! `webmatrix explain`: why a cell has its status, with what is stored of it and, where that helps, by running it again.

mod again;

use std::path::Path;

use webmatrix_wire::Status;

use super::report::dossier;
use crate::analyse::dossier::Dossier;
use crate::analyse::explanation::{Again, Explanation, Known, explanation, otherwise};
use crate::cli::args::ExplainArgs;
use crate::cli::config::Places;
use crate::cli::out;
use crate::error::{Exit, ExitStatus, Failure};
use crate::plan::Plan;
use crate::render::render_explanation;
use crate::store::{Database, HistoryRow, RunSelection, StoreError};

/// How like an id has to be to one that is unknown to be suggested.
const LIKE: f64 = 0.75;

/// Ids that are suggested.
const SUGGESTED: usize = 5;

pub(in crate::cli) async fn run(args: ExplainArgs) -> Result<ExitStatus, Failure> {
    let database = Database::open_read_only(&args.db).exit(ExitStatus::BadData)?;
    let cell = cell(&database, &args)?;
    let history = database.history(&cell).exit(ExitStatus::BadData)?;
    let run = run_of(&args, &cell, &history)?;
    let here = Stored::load(&database, run).exit(ExitStatus::BadData)?;
    let there = otherwise(&history, run).map(|past| Stored::load(&database, &past.run)).transpose();
    let there = there.exit(ExitStatus::BadData)?;
    // Nothing of this keeps others from the database.
    drop(database);
    let told = explanation(here.known(&cell), &history, there.as_ref().map(|there| there.known(&cell)));
    let Some(mut told) = told else {
        return Err(Failure::text(ExitStatus::BadData, format!("run {run} has no cell {cell}")));
    };
    let mut status = ExitStatus::AsExpected;
    if args.ablate.is_some() || (told.status == Some(Status::Wrong) && !args.stored) {
        let places = beside(&args);
        let (again, stopped) =
            again::again(&here, &told.cell, &places, args.ablate.as_deref(), &own(&args)).await?;
        status = match (stopped, &again.refused) {
            (true, _) => ExitStatus::Interrupted,
            // What was asked for by name could not be done.
            (_, Some(_)) if args.ablate.is_some() => ExitStatus::Unavailable,
            _ => ExitStatus::AsExpected,
        };
        told.again = Some(again);
    }
    print(&told, &args)?;
    Ok(status)
}

/// A run as stored.
struct Stored {
    run: Dossier,
    plan: Option<Plan>,
}

impl Stored {
    fn load(database: &Database, run: &str) -> Result<Self, StoreError> {
        let rows = database.runs(&RunSelection::Id(run.to_owned()))?;
        let row = rows.into_iter().next().ok_or_else(|| StoreError::NoRun(run.to_owned()))?;
        // A plan of an older program may be none of this one's: then less is known.
        Ok(Self { run: dossier(database, row, true)?, plan: database.plan(run).unwrap_or_default() })
    }

    fn known<'a>(&'a self, cell: &'a str) -> Known<'a> {
        Known { run: &self.run, plan: self.plan.as_ref(), cell }
    }
}

/// Where the run itself lies.
fn own(args: &ExplainArgs) -> Places {
    let out = args.db.parent().filter(|out| !out.as_os_str().is_empty());
    Places { db: args.db.clone(), out: out.unwrap_or(Path::new(".")).to_owned() }
}

/// Where running it again leaves what it leaves.
fn beside(args: &ExplainArgs) -> Places {
    let out = args.db.with_file_name("explain");
    Places { db: out.join("webmatrix.duckdb"), out }
}

/// The cell that is meant: the one of this id, or the only one with this in its id.
fn cell(database: &Database, args: &ExplainArgs) -> Result<String, Failure> {
    let run = args.run.as_deref().filter(|run| *run != "latest");
    let ids = database.cell_ids(run).exit(ExitStatus::BadData)?;
    if ids.contains(&args.cell) {
        return Ok(args.cell.clone());
    }
    let with: Vec<&String> = ids.iter().filter(|id| id.contains(&args.cell)).collect();
    if let [one] = with[..] {
        return Ok(one.clone());
    }
    let place = run.map_or_else(|| "no run".to_owned(), |run| format!("run {run} is not one that"));
    let text = match with.len() {
        0 => format!("{place} has a cell {:?}{}", args.cell, like(&args.cell, &ids)),
        many => {
            let named: Vec<&str> = with.iter().take(SUGGESTED).map(|id| id.as_str()).collect();
            format!("{many} cells have {:?} in their ids: {}", args.cell, named.join(", "))
        }
    };
    Err(Failure::text(ExitStatus::BadData, text))
}

/// The ids that are most like it, if any is.
fn like(asked: &str, ids: &[String]) -> String {
    let likeness = |id: &String| strsim::normalized_damerau_levenshtein(asked, id);
    let mut near: Vec<(f64, &String)> = ids.iter().map(|id| (likeness(id), id)).collect();
    near.retain(|(likeness, _)| *likeness >= LIKE);
    near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let near: Vec<&str> = near.iter().take(SUGGESTED).map(|(_, id)| id.as_str()).collect();
    if near.is_empty() {
        ": `webmatrix report --format jsonl --run all` lists them".to_owned()
    } else {
        format!("; did you mean {}?", near.join(", "))
    }
}

/// The run that is meant: the one named, else the latest in which the cell has a verdict.
fn run_of<'a>(args: &ExplainArgs, cell: &str, history: &'a [HistoryRow]) -> Result<&'a str, Failure> {
    let named = args.run.as_deref().filter(|run| *run != "latest");
    let found = match named {
        Some(run) => history.iter().find(|past| past.run == run),
        None => history.iter().rev().find(|past| past.status.is_some()).or(history.last()),
    };
    let none = || Failure::text(ExitStatus::BadData, format!("no run has the cell {cell}"));
    Ok(&found.ok_or_else(none)?.run)
}

fn print(told: &Explanation, args: &ExplainArgs) -> Result<(), Failure> {
    if args.print.is_json() {
        out::line(&serde_json::to_string_pretty(told).exit(ExitStatus::BadData)?);
    } else if !args.print.quiet {
        out::text(&render_explanation(told));
    }
    Ok(())
}

/// The cell could not be run again.
fn refused(why: impl ToString) -> Again {
    Again { refused: Some(why.to_string()), ..Again::default() }
}
