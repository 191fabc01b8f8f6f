//! `cargo xtask bench --peer ort-web`: what the comparison needs besides the controller, which measures.

mod size;
mod subjects;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::harness::{self, variant::Variant};
use crate::process;
use crate::setup::{self, Scope};
use crate::workspace::Workspace;

/// A runtime that ours can be held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// onnxruntime-web.
    OrtWeb,
}

/// What to measure, and how to tell it.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Wanted {
    /// Only what has one of these in its name
    #[arg(long, num_args = 1.., value_delimiter = ',', requires = "peer", value_name = "NAME")]
    filter: Vec<String>,
    /// Browser labels [default: all]
    #[arg(long, num_args = 1.., value_delimiter = ',', requires = "peer", value_name = "LABEL")]
    browsers: Vec<String>,
    /// Backends [default: wasm webgpu webnn]
    #[arg(long, num_args = 1.., value_delimiter = ',', requires = "peer", value_name = "BACKEND")]
    backends: Vec<String>,
    /// Timed pairs
    #[arg(long, requires = "peer", value_name = "N")]
    pairs: Option<u32>,
    /// Threads of each side, on wasm
    #[arg(long, requires = "peer", value_name = "N")]
    threads: Option<u32>,
    /// table or jsonl
    #[arg(long, requires = "peer", value_name = "FORMAT")]
    format: Option<String>,
}

/// Brings the other runtime, makes the subjects, builds ours, and measures.
pub(crate) fn bench(ws: &Workspace, wanted: &Wanted) -> Result<()> {
    setup::set_up(ws, Scope::Bench, true)?;
    let subjects = subjects::bring(ws)?;
    harness::build(ws, &Variant::defaults())?;
    // Pages measure, and the harness that they load is optimised always: the controller's own speed counts for nothing.
    process::run(ws.cargo("build")?.args(["--package", "webmatrix"]))?;
    size::tell(ws, &wanted.filter, wanted.format.as_deref() == Some("jsonl"))?;
    // Sizes alone are no reason to start browsers.
    if !wanted.filter.is_empty() && wanted.filter.iter().all(|part| part.starts_with(size::NAME)) {
        return Ok(());
    }
    let binary = ws.target.join("debug").join(format!("webmatrix{}", std::env::consts::EXE_SUFFIX));
    let mut command = std::process::Command::new(binary);
    command.arg("bench").current_dir(&ws.root);
    command.arg("--peer-dir").arg(setup::ort_web_dist(ws)).arg("--subjects").arg(subjects);
    for (flag, values) in
        [("--filter", &wanted.filter), ("--browsers", &wanted.browsers), ("--backends", &wanted.backends)]
    {
        if !values.is_empty() {
            command.arg(flag).args(values);
        }
    }
    if let Some(pairs) = wanted.pairs {
        command.arg("--pairs").arg(pairs.to_string());
    }
    if let Some(threads) = wanted.threads {
        command.arg("--threads").arg(threads.to_string());
    }
    if let Some(format) = &wanted.format {
        command.arg("--format").arg(format);
    }
    process::run(&mut command).context("the comparison did not end as it should")
}
