//! `cargo xtask build`: the harness, then the binary that embeds it.

use std::path::PathBuf;

use anyhow::Result;

use crate::harness::{self, variant::Variant};
use crate::setup::{self, DUCKDB_LIBRARY, Scope};
use crate::workspace::Workspace;
use crate::{process, say};

/// Builds, and prints the binary's path as the last line.
pub(super) fn build(ws: &Workspace, variants: &[&Variant]) -> Result<()> {
    setup::set_up(ws, Scope::Build, true)?;
    let binary = binary(ws, variants)?;
    say::result(binary.display().to_string());
    Ok(())
}

/// Builds the release binary with `variants` of the harness in it, or with those it ships; returns its path.
pub(super) fn binary(ws: &Workspace, variants: &[&Variant]) -> Result<PathBuf> {
    if variants.is_empty() {
        harness::build(ws, &Variant::defaults())?;
    } else {
        harness::build(ws, variants)?;
    }
    process::run(ws.cargo("build")?.args(["--release", "--package", "webmatrix"]))?;
    let folder = ws.target.join("release");
    // Beside the binary, so that the two can be copied away together.
    setup::replace(&ws.tools.join("duckdb").join(DUCKDB_LIBRARY), &folder.join(DUCKDB_LIBRARY))?;
    Ok(folder.join(format!("webmatrix{}", std::env::consts::EXE_SUFFIX)))
}
