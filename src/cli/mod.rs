//! The command line: what was typed (`args`), what it means (`config`), and the commands, which are
//! where the stages are put together.

mod args;
mod commands;
mod config;
mod files;
mod launcher;
mod machine;
mod out;
mod recording;
mod reporter;
mod signals;
mod table;
mod tuned;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::error::{ExitStatus, Failure};
use args::{Args, Command, ModelsAction};

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are no mistakes: they go to standard output.
            let status = if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::AsExpected };
            out::clap(&error);
            return status.into();
        }
    };
    start_log();
    signals::kill_browsers_on_panic();
    let outcome = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let outcome = runtime.block_on(command(args));
            // A native attempt that missed its deadline may still compute: nobody waits for it.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(Failure::new(ExitStatus::Unavailable, error)),
    };
    match outcome {
        Ok(status) => status.into(),
        Err(failure) => {
            out::error(&failure.error);
            failure.status.into()
        }
    }
}

/// The program's arguments, for whoever holds documents against them.
pub fn arguments() -> clap::Command {
    Args::command()
}

async fn command(args: Args) -> Result<ExitStatus, Failure> {
    match args.command {
        Command::Run(args) => commands::run::run(*args).await,
        Command::Plan(args) => commands::plan::run(&args),
        Command::Browsers(args) => commands::browsers::run(&args),
        Command::Probe(args) => commands::probe::run(args).await,
        Command::Verify(args) => commands::verify::run(args).await,
        Command::Bench(args) => commands::bench::run(args).await,
        Command::Compare(args) => commands::compare::run(args).await,
        Command::Tune(args) => commands::tune::run(*args).await,
        Command::Models(args) => match args.action {
            Some(ModelsAction::Pull(args)) => commands::pull::run(args).await,
            Some(ModelsAction::Quantize(args)) => commands::quantize::run(*args).await,
            Some(ModelsAction::List(args)) => commands::models::list(&args),
            None => commands::models::list(&args.list),
        },
        Command::Report(args) => commands::report::run(&args),
        Command::Serve(args) => commands::serve::run(args).await,
        Command::Merge(args) => commands::merge::run(&args),
        Command::Memory(args) => commands::memory::run(&args),
        Command::Gate(args) => commands::gate::run(*args).await,
        Command::Explain(args) => commands::explain::run(args).await,
        Command::Completions(args) => Ok(commands::docs::completions(&args)),
        Command::Man(args) => commands::docs::man(&args),
    }
}

/// The log is for finding faults: warnings and worse, unless `WEBMATRIX_LOG` says more.
fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("WEBMATRIX_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
}
