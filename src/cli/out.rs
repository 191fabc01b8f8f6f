//! The only place that writes to standard output and standard error, and to files that a person asked for.
//!
//! A reader that goes away (`webmatrix report | head`) is no fault, so failed writes are dropped.

use std::io::Write;
use std::path::Path;

/// Writes text to standard output as it is.
pub(super) fn text(text: &str) {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).ok();
}

/// Writes a line to standard output.
pub(super) fn line(line: &str) {
    text(&format!("{line}\n"));
}

/// Writes a line to standard error.
pub(super) fn note(line: &str) {
    writeln!(std::io::stderr().lock(), "{line}").ok();
}

/// Writes an error and its causes to standard error.
pub(super) fn error(error: &anyhow::Error) {
    note(&format!("error: {error:#}"));
}

/// Writes what the argument parser has to say where it belongs.
pub(super) fn clap(error: &clap::Error) {
    error.print().ok();
}

/// Writes text into a file, in folders that are made for it.
pub(super) fn file(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, text)
}
