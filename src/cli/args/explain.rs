//! What `webmatrix explain` is told.

use std::path::PathBuf;

use super::PrintArgs;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A cell that is wrong is run again, to find the first op that leaves the oracle; what that leaves lies in the \
                  folder `explain` beside the database, which stays as it is. Weights, files and browsers are those of the \
                  stored command line."
)]
pub(in crate::cli) struct ExplainArgs {
    /// The cell: browser/model@size/runtime/backend/precision/profile, or a part of it that only one has
    #[arg(value_name = "CELL")]
    pub(in crate::cli) cell: String,
    /// The run [default: the latest that has the cell]
    #[arg(long, env = "WEBMATRIX_RUN", value_name = "ID|latest")]
    pub(in crate::cli) run: Option<String>,
    /// Run it again with one switch or preference of its browser left out at a time; --ablate=TEXT,… only those that contain
    /// one of these
    #[arg(long, env = "WEBMATRIX_ABLATE", num_args = 0.., require_equals = true, value_delimiter = ',', value_name = "TEXT", conflicts_with = "stored")]
    pub(in crate::cli) ablate: Option<Vec<String>>,
    /// Tell what is stored, and run nothing
    #[arg(long, env = "WEBMATRIX_STORED")]
    pub(in crate::cli) stored: bool,
    /// The database
    #[arg(long, default_value = "webmatrix-out/webmatrix.duckdb", env = "WEBMATRIX_DB", value_name = "FILE")]
    pub(in crate::cli) db: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) print: PrintArgs,
}
