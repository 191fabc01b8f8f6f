//! What `webmatrix verify` and `webmatrix bench` are told.

use std::path::PathBuf;

use clap::ValueEnum;
use webmatrix_wire::Backend;

use super::{LaunchArgs, PathArgs, StoreArgs};
use crate::plan::ModelClass;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct VerifyArgs {
    /// A folder with config.json, model.safetensors (or shards and their index), inputs.safetensors and
    /// expected.safetensors
    #[arg(long, env = "WEBMATRIX_MODEL_DIR", value_name = "DIR")]
    pub(in crate::cli) model_dir: PathBuf,
    /// The model's class, where `model_type` in config.json does not say it
    #[arg(long, env = "WEBMATRIX_CLASS", value_name = "CLASS")]
    pub(in crate::cli) class: Option<ModelClass>,
    /// Browser labels, `all`, or `native` for the host [default: every browser found]
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_BROWSERS", value_name = "LABEL")]
    pub(in crate::cli) browsers: Option<Vec<String>>,
    /// Backends [default: wasm webgpu webnn; on the host native-cpu native-gpu]
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_BACKENDS", value_name = "BACKEND")]
    pub(in crate::cli) backends: Option<Vec<Backend>>,
    /// What to print: a table, or one line for each browser, backend and output
    #[arg(long, value_enum, default_value_t = VerifyFormat::Table, env = "WEBMATRIX_VERIFY_FORMAT")]
    pub(in crate::cli) format: VerifyFormat,
    /// Where a backend disagrees, run it once more with every intermediate result kept, and name the first
    /// op that leaves the oracle
    #[arg(long, env = "WEBMATRIX_TRACE")]
    pub(in crate::cli) trace: bool,
    /// Say nothing of the progress
    #[arg(long, short, env = "WEBMATRIX_QUIET")]
    pub(in crate::cli) quiet: bool,
    /// Seconds for one browser and backend
    #[arg(long, env = "WEBMATRIX_DEADLINE", value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) deadline: Option<u32>,
    /// Seconds for everything
    #[arg(long, env = "WEBMATRIX_TOTAL_DEADLINE", value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) total_deadline: Option<u32>,
    /// Browsers at a time
    #[arg(long, default_value_t = 1, env = "WEBMATRIX_JOBS", value_name = "N")]
    pub(in crate::cli) jobs: usize,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
    #[command(flatten)]
    pub(in crate::cli) launch: LaunchArgs,
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BenchArgs {
    /// The folder `dist` of the npm package onnxruntime-web
    #[arg(long, env = "WEBMATRIX_PEER_DIR", value_name = "DIR")]
    pub(in crate::cli) peer_dir: PathBuf,
    /// The subjects that `cargo xtask bench --peer ort-web` makes, a folder each
    #[arg(long, env = "WEBMATRIX_SUBJECTS", value_name = "DIR")]
    pub(in crate::cli) subjects: PathBuf,
    /// Only subjects whose names contain one of these
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_FILTER", value_name = "TEXT")]
    pub(in crate::cli) filter: Vec<String>,
    /// Browser labels, or `all` [default: all]
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_BROWSERS", value_name = "LABEL")]
    pub(in crate::cli) browsers: Option<Vec<String>>,
    /// Backends [default: wasm webgpu webnn]
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_BACKENDS", value_name = "BACKEND")]
    pub(in crate::cli) backends: Option<Vec<Backend>>,
    /// Timed pairs of inferences, one of each side
    #[arg(long, default_value_t = 20, env = "WEBMATRIX_PAIRS", value_name = "N", value_parser = clap::value_parser!(u32).range(10..=10_000))]
    pub(in crate::cli) pairs: u32,
    /// Threads of each side, on wasm
    #[arg(long, default_value_t = 1, env = "WEBMATRIX_THREADS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(webmatrix_wire::MOST_THREADS)))]
    pub(in crate::cli) threads: u32,
    /// What to print: a table, or one line for each subject, backend and browser as it is measured
    #[arg(long, value_enum, default_value_t = VerifyFormat::Table, env = "WEBMATRIX_BENCH_FORMAT")]
    pub(in crate::cli) format: VerifyFormat,
    /// Seconds for one page
    #[arg(long, env = "WEBMATRIX_DEADLINE", value_name = "S", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) deadline: u32,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
    #[command(flatten)]
    pub(in crate::cli) launch: LaunchArgs,
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum VerifyFormat {
    /// For people.
    Table,
    /// For programs.
    Jsonl,
}
