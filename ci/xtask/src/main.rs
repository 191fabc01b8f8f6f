//! `cargo xtask`: the project's own commands. On a fresh machine `cargo xtask run` and `cargo xtask test` are all anyone
//! needs: each sets up what is missing before it starts.

mod commands;
mod harness;
mod peer;
mod process;
mod say;
mod setup;
mod workspace;

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::dispatch().unwrap_or_else(|error| {
        say::say(format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}
