//! `webmatrix models quantize`.

use std::path::PathBuf;

use webmatrix_engine::quant::{Fit, Scheme};
use webmatrix_wire::Precision;

use super::{GivenArgs, ModelsFormat};
use crate::plan::ModelClass;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("how").required(true).multiple(true).args(["precision", "scheme", "budget_bits"]))]
pub(in crate::cli) struct QuantizeArgs {
    /// A folder with config.json and model.safetensors (or shards and their index), its weights as they were trained
    #[arg(long, env = "WEBMATRIX_MODEL_DIR", value_name = "DIR")]
    pub(in crate::cli) model_dir: PathBuf,
    /// The model's class, where `model_type` in config.json does not say it
    #[arg(long, env = "WEBMATRIX_CLASS", value_name = "CLASS")]
    pub(in crate::cli) class: Option<ModelClass>,
    /// The new folder, which `run --weights CLASS=DIR` and `verify` take
    #[arg(long, env = "WEBMATRIX_QUANTIZE_OUT", value_name = "DIR")]
    pub(in crate::cli) out: PathBuf,
    /// As runs do at this precision: fp16 int8 int4 int3 int2 mixed
    #[arg(long, env = "WEBMATRIX_PRECISION", value_name = "PRECISION", conflicts_with = "scheme", value_parser = coarse)]
    pub(in crate::cli) precision: Option<Precision>,
    /// Every matrix so: fp16, or such as int4-g32, int4-g64-asym, int2-g32-asym-super (bits, group, minimums, nested scales)
    #[arg(long, env = "WEBMATRIX_SCHEME", value_name = "SCHEME", conflicts_with = "budget_bits")]
    pub(in crate::cli) scheme: Option<Scheme>,
    /// How scales are chosen: nearest, mse or hqq [default: mse]
    #[arg(long, env = "WEBMATRIX_FIT", value_name = "FIT")]
    pub(in crate::cli) fit: Option<Fit>,
    /// Choose codes with regard to what matrices are multiplied with (GPTQ) [default: below 8 bits]
    #[arg(long, env = "WEBMATRIX_GPTQ", overrides_with = "no_gptq")]
    pub(in crate::cli) gptq: bool,
    /// Choose every code by itself
    #[arg(long, env = "WEBMATRIX_NO_GPTQ", overrides_with = "gptq")]
    pub(in crate::cli) no_gptq: bool,
    /// Matrices whose names match (`*` is any text), and the scheme that they get instead
    #[arg(long, num_args = 1.., value_delimiter = ',', env = "WEBMATRIX_KEEP", value_name = "PATTERN=SCHEME", value_parser = keep)]
    pub(in crate::cli) keep: Vec<(String, Scheme)>,
    /// Bits that a weight of the model may take on average, scales and all that is not quantised counted; they are allotted by
    /// measured sensitivity
    #[arg(long, env = "WEBMATRIX_BUDGET_BITS", value_name = "BITS", value_parser = budget)]
    pub(in crate::cli) budget_bits: Option<f64>,
    /// Replace a model folder that is there already
    #[arg(long, env = "WEBMATRIX_FORCE")]
    pub(in crate::cli) force: bool,
    /// What to print
    #[arg(long, value_enum, default_value_t = ModelsFormat::Table, env = "WEBMATRIX_MODELS_FORMAT")]
    pub(in crate::cli) format: ModelsFormat,
    /// Say nothing of the progress
    #[arg(long, short, env = "WEBMATRIX_QUIET")]
    pub(in crate::cli) quiet: bool,
    #[command(flatten)]
    pub(in crate::cli) given: GivenArgs,
}

/// A precision that takes fewer bits than training did.
fn coarse(text: &str) -> Result<Precision, String> {
    match text.parse::<Precision>() {
        Ok(Precision::Fp32) => {
            Err("fp32 is what the weights are in: use one of fp16, int8, int4, int3, int2, mixed".into())
        }
        Ok(precision) => Ok(precision),
        Err(error) => Err(error.to_string()),
    }
}

pub(super) fn keep(text: &str) -> Result<(String, Scheme), String> {
    let named = text.rsplit_once('=').filter(|(pattern, _)| !pattern.is_empty());
    let (pattern, scheme) =
        named.ok_or_else(|| format!("{text:?} is no PATTERN=SCHEME, such as '*embeddings*=int8-g128'"))?;
    let scheme = scheme.parse::<Scheme>().map_err(|error| error.to_string())?;
    Ok((pattern.to_owned(), scheme))
}

fn budget(text: &str) -> Result<f64, String> {
    let bits: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if (2.0..=16.0).contains(&bits) { Ok(bits) } else { Err("must be between 2 and 16".to_owned()) }
}
