//! What the arguments mean on this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::args::{GenerateArgs, GivenArgs, PathArgs, SelectArgs, StoreArgs, Suite, Weights};
use super::files;
use crate::collect::{Given, Hub, OwnWeights};
use crate::discover::{Installed, ThisMachine, UserBrowsers, discover, select};
use crate::error::{Exit, ExitStatus, Failure};
use crate::plan::{
    self, Checkpoint, FileName, Found, Generation, Matrix, ModelClass, ModelFile, NATIVE, OpsSuite,
    Overrides, Plan, Size, Thresholds,
};

/// Where results are kept.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) out: PathBuf,
    pub(super) db: PathBuf,
}

impl Places {
    pub(super) fn of(args: &StoreArgs) -> Self {
        let db = args.db.clone().unwrap_or_else(|| args.out.join("webmatrix.duckdb"));
        Self { out: args.out.clone(), db }
    }
}

/// The browsers of this machine, and those that were asked for and are not on it.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) installed: Vec<Installed>,
    pub(super) found: Vec<Found>,
    /// The labels asked for, each replaced by the browser that answers for it.
    pub(super) labels: Option<Vec<String>>,
    /// What a person should know about the replacements.
    pub(super) notes: Vec<String>,
}

/// Every browser that can be found, by whatever the user said about them.
pub(super) fn installed(paths: &PathArgs) -> Result<Vec<Installed>, Failure> {
    let user = match UserBrowsers::file(&ThisMachine) {
        Some(file) => UserBrowsers::load(&file).exit(ExitStatus::BadData)?,
        None => UserBrowsers::default(),
    };
    Ok(discover(&ThisMachine, &user, &paths.browser_path))
}

impl Machine {
    /// Looks at the machine with the labels that were asked for in mind.
    pub(super) fn look(paths: &PathArgs, asked: Option<&[String]>) -> Result<Self, Failure> {
        let installed = installed(paths)?;
        let mut found: Vec<Found> = installed
            .iter()
            .map(|browser| Found {
                label: browser.label.clone(),
                problem: browser.obstacle().map(ToString::to_string),
            })
            .collect();
        let mut notes = Vec::new();
        let labels = asked.map(|asked| {
            let mut labels = Vec::new();
            for label in asked {
                if label == "all" || label == NATIVE {
                    labels.push(label.clone());
                    continue;
                }
                let selection = select(&[label], &installed);
                for chosen in selection.found {
                    notes.extend(chosen.note);
                    labels.push(chosen.browser.label);
                }
                for absent in selection.absent {
                    let unseen = !found.iter().any(|found| found.label == absent.asked);
                    if unseen && absent.kind.is_some() {
                        found.push(Found { label: absent.asked.clone(), problem: Some(absent.reason) });
                    }
                    labels.push(absent.asked);
                }
            }
            labels
        });
        Ok(Self { installed, found, labels, notes })
    }
}

/// Reads the matrix: an embedded one by its name, else a file.
pub(super) fn matrix(name: &str) -> Result<Matrix, Failure> {
    if let Some((name, text)) = plan::EMBEDDED.iter().find(|(embedded, _)| *embedded == name) {
        return plan::parse(name, text).exit(ExitStatus::BadData);
    }
    let text = std::fs::read_to_string(name).map_err(|error| {
        let known: Vec<&str> = plan::EMBEDDED.iter().map(|(name, _)| *name).collect();
        Failure::text(
            ExitStatus::BadData,
            format!("matrix {name}: {error}; the built-in ones are {}", known.join(", ")),
        )
    })?;
    plan::parse(name, &text).exit(ExitStatus::BadData)
}

/// The plan that the arguments ask for on this machine.
pub(super) fn plan(args: &SelectArgs, machine: &Machine) -> Result<Plan, Failure> {
    let files = files::read(args)?;
    let whole =
        if args.suite == Suite::Ops { ops_plan(args, machine) } else { models_plan(args, files, machine) };
    let mut plan = whole?;
    args.shard.into_iter().for_each(|shard| plan.keep(shard));
    Ok(plan)
}

/// The plan of models.
fn models_plan(
    args: &SelectArgs,
    files: BTreeMap<FileName, ModelFile>,
    machine: &Machine,
) -> Result<Plan, Failure> {
    let matrix = matrix(&args.matrix)?;
    let overrides = Overrides {
        browsers: machine.labels.clone(),
        models: args.models.clone(),
        sizes: args.size.clone(),
        backends: args.backends.clone(),
        precisions: args.precisions.clone(),
        features: args.features.clone(),
        own_weights: own_weights(&args.weights)?,
        files,
        batches: args.batch.clone(),
        sequence_lengths: args.sequence_length.clone(),
        generation: generation(&args.generate)?,
        thresholds: thresholds(args.thresholds.as_deref())?,
        samples: args.measure.number(),
        interval_width: args.measure.width(),
        time_budget_s: args.measure.time_budget,
        cool_down_s: args.measure.cool_down,
        retries: args.retries,
        memory_limit: args.memory_limit.map(|limit| limit.0),
        attempt_s: args.deadline,
        total_s: args.total_deadline,
    };
    plan::plan(&matrix, &overrides, &machine.found).exit(ExitStatus::Usage)
}

/// How classes that generate are to go on.
fn generation(args: &GenerateArgs) -> Result<Generation, Failure> {
    let &GenerateArgs { max_new_tokens, stop, temperature, top_k, top_p, seed } = args;
    let generation = Generation { max_new_tokens, stop, temperature, top_k, top_p, seed };
    match generation.check() {
        Ok(()) => Ok(generation),
        Err((field, reason)) => {
            let text = format!("--{} {reason}", field.replace('_', "-"));
            Err(Failure::text(ExitStatus::Usage, text))
        }
    }
}

/// What evidence is graded by: a file, else what the program carries.
fn thresholds(file: Option<&Path>) -> Result<Thresholds, Failure> {
    let Some(file) = file else { return Thresholds::embedded().exit(ExitStatus::BadData) };
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::text(ExitStatus::BadData, format!("thresholds {name}: {error}")))?;
    Thresholds::parse(&name, &text).exit(ExitStatus::BadData)
}

/// The text of a file that a flag names.
pub(super) fn read_text(flag: &str, file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::text(ExitStatus::BadData, format!("{flag} {}: {error}", file.display())))
}

/// What the models of `--weights` work on. A twin has inputs of its own, and is not given others unsaid.
pub(super) fn given(args: &GivenArgs, plan: &Plan) -> Result<Given, Failure> {
    let given = Given {
        images: args.image.clone(),
        audio: args.audio.clone(),
        texts: args.text.clone(),
        corpus: args.corpus.as_deref().map(|file| read_text("--corpus", file)).transpose()?,
    };
    match plan.runnable().find(|cell| cell.size != Size::Own) {
        Some(cell) if !given.is_empty() => {
            let text = format!(
                "--image, --audio, --text and --corpus are for the models of --weights, and {cell} is none: choose with --models"
            );
            Err(Failure::text(ExitStatus::Usage, text))
        }
        _ => Ok(given),
    }
}

/// The plan of the op suite. What chooses models has no meaning there, and is refused rather than ignored.
fn ops_plan(args: &SelectArgs, machine: &Machine) -> Result<Plan, Failure> {
    let given = [
        ("--models", args.models.is_some()),
        ("--size", args.size.is_some()),
        ("--precisions", args.precisions.is_some()),
        ("--weights", !args.weights.is_empty()),
        ("--samples", args.measure.number().is_some()),
        ("--batch", args.batch.is_some()),
        ("--sequence-length", args.sequence_length.is_some()),
        ("--thresholds", args.thresholds.is_some()),
        ("--memory-limit", args.memory_limit.is_some()),
        ("the flags of generation", !generation(&args.generate)?.is_usual()),
    ];
    if let Some((flag, _)) = given.iter().find(|(_, given)| *given) {
        let text = format!("--suite ops runs every op on its own, and no model: leave {flag} out");
        return Err(Failure::text(ExitStatus::Usage, text));
    }
    let asked = OpsSuite {
        browsers: machine.labels.clone(),
        backends: args.backends.clone(),
        features: args.features.clone().unwrap_or_default(),
        retries: args.retries,
        attempt_s: args.deadline,
        total_s: args.total_deadline,
    };
    plan::ops_suite(&asked, &machine.found).exit(ExitStatus::Usage)
}

/// The classes whose weights are no twins.
pub(super) fn own_weights(weights: &[Weights]) -> Result<BTreeSet<ModelClass>, Failure> {
    if weights.contains(&Weights::Hub) {
        if weights.contains(&Weights::Twin) {
            let text = "--weights hub and --weights twin exclude each other";
            return Err(Failure::text(ExitStatus::Usage, text));
        }
        return Ok(ModelClass::all().collect());
    }
    let class = |weights: &Weights| match weights {
        Weights::Own { class, .. } => Some(*class),
        Weights::Twin | Weights::Hub => None,
    };
    Ok(weights.iter().filter_map(class).collect())
}

/// The folders of weights that the plan's cells need: the user's own must be there, the hub's pulled. What is
/// not is told at once and in full.
pub(super) fn weights(asked: &[Weights], plan: &Plan) -> Result<OwnWeights, Failure> {
    let mut weights = OwnWeights::new();
    for given in asked {
        if let Weights::Own { class, folder } = given {
            if !folder.is_dir() {
                let text = format!("weights of {class}: {} is no folder", folder.display());
                return Err(Failure::text(ExitStatus::BadData, text));
            }
            weights.insert(*class, folder.clone());
        }
    }
    if !asked.contains(&Weights::Hub) {
        return Ok(weights);
    }
    let hub = Hub::from_env().exit(ExitStatus::BadData)?;
    let own = |class: &ModelClass| {
        plan.runnable().any(|cell| cell.model.class() == Some(*class) && cell.size == Size::Own)
    };
    let mut absent = Vec::new();
    for class in ModelClass::all().filter(own) {
        if weights.contains_key(&class) {
            continue;
        }
        let checkpoint = Checkpoint::pinned(class).exit(ExitStatus::BadData)?;
        match hub.snapshot(class, &checkpoint) {
            Ok(folder) => drop(weights.insert(class, folder)),
            Err(error) => absent.push(error.to_string()),
        }
    }
    if absent.is_empty() { Ok(weights) } else { Err(Failure::text(ExitStatus::BadData, absent.join("\n"))) }
}
