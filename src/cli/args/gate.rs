//! What `webmatrix gate` is told.

use std::path::PathBuf;

use super::{LaunchArgs, PathArgs, StoreArgs, Weights, one_run};
use crate::render::GateFormat;
use crate::store::RunSelection;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A number raises an alarm only after the cell was run again in fresh browsers and agreed; a status that a \
                        fresh browser does not show again is flaky, a wrong output stays one. What is a change, metric by \
                        metric, is in matrices/gate.toml."
)]
pub(in crate::cli) struct GateArgs {
    /// What the run is held against: a run's id, `previous`, the latest run of a branch by its name, or a file (.duckdb, or
    /// .json as --save writes it)
    #[arg(
        long,
        env = "WEBMATRIX_BASELINE",
        value_name = "RUN|BRANCH|FILE",
        required_unless_present = "save"
    )]
    pub(in crate::cli) baseline: Option<String>,
    /// The run that is judged
    #[arg(long, default_value = "latest", env = "WEBMATRIX_RUN", value_name = "ID|latest", value_parser = one_run)]
    pub(in crate::cli) run: RunSelection,
    /// Keep the run, and those before it that tell its noise, as a baseline in a file
    #[arg(long, env = "WEBMATRIX_SAVE", value_name = "FILE.json")]
    pub(in crate::cli) save: Option<PathBuf>,
    /// Run nothing again: changed numbers are told as not confirmed, and only statuses fail
    #[arg(long, env = "WEBMATRIX_NO_CONFIRM")]
    pub(in crate::cli) no_confirm: bool,
    /// What is a change, metric by metric [default: what matrices/gate.toml says]
    #[arg(long, env = "WEBMATRIX_RULES", value_name = "FILE")]
    pub(in crate::cli) rules: Option<PathBuf>,
    /// Failures that are waited for, each until its day
    #[arg(long, env = "WEBMATRIX_KNOWN_FAILURES", value_name = "FILE")]
    pub(in crate::cli) known_failures: Option<PathBuf>,
    /// What to print
    #[arg(long, value_enum, default_value_t = GateFormat::Text, env = "WEBMATRIX_GATE_FORMAT")]
    pub(in crate::cli) format: GateFormat,
    /// Whose weights, where cells are run again: as the run was told
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_WEIGHTS", value_name = "hub|twin|CLASS=DIR")]
    pub(in crate::cli) weights: Vec<Weights>,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
    #[command(flatten)]
    pub(in crate::cli) launch: LaunchArgs,
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
    /// Say nothing of the progress
    #[arg(long, short, env = "WEBMATRIX_QUIET")]
    pub(in crate::cli) quiet: bool,
}
