//! `webmatrix run`: the main job, from browsers to a proven matrix.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::serve::Beside;
use crate::analyse::{Rules, Tally, exit_status};
use crate::cli::args::{LaunchArgs, PrintArgs, RunArgs};
use crate::cli::config::{self, Machine, Places};
use crate::cli::launcher::LocalLauncher;
use crate::cli::recording::Recording;
use crate::cli::reporter::{self, Reporting};
use crate::cli::tuned::{self, Place, Tuned};
use crate::cli::{files, machine, out, signals};
use crate::collect::{
    self, BrowserSeen, CollectError, Context, Quiet, Record, Settings, Sources, Stop, peer_files,
};
use crate::discover::Installed;
use crate::error::{Exit, ExitStatus, Failure};
use crate::event::{Events, RunEvent};
use crate::plan::{Cell, Decision, NATIVE, Plan, Runtime, with_choices};
use crate::serve::{self, Attempts, Server};

pub(in crate::cli) async fn run(args: RunArgs) -> Result<ExitStatus, Failure> {
    let machine = Machine::look(&args.select.paths, args.select.browsers.as_deref())?;
    let places = Places::of(&args.store);
    if args.dry_run {
        let (plan, _) = plan(&args, &machine, &places)?;
        super::plan::print(&plan, args.print.is_json(), args.print.quiet)?;
        return Ok(ExitStatus::AsExpected);
    }
    let dashboard = match args.live.serve {
        Some(address) => Some(Beside::open(address).await?),
        None => None,
    };
    let concerns = machine::validated(args.conditions.env_validation)?;
    let mut notes = Vec::new();
    let (recording, plan, sources, runtimes) = match &args.resume {
        Some(run) => {
            let (recording, plan) = Recording::resume(&places, run)?;
            let sources = sources(&args, &plan)?;
            let runtimes = runtimes(&args, &plan)?;
            (recording, plan, sources, runtimes)
        }
        None => {
            let (plan, told) = plan(&args, &machine, &places)?;
            notes = told;
            let sources = sources(&args, &plan)?;
            let runtimes = runtimes(&args, &plan)?;
            ready(&plan, &sources)?;
            (Recording::begin(&places, &plan)?, plan, sources, runtimes)
        }
    };
    let quiet = Quiet::default();
    // Where several browsers are timed at once, each disturbs the others more than a page that is made.
    let between = (args.jobs == 1).then(|| quiet.clone());
    let showing =
        dashboard.map(|dashboard| dashboard.show(&recording, &places, between, &args.print)).transpose()?;
    let reporting = reporter::start(&args.print);
    machine.notes.iter().chain(&concerns).for_each(|note| reporting.events().note(note.as_str()));
    notes.into_iter().chain(files::notes(&plan)).for_each(|note| reporting.events().note(note));
    let set_up = SetUp {
        attempts: runtimes,
        quiet: quiet.clone(),
        ..SetUp::new(&machine, &plan, &places, &args.launch, sources)
    };
    let under_way = UnderWay::start(recording, reporting, set_up).await?;
    let collected = under_way.collect(args.jobs).await;
    let run = under_way.recording.run.clone();
    let status = under_way.finish(collected, exit_status)?;
    if let Some(showing) = showing {
        showing.end(args.live.keep && status != ExitStatus::Interrupted).await;
    }
    if status == ExitStatus::Interrupted {
        out::note(&format!("complete it with: webmatrix run --resume {run} --out {}", places.out.display()));
    }
    Ok(status)
}

/// The plan that the arguments ask for, and what a person should know of what was tuned.
fn plan(args: &RunArgs, machine: &Machine, places: &Places) -> Result<(Plan, Vec<String>), Failure> {
    let mut plan = config::plan(&args.select, machine)?;
    if !args.tuned {
        return Ok((plan, Vec::new()));
    }
    let kept = Tuned::load(places)?;
    let host = tuned::machine_name();
    let found = |cell: &Cell| kept.get(cell, &Place::of(&host, &cell.browser, machine));
    let mut notes = Vec::new();
    with_choices(&mut plan, |cell| {
        let entry = found(cell)?;
        let features = &entry.choice.features;
        if !features.is_empty() {
            notes.push(format!("{cell}: also with {}, tuned on {}", features.join(" "), entry.adapter));
        }
        Some(features.clone())
    });
    if notes.is_empty() {
        notes.push(
            "nothing that was tuned here makes any of these cells faster: see webmatrix tune".to_owned(),
        );
    }
    Ok((plan, notes))
}

/// Where the plan's models come from, and what they work on.
pub(super) fn sources(args: &RunArgs, plan: &Plan) -> Result<Sources, Failure> {
    let sources =
        Sources::new(config::weights(&args.select.weights, plan)?, config::given(&args.given, plan)?);
    Ok(sources.with_files(plan))
}

/// The other runtime that the plan's files need, for pages to import.
pub(super) fn runtimes(args: &RunArgs, plan: &Plan) -> Result<Attempts, Failure> {
    if plan.files.is_empty() {
        return Ok(Attempts::default());
    }
    let Some(dist) = &args.peer_dir else {
        let text = "--runtime ort-web needs --peer-dir, the folder dist of the npm package onnxruntime-web, which \
                    `cargo xtask setup` fetches";
        return Err(Failure::text(ExitStatus::Usage, text));
    };
    let files = peer_files(dist).exit(ExitStatus::BadData)?;
    Ok(Attempts::with_runtimes(BTreeMap::from([(Runtime::OrtWeb.as_str().to_owned(), files)])))
}

/// What would spoil every cell is told before any browser is started.
fn ready(plan: &Plan, sources: &Sources) -> Result<(), Failure> {
    sources.check(plan).exit(ExitStatus::BadData)?;
    has_pages(plan)
}

/// A program that was built without the harness has nothing to load into a browser.
pub(super) fn has_pages(plan: &Plan) -> Result<(), Failure> {
    if !serve::has_harness() && plan.browsers().iter().any(|browser| *browser != NATIVE) {
        let text = "this program was built without the harness, so no page can run a model: build with `cargo xtask build`";
        return Err(Failure::text(ExitStatus::BadData, text));
    }
    Ok(())
}

/// What a run is set up from.
pub(super) struct SetUp<'a> {
    pub(super) machine: &'a Machine,
    pub(super) plan: &'a Plan,
    pub(super) places: &'a Places,
    pub(super) launch: &'a LaunchArgs,
    pub(super) sources: Sources,
    /// With whatever else their pages may import.
    pub(super) attempts: Attempts,
    /// Shared with whoever works between attempts.
    pub(super) quiet: Quiet,
    /// What is kept with the run beside the machine's facts.
    pub(super) facts: BTreeMap<String, String>,
}

impl<'a> SetUp<'a> {
    /// With nothing else for pages to import, and nobody who works between attempts.
    pub(super) fn new(
        machine: &'a Machine,
        plan: &'a Plan,
        places: &'a Places,
        launch: &'a LaunchArgs,
        sources: Sources,
    ) -> Self {
        Self {
            machine,
            plan,
            places,
            launch,
            sources,
            attempts: Attempts::default(),
            quiet: Quiet::default(),
            facts: BTreeMap::new(),
        }
    }
}

/// A run that is over.
pub(super) struct Ran {
    pub(super) run: String,
    /// `Interrupted` as soon as somebody asked it to stop: every cell may have its verdict then, and not have had its turns.
    pub(super) status: ExitStatus,
    pub(super) sources: Arc<Sources>,
}

/// Runs every cell of a plan so many times, in turn, as a run of its own, after telling these notes.
pub(super) async fn run_in_turn(
    set_up: SetUp<'_>,
    rounds: usize,
    notes: &[String],
    quiet: bool,
) -> Result<Ran, Failure> {
    ready(set_up.plan, &set_up.sources)?;
    let recording = Recording::begin_with(set_up.places, set_up.plan, set_up.facts.clone())?;
    let run = recording.run.clone();
    let reporting = reporter::start(&PrintArgs { format: None, quiet });
    notes.iter().for_each(|note| reporting.events().note(note.as_str()));
    let under_way = UnderWay::start(recording, reporting, set_up).await?;
    let collected = under_way.collect_in_turn(1, rounds).await;
    let (sources, stop) = (under_way.ctx.sources.clone(), under_way.ctx.stop.clone());
    let judged = under_way.finish(collected, exit_status)?;
    let status = if stop.is_asked() { ExitStatus::Interrupted } else { judged };
    Ok(Ran { run, status, sources })
}

/// A run that is recorded, reported and can be stopped: what `run` and `verify` share.
pub(super) struct UnderWay<'a> {
    pub(super) recording: Recording,
    pub(super) ctx: Context,
    reporting: Reporting,
    plan: &'a Plan,
}

impl<'a> UnderWay<'a> {
    /// Starts the server, and listens for signals from now on.
    pub(super) async fn start(
        recording: Recording,
        reporting: Reporting,
        set_up: SetUp<'a>,
    ) -> Result<Self, Failure> {
        let (events, stop, plan) = (reporting.events(), Stop::default(), set_up.plan);
        signals::listen(stop.clone(), events.clone());
        let ctx = context(&recording, set_up, events, stop).await?;
        Ok(Self { recording, ctx, reporting, plan })
    }

    /// Gives every cell its verdict.
    pub(super) async fn collect(&self, jobs: usize) -> Result<(), CollectError> {
        self.collect_in_turn(jobs, 1).await
    }

    /// The same, with every cell run so many times, in turn.
    pub(super) async fn collect_in_turn(&self, jobs: usize, rounds: usize) -> Result<(), CollectError> {
        let decided = self.recording.recorder.verdicts();
        let ops_decided = self.recording.recorder.op_verdicts();
        let cells = self.plan.runnable().filter(|cell| !decided.contains_key(*cell)).count();
        let ops = self.plan.runnable_ops().filter(|target| !ops_decided.contains_key(*target)).count();
        self.ctx.events.emit(&RunEvent::RunStarted {
            run: self.recording.run.clone(),
            runnable: cells * rounds + ops,
            cells: self.plan.cells.len() * rounds + self.plan.ops.len(),
        });
        collect::collect_in_turn(&self.ctx, self.plan, jobs, rounds).await
    }

    /// Says and records how it ended; `judge` says what the cells come to. The exit code counts every
    /// cell of the run, resumed parts included.
    pub(super) fn finish(
        self,
        collected: Result<(), CollectError>,
        judge: fn(&Tally, &[String]) -> ExitStatus,
    ) -> Result<ExitStatus, Failure> {
        let Self { recording, ctx, reporting, plan } = self;
        let stopped = ctx.stop.is_asked();
        drop(ctx);
        if let Err(error) = collected {
            // What is recorded is safe; that the run did not end shows in the database by itself.
            reporting.end();
            return Err(Failure::new(ExitStatus::BadData, error));
        }
        let tally = recording.tally(plan);
        let recorder = &recording.recorder;
        let decided = recorder.verdicts().len() + recorder.op_verdicts().len();
        let interrupted = stopped && decided < plan.cells.len() + plan.ops.len();
        let status = if interrupted { ExitStatus::Interrupted } else { judge(&tally, &plan.missing) };
        let counts = tally.by_status.iter().map(|(status, count)| (*status, *count)).collect();
        let run = recording.run.clone();
        reporting.events().emit(&RunEvent::RunEnded { run, counts, interrupted });
        recording.end(status, interrupted)?;
        reporting.end();
        Ok(status)
    }
}

/// Starts the server and records which browsers take part.
pub(super) async fn context(
    recording: &Recording,
    set_up: SetUp<'_>,
    events: Events,
    stop: Stop,
) -> Result<Context, Failure> {
    let SetUp { machine, plan, places, launch, sources, attempts, quiet, .. } = set_up;
    for seen in seen(machine, plan) {
        recording.recorder.record(Record::BrowserSeen(seen)).exit(ExitStatus::BadData)?;
    }
    let server =
        Server::start(attempts.clone(), recording.recorder.clone()).await.exit(ExitStatus::Unavailable)?;
    let settings = Settings::of(plan);
    Ok(Context {
        recorder: recording.recorder.clone(),
        server,
        attempts,
        launcher: Arc::new(LocalLauncher {
            installed: machine.installed.clone(),
            launch: launch.clone(),
            log_folder: places.out.join("logs").join(&recording.run),
        }),
        judge: Arc::new(Rules::by(&plan.thresholds)),
        sources: Arc::new(sources),
        events,
        stop,
        quiet,
        settings,
    })
}

/// Every browser of the plan, whether it is here or not.
fn seen(machine: &Machine, plan: &Plan) -> Vec<BrowserSeen> {
    let mut labels: Vec<&str> = Vec::new();
    let cells = || plan.cells.iter().map(|planned| (planned.cell.browser.as_str(), &planned.decision));
    let ops = || plan.ops.iter().map(|planned| (planned.target.browser.as_str(), &planned.decision));
    for (browser, _) in cells().chain(ops()) {
        if !labels.contains(&browser) {
            labels.push(browser);
        }
    }
    let of = |label: &str| match machine.installed.iter().find(|installed| installed.label == label) {
        Some(installed) => describe(installed),
        None => BrowserSeen {
            label: label.to_owned(),
            kind: label.to_owned(),
            version: if label == NATIVE { env!("CARGO_PKG_VERSION").to_owned() } else { String::new() },
            problem: cells().chain(ops()).find_map(|(browser, decision)| match decision {
                Decision::Never { status: webmatrix_wire::Status::Unavailable, reason }
                    if browser == label =>
                {
                    Some(reason.clone())
                }
                _ => None,
            }),
            ..BrowserSeen::default()
        },
    };
    labels.into_iter().map(of).collect()
}

pub(super) fn describe(installed: &Installed) -> BrowserSeen {
    let driver = installed.driver.as_ref();
    let version =
        |version: Option<&crate::discover::Version>| version.map(ToString::to_string).unwrap_or_default();
    BrowserSeen {
        label: installed.label.clone(),
        kind: installed.kind.to_string(),
        version: version(installed.version.as_ref()),
        channel: installed.channel.to_string(),
        path: installed.path.display().to_string(),
        driver: driver.map(|driver| driver.path.display().to_string()).unwrap_or_default(),
        driver_version: version(driver.and_then(|driver| driver.version.as_ref())),
        problem: installed.obstacle().map(ToString::to_string),
    }
}
