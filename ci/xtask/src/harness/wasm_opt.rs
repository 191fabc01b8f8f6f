//! Binaryen's `wasm-opt`, from its npm package. Without it the harness works just as well and is larger.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::variant::Variant;
use crate::process;
use crate::say::say;
use crate::setup::{BINARYEN, BINARYEN_VERSION, npm_folder};
use crate::workspace::Workspace;

/// What every variant may contain. They are named rather than detected, so that an instruction which slipped into the wrong
/// variant is an error here and not in somebody's browser.
const FEATURES: [&str; 8] = [
    "bulk-memory",
    "bulk-memory-opt",
    "multivalue",
    "mutable-globals",
    "nontrapping-float-to-int",
    "reference-types",
    "sign-ext",
    "simd",
];

/// What tells one outcome from another: the version, or that there is none.
pub(super) fn identity(ws: &Workspace) -> String {
    if program(ws).is_some() { format!("{BINARYEN} {BINARYEN_VERSION}") } else { "unoptimised".to_owned() }
}

/// Replaces `module` by a smaller one that does the same.
pub(super) fn shrink(ws: &Workspace, variant: &Variant, module: &Path) -> Result<()> {
    let Some(program) = program(ws) else {
        say("harness: no wasm-opt, so the module stays larger than it could be");
        return Ok(());
    };
    let smaller = module.with_extension("opt");
    let mut node = Command::new("node");
    node.arg(program).arg(module).arg("--output").arg(&smaller).arg("-O3");
    node.args(FEATURES.iter().chain(variant.opt_features).map(|feature| format!("--enable-{feature}")));
    process::run(&mut node).context("wasm-opt")?;
    Ok(fs::rename(smaller, module)?)
}

/// The script that node runs.
fn program(ws: &Workspace) -> Option<PathBuf> {
    let program = npm_folder(ws, BINARYEN).join("bin").join("wasm-opt");
    (program.is_file() && which::which("node").is_ok()).then_some(program)
}
