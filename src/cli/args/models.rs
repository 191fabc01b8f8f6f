//! `webmatrix models`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Subcommand, ValueEnum};

use super::{PrintArgs, QuantizeArgs};
use crate::plan::{ModelClass, Size};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(in crate::cli) struct ModelsArgs {
    #[command(flatten)]
    pub(in crate::cli) list: ListArgs,
    #[command(subcommand)]
    pub(in crate::cli) action: Option<ModelsAction>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ModelsAction {
    /// Every class (the default)
    List(ListArgs),
    /// Bring a class's checkpoint from the hub, hash it, and print its folder
    Pull(PullArgs),
    /// Store a folder's weights in fewer bits, in a new folder, and tell what that costs
    Quantize(Box<QuantizeArgs>),
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ListArgs {
    /// What to print
    #[arg(long, value_enum, default_value_t = ModelsFormat::Table, env = "WEBMATRIX_MODELS_FORMAT")]
    pub(in crate::cli) format: ModelsFormat,
    /// The size that parameters and memory are told for: tiny small base
    #[arg(long, default_value = "base", env = "WEBMATRIX_MODELS_SIZE", value_name = "SIZE")]
    pub(in crate::cli) size: Size,
    /// The database that measurements are read from
    #[arg(long, default_value = "webmatrix-out/webmatrix.duckdb", env = "WEBMATRIX_DB", value_name = "FILE")]
    pub(in crate::cli) db: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ModelsFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE mean what they mean to Hugging \
                        Face's tools. The pins are in matrices/models."
)]
pub(in crate::cli) struct PullArgs {
    /// The class, and a branch, tag or commit in place of the pinned one
    #[arg(value_name = "CLASS[@REVISION]")]
    pub(in crate::cli) wanted: Wanted,
    /// Another repository than the pinned one
    #[arg(long, env = "WEBMATRIX_REPO", value_name = "OWNER/NAME")]
    pub(in crate::cli) repo: Option<String>,
    /// Seconds that the hub may be silent
    #[arg(long, env = "WEBMATRIX_DEADLINE", value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) deadline: u32,
    #[command(flatten)]
    pub(in crate::cli) print: PrintArgs,
}

/// A class, and a revision of its checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Wanted {
    pub(in crate::cli) class: ModelClass,
    pub(in crate::cli) revision: Option<String>,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (class, revision) = match text.split_once('@') {
            Some((class, revision)) => (class, Some(revision.to_owned())),
            None => (text, None),
        };
        Ok(Self { class: class.parse::<ModelClass>().map_err(|error| error.to_string())?, revision })
    }
}
