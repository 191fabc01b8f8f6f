//! onnxruntime-web, which our kernels and models are held against. Nothing else needs it, and it is no part of a
//! binary.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{Setup, npm};
use crate::workspace::Workspace;

const PACKAGE: &str = "onnxruntime-web";
/// The release that ratios are told against.
pub(crate) const VERSION: &str = "1.30.0";
/// Of the package as its makers published it.
const INTEGRITY: &str =
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==";

/// Brings the package, and compares what npm hashed with what was pinned.
pub(super) fn bring(setup: &mut Setup<'_>) -> Result<()> {
    if npm::bring(setup, PACKAGE, VERSION, "the runtime that ours is held against")?.is_none() {
        return Ok(());
    }
    let folder = npm::root(setup.ws);
    match integrity(&folder) {
        Some(found) if found == INTEGRITY => Ok(()),
        // Nothing was fetched where nothing may be installed.
        None if !setup.install => Ok(()),
        found => bail!(
            "{PACKAGE} {VERSION} is not the package that was pinned: its hash is {}, pinned {INTEGRITY}; remove {} and \
             set up again",
            found.as_deref().unwrap_or("not known"),
            npm::folder(setup.ws, PACKAGE).display()
        ),
    }
}

/// Where its modules lie.
pub(crate) fn dist(ws: &Workspace) -> PathBuf {
    npm::folder(ws, PACKAGE).join("dist")
}

/// The hash that npm verified when it unpacked the package, by its own record.
fn integrity(root: &Path) -> Option<String> {
    let lock = fs::read(root.join("node_modules").join(".package-lock.json")).ok()?;
    let lock: serde_json::Value = serde_json::from_slice(&lock).ok()?;
    Some(lock["packages"][format!("node_modules/{PACKAGE}")]["integrity"].as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_npms_own() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(integrity(dir.path()), None);
        fs::create_dir(dir.path().join("node_modules")).unwrap();
        let lock = r#"{"packages":{"node_modules/onnxruntime-web":{"integrity":"sha512-x"}}}"#;
        fs::write(dir.path().join("node_modules/.package-lock.json"), lock).unwrap();
        assert_eq!(integrity(dir.path()).as_deref(), Some("sha512-x"));
    }
}
