//! The controller as compilers for Windows and macOS see it: what stands behind `cfg(windows)` is compiled by nobody else here.
//!
//! Types are checked, and nothing is linked. So neither their linkers nor their libraries are needed: the standard library is
//! checked from its source, and what build scripts have C compilers make, nobody reads.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::harness::toolchain::Toolchain;
use crate::process;
use crate::say::say;
use crate::workspace::Workspace;

/// What people have.
const TARGETS: [&str; 2] = ["x86_64-pc-windows-msvc", "aarch64-apple-darwin"];

/// Stands for a C compiler and its archiver: makes whatever it is asked to, empty. It is asked to by `-o FILE`, `-FoFILE`,
/// `-out:FILE`, or by `ar`'s operation before the file.
const NO_COMPILER: &str = r#"#!/bin/sh
before=
for word; do
  case $word in
    -Fo*) : > "${word#-Fo}" ;;
    -out:*) : > "${word#-out:}" ;;
  esac
  case $before in
    -o | c*q* | s) : > "$word" ;;
  esac
  before=$word
done
"#;

/// Checks the programs for each system.
pub(super) fn check(ws: &Workspace) -> Result<()> {
    if cfg!(not(unix)) {
        say("left out: another system checks this one");
        return Ok(());
    }
    let toolchain = Toolchain::find(true).context("no toolchain here has the standard library's source")?;
    let folder = ws.target.join("other-systems");
    fs::create_dir_all(&folder)?;
    let compiler = no_compiler(&folder)?;
    let subcommand = if toolchain.has_clippy() { "clippy" } else { "check" };
    let mut cargo = toolchain.cargo_from_source(ws, subcommand, &TARGETS)?;
    cargo.args(["--package", "webmatrix", "--package", "xtask", "--lib", "--bins"]);
    cargo.arg("--target-dir").arg(&folder);
    for target in TARGETS {
        let variable = target.replace('-', "_");
        for tool in ["CC", "CXX", "AR", "RANLIB"] {
            cargo.env(format!("{tool}_{variable}"), &compiler);
        }
    }
    // Where Apple's headers would be, which nothing reads.
    cargo.env("SDKROOT", &folder).env_remove("CARGO_ENCODED_RUSTFLAGS");
    if subcommand == "clippy" {
        cargo.args(["--", "-Dwarnings"]);
    } else {
        cargo.env("RUSTFLAGS", "-Dwarnings");
    }
    process::run(&mut cargo)
}

fn no_compiler(folder: &Path) -> Result<PathBuf> {
    let file = folder.join("no-compiler");
    // Written only once: build scripts that ran with an older one would all run again.
    if fs::read_to_string(&file).is_ok_and(|text| text == NO_COMPILER) {
        return Ok(file);
    }
    fs::write(&file, NO_COMPILER)?;
    process::make_executable(&file)?;
    Ok(file)
}
