//! `webmatrix compare`.

use std::path::PathBuf;

use clap::Subcommand;
use webmatrix_wire::{Backend, Feature, Precision};

use super::{ConditionArgs, LaunchArgs, MeasureArgs, PathArgs, StoreArgs, SubjectArgs, one_run};
use crate::render::ComparisonFormat;
use crate::store::RunSelection;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CompareArgs {
    #[command(subcommand)]
    pub(in crate::cli) what: Compare,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Compare {
    /// What precisions save and cost, in each place: memory, latency, accuracy, perplexity
    Precisions(Box<PrecisionsArgs>),
    /// What browsers' backends and the host make of the same models
    Platforms(Box<PlatformsArgs>),
    /// What each feature changes where it is switched on alone
    Features(Box<FeaturesArgs>),
}

impl Compare {
    /// What all comparisons take.
    pub(in crate::cli) const fn common(&self) -> &ComparedArgs {
        match self {
            Self::Precisions(args) => &args.common,
            Self::Platforms(args) => &args.common,
            Self::Features(args) => &args.common,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PrecisionsArgs {
    /// Precisions: fp32 fp16 int8 int4 int3 int2 mixed; fp32, which accuracy is told against, always takes part [default: fp32
    /// fp16 int8 int4; of a stored run, all]
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_PRECISIONS", value_name = "PRECISION")]
    pub(in crate::cli) precisions: Option<Vec<Precision>>,
    /// Backends [default: wasm webgpu webnn; on the host native-cpu native-gpu]
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_BACKENDS", value_name = "BACKEND")]
    pub(in crate::cli) backends: Option<Vec<Backend>>,
    #[command(flatten)]
    pub(in crate::cli) common: ComparedArgs,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PlatformsArgs {
    /// Backends of browsers and of the host, the first of which the others are held against
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_PLATFORMS", value_name = "BACKEND", default_values_t = [Backend::NativeCpu, Backend::NativeGpu, Backend::Wasm, Backend::WebGpu, Backend::WebNn])]
    pub(in crate::cli) platforms: Vec<Backend>,
    /// Precisions: fp32 fp16 int8 int4 int3 int2 mixed; fp32, which accuracy is told against, always takes part [default: fp32;
    /// of a stored run, all]
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_PRECISIONS", value_name = "PRECISION")]
    pub(in crate::cli) precisions: Option<Vec<Precision>>,
    #[command(flatten)]
    pub(in crate::cli) common: ComparedArgs,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct FeaturesArgs {
    /// Features, each of which is switched on alone, in turn with cells that have none
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_FEATURES", value_name = "FEATURE", required_unless_present_any = ["all_features", "run"])]
    pub(in crate::cli) features: Option<Vec<String>>,
    /// Every feature that there is
    #[arg(long, env = "WEBMATRIX_ALL_FEATURES", conflicts_with = "features")]
    pub(in crate::cli) all_features: bool,
    /// Backends [default: wasm webgpu webnn; on the host native-cpu native-gpu]
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_BACKENDS", value_name = "BACKEND")]
    pub(in crate::cli) backends: Option<Vec<Backend>>,
    /// Precisions: fp32 fp16 int8 int4 int3 int2 mixed [default: fp32, fp16 for shader-f16, int8 for dp4a and int4 for relaxed-dot; of a stored run, all]
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_PRECISIONS", value_name = "PRECISION")]
    pub(in crate::cli) precisions: Option<Vec<Precision>>,
    #[command(flatten)]
    pub(in crate::cli) common: ComparedArgs,
}

impl FeaturesArgs {
    /// The features that are meant; none of a stored run for all that it has.
    pub(in crate::cli) fn features(&self) -> Option<Vec<String>> {
        if self.all_features {
            return Some(Feature::EACH.map(str::to_owned).to_vec());
        }
        self.features.clone()
    }
}

/// What all comparisons take.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ComparedArgs {
    /// Model classes, or `all`
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_MODELS", value_name = "CLASS", required_unless_present = "run")]
    pub(in crate::cli) models: Option<Vec<String>>,
    /// Compare the cells of a run that is stored, and run nothing
    #[arg(long, env = "WEBMATRIX_RUN", value_name = "ID|latest", value_parser = one_run, conflicts_with_all = ["text", "weights", "samples", "interval_width", "time_budget"])]
    pub(in crate::cli) run: Option<RunSelection>,
    /// A text that models of --weights that continue text are scored by: their perplexity, by the folder's tokenizer.json
    #[arg(long, env = "WEBMATRIX_COMPARE_TEXT", value_name = "FILE")]
    pub(in crate::cli) text: Option<PathBuf>,
    /// Times that every cell is run, in turn with the others of its browser, so that what changes on the machine falls on all
    #[arg(long, default_value_t = 6, env = "WEBMATRIX_ROUNDS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(in crate::cli) rounds: u16,
    /// Without: 24 inferences a cell, over all rounds, after warming up until times rest, and `auto` for features of the start
    #[command(flatten)]
    pub(in crate::cli) measure: MeasureArgs,
    /// Seconds for everything
    #[arg(long, env = "WEBMATRIX_TOTAL_DEADLINE", value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) total_deadline: Option<u32>,
    /// What to write
    #[arg(long, value_enum, default_value_t = ComparisonFormat::Table, env = "WEBMATRIX_COMPARE_FORMAT")]
    pub(in crate::cli) format: ComparisonFormat,
    /// Where to write it [default: standard output; html: comparison.html in the output folder]
    #[arg(long, env = "WEBMATRIX_COMPARE_REPORT", value_name = "FILE")]
    pub(in crate::cli) report: Option<PathBuf>,
    /// Say nothing of the progress
    #[arg(long, short, env = "WEBMATRIX_QUIET")]
    pub(in crate::cli) quiet: bool,
    #[command(flatten)]
    pub(in crate::cli) subject: SubjectArgs,
    #[command(flatten)]
    pub(in crate::cli) conditions: ConditionArgs,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
    #[command(flatten)]
    pub(in crate::cli) launch: LaunchArgs,
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
}
