//! What was typed. Every flag can be given in the environment as `WEBMATRIX_<FLAG>`.

mod browsers;
mod compare;
mod docs;
mod explain;
mod file;
mod gate;
mod measure;
mod memory;
mod merge;
mod model;
mod models;
mod quantize;
mod serve;
mod subject;
mod tune;
mod verify;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use bytesize::ByteSize;
use clap::builder::RangedI64ValueParser;
use clap::{Parser, Subcommand, ValueEnum};
use webmatrix_wire::{Backend, Precision};

pub(super) use browsers::{BrowsersAction, BrowsersArgs, ProbeArgs};
pub(super) use compare::{Compare, CompareArgs, ComparedArgs};
pub(super) use docs::{CompletionsArgs, ManArgs};
pub(super) use explain::ExplainArgs;
pub(super) use file::{FileArgs, NamedFile};
pub(super) use gate::GateArgs;
pub(super) use measure::{ConditionArgs, EnvValidation, MeasureArgs};
pub(super) use memory::MemoryArgs;
pub(super) use merge::MergeArgs;
pub(super) use model::{GenerateArgs, GivenArgs};
pub(super) use models::{ListArgs, ModelsAction, ModelsArgs, ModelsFormat, PullArgs};
pub(super) use quantize::QuantizeArgs;
pub(super) use serve::{LiveArgs, ServeArgs};
pub(super) use subject::SubjectArgs;
pub(super) use tune::TuneArgs;
pub(super) use verify::{BenchArgs, VerifyArgs, VerifyFormat};

use crate::discover::BrowserPath;
use crate::plan::{BATCHES, ModelClass, SEQUENCE_LENGTHS, Shard, Size};
use crate::render::Format;
use crate::store::RunSelection;

/// Does this model run in that browser, correctly, how fast, at which precision: measured in the
/// page, and proven.
#[derive(Debug, Parser)]
#[command(name = "webmatrix", version, max_term_width = 110, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 as expected, 1 unexpected result, 2 usage, 3 no real cell ran, \
                        65 bad data or configuration, 69 browser, driver or hub unavailable, 130 interrupted")]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the cells of a matrix in real browsers
    Run(Box<RunArgs>),
    /// Print the cells of a matrix, and why others do not run
    Plan(Box<PlanArgs>),
    /// Find the browsers on this machine
    Browsers(BrowsersArgs),
    /// Find out what browsers can do: WebGPU, WebNN, WebAssembly, timers
    Probe(ProbeArgs),
    /// Compare a model folder's outputs with its expected ones, in real browsers
    Verify(VerifyArgs),
    /// Hold kernels and models against onnxruntime-web, in the same page and in turn
    Bench(BenchArgs),
    /// Hold precisions or platforms against one another: memory, latency, accuracy, each with its interval
    Compare(CompareArgs),
    /// Find the features that make models faster here, by measuring, and keep them for `run --tuned`
    Tune(Box<TuneArgs>),
    /// What the model classes are, how large, and where they were measured to run
    Models(ModelsArgs),
    /// Write a report of one or more runs
    Report(ReportArgs),
    /// Serve the report as a dashboard that follows a run
    Serve(ServeArgs),
    /// Put the parts of a run together that several machines or shards made
    Merge(MergeArgs),
    /// What the memory of a run's cells was for, over time
    Memory(MemoryArgs),
    /// Fail where a run is worse than its baseline, and nowhere else
    Gate(Box<GateArgs>),
    /// Say why a cell has its status, what differs from when it was otherwise, and what to do
    Explain(ExplainArgs),
    /// Print a shell's completions of these commands
    Completions(CompletionsArgs),
    /// Print the manual page of the program or of a command
    Man(ManArgs),
}

/// What is run on the browsers' backends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Suite {
    /// The cells of a matrix: models.
    #[default]
    Models,
    /// Every op of the engine on its own, against the scalar oracle.
    Ops,
}

/// Which cells.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct SelectArgs {
    /// What to run: the models of a matrix, or every op on its own
    #[arg(long, value_enum, default_value_t = Suite::Models, env = "WEBMATRIX_SUITE")]
    pub(super) suite: Suite,
    /// Browser labels, `all`, or `native` for the host
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_BROWSERS", value_name = "LABEL")]
    pub(super) browsers: Option<Vec<String>>,
    /// Model classes, or `all`
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_MODELS", value_name = "CLASS")]
    pub(super) models: Option<Vec<String>>,
    /// Backends: wasm webgpu webnn native-cpu native-gpu
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_BACKENDS", value_name = "BACKEND")]
    pub(super) backends: Option<Vec<Backend>>,
    /// Precisions: fp32 fp16 int8 int4 int3 int2 mixed
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_PRECISIONS", value_name = "PRECISION")]
    pub(super) precisions: Option<Vec<Precision>>,
    /// Model sizes: tiny small base
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_SIZE", value_name = "SIZE")]
    pub(super) size: Option<Vec<Size>>,
    /// Items of one inference; more than one number makes an axis
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_BATCH", value_name = "N", value_parser = within(&BATCHES))]
    pub(super) batch: Option<Vec<u32>>,
    /// Tokens of its text; more than one number makes an axis
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_SEQUENCE_LENGTH", value_name = "N", value_parser = within(&SEQUENCE_LENGTHS))]
    pub(super) sequence_length: Option<Vec<u32>>,
    /// Features to switch on, together
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_FEATURES", value_name = "FEATURE")]
    pub(super) features: Option<Vec<String>>,
    /// A matrix file, or one of quick, nightly, full
    #[arg(long, default_value = "quick", env = "WEBMATRIX_MATRIX", value_name = "NAME|FILE")]
    pub(super) matrix: String,
    /// Whose weights: `twin` for seeded ones, `hub` for the checkpoints that `models pull` brought, or your own for a
    /// class: a folder with config.json and model.safetensors
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_WEIGHTS", value_name = "hub|twin|CLASS=DIR")]
    pub(super) weights: Vec<Weights>,
    #[command(flatten)]
    pub(super) measure: MeasureArgs,
    /// Further tries, each in a fresh browser, after an unexpected result
    #[arg(long, env = "WEBMATRIX_RETRIES", value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10))]
    pub(super) retries: Option<u32>,
    /// Memory that a backend may hold of a model, for example 64MiB: precisions are tried in their order, and only the first
    /// that keeps within it is run
    #[arg(long, env = "WEBMATRIX_MEMORY_LIMIT", value_name = "SIZE")]
    pub(super) memory_limit: Option<ByteSize>,
    /// A part of the cells, for example 2/3 for the second of three: `webmatrix merge` puts parts together
    #[arg(long, env = "WEBMATRIX_SHARD", value_name = "PART/PARTS")]
    pub(super) shard: Option<Shard>,
    /// Seconds for one try at a cell
    #[arg(long, env = "WEBMATRIX_DEADLINE", value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) deadline: Option<u32>,
    /// Seconds for everything
    #[arg(long, env = "WEBMATRIX_TOTAL_DEADLINE", value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) total_deadline: Option<u32>,
    /// A file that says what the host may run of a cell before its evidence is `fallback` [default: nothing]
    #[arg(long, env = "WEBMATRIX_THRESHOLDS", value_name = "FILE")]
    pub(super) thresholds: Option<PathBuf>,
    #[command(flatten)]
    pub(super) generate: GenerateArgs,
    #[command(flatten)]
    pub(super) files: FileArgs,
    #[command(flatten)]
    pub(super) paths: PathArgs,
}

/// A number that an axis may have.
fn within(axis: &RangeInclusive<u32>) -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(i64::from(*axis.start())..=i64::from(*axis.end()))
}

/// One run, where several are too many.
fn one_run(text: &str) -> Result<RunSelection, String> {
    match text.parse() {
        Ok(RunSelection::All) => {
            Err("cells of several runs were not measured beside one another: name one".to_owned())
        }
        Ok(one) => Ok(one),
        Err(never) => match never {},
    }
}

/// Where browsers are, besides where they are looked for.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct PathArgs {
    /// A browser program by path, for example chromium-webnn=chromium:/opt/chromium/chrome
    #[arg(
        long,
        num_args = 1,
        value_delimiter = ',',
        env = "WEBMATRIX_BROWSER_PATH",
        value_name = "LABEL=KIND:PATH"
    )]
    pub(super) browser_path: Vec<BrowserPath>,
}

/// Whose weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Weights {
    /// Seeded ones, of every class that is not named.
    Twin,
    /// Checkpoints that were pulled, of every class that is not named.
    Hub,
    /// A folder, of one class.
    Own { class: ModelClass, folder: PathBuf },
}

impl FromStr for Weights {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "twin" => return Ok(Self::Twin),
            "hub" => return Ok(Self::Hub),
            _ => {}
        }
        let named =
            text.split_once('=').ok_or_else(|| format!("{text:?} is none of hub, twin and CLASS=DIR"));
        let (class, folder) = named?;
        let class = class.parse::<ModelClass>().map_err(|error| error.to_string())?;
        Ok(Self::Own { class, folder: folder.into() })
    }
}

/// How browsers are started.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct LaunchArgs {
    /// Show the browsers' windows
    #[arg(long, env = "WEBMATRIX_HEADED")]
    pub(super) headed: bool,
    /// Start Chromium without its sandbox; root always does
    #[arg(long, env = "WEBMATRIX_NO_SANDBOX")]
    pub(super) no_sandbox: bool,
    /// This machine has a GPU with a working driver: ask browsers to use it
    #[arg(long, env = "WEBMATRIX_HARDWARE_GPU")]
    pub(super) hardware_gpu: bool,
    /// Switches that are left out: only `explain --ablate` does that.
    #[arg(skip)]
    pub(super) without: Vec<String>,
}

/// Where results are kept.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct StoreArgs {
    /// The folder for journals, outputs, logs and the database
    #[arg(long, default_value = "webmatrix-out", env = "WEBMATRIX_OUT", value_name = "DIR")]
    pub(super) out: PathBuf,
    /// The database [default: webmatrix.duckdb in the output folder]
    #[arg(long, env = "WEBMATRIX_DB", value_name = "FILE")]
    pub(super) db: Option<PathBuf>,
}

/// What is printed.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct PrintArgs {
    /// `json` prints one event a line (for lists: one document)
    #[arg(long, value_enum, env = "WEBMATRIX_FORMAT")]
    pub(super) format: Option<PrintFormat>,
    /// Print nothing but errors
    #[arg(long, short, env = "WEBMATRIX_QUIET", conflicts_with = "format")]
    pub(super) quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PrintFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl PrintArgs {
    pub(super) fn is_json(&self) -> bool {
        self.format == Some(PrintFormat::Json)
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) select: SelectArgs,
    #[command(flatten)]
    pub(super) given: GivenArgs,
    #[command(flatten)]
    pub(super) conditions: ConditionArgs,
    #[command(flatten)]
    pub(super) launch: LaunchArgs,
    #[command(flatten)]
    pub(super) store: StoreArgs,
    #[command(flatten)]
    pub(super) print: PrintArgs,
    /// The folder `dist` of the npm package onnxruntime-web, for --runtime ort-web
    #[arg(long, env = "WEBMATRIX_PEER_DIR", value_name = "DIR")]
    pub(super) peer_dir: Option<PathBuf>,
    /// Beside each cell without features, run it with those that `webmatrix tune` found here
    #[arg(long, env = "WEBMATRIX_TUNED", conflicts_with = "features")]
    pub(super) tuned: bool,
    /// Complete a run that was interrupted
    #[arg(long, env = "WEBMATRIX_RESUME", value_name = "RUN|latest")]
    pub(super) resume: Option<String>,
    /// Browsers at a time; more than one disturbs timings
    #[arg(long, default_value_t = 1, env = "WEBMATRIX_JOBS", value_name = "N")]
    pub(super) jobs: usize,
    #[command(flatten)]
    pub(super) live: LiveArgs,
    /// Print the plan and run nothing
    #[arg(long, env = "WEBMATRIX_DRY_RUN", conflicts_with = "resume")]
    pub(super) dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub(super) select: SelectArgs,
    #[command(flatten)]
    pub(super) print: PrintArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReportArgs {
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Html, env = "WEBMATRIX_REPORT_FORMAT")]
    pub(super) format: Format,
    /// The database
    #[arg(long, default_value = "webmatrix-out/webmatrix.duckdb", env = "WEBMATRIX_DB", value_name = "FILE")]
    pub(super) db: PathBuf,
    /// Where to write it; without, text goes to standard output and html beside the database. A folder (DIR/) gets a file for
    /// each browser too, where the format has such: badge, wptreport
    #[arg(long, env = "WEBMATRIX_REPORT_OUT", value_name = "FILE|DIR")]
    pub(super) out: Option<PathBuf>,
    /// What to show: everything, or the matrix with what its cells save and cost
    #[arg(long, value_enum, default_value_t = View::Full, env = "WEBMATRIX_VIEW")]
    pub(super) view: View,
    /// Only cells of these precisions
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_PRECISIONS", value_name = "PRECISION")]
    pub(super) precisions: Option<Vec<Precision>>,
    /// Only cells of these browsers, or `all`
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_BROWSERS", value_name = "LABEL")]
    pub(super) browsers: Option<Vec<String>>,
    /// What people promise, judged by what was measured, in html, markdown and json [default: what matrices/claims.toml says]
    #[arg(long, env = "WEBMATRIX_CLAIMS", value_name = "FILE")]
    pub(super) claims: Option<PathBuf>,
    /// Which runs
    #[arg(long, default_value = "latest", env = "WEBMATRIX_RUN", value_name = "ID|latest|all")]
    pub(super) run: RunSelection,
}

/// What a report shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum View {
    /// Everything.
    Full,
    /// The matrix, and beside each cell memory, cosine and latency against higher precisions.
    Matrix,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_flag_can_come_from_the_environment() {
        for command in Args::command().get_subcommands() {
            let flags = command.get_arguments().filter(|argument| {
                argument.get_long().is_some() && !["help", "version"].contains(&argument.get_id().as_str())
            });
            for flag in flags {
                let name = flag.get_env().and_then(|name| name.to_str()).unwrap_or_default();
                assert!(name.starts_with("WEBMATRIX_"), "{} --{}", command.get_name(), flag.get_id());
            }
        }
    }

    #[test]
    fn the_main_job_is_understood() {
        let args = Args::try_parse_from("webmatrix run --browsers chrome firefox --models all".split(' '))
            .unwrap_or_else(|error| panic!("{error}"));
        let Command::Run(run) = args.command else { panic!("not a run") };
        assert_eq!(run.select.browsers, Some(vec!["chrome".to_owned(), "firefox".to_owned()]));
        assert_eq!(run.select.models, Some(vec!["all".to_owned()]));
        assert_eq!((run.select.matrix.as_str(), run.jobs), ("quick", 1));
    }

    #[test]
    fn a_wrong_name_lists_the_right_ones() {
        let error = Args::try_parse_from("webmatrix run --backends gpu".split(' ')).err();
        let text = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains("use one of wasm, webgpu, webnn, native-cpu, native-gpu"), "{text}");
    }
}
