//! Packages from npm, at pinned versions, in one folder among the tools. Their scripts are never run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Setup;
use crate::process::words;
use crate::workspace::Workspace;

/// The folder that npm works in.
pub(super) fn root(ws: &Workspace) -> PathBuf {
    ws.tools.join("npm")
}

/// Where `package` lies once it is fetched.
pub(crate) fn folder(ws: &Workspace, package: &str) -> PathBuf {
    root(ws).join("node_modules").join(package)
}

/// Brings `package` at `version`; returns its folder, or nothing when it could not be had.
pub(super) fn bring(
    setup: &mut Setup<'_>,
    package: &str,
    version: &str,
    why: &str,
) -> Result<Option<PathBuf>> {
    let folder = folder(setup.ws, package);
    if version_of(&folder).as_deref() == Some(version) {
        return Ok(Some(folder));
    }
    if which::which("npm").is_err() {
        setup.by_hand(
            format!("{package} ({why})"),
            "install Node with npm, which fetches packages that we use",
        );
        return Ok(None);
    }
    fs::create_dir_all(root(setup.ws))?;
    // On Windows npm is a script, which only its own name with its extension starts.
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    // What a package would work beside is not what it needs.
    let mut install = words(&format!(
        "{npm} install --ignore-scripts --legacy-peer-deps --no-audit --no-fund --loglevel=error --prefix"
    ));
    install.arg(root(setup.ws)).arg(format!("{package}@{version}"));
    Ok(setup.bring(&format!("{package} {version}: {why}"), [install]).then_some(folder))
}

/// The npm package that carries `wasm-opt`, and the version that set-up fetches.
pub(crate) const BINARYEN: &str = "binaryen";
pub(crate) const BINARYEN_VERSION: &str = "132.0.0";

/// Brings `wasm-opt`. Debian's is too old to read relaxed SIMD; npm's is the same on every system.
pub(super) fn bring_wasm_opt(setup: &mut Setup<'_>) -> Result<()> {
    bring(setup, BINARYEN, BINARYEN_VERSION, "wasm-opt, which makes the harness smaller")?;
    Ok(())
}

/// The version of the package in `folder`, if one is there.
fn version_of(folder: &Path) -> Option<String> {
    let manifest = fs::read(folder.join("package.json")).ok()?;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).ok()?;
    Some(manifest["version"].as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_package_is_its_manifests() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(version_of(dir.path()), None);
        fs::write(dir.path().join("package.json"), r#"{"name":"x","version":"1.5.6-r.1"}"#).unwrap();
        assert_eq!(version_of(dir.path()).as_deref(), Some("1.5.6-r.1"));
    }
}
