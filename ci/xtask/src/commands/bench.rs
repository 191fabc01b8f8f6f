//! `cargo xtask bench`: the benchmarks of every crate.

use anyhow::Result;

use crate::process;
use crate::setup::{self, Scope};
use crate::workspace::Workspace;

/// Hands `args` to `cargo bench`.
pub(super) fn bench(ws: &Workspace, args: &[String]) -> Result<()> {
    setup::set_up(ws, Scope::Build, true)?;
    process::run(ws.cargo("bench")?.arg("--workspace").args(args))
}
