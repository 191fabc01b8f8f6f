//! `webmatrix compare`: cells beside one another, of a run made for it or of one that is stored.

use std::path::{Path, PathBuf};

use webmatrix_wire::{Backend, Precision};

use super::run::{Ran, SetUp, run_in_turn};
use super::stored::{Texts, of_run};
use crate::analyse::comparison::{Comparison, Kind};
use crate::cli::args::{Compare, CompareArgs, ComparedArgs, Weights};
use crate::cli::config::{self, Machine, Places};
use crate::cli::{machine, out, table};
use crate::collect::{Given, Sources, packed_precision};
use crate::error::{Exit, ExitStatus, Failure};
use crate::plan::{
    Cell, Compared, DEFAULT_PROFILE, ModelClass, Plan, Size, are_of_start, compared, precisions_of,
    with_opposites,
};
use crate::render::{ComparisonFormat, render_comparison, sheet};
use crate::store::{Database, RunSelection};

/// Timed inferences a cell, where nobody says.
const SAMPLES: u32 = 24;

/// What is compared where nobody says: of platforms the first only.
const PRECISIONS: [Precision; 4] = [Precision::Fp32, Precision::Fp16, Precision::Int8, Precision::Int4];

/// What is compared.
struct Asked<'a> {
    kind: Kind,
    backends: Option<Vec<Backend>>,
    precisions: Option<&'a [Precision]>,
    features: Option<Vec<String>>,
    common: &'a ComparedArgs,
}

pub(in crate::cli) async fn run(args: CompareArgs) -> Result<ExitStatus, Failure> {
    let asked = match &args.what {
        Compare::Precisions(args) => Asked {
            kind: Kind::Precisions,
            backends: args.backends.clone(),
            precisions: args.precisions.as_deref(),
            features: None,
            common: &args.common,
        },
        Compare::Features(args) => Asked {
            kind: Kind::Features,
            backends: args.backends.clone(),
            precisions: args.precisions.as_deref(),
            features: args.features(),
            common: &args.common,
        },
        Compare::Platforms(args) => Asked {
            kind: Kind::Platforms,
            backends: Some(args.platforms.clone()),
            precisions: args.precisions.as_deref(),
            features: None,
            common: &args.common,
        },
    };
    let places = Places::of(&asked.common.store);
    match &asked.common.run {
        Some(run) => {
            let database = Database::open_read_only(&places.db).exit(ExitStatus::BadData)?;
            let comparison = of_stored(&database, &places, run, &asked)?;
            print(&comparison, asked.common, &places)?;
            Ok(if comparison.rows.iter().any(|row| row.reason.is_none()) {
                ExitStatus::AsExpected
            } else {
                ExitStatus::TooLittleEvidence
            })
        }
        None => fresh(&asked, &places).await,
    }
}

/// Runs the cells, then compares what is stored of them.
async fn fresh(asked: &Asked<'_>, places: &Places) -> Result<ExitStatus, Failure> {
    let args = asked.common;
    let machine = Machine::look(&args.paths, args.subject.browsers.as_deref())?;
    let plan = plan(asked, &machine)?;
    let given = Given { corpus: corpus(args.text.as_deref(), &plan)?, ..Given::default() };
    let concerns = machine::validated(args.conditions.env_validation)?;
    let set_up = SetUp::new(
        &machine,
        &plan,
        places,
        &args.launch,
        Sources::new(config::weights(&args.subject.weights, &plan)?, given),
    );
    let notes = [machine.notes.as_slice(), &concerns].concat();
    let Ran { run, status, sources } =
        run_in_turn(set_up, usize::from(args.rounds), &notes, args.quiet).await?;
    let texts = if args.text.is_some() { texts(&sources, &plan) } else { Texts::new() };
    let database = Database::open_read_only(&places.db).exit(ExitStatus::BadData)?;
    let comparison = of_run(&database, places, &run, asked.kind, &texts, |_| true)?;
    print(&comparison, args, places)?;
    Ok(status)
}

fn plan(asked: &Asked<'_>, machine: &Machine) -> Result<Plan, Failure> {
    let args = asked.common;
    let mut packed: Vec<(ModelClass, Precision)> = Vec::new();
    for weights in &args.subject.weights {
        if let Weights::Own { class, folder } = weights
            && let Some(precision) = packed_precision(*class, folder).exit(ExitStatus::BadData)?
        {
            packed.push((*class, precision));
        }
    }
    let features = asked.features.clone().unwrap_or_default();
    // A browser of its own has compiled nothing yet: how long that goes on cannot be known beforehand.
    let measure = args.measure.or_auto(are_of_start(&features));
    let (name, usual) = match asked.kind {
        Kind::Precisions => ("compare-precisions", PRECISIONS.to_vec()),
        Kind::Platforms => ("compare-platforms", PRECISIONS[..1].to_vec()),
        Kind::Features => ("compare-features", precisions_of(&features)),
    };
    let wanted = Compared {
        name,
        chosen: args.subject.chosen(
            args.models.as_deref().unwrap_or_default(),
            asked.backends.as_deref(),
            args.total_deadline,
            machine,
        )?,
        precisions: asked.precisions.map_or(usual, <[_]>::to_vec),
        packed,
        features,
        samples: measure.number().unwrap_or(SAMPLES).div_ceil(u32::from(args.rounds)),
        interval_width: measure.width(),
        time_budget_s: measure.budget_of(args.rounds),
        cool_down_s: measure.cool_down,
    };
    compared(&wanted, &machine.found).exit(ExitStatus::Usage)
}

/// The text that models are scored by. A twin knows no words.
fn corpus(file: Option<&Path>, plan: &Plan) -> Result<Option<String>, Failure> {
    let Some(file) = file else { return Ok(None) };
    if let Some(cell) = plan.runnable().find(|cell| cell.size != Size::Own) {
        let text = format!("--text scores the models of --weights, and {cell} is none: choose with --models");
        return Err(Failure::text(ExitStatus::Usage, text));
    }
    config::read_text("--text", file).map(Some)
}

/// What the plan's cells were given to score: what is asked for again is what was given, read once a run.
fn texts(sources: &Sources, plan: &Plan) -> Texts {
    let tokens = |cell: &Cell| Some((cell.to_string(), sources.tokens(cell, plan.run.seed)?));
    plan.runnable().filter_map(tokens).collect()
}

fn of_stored(
    database: &Database,
    places: &Places,
    selection: &RunSelection,
    asked: &Asked<'_>,
) -> Result<Comparison, Failure> {
    let rows = database.runs(selection).exit(ExitStatus::BadData)?;
    let run = rows.first().map(|row| row.run.clone()).unwrap_or_default();
    let args = asked.common;
    let features = asked.features.as_deref().map(with_opposites);
    let wanted = |cell: &Cell| {
        let among = |labels: &Option<Vec<String>>, name: &str| {
            labels.as_ref().is_none_or(|labels| labels.iter().any(|label| label == name || label == "all"))
        };
        among(&args.models, cell.model.as_str())
            && among(&args.subject.browsers, &cell.browser)
            && args.subject.size.as_ref().is_none_or(|sizes| sizes.contains(&cell.size))
            && asked.backends.as_ref().is_none_or(|backends| backends.contains(&cell.backend))
            && (cell.profile == DEFAULT_PROFILE || among(&features, &cell.profile))
            // What others are held against stays.
            && (matches!(cell.precision, Precision::Fp32 | Precision::Fp16)
                || asked.precisions.is_none_or(|precisions| precisions.contains(&cell.precision)))
    };
    let comparison = of_run(database, places, &run, asked.kind, &Texts::new(), wanted)?;
    if comparison.rows.is_empty() {
        let text = format!("run {run} has no such cells");
        return Err(Failure::text(ExitStatus::BadData, text));
    }
    Ok(comparison)
}

fn print(comparison: &Comparison, args: &ComparedArgs, places: &Places) -> Result<(), Failure> {
    let text = match (args.format, &args.report) {
        (ComparisonFormat::Table, _) => {
            let sheet = sheet(comparison);
            format!("{}\n{}\n", table::table(&sheet.header, &sheet.lines), sheet.notes.join("\n"))
        }
        (format, _) => render_comparison(comparison, format).exit(ExitStatus::BadData)?,
    };
    let file: Option<PathBuf> = match (&args.report, args.format) {
        (Some(file), _) if file.as_os_str() == "-" => None,
        (Some(file), _) => Some(file.clone()),
        (None, ComparisonFormat::Html) => Some(places.out.join("comparison.html")),
        (None, _) => None,
    };
    match file {
        None => out::text(&text),
        Some(file) => {
            out::file(&file, &text).map_err(|error| {
                Failure::text(ExitStatus::BadData, format!("comparison {}: {error}", file.display()))
            })?;
            out::line(&file.display().to_string());
        }
    }
    Ok(())
}
