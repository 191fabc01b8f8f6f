//! `cargo xtask run`: from a fresh machine to a matrix.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use super::build;
use crate::process;
use crate::say::say;
use crate::setup::{self, Scope};
use crate::workspace::Workspace;

/// The main job, when nothing else is asked for.
const DEFAULT: [&str; 6] = ["--browsers", "all", "--models", "all", "--matrix", "quick"];

/// Sets up, builds, runs, reports. Exits as `webmatrix run` did, whose code says what the matrix shows.
pub(super) fn run(ws: &Workspace, args: Vec<String>) -> Result<ExitCode> {
    // A browser that could not be installed is one that the matrix calls unavailable: no reason to run nothing.
    if let Err(error) = setup::set_up(ws, Scope::Run, true) {
        say(format!("{error:#}; going on with what is there"));
    }
    let binary = build::binary(ws, &[])?;
    let args = if args.is_empty() { DEFAULT.map(String::from).to_vec() } else { args };

    let mut main_job = webmatrix(ws, &binary, "run")?;
    main_job.args(&args);
    say(format!("$ {}", process::shown(&main_job)));
    let status = main_job.status().with_context(|| format!("could not start {}", binary.display()))?;

    let report = report_path(ws);
    let mut render = webmatrix(ws, &binary, "report")?;
    render.args(["--format", "html", "--out"]).arg(&report).args(database(&args));
    match process::run(&mut render) {
        Ok(()) => say(format!("the report is {}", report.display())),
        Err(error) => say(format!("no report: {error:#}")),
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The binary in the checkout, with the drivers among the tools in its `PATH`.
fn webmatrix(ws: &Workspace, binary: &Path, subcommand: &str) -> Result<Command> {
    let mut command = Command::new(binary);
    command.arg(subcommand).current_dir(&ws.root);
    process::prepend_path(&mut command, &ws.bin())?;
    Ok(command)
}

fn report_path(ws: &Workspace) -> PathBuf {
    ws.root.join("webmatrix-out").join("report.html")
}

/// The report reads the database that the run wrote, so a `--db` given to one goes to both.
fn database(args: &[String]) -> Vec<String> {
    let Some(at) = args.iter().position(|arg| arg == "--db" || arg.starts_with("--db=")) else {
        return Vec::new();
    };
    let words = if args[at] == "--db" { 2 } else { 1 };
    args[at..].iter().take(words).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database_in(line: &str) -> Vec<String> {
        database(&line.split(' ').map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_database_of_the_run_is_the_reports() {
        assert_eq!(database_in("--browsers all --db x.duckdb --models all"), ["--db", "x.duckdb"]);
        assert_eq!(database_in("--db=x.duckdb"), ["--db=x.duckdb"]);
        assert!(database_in("--browsers all").is_empty());
    }
}
