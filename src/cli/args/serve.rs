//! A live dashboard.

use std::net::{IpAddr, Ipv4Addr};
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
