//! Embeds the harness that `cargo xtask build` made, and tells the binary where its DuckDB library lies.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Names a folder to embed instead of `<target>/harness`, for those who package the binary.
const HARNESS_DIR: &str = "WEBMATRIX_HARNESS_DIR";
/// Where the `duckdb` crate was told to find its library; set in cargo's configuration.
const DUCKDB_DIR: &str = "DUCKDB_LIB_DIR";

fn main() -> io::Result<()> {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    embed_harness(&out)?;
    find_duckdb_at_run_time();
    tell("rerun-if-changed=build.rs");
    Ok(())
}

/// Writes the table of embedded files, which is empty when the harness was not built: the controller says so when it runs.
fn embed_harness(out: &Path) -> io::Result<()> {
    tell(format!("rerun-if-env-changed={HARNESS_DIR}"));
    let named = std::env::var_os(HARNESS_DIR).map(PathBuf::from);
    let Some(folder) = named.or_else(|| Some(target_folder(out)?.join("harness"))) else {
        return Err(io::Error::other("OUT_DIR lies in no target folder"));
    };
    // cargo takes a watched path that does not exist for one that always changed.
    fs::create_dir_all(&folder)?;
    tell(format!("rerun-if-changed={}", folder.display()));

    let mut files = Vec::new();
    collect(&folder, &mut files)?;
    files.sort();
    if files.is_empty() {
        tell("warning=built without the harness: run `cargo xtask build` for a binary that can run a matrix");
    }
    let mut table = String::from(
        "/// The files of the harness: path below its folder, with `/` on every system, and content.\n\
         pub static HARNESS: &[(&str, &[u8])] = &[\n",
    );
    for file in files {
        let name = file.strip_prefix(&folder).map_err(io::Error::other)?.to_string_lossy().replace('\\', "/");
        table.push_str(&format!("    ({name:?}, include_bytes!({:?})),\n", fs::canonicalize(&file)?));
    }
    table.push_str("];\n");
    fs::write(out.join("harness_assets.rs"), table)
}

/// Puts into every binary and test where the library is: beside the binary once both are copied away, else where it was
/// linked from. Windows looks beside the binary by itself.
fn find_duckdb_at_run_time() {
    tell(format!("rerun-if-env-changed={DUCKDB_DIR}"));
    let origin = match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("macos") => "@loader_path",
        Ok("linux") => "$ORIGIN",
        _ => return,
    };
    tell(format!("rustc-link-arg=-Wl,-rpath,{origin}"));
    if let Some(dir) = std::env::var_os(DUCKDB_DIR) {
        // `.tools` is a link into a cache that outlives the checkout.
        let dir = fs::canonicalize(&dir).unwrap_or_else(|_| dir.into());
        tell(format!("rustc-link-arg=-Wl,-rpath,{}", dir.display()));
    }
}

/// The target folder above `OUT_DIR`, which is `[TRIPLE/]PROFILE/build/PACKAGE/out` below it: the one that cargo marked
/// as its own or that has a harness, else the one above the profile. Cargo marks no folder that was there before it.
fn target_folder(out: &Path) -> Option<&Path> {
    let above = || out.ancestors().skip_while(|folder| !folder.ends_with("build")).skip(2);
    above()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file() || folder.join("harness").is_dir())
        .or_else(|| above().next())
}

/// All files below `folder`.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// Says something to cargo.
fn tell(text: impl AsRef<str>) {
    println!("cargo:{}", text.as_ref());
}
