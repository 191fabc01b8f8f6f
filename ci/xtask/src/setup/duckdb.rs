//! The prebuilt DuckDB library. Building it from source takes most of an hour on a small machine, and the project's own
//! binary of the same release travels inside its npm packages.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Setup, npm};
use crate::say::say;

/// The DuckDB release that the `duckdb` crate in the root manifest speaks to.
const VERSION: &str = "1.5.6-r.1";

/// The library's file name on this system.
pub(crate) const LIBRARY: &str = if cfg!(windows) {
    "duckdb.dll"
} else if cfg!(target_os = "macos") {
    "libduckdb.dylib"
} else {
    "libduckdb.so"
};

/// Puts the library into `duckdb/` among the tools, which is where cargo's configuration points the `duckdb` crate.
pub(super) fn bring(setup: &mut Setup<'_>) -> Result<()> {
    let folder = setup.ws.tools.join("duckdb");
    let stamp = folder.join("VERSION");
    if fs::read_to_string(&stamp).is_ok_and(|v| v == VERSION) && folder.join(LIBRARY).is_file() {
        return Ok(());
    }
    let Some(package) = package(std::env::consts::OS, std::env::consts::ARCH) else {
        setup.by_hand("libduckdb", format!("put {LIBRARY} of DuckDB {VERSION} into {}", folder.display()));
        return Ok(());
    };
    let Some(package) = npm::bring(setup, &package, VERSION, "the DuckDB library")? else { return Ok(()) };
    say(format!("setup: {LIBRARY} into {}", folder.display()));
    fs::create_dir_all(&folder)?;
    replace(&package.join(LIBRARY), &folder.join(LIBRARY))?;
    Ok(fs::write(stamp, VERSION)?)
}

/// Copies beside the destination and renames: a program that has the old library mapped keeps it.
pub(crate) fn replace(from: &Path, to: &Path) -> Result<()> {
    let new = to.with_extension("new");
    fs::copy(from, &new).with_context(|| format!("could not copy {}", from.display()))?;
    fs::rename(&new, to).with_context(|| format!("could not write {}", to.display()))
}

/// The npm package that carries the library for a system, in Rust's names for it.
fn package(os: &str, arch: &str) -> Option<String> {
    let os = match os {
        "linux" | "windows" | "macos" => os.replace("windows", "win32").replace("macos", "darwin"),
        _ => return None,
    };
    let arch = match arch {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        _ => return None,
    };
    Some(format!("@duckdb/node-bindings-{os}-{arch}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_we_support_has_its_package() {
        let named = |os, arch| package(os, arch).unwrap();
        assert_eq!(named("linux", "x86_64"), "@duckdb/node-bindings-linux-x64");
        assert_eq!(named("macos", "aarch64"), "@duckdb/node-bindings-darwin-arm64");
        assert_eq!(named("windows", "x86_64"), "@duckdb/node-bindings-win32-x64");
        assert_eq!(package("linux", "riscv64"), None);
    }
}
