//! `webmatrix browsers` and `webmatrix probe`.

use std::path::PathBuf;

use clap::Subcommand;

use super::{LaunchArgs, PathArgs, PrintArgs, StoreArgs};
use crate::plan::axis::BrowserKind;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BrowsersArgs {
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
    #[command(flatten)]
    pub(in crate::cli) print: PrintArgs,
    #[command(subcommand)]
    pub(in crate::cli) action: Option<BrowsersAction>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum BrowsersAction {
    /// Exit 69 if a browser cannot be driven, with a remedy for each problem
    Check {
        /// Only these labels
        #[arg(value_name = "LABEL")]
        labels: Vec<String>,
    },
    /// Keep a browser in the user's configuration
    Add {
        /// What to call it
        label: String,
        /// chrome, edge, firefox, safari, chromium or webkitgtk
        kind: BrowserKind,
        /// The program
        path: PathBuf,
        /// Its driver, if the one found on this machine is not the right one
        #[arg(long)]
        driver: Option<PathBuf>,
        /// A further argument for the driver, for example --disable-build-check
        #[arg(long = "driver-arg", allow_hyphen_values = true, value_name = "ARG")]
        driver_args: Vec<String>,
    },
    /// Take a browser out of the user's configuration
    Remove {
        /// What it is called
        label: String,
    },
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ProbeArgs {
    /// Browser labels, or `all`
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_BROWSERS", value_name = "LABEL", default_value = "all")]
    pub(in crate::cli) browsers: Vec<String>,
    /// Seconds for one browser
    #[arg(long, env = "WEBMATRIX_DEADLINE", value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) deadline: u32,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
    #[command(flatten)]
    pub(in crate::cli) launch: LaunchArgs,
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
    #[command(flatten)]
    pub(in crate::cli) print: PrintArgs,
}
