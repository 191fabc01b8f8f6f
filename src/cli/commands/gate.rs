//! `webmatrix gate`: whether a run is worse than its baseline.

use std::collections::BTreeMap;
use std::path::Path;

use super::run::{Ran, SetUp, run_in_turn};
use crate::analyse::gate::{Baseline, CONFIRMATIONS, Gate, Judged, Snapshot, VERSION, gate};
use crate::cli::args::GateArgs;
use crate::cli::config::{self, Machine, Places};
use crate::cli::{machine, out};
use crate::collect::{Given, Sources};
use crate::error::{Exit, ExitStatus, Failure};
use crate::plan::{GateRules, KnownFailures, NATIVE, Plan};
use crate::render::render_gate;
use crate::serve;
use crate::store::{CONFIRMATION, CONFIRMS, Database, RunRow, RunSelection, StoreError};

/// What stands for the complete run before.
const PREVIOUS: &str = "previous";

pub(in crate::cli) async fn run(args: GateArgs) -> Result<ExitStatus, Failure> {
    let places = Places::of(&args.store);
    let rules = rules(args.rules.as_deref())?;
    let known = known(args.known_failures.as_deref())?;
    let database = Database::open_read_only(&places.db).exit(ExitStatus::BadData)?;
    let row = one(&database, &args.run)?;
    let candidate = snapshot(&database, &row.run).exit(ExitStatus::BadData)?;
    if let Some(file) = &args.save {
        save(&database, settled(&database, &row.run).exit(ExitStatus::BadData)?, rules.history, file)?;
    }
    let Some(wanted) = &args.baseline else { return Ok(ExitStatus::AsExpected) };
    let Baseline { run: baseline, history, .. } = baseline(&database, wanted, &candidate, rules.history)?;
    let today = jiff::Zoned::now().date();
    let judged = Judged {
        candidate: &candidate,
        baseline: &baseline,
        history: &history,
        rules: &rules,
        known: &known,
        today,
    };
    let mut verdict = gate(&judged);
    if !verdict.alarming().is_empty() {
        match again(&args, &database, &row, &candidate, &verdict)? {
            Ok((mut plan, machine)) => {
                // The runs that try again write into it.
                drop(database);
                for _ in 0..CONFIRMATIONS {
                    alarming_alone(&mut plan, &verdict);
                    if plan.runnable().next().is_none() {
                        break;
                    }
                    let confirmed = confirm(&args, &places, &row.run, &plan, &machine).await?;
                    verdict.confirm(&confirmed, &rules);
                }
            }
            Err(why) => verdict.not_tried = Some(why),
        }
    }
    out::text(&render_gate(&verdict, args.format).exit(ExitStatus::BadData)?);
    Ok(verdict.exit_status())
}

fn rules(file: Option<&Path>) -> Result<GateRules, Failure> {
    let Some(file) = file else { return GateRules::embedded().exit(ExitStatus::BadData) };
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::text(ExitStatus::BadData, format!("rules {name}: {error}")))?;
    GateRules::parse(&name, &text).exit(ExitStatus::BadData)
}

fn known(file: Option<&Path>) -> Result<KnownFailures, Failure> {
    let Some(file) = file else { return Ok(KnownFailures::default()) };
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::text(ExitStatus::BadData, format!("known failures {name}: {error}")))?;
    KnownFailures::parse(&name, &text).exit(ExitStatus::BadData)
}

/// The one run that is meant.
fn one(database: &Database, selection: &RunSelection) -> Result<RunRow, Failure> {
    let run = database.runs(selection).exit(ExitStatus::BadData)?.into_iter().next();
    let run =
        run.ok_or_else(|| Failure::text(ExitStatus::BadData, "the database has no such run".to_owned()))?;
    if run.ended_at.is_none() || run.interrupted == Some(true) {
        let text =
            format!("run {} did not reach its end: complete it with `webmatrix run --resume {0}`", run.run);
        return Err(Failure::text(ExitStatus::BadData, text));
    }
    Ok(run)
}

fn snapshot(database: &Database, run: &str) -> Result<Snapshot, StoreError> {
    let rows = database.runs(&RunSelection::Id(run.to_owned()))?;
    let row = rows.first().ok_or_else(|| StoreError::NoRun(run.to_owned()))?;
    Ok(Snapshot::of(row, &database.environment(run)?, &database.cells(run)?, &database.figures(run)?))
}

/// The same, with what gates over it had fresh browsers do.
fn settled(database: &Database, run: &str) -> Result<Snapshot, StoreError> {
    let fresh = database.confirmations(run)?;
    fresh
        .iter()
        .try_fold(snapshot(database, run)?, |run, fresh| Ok(run.tried_again(&snapshot(database, fresh)?)))
}

/// A run of a database with the runs before it: of its branch, where it has one.
fn with_history(database: &Database, run: Snapshot, most: u32) -> Result<Baseline, StoreError> {
    let mut earlier = database.complete_runs(Some(&run.run), run.branch.as_deref())?;
    earlier.retain(|id| *id != run.run);
    let from = earlier.len().saturating_sub(most as usize);
    let history = earlier[from..].iter().map(|id| settled(database, id)).collect::<Result<_, _>>()?;
    Ok(Baseline { version: VERSION, run, history })
}

fn save(database: &Database, run: Snapshot, most: u32, file: &Path) -> Result<(), Failure> {
    let kept = with_history(database, run, most).exit(ExitStatus::BadData)?;
    let text = serde_json::to_string_pretty(&kept).exit(ExitStatus::BadData)? + "\n";
    out::file(file, &text).map_err(|error| {
        Failure::text(ExitStatus::BadData, format!("baseline {}: {error}", file.display()))
    })?;
    out::note(&format!(
        "{}: run {} with {} runs before it",
        file.display(),
        kept.run.run,
        kept.history.len()
    ));
    Ok(())
}

/// What is held against: a file, a run, or the latest run of a branch before the one that is judged.
fn baseline(database: &Database, wanted: &str, candidate: &Snapshot, most: u32) -> Result<Baseline, Failure> {
    let file = Path::new(wanted);
    let bad = |text: String| Failure::text(ExitStatus::BadData, text);
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("json") => {
            let text =
                std::fs::read_to_string(file).map_err(|error| bad(format!("baseline {wanted}: {error}")))?;
            let kept: Baseline =
                serde_json::from_str(&text).map_err(|error| bad(format!("baseline {wanted}: {error}")))?;
            if !(1..=VERSION).contains(&kept.version) {
                return Err(bad(format!(
                    "baseline {wanted}: version {} is not this program's {VERSION}: write it again with --save",
                    kept.version
                )));
            }
            return Ok(kept);
        }
        Some("duckdb") => {
            let other = Database::open_read_only(file).exit(ExitStatus::BadData)?;
            let latest = other.complete_runs(None, None).exit(ExitStatus::BadData)?.pop();
            let run = latest.ok_or_else(|| bad(format!("baseline {wanted}: it has no complete run")))?;
            let run = settled(&other, &run).exit(ExitStatus::BadData)?;
            return with_history(&other, run, most).exit(ExitStatus::BadData);
        }
        _ => {}
    }
    let known = || database.runs(&RunSelection::Id(wanted.to_owned()));
    let run = if wanted != PREVIOUS && known().is_ok() {
        wanted.to_owned()
    } else {
        let branch = (wanted != PREVIOUS).then_some(wanted);
        before(database, branch, candidate)?
    };
    if run == candidate.run {
        return Err(Failure::text(ExitStatus::Usage, format!("run {run} cannot be its own baseline")));
    }
    let run = settled(database, &run).exit(ExitStatus::BadData)?;
    with_history(database, run, most).exit(ExitStatus::BadData)
}

/// The latest complete run of the same matrix before the one that is judged.
fn before(database: &Database, branch: Option<&str>, candidate: &Snapshot) -> Result<String, Failure> {
    let runs = database.complete_runs(Some(&candidate.run), branch).exit(ExitStatus::BadData)?;
    for run in runs.iter().rev().filter(|run| **run != candidate.run) {
        let rows = database.runs(&RunSelection::Id(run.clone())).exit(ExitStatus::BadData)?;
        if rows.iter().any(|row| row.matrix == candidate.matrix) {
            return Ok(run.clone());
        }
    }
    let matrix = &candidate.matrix;
    let text = match branch {
        None => format!("there is no complete run of the matrix {matrix:?} before {}", candidate.run),
        Some(branch) => {
            let branches = database.branches().exit(ExitStatus::BadData)?;
            let known = if branches.is_empty() { "none".to_owned() } else { branches.join(", ") };
            format!(
                "the baseline {branch:?} is no run, no .json or .duckdb file, and no branch with a complete run of the \
                 matrix {matrix:?} before {}; branches with runs: {known}",
                candidate.run
            )
        }
    };
    Err(Failure::text(ExitStatus::BadData, text))
}

/// The plan by which the alarming cells are run again, or why they are not.
fn again(
    args: &GateArgs,
    database: &Database,
    row: &RunRow,
    candidate: &Snapshot,
    verdict: &Gate,
) -> Result<Result<(Plan, Machine), String>, Failure> {
    if args.no_confirm {
        return Ok(Err("--no-confirm".to_owned()));
    }
    let here = machine::facts();
    if let Some((fact, value)) = candidate.machine.iter().find(|(fact, value)| here.get(*fact) != Some(value))
    {
        return Ok(Err(format!("the run was made on another machine, whose {fact} is {value}")));
    }
    if row.webmatrix_version != env!("CARGO_PKG_VERSION") || row.harness != serve::harness_hash() {
        return Ok(Err("the run was made by another build of webmatrix".to_owned()));
    }
    let Some(mut plan) = database.plan(&row.run).exit(ExitStatus::BadData)? else {
        return Ok(Err("the run's plan is not known".to_owned()));
    };
    if !plan.files.is_empty() {
        return Ok(Err("files of another runtime are not run again: run them yourself".to_owned()));
    }
    alarming_alone(&mut plan, verdict);
    plan.ops.clear();
    plan.missing.clear();
    plan.matrix = CONFIRMATION.to_owned();
    if plan.runnable().next().is_none() {
        return Ok(Err("the run did not mean to run the cells itself".to_owned()));
    }
    let machine = Machine::look(&args.paths, None)?;
    let usable =
        |label: &str| machine.found.iter().any(|found| found.label == label && found.problem.is_none());
    if let Some(absent) = plan.browsers().iter().find(|label| **label != NATIVE && !usable(label)) {
        return Ok(Err(format!("{absent} is not usable here; `webmatrix browsers check {absent}` says why")));
    }
    Ok(Ok((plan, machine)))
}

/// Leaves the cells that still raise an alarm.
fn alarming_alone(plan: &mut Plan, verdict: &Gate) {
    let cells = verdict.alarming();
    plan.cells.retain(|planned| cells.contains(planned.cell.to_string().as_str()));
}

/// Runs the alarming cells of a run once more, in fresh browsers.
async fn confirm(
    args: &GateArgs,
    places: &Places,
    of: &str,
    plan: &Plan,
    machine: &Machine,
) -> Result<Snapshot, Failure> {
    let sources = Sources::new(config::weights(&args.weights, plan)?, Given::default());
    let set_up = SetUp {
        facts: BTreeMap::from([(CONFIRMS.to_owned(), of.to_owned())]),
        ..SetUp::new(machine, plan, places, &args.launch, sources)
    };
    let Ran { run, status, .. } = run_in_turn(set_up, 1, &[], args.quiet).await?;
    if status == ExitStatus::Interrupted {
        return Err(Failure::text(status, "stopped while alarms were tried again".to_owned()));
    }
    let database = Database::open_read_only(&places.db).exit(ExitStatus::BadData)?;
    snapshot(&database, &run).exit(ExitStatus::BadData)
}
