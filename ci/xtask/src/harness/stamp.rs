//! Whether the inputs of the harness are what they were when it was last built.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::workspace::Workspace;

/// Folders of a crate that its library is not made of.
const NOT_INPUT: [&str; 3] = ["tests", "benches", "examples"];

/// A hash over everything that decides the module, toolchain and flags apart.
pub(super) fn of_sources(ws: &Workspace) -> Result<String> {
    let mut files = vec![ws.root.join("Cargo.toml"), ws.root.join("Cargo.lock")];
    collect(&ws.root.join("harness-wasm"), &mut files)?;
    of_files(&ws.root, files)
}

/// One hash of several parts, none of which can run over into the next.
pub(super) fn combine(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

/// A hash over names and contents, whatever the order the files were found in.
fn of_files(root: &Path, mut files: Vec<PathBuf>) -> Result<String> {
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let content = fs::read(&file).with_context(|| format!("could not read {}", file.display()))?;
        let name = file.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
        hash.update(combine(&[&name, &hex::encode(Sha256::digest(content))]));
    }
    Ok(hex::encode(hash.finalize()))
}

/// All files below `folder` that the library can be made of.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            files.push(entry.path());
        } else if !NOT_INPUT.iter().any(|name| entry.file_name() == *name) {
            collect(&entry.path(), files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(root: &Path) -> String {
        let mut files = Vec::new();
        collect(root, &mut files).unwrap();
        of_files(root, files).unwrap()
    }

    #[test]
    fn the_hash_follows_contents_and_names_but_not_tests() {
        let dir = tempfile::tempdir().unwrap();
        let src = dir.path().join("src");
        fs::create_dir_all(&src).unwrap();
        fs::create_dir_all(dir.path().join("tests")).unwrap();
        fs::write(src.join("lib.rs"), "one").unwrap();
        let first = hash(dir.path());

        fs::write(dir.path().join("tests").join("all.rs"), "a test").unwrap();
        assert_eq!(hash(dir.path()), first);
        fs::write(src.join("lib.rs"), "two").unwrap();
        let second = hash(dir.path());
        assert_ne!(second, first);
        fs::rename(src.join("lib.rs"), src.join("main.rs")).unwrap();
        assert_ne!(hash(dir.path()), second);
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(combine(&["ab", "c"]), combine(&["a", "bc"]));
    }
}
