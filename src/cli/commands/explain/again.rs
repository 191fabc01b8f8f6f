//! A stored cell, run again as it was: with its plan, and with the weights, files and browsers of its command line.

use webmatrix_wire::Status;

use super::{Stored, refused};
use crate::analyse::explanation::{Ablated, Again};
use crate::analyse::{Tally, traced};
use crate::cli::args::{Args, Command, LaunchArgs, PathArgs};
use crate::cli::commands::run::{self, SetUp, UnderWay, has_pages};
use crate::cli::config::{self, Machine, Places};
use crate::cli::launcher::LocalLauncher;
use crate::cli::recording::Recording;
use crate::cli::{out, reporter};
use crate::collect::{self, CellTraced, Given, ModelFolder, Record, Sources, Verdict};
use crate::error::{Exit, ExitStatus, Failure};
use crate::plan::{Cell, Decision, Plan, PlannedCell};
use crate::serve::Attempts;
use crate::session::{Surroundings, switches};

use clap::Parser;

/// A cell that can be run again.
struct Setting {
    cell: Cell,
    plan: Plan,
    machine: Machine,
    launch: LaunchArgs,
    /// What it was run by.
    command: Command,
}

/// What running it once came to.
struct Once {
    /// None if the run was stopped first.
    verdict: Option<Verdict>,
    trace: Option<CellTraced>,
    stopped: bool,
}

/// Runs the cell again; traces it if it is wrong, and leaves out switches one by one, those that contain one of the texts or
/// all, if that is asked for. The flag says whether somebody stopped it.
pub(super) async fn again(
    stored: &Stored,
    cell: &str,
    places: &Places,
    ablate: Option<&[String]>,
    kept: &Places,
) -> Result<(Again, bool), Failure> {
    let setting = match Setting::of(stored, cell) {
        Ok(setting) => setting,
        Err(failure) => return Ok((refused(format!("{:#}", failure.error)), false)),
    };
    if ablate.is_some() && setting.cell.is_native() {
        return Ok((refused("the host has no browser's switches to leave out"), false));
    }
    let Once { verdict, trace, stopped } = match setting.once(places, &[]).await {
        Ok(once) => once,
        Err(failure) => return Ok((refused(format!("{:#}", failure.error)), false)),
    };
    let mut again = Again {
        status: verdict.as_ref().map(|verdict| verdict.status),
        reason: verdict.and_then(|verdict| verdict.reason),
        trace: trace.as_ref().map(|trace| trace.says.clone()),
        ..Again::default()
    };
    if let Some(trace) = trace {
        keep(stored, kept, trace);
    }
    let Some(texts) = ablate.filter(|_| !stopped) else { return Ok((again, stopped)) };
    let mut switches = setting.switches(places)?;
    switches.retain(|switch| texts.is_empty() || texts.iter().any(|text| switch.contains(text.as_str())));
    if switches.is_empty() {
        again.refused = Some(format!("{} is started with no such switch", setting.cell.browser));
    }
    for (at, switch) in switches.iter().enumerate() {
        out::note(&format!("{} of {}: without {switch}", at + 1, switches.len()));
        let Once { verdict, stopped, .. } = setting.once(places, std::slice::from_ref(switch)).await?;
        if stopped {
            return Ok((again, true));
        }
        again.ablation.push(Ablated {
            without: switch.clone(),
            status: verdict.as_ref().map(|verdict| verdict.status),
            reason: verdict
                .filter(|verdict| verdict.status != Status::Pass)
                .and_then(|verdict| verdict.reason),
        });
    }
    Ok((again, false))
}

/// Puts a trace with the run that it explains, so that the cell's page shows it. Who explains need not be able to write.
fn keep(stored: &Stored, places: &Places, trace: CellTraced) {
    let run = &stored.run.view.run.run;
    if let Err(failure) = Recording::add(places, run, Record::CellTraced(Box::new(trace))) {
        out::note(&format!("the trace is not kept with run {run}: {:#}", failure.error));
    }
}

impl Setting {
    /// From what is stored of its run.
    fn of(stored: &Stored, cell: &str) -> Result<Self, Failure> {
        let bad = |text: &str| Failure::text(ExitStatus::BadData, text);
        let cell: Cell = cell.parse().exit(ExitStatus::BadData)?;
        let mut plan =
            stored.plan.clone().ok_or_else(|| bad("its plan is of another version of this program"))?;
        let planned = plan.cells.iter().find(|planned| planned.cell == cell);
        if let Some(PlannedCell { decision: Decision::Never { reason, .. }, .. }) = planned {
            return Err(bad(reason));
        }
        // Once, and as it is on any day: no retry hides anything.
        plan.cells = vec![PlannedCell { cell: cell.clone(), decision: Decision::Run }];
        (plan.matrix, plan.ops, plan.missing) = ("explain".to_owned(), Vec::new(), Vec::new());
        (plan.run.warmup, plan.run.samples, plan.run.retries) = (0, 1, 0);
        let words: Vec<String> =
            serde_json::from_str(&stored.run.view.run.arguments).exit(ExitStatus::BadData)?;
        let typed = Args::try_parse_from(std::iter::once("webmatrix".to_owned()).chain(words));
        let command =
            typed.map_err(|_| bad("its command line is of another version of this program"))?.command;
        let (paths, launch) = match &command {
            Command::Run(args) => (args.select.paths.clone(), args.launch.clone()),
            Command::Verify(args) => (args.paths.clone(), args.launch.clone()),
            Command::Compare(args) => {
                let common = args.what.common();
                (common.paths.clone(), common.launch.clone())
            }
            Command::Tune(args) => (args.paths.clone(), args.launch.clone()),
            _ => (PathArgs::default(), LaunchArgs::default()),
        };
        let machine = Machine::look(&paths, Some(std::slice::from_ref(&cell.browser)))?;
        let setting = Self { cell, plan, machine, launch, command };
        if !setting.cell.is_native() {
            let label = &setting.cell.browser;
            let installed = setting.machine.installed.iter().find(|installed| installed.label == *label);
            let installed = installed.ok_or_else(|| bad(&format!("{label} is not on this machine")))?;
            if let Some(obstacle) = installed.obstacle() {
                return Err(Failure::text(ExitStatus::Unavailable, obstacle.to_string()));
            }
        }
        has_pages(&setting.plan)?;
        Ok(setting)
    }

    /// Where its model comes from, and what else its page may import.
    fn sources(&self) -> Result<(Sources, Attempts), Failure> {
        let twins = || Sources::new(collect::OwnWeights::new(), Given::default());
        Ok(match &self.command {
            Command::Run(args) => (run::sources(args, &self.plan)?, run::runtimes(args, &self.plan)?),
            Command::Verify(args) => {
                let patience = std::time::Duration::from_secs(u64::from(self.plan.deadlines.attempt_s));
                let folder =
                    ModelFolder::open(&args.model_dir, args.class, patience).exit(ExitStatus::BadData)?;
                (Sources::of_folder(&folder), Attempts::default())
            }
            Command::Compare(args) => {
                let common = args.what.common();
                if common.text.is_some() {
                    let text = "it scored a text, which only `webmatrix compare` gives it";
                    return Err(Failure::text(ExitStatus::BadData, text));
                }
                (
                    Sources::new(config::weights(&common.subject.weights, &self.plan)?, Given::default()),
                    Attempts::default(),
                )
            }
            Command::Tune(args) => {
                let weights = config::weights(&args.subject.weights, &self.plan)?;
                let sources = Sources::new(weights, Given::default()).keeping(args.keep_layers.clone());
                (sources, Attempts::default())
            }
            _ => (twins(), Attempts::default()),
        })
    }

    /// The switches and preferences that its browser is started with and may be without.
    fn switches(&self, places: &Places) -> Result<Vec<String>, Failure> {
        let launcher = LocalLauncher {
            installed: self.machine.installed.clone(),
            launch: self.launch.clone(),
            log_folder: places.out.join("logs"),
        };
        let spec = launcher.spec(&self.cell.browser);
        let spec = spec.map_err(|error| Failure::text(ExitStatus::Unavailable, error))?;
        Ok(switches(&spec, Surroundings::here()))
    }

    /// Runs the cell in a fresh browser without these switches, as a run of its own; traces it if it is wrong and nothing
    /// is left out.
    async fn once(&self, places: &Places, without: &[String]) -> Result<Once, Failure> {
        let (sources, attempts) = self.sources()?;
        sources.check(&self.plan).exit(ExitStatus::BadData)?;
        let launch = LaunchArgs { without: without.to_vec(), ..self.launch.clone() };
        let recording = Recording::begin(places, &self.plan)?;
        let recorder = recording.recorder.clone();
        let set_up = SetUp { attempts, ..SetUp::new(&self.machine, &self.plan, places, &launch, sources) };
        let under_way = UnderWay::start(recording, reporter::quiet(), set_up).await?;
        let collected = under_way.collect(1).await;
        let stop = under_way.ctx.stop.clone();
        let verdict = recorder.verdicts().get(&self.cell).cloned();
        let wrong = verdict.as_ref().is_some_and(|verdict| verdict.status == Status::Wrong);
        let trace = if wrong && without.is_empty() && collected.is_ok() && !stop.is_asked() {
            let both = collect::trace(&under_way.ctx, &self.cell).await.exit(ExitStatus::BadData)?;
            let told = traced(&self.cell, &both);
            recorder.record(Record::CellTraced(Box::new(told.clone()))).exit(ExitStatus::BadData)?;
            // Whoever reads it elsewhere is told where it comes from.
            Some(CellTraced { by: Some(under_way.recording.run.clone()), ..told })
        } else {
            None
        };
        under_way.finish(collected, |_: &Tally, _: &[String]| ExitStatus::AsExpected)?;
        Ok(Once { verdict, trace, stopped: stop.is_asked() })
    }
}
