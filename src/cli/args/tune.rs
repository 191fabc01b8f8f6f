//! `webmatrix tune`.

use webmatrix_engine::quant::Scheme;
use webmatrix_wire::{Backend, Precision};

use super::quantize::keep;
use super::{LaunchArgs, PathArgs, PrintArgs, StoreArgs, SubjectArgs};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TuneArgs {
    /// Model classes, or `all`
    #[arg(long, num_args = 1.., value_delimiter = ',', required = true, env = "WEBMATRIX_MODELS", value_name = "CLASS")]
    pub(in crate::cli) models: Vec<String>,
    /// Backends [default: wasm webgpu webnn; on the host native-cpu native-gpu]
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_BACKENDS", value_name = "BACKEND")]
    pub(in crate::cli) backends: Option<Vec<Backend>>,
    /// Precisions: fp32 fp16 int8 int4 int3 int2 mixed
    #[arg(long, num_args = 1.., value_delimiter = ',', default_values_t = [Precision::Fp32], env = "WEBMATRIX_PRECISIONS", value_name = "PRECISION")]
    pub(in crate::cli) precisions: Vec<Precision>,
    /// Features to choose from, for example lanes-128 tile-16x16 weights-int4-g64 [default: threads, subgroups, shader-f16 and
    /// layouts of workgroups]
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_FEATURES", value_name = "FEATURE")]
    pub(in crate::cli) features: Option<Vec<String>>,
    /// Matrices whose names match (`*` is any text) and the scheme in which they stay, whatever is tried
    #[arg(long, num_args = 1.., value_delimiter = ',', value_parser = keep, env = "WEBMATRIX_KEEP_LAYERS", value_name = "PATTERN=SCHEME")]
    pub(in crate::cli) keep_layers: Vec<(String, Scheme)>,
    /// Cosine with the outputs at full precision that a choice must keep
    #[arg(long, default_value_t = 0.99, env = "WEBMATRIX_MIN_COSINE", value_name = "X")]
    pub(in crate::cli) min_cosine: f64,
    /// Timed inferences each time that a cell is run
    #[arg(long, default_value_t = 5, env = "WEBMATRIX_SAMPLES", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(in crate::cli) samples: u32,
    /// Times that the last ones are run, in turn
    #[arg(long, default_value_t = 8, env = "WEBMATRIX_ROUNDS", value_name = "N", value_parser = clap::value_parser!(u16).range(5..=100))]
    pub(in crate::cli) rounds: u16,
    /// Seconds for each of the rounds
    #[arg(long, env = "WEBMATRIX_TOTAL_DEADLINE", value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) total_deadline: Option<u32>,
    #[command(flatten)]
    pub(in crate::cli) subject: SubjectArgs,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
    #[command(flatten)]
    pub(in crate::cli) launch: LaunchArgs,
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
    #[command(flatten)]
    pub(in crate::cli) print: PrintArgs,
}
