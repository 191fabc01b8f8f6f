//! `webmatrix tune`: which features make a model faster in a place, by successive halving over cells that are proven like any
//! other.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use webmatrix_wire::BackendFacts;

use super::run::{Ran, SetUp, run_in_turn};
use super::stored::rounds_of;
use crate::analyse::tuning::{Choice, Tried, choices, finalists, subject, survivors};
use crate::analyse::view::CellView;
use crate::cli::args::TuneArgs;
use crate::cli::config::{self, Machine, Places};
use crate::cli::tuned::{self as kept, Entry, Place, Tuned as Kept};
use crate::cli::{machine, out, table};
use crate::collect::{Given, Sources};
use crate::error::{Exit, ExitStatus, Failure};
use crate::plan::{Cell, Plan, Tuned, tuned};
use crate::store::{Database, StoreError};

/// The version of the document.
const VERSION: u32 = 1;
/// Where halving ends: so many of each cell are left beside the default.
const LAST: usize = 3;

/// What is printed for programs.
#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    /// The runs, the last of which the choices are of.
    runs: &'a [String],
    choices: &'a [Choice],
}

pub(in crate::cli) async fn run(args: TuneArgs) -> Result<ExitStatus, Failure> {
    let places = Places::of(&args.store);
    let machine = Machine::look(&args.paths, args.subject.browsers.as_deref())?;
    let kept = Kept::load(&places)?;
    let tuning = Tuning { asked: asked(&args, &machine)?, args: &args, places: &places, machine: &machine };
    let sets: Vec<Vec<String>> = tuning.asked.choices().into_iter().map(|choice| vec![choice]).collect();
    let mut plan = tuning.plan(&sets, None)?;
    let (mut runs, mut rounds) = (Vec::new(), 1);
    // Each round has half of the cells and twice the turns of the one before.
    let tried = loop {
        let measured = tuning.measure(&plan, rounds).await?;
        runs.push(measured.run);
        if measured.status == ExitStatus::Interrupted {
            return Ok(measured.status);
        }
        let left = survivors(&measured.tried, args.min_cosine);
        let of = |cell: &Cell| left.iter().filter(|other| subject(other) == subject(cell)).count();
        if left.len() >= plan.cells.len() || left.iter().all(|cell| of(cell) <= LAST + 1) {
            break measured.tried;
        }
        plan = tuning.plan(&sets, Some(&left))?;
        rounds *= 2;
    };
    let finalists = finalists(&tried, args.min_cosine);
    let (last, run, status) = if finalists.is_empty() {
        // Nothing was timed: what came of each default is why.
        (tried, runs.last().cloned().unwrap_or_default(), ExitStatus::TooLittleEvidence)
    } else {
        let mut sets: Vec<Vec<String>> = Vec::new();
        let mut wanted = HashSet::new();
        for (cell, features) in finalists {
            wanted.insert(cell);
            if !features.is_empty() && !sets.contains(&features) {
                sets.push(features);
            }
        }
        let plan = tuning.plan(&sets, Some(&wanted))?;
        let measured = tuning.measure(&plan, usize::from(args.rounds)).await?;
        if measured.status == ExitStatus::Interrupted {
            return Ok(measured.status);
        }
        runs.push(measured.run.clone());
        (measured.tried, measured.run, measured.status)
    };
    let found = choices(&last, args.min_cosine);
    let entries = entries(&found, &run, &places, &machine)?;
    let file = kept.keep(entries, &places)?;
    if args.print.is_json() {
        let document = Document { version: VERSION, runs: &runs, choices: &found };
        out::line(&serde_json::to_string(&document).exit(ExitStatus::BadData)?);
    } else if !args.print.quiet {
        out::text(&text(&found));
        out::line(&format!("kept in {}, for run --tuned", file.display()));
    }
    Ok(status)
}

fn asked(args: &TuneArgs, machine: &Machine) -> Result<Tuned, Failure> {
    Ok(Tuned {
        chosen: args.subject.chosen(&args.models, args.backends.as_deref(), args.total_deadline, machine)?,
        precisions: args.precisions.clone(),
        features: args.features.clone(),
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
        samples: args.samples,
    })
}

/// What every round shares.
struct Tuning<'a> {
    asked: Tuned,
    args: &'a TuneArgs,
    places: &'a Places,
    machine: &'a Machine,
}

/// A round that was run.
struct Measured {
    run: String,
    tried: Vec<Tried>,
    status: ExitStatus,
}

impl Tuning<'_> {
    fn plan(&self, sets: &[Vec<String>], wanted: Option<&HashSet<Cell>>) -> Result<Plan, Failure> {
        tuned(&self.asked, sets, wanted, &self.machine.found).exit(ExitStatus::Usage)
    }

    /// Runs the plan's cells in turn, so many times, as a run of its own.
    async fn measure(&self, plan: &Plan, rounds: usize) -> Result<Measured, Failure> {
        let weights = config::weights(&self.args.subject.weights, plan)?;
        let set_up = SetUp::new(
            self.machine,
            plan,
            self.places,
            &self.args.launch,
            Sources::new(weights, Given::default()).keeping(self.args.keep_layers.clone()),
        );
        let Ran { run, status, .. } =
            run_in_turn(set_up, rounds, &self.machine.notes, self.args.print.quiet).await?;
        let database = Database::open_read_only(&self.places.db).exit(ExitStatus::BadData)?;
        let tried = tried(&database, &run, plan).exit(ExitStatus::BadData)?;
        Ok(Measured { run, tried, status })
    }
}

/// What is stored of a run's cells.
fn tried(database: &Database, run: &str, plan: &Plan) -> Result<Vec<Tried>, StoreError> {
    let mut rounds = rounds_of(database, run)?;
    let rows = database.cells(run)?.into_iter();
    let of = |row: crate::store::CellRow| {
        let cell: Cell = row.cell.parse().ok()?;
        let features = plan.profiles.get(&cell.profile).cloned().unwrap_or_default();
        let rounds = rounds.remove(&row.cell).unwrap_or_default();
        Some(Tried { cell, features, rounds, view: CellView::of(row) })
    };
    Ok(rows.filter_map(of).collect())
}

/// What is kept of the choices.
fn entries(found: &[Choice], run: &str, places: &Places, machine: &Machine) -> Result<Vec<Entry>, Failure> {
    let database = Database::open_read_only(&places.db).exit(ExitStatus::BadData)?;
    let attempts = database.attempts(run).exit(ExitStatus::BadData)?;
    let mut adapters: HashMap<String, String> = HashMap::new();
    for attempt in attempts {
        let facts =
            attempt.facts.as_deref().and_then(|facts| serde_json::from_str::<BackendFacts>(facts).ok());
        if let (Some(cell), Some(adapter)) = (attempt.cell, facts.and_then(|facts| facts.adapter)) {
            let words = [adapter.vendor, adapter.architecture, adapter.device, adapter.description];
            let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
            adapters.insert(cell, words.join(" "));
        }
    }
    let host = kept::machine_name();
    let cpu = machine::facts().remove("cpu").unwrap_or_default();
    let entry = |choice: &Choice| {
        let cell: Cell = choice.cell.parse().ok()?;
        Some(Entry {
            place: Place::of(&host, &cell.browser, machine),
            adapter: adapters.get(&choice.cell).cloned().unwrap_or_else(|| cpu.clone()),
            run: run.to_owned(),
            at: jiff::Timestamp::now().to_string(),
            choice: choice.clone(),
        })
    };
    // What was not timed leaves what was known as it is.
    Ok(found.iter().filter(|choice| choice.ratio.is_some()).filter_map(entry).collect())
}

fn text(found: &[Choice]) -> String {
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    let line = |choice: &Choice| {
        let interval = match (choice.lo, choice.hi) {
            (Some(lo), Some(hi)) => format!("{lo:.2}–{hi:.2}"),
            _ => "-".to_owned(),
        };
        let features = if choice.features.is_empty() { "-".to_owned() } else { choice.features.join(" ") };
        vec![
            choice.cell.clone(),
            features,
            number(choice.default_ms),
            number(choice.tuned_ms),
            number(choice.ratio),
            interval,
            choice.says.clone(),
        ]
    };
    let header = ["cell", "chosen", "default ms", "tuned ms", "ratio", "95 %", "says"];
    table::table(&header, &found.iter().map(line).collect::<Vec<_>>())
}
