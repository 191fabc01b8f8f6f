//! `cargo xtask clean`: what `cargo clean` does not know of.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::say::say;
use crate::workspace::Workspace;

/// Removes what was built for wasm and what runs left; with `tools`, what set-up brought too.
pub(super) fn clean(ws: &Workspace, tools: bool) -> Result<()> {
    for folder in [ws.harness(), ws.target.join("wasm"), ws.root.join("webmatrix-out")] {
        remove(&folder)?;
    }
    if tools {
        // The link in the checkout stays: set-up makes the folder it leads to anew.
        remove(&ws.tools)?;
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    say(format!("removing {}", folder.display()));
    fs::remove_dir_all(folder).with_context(|| format!("could not remove {}", folder.display()))
}
