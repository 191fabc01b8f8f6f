//! Builds what a tested browser loads: one wasm module for each variant, with the script that wasm-bindgen makes for it.
//!
//! cargo compiles, wasm-bindgen binds, `wasm-opt` shrinks, and the outcome is published to `<target>/harness/<variant>/`,
//! where the build script of the root crate finds it. All of it is skipped while the inputs are what they were.

mod stamp;
pub(crate) mod toolchain;
pub(crate) mod variant;
pub(crate) mod wasm_opt;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use self::toolchain::{Toolchain, WASM};
use self::variant::Variant;
use crate::process;
use crate::say::say;
use crate::workspace::Workspace;

/// The crate that becomes the module, and the module's name before binding.
const CRATE: &str = "webmatrix-harness";
const MODULE: &str = "webmatrix_harness.wasm";
/// The name of what is published: `harness.js` and `harness_bg.wasm`.
const NAME: &str = "harness";

/// Builds each of `variants` whose inputs have changed.
pub(crate) fn build(ws: &Workspace, variants: &[&Variant]) -> Result<()> {
    let sources = stamp::of_sources(ws)?;
    for variant in variants {
        let toolchain = Toolchain::for_variant(variant)?;
        let published = ws.harness().join(variant.name);
        let work = ws.target.join("wasm").join(variant.name);
        let optimiser = wasm_opt::identity(ws);
        let stamp = stamp::combine(&[&sources, &toolchain.identity()?, &variant.rustflags(), &optimiser]);
        let stamp_file = work.join("inputs.sha256");
        let whole = published.join(format!("{NAME}_bg.wasm")).is_file();
        if whole && fs::read_to_string(&stamp_file).is_ok_and(|old| old == stamp) {
            continue;
        }
        say(format!("harness: {}, with {}", variant.name, toolchain.name()));
        let start = Instant::now();
        let staging = bind(&compile(ws, &toolchain, variant, &work)?, &work)?;
        wasm_opt::shrink(ws, variant, &staging.join(format!("{NAME}_bg.wasm")))?;
        let bytes = publish(&staging, &published)?;
        fs::write(stamp_file, stamp)?;
        say(format!(
            "harness: {} is {} KiB, {:.0} s",
            variant.name,
            bytes / 1024,
            start.elapsed().as_secs_f64()
        ));
    }
    Ok(())
}

/// Compiles the crate to a module, in a target folder of the variant's own: cargo gives a `cdylib` the same file name
/// whatever its flags, so variants in one folder would take each other's.
fn compile(ws: &Workspace, toolchain: &Toolchain, variant: &Variant, work: &Path) -> Result<PathBuf> {
    let mut cargo = toolchain.cargo(ws, "rustc", variant)?;
    // The crate is a library for Rust too, and cargo links no such crate with LTO unless it is told to leave that out.
    cargo
        .args(["--package", CRATE, "--lib", "--crate-type", "cdylib", "--profile", "harness", "--target-dir"])
        .arg(work);
    process::run(&mut cargo).with_context(|| format!("the harness, variant {}", variant.name))?;
    Ok(work.join(WASM).join("harness").join(MODULE))
}

/// Makes the script that loads the module, in a folder of its own; returns the folder.
fn bind(module: &Path, work: &Path) -> Result<PathBuf> {
    let staging = work.join("bound");
    if staging.exists() {
        fs::remove_dir_all(&staging)?;
    }
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).web(true)?.typescript(false).out_name(NAME);
    bindgen.remove_name_section(true).remove_producers_section(true);
    bindgen.generate(&staging).with_context(|| format!("wasm-bindgen on {}", module.display()))?;
    Ok(staging)
}

/// Makes `to` hold what `from` does, and returns the size of it. A file that did not change is not written again, so that
/// cargo sees no reason to build the binary anew.
fn publish(from: &Path, to: &Path) -> Result<u64> {
    fs::create_dir_all(to).with_context(|| format!("could not make {}", to.display()))?;
    for stale in fs::read_dir(to)?.collect::<std::io::Result<Vec<_>>>()? {
        if !from.join(stale.file_name()).exists() {
            let path = stale.path();
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
    }
    let mut bytes = 0;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            bytes += publish(&source, &target)?;
            continue;
        }
        let content = fs::read(&source)?;
        bytes += content.len() as u64;
        if fs::read(&target).ok().as_ref() != Some(&content) {
            fs::write(&target, content).with_context(|| format!("could not write {}", target.display()))?;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishing_mirrors_and_leaves_the_unchanged_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("snippets")).unwrap();
        fs::write(from.join("harness.js"), "js").unwrap();
        fs::write(from.join("snippets").join("a.js"), "a").unwrap();
        assert_eq!(publish(&from, &to).unwrap(), 3);
        fs::write(to.join("stale.js"), "old").unwrap();
        let written = fs::metadata(to.join("harness.js")).unwrap().modified().unwrap();

        assert_eq!(publish(&from, &to).unwrap(), 3);
        assert!(!to.join("stale.js").exists());
        assert_eq!(fs::read_to_string(to.join("snippets").join("a.js")).unwrap(), "a");
        assert_eq!(fs::metadata(to.join("harness.js")).unwrap().modified().unwrap(), written);
    }
}
