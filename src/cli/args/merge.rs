//! `webmatrix merge`.

use std::path::PathBuf;

use super::{PrintArgs, StoreArgs};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct MergeArgs {
    /// Output folders, of which the latest run of each is a part
    #[arg(required = true, value_name = "DIR")]
    pub(in crate::cli) parts: Vec<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
    #[command(flatten)]
    pub(in crate::cli) print: PrintArgs,
}
