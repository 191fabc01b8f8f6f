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

    let database = ws.root.join(database(&args));
    let report = database.with_file_name("report.html");
    let mut render = webmatrix(ws, &binary, "report")?;
    render.args(["--format", "html", "--db"]).arg(&database).arg("--out").arg(&report);
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

/// The database that a run with `args` writes, which the report then reads.
fn database(args: &[String]) -> PathBuf {
    let value = |flag: &str| {
        let joined = args.iter().find_map(|arg| arg.strip_prefix(flag)?.strip_prefix('='));
        let apart = || args.iter().skip_while(|arg| *arg != flag).nth(1).map(String::as_str);
        joined.or_else(apart)
    };
    let out = || Path::new(value("--out").unwrap_or("webmatrix-out")).join("webmatrix.duckdb");
    value("--db").map_or_else(out, PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database_in(line: &str) -> PathBuf {
        database(&line.split(' ').map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_report_reads_what_the_run_wrote() {
        assert_eq!(database_in("--browsers all"), Path::new("webmatrix-out/webmatrix.duckdb"));
        assert_eq!(database_in("--out here --models all"), Path::new("here/webmatrix.duckdb"));
        assert_eq!(database_in("--out=here"), Path::new("here/webmatrix.duckdb"));
        assert_eq!(database_in("--browsers all --db x.duckdb --out here"), Path::new("x.duckdb"));
    }
}
