//! What `webmatrix memory` is told.

use std::path::PathBuf;

use bytesize::ByteSize;

use super::PrintArgs;
use crate::store::RunSelection;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct MemoryArgs {
    /// Which runs
    #[arg(long, default_value = "latest", env = "WEBMATRIX_RUN", value_name = "ID|latest|all")]
    pub(in crate::cli) run: RunSelection,
    /// Only cells whose ids contain one of these
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_FILTER", value_name = "TEXT")]
    pub(in crate::cli) filter: Vec<String>,
    /// Memory for the caches of keys and values: tells the longest context that fits, for example 64MiB
    #[arg(long, env = "WEBMATRIX_CACHE_BUDGET", value_name = "SIZE")]
    pub(in crate::cli) cache_budget: Option<ByteSize>,
    /// Draw every cell's memory over time
    #[arg(long, env = "WEBMATRIX_TIMELINE")]
    pub(in crate::cli) timeline: bool,
    /// The database
    #[arg(long, default_value = "webmatrix-out/webmatrix.duckdb", env = "WEBMATRIX_DB", value_name = "FILE")]
    pub(in crate::cli) db: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) print: PrintArgs,
}
