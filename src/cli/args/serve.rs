//! A live dashboard.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::store::RunSelection;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ServeArgs {
    /// The database; journals are read from its folder, so it need not be there yet
    #[arg(long, default_value = "webmatrix-out/webmatrix.duckdb", env = "WEBMATRIX_DB", value_name = "FILE")]
    pub(in crate::cli) db: PathBuf,
    /// The port; 0 is any free one
    #[arg(long, default_value_t = 0, env = "WEBMATRIX_PORT", value_name = "N")]
    pub(in crate::cli) port: u16,
    /// The address to listen at; any but a loopback one lets others read too
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), env = "WEBMATRIX_HOST", value_name = "ADDRESS")]
    pub(in crate::cli) host: IpAddr,
    /// Which runs
    #[arg(long, default_value = "latest", env = "WEBMATRIX_RUN", value_name = "ID|latest|all")]
    pub(in crate::cli) run: RunSelection,
}

/// A dashboard beside a run.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(in crate::cli) struct LiveArgs {
    /// Show the run while it goes on, at a page whose address is printed first. Pages are made between attempts, which wait
    /// for them; any address but a loopback one lets others read too
    #[arg(long, num_args = 0..=1, default_missing_value = "127.0.0.1:0", env = "WEBMATRIX_SERVE", value_name = "ADDRESS:PORT")]
    pub(in crate::cli) serve: Option<SocketAddr>,
    /// Go on showing it after its end, until stopped
    #[arg(long, env = "WEBMATRIX_KEEP", requires = "serve")]
    pub(in crate::cli) keep: bool,
}
