//! The commands, one file each.

mod bench;
mod build;
mod clean;
mod other_systems;
mod run;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::harness::variant::Variant;
use crate::peer::{self, Peer, Wanted};
use crate::setup::{self, Scope};
use crate::workspace::Workspace;

/// WebMatrix's own commands
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Xtask,
}

#[derive(Subcommand)]
enum Xtask {
    /// Bring what is missing: browsers, drivers, libduckdb, the wasm toolchain
    Setup {
        /// Install nothing; print what to type instead
        #[arg(long)]
        no_install: bool,
    },
    /// Build the harness and the release binary; the last line is the binary's path
    Build {
        /// Build these variants of the harness instead of those the binary ships
        #[arg(long, value_name = "NAME", value_parser = Variant::named)]
        variant: Vec<&'static Variant>,
    },
    /// Set up, build, run the quick matrix on the browsers found, and render its report
    Run {
        /// Arguments for `webmatrix run`, instead of `--browsers all --models all --matrix quick`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Set up what is missing and run every check
    Test {
        /// Run only the checks whose name contains this
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
    },
    /// Run the benchmarks; with --peer, hold kernels, models and sizes against another runtime in the same browsers
    Bench {
        /// The other runtime
        #[arg(long, value_enum, value_name = "RUNTIME")]
        peer: Option<Peer>,
        #[command(flatten)]
        wanted: Wanted,
        /// Arguments for `cargo bench`, after --
        #[arg(last = true, conflicts_with = "peer")]
        args: Vec<String>,
    },
    /// Remove what was built from the harness, and the output of runs
    Clean {
        /// Remove also what set-up brought, for all checkouts
        #[arg(long)]
        tools: bool,
    },
}

/// Reads the command line and does what it says.
pub(crate) fn dispatch() -> Result<ExitCode> {
    let cli = Cli::parse();
    let ws = Workspace::find()?;
    match cli.command {
        Xtask::Setup { no_install } => setup::set_up(&ws, Scope::Test, !no_install)?,
        Xtask::Build { variant } => build::build(&ws, &variant)?,
        Xtask::Run { args } => return run::run(&ws, args),
        Xtask::Test { only } => return test::test(&ws, only.as_deref()),
        Xtask::Bench { peer: Some(Peer::OrtWeb), wanted, .. } => peer::bench(&ws, &wanted)?,
        Xtask::Bench { peer: None, args, .. } => bench::bench(&ws, &args)?,
        Xtask::Clean { tools } => clean::clean(&ws, tools)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_readme_shows_commands_that_are_there() {
        let readme = include_str!("../../../../README.md");
        let spans = readme.split('`').map(str::to_owned);
        let lines = readme.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned);
        let commands = spans.chain(lines).filter(|text| text.starts_with("cargo xtask "));
        let mut count = 0;
        for command in commands.filter(|command| !command.contains('\n')) {
            let words = shlex::split(&command).unwrap_or_default();
            let understood = Cli::try_parse_from(&words[1..]);
            assert!(understood.is_ok(), "{command}: {:?}", understood.err().map(|error| error.to_string()));
            count += 1;
        }
        assert!(count >= 4, "{count}");
    }

    #[test]
    fn run_hands_its_arguments_on() {
        let cli = Cli::parse_from(["xtask", "run", "--browsers", "firefox", "--help"]);
        assert!(matches!(cli.command, Xtask::Run { args } if args == ["--browsers", "firefox", "--help"]));
    }
}
