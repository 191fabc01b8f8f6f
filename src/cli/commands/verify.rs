//! `webmatrix verify`: a folder's model, in browsers, against the outputs that are expected of it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use webmatrix_wire::Status;

use super::run::{SetUp, UnderWay, has_pages};
use crate::analyse::{OutputLine, output_lines, traced, verification_status};
use crate::cli::args::{PrintArgs, VerifyArgs, VerifyFormat};
use crate::cli::config::{Machine, Places};
use crate::cli::recording::Recording;
use crate::cli::{out, reporter, table};
use crate::collect::{self, Context, ModelFolder, Record, Sources, Verdict};
use crate::error::{Exit, ExitStatus, Failure};
use crate::plan::{Cell, Deadlines, Plan, Verification, verification};

pub(in crate::cli) async fn run(args: VerifyArgs) -> Result<ExitStatus, Failure> {
    let patience = args.deadline.unwrap_or(Deadlines::default().attempt_s);
    let patience = Duration::from_secs(u64::from(patience));
    let folder = ModelFolder::open(&args.model_dir, args.class, patience).exit(ExitStatus::BadData)?;
    let machine = Machine::look(&args.paths, args.browsers.as_deref())?;
    let asked = Verification {
        class: folder.class,
        precision: folder.precision,
        browsers: machine.labels.clone(),
        backends: args.backends.clone(),
        attempt_s: args.deadline,
        total_s: args.total_deadline,
    };
    let host_is_named = args.backends.iter().flatten().any(|backend| backend.is_native());
    if args.browsers.is_none() && machine.found.is_empty() && !host_is_named {
        let text = "no browser was found: `webmatrix browsers check` says where they are looked for, \
                    --browsers native verifies on the host";
        return Err(Failure::text(ExitStatus::Unavailable, text));
    }
    let plan = verification(&asked, &machine.found).exit(ExitStatus::Usage)?;
    has_pages(&plan)?;
    let places = Places::of(&args.store);
    let recording = Recording::begin(&places, &plan)?;
    let recorder = recording.recorder.clone();
    let reporting = reporter::start(&PrintArgs { format: None, quiet: args.quiet });
    machine.notes.iter().for_each(|note| reporting.events().note(note.as_str()));
    let sources = Sources::of_folder(&folder);
    let set_up = SetUp::new(&machine, &plan, &places, &args.launch, sources);
    let under_way = UnderWay::start(recording, reporting, set_up).await?;
    let collected = under_way.collect(args.jobs).await;
    let traces =
        if args.trace && collected.is_ok() { traces(&under_way.ctx, &plan).await? } else { Vec::new() };
    let status = under_way.finish(collected, verification_status)?;
    let lines = lines(&plan, &recorder.verdicts(), &folder.expected);
    match args.format {
        VerifyFormat::Table => out::text(&text(&lines)),
        VerifyFormat::Jsonl => {
            for line in &lines {
                out::line(&serde_json::to_string(line).exit(ExitStatus::BadData)?);
            }
        }
    }
    for trace in traces {
        match args.format {
            VerifyFormat::Table => out::line(&trace),
            // Standard output is for lines of one kind.
            VerifyFormat::Jsonl => out::note(&trace),
        }
    }
    Ok(status)
}

/// For each cell whose outputs are wrong, where it goes wrong.
async fn traces(ctx: &Context, plan: &Plan) -> Result<Vec<String>, Failure> {
    let verdicts = ctx.recorder.verdicts();
    let is_wrong = |cell: &&Cell| verdicts.get(*cell).is_some_and(|verdict| verdict.status == Status::Wrong);
    let mut traces = Vec::new();
    for cell in plan.runnable().filter(is_wrong) {
        if ctx.stop.is_asked() {
            break;
        }
        let both = collect::trace(ctx, cell).await.exit(ExitStatus::BadData)?;
        let told = traced(cell, &both);
        traces.push(format!("trace: {} {} {}", cell.browser, cell.backend, told.says));
        ctx.recorder.record(Record::CellTraced(Box::new(told))).exit(ExitStatus::BadData)?;
    }
    Ok(traces)
}

fn lines(plan: &Plan, verdicts: &HashMap<Cell, Verdict>, expected: &[String]) -> Vec<OutputLine> {
    let cells = plan.cells.iter().map(|planned| &planned.cell);
    cells.flat_map(|cell| output_lines(cell, verdicts.get(cell), expected)).collect()
}

/// The lines as a table. What several outputs of a cell have to say in the same words is said once.
fn text(lines: &[OutputLine]) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2e}"));
    let row = |(at, line): (usize, &OutputLine)| {
        let before = at.checked_sub(1).and_then(|at| lines.get(at));
        let said = before.is_some_and(|before| {
            (&before.browser, before.backend, &before.error) == (&line.browser, line.backend, &line.error)
        });
        let why = line.error.clone().filter(|_| !said);
        vec![
            line.browser.clone(),
            line.backend.to_string(),
            line.output.clone(),
            number(line.max_abs),
            number(line.max_rel),
            line.cosine.map_or_else(|| "-".to_owned(), |cosine| format!("{cosine:.6}")),
            line.status.to_string(),
            line.evidence.to_string(),
            why.unwrap_or_default(),
        ]
    };
    let header = ["browser", "backend", "output", "max abs", "max rel", "cosine", "verdict", "evidence", ""];
    let mut counts = BTreeMap::<Status, usize>::new();
    lines.iter().for_each(|line| *counts.entry(line.status).or_default() += 1);
    let counts: Vec<String> = counts.iter().map(|(status, count)| format!("{count} {status}")).collect();
    let rows: Vec<Vec<String>> = lines.iter().enumerate().map(row).collect();
    format!("{}\noutputs: {}\n", table::table(&header, &rows), counts.join(", "))
}
