//! What models are given, and how they go on.

use std::path::PathBuf;

/// Under which the help lists them.
const GENERATION: &str = "Generation";
const INPUTS: &str = "Inputs for the models of --weights";

/// How classes that generate go on, in place of what the matrix says.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(in crate::cli) struct GenerateArgs {
    /// Tokens to generate, at most where --stop is given [default: a golden's number]
    #[arg(long, help_heading = GENERATION, env = "WEBMATRIX_MAX_NEW_TOKENS", value_name = "N")]
    pub(in crate::cli) max_new_tokens: Option<u32>,
    /// An end token ends generation; without, end tokens are never chosen, so that runs are alike
    #[arg(long, help_heading = GENERATION, env = "WEBMATRIX_STOP")]
    pub(in crate::cli) stop: bool,
    /// Draw tokens, from logits divided by this; without any of these four, the likeliest is taken
    #[arg(long, help_heading = GENERATION, env = "WEBMATRIX_TEMPERATURE", value_name = "T")]
    pub(in crate::cli) temperature: Option<f32>,
    /// Draw among so many likeliest tokens
    #[arg(long, help_heading = GENERATION, env = "WEBMATRIX_TOP_K", value_name = "K")]
    pub(in crate::cli) top_k: Option<u32>,
    /// Draw among the likeliest tokens whose probabilities sum up to this
    #[arg(long, help_heading = GENERATION, env = "WEBMATRIX_TOP_P", value_name = "P")]
    pub(in crate::cli) top_p: Option<f32>,
    /// The seed of the draws
    #[arg(long, help_heading = GENERATION, env = "WEBMATRIX_SEED", value_name = "N")]
    pub(in crate::cli) seed: Option<u64>,
}

/// What the models of --weights work on, in place of what their folders hold.
#[derive(Clone, Debug, Default, clap::Args)]
pub(in crate::cli) struct GivenArgs {
    /// Pictures, PNG or JPEG: an item each, or the frames of a video
    #[arg(long, help_heading = INPUTS, num_args = 1.., env = "WEBMATRIX_IMAGE", value_name = "FILE")]
    pub(in crate::cli) image: Vec<PathBuf>,
    /// Sounds, WAV: an item each
    #[arg(long, help_heading = INPUTS, num_args = 1.., env = "WEBMATRIX_AUDIO", value_name = "FILE")]
    pub(in crate::cli) audio: Vec<PathBuf>,
    /// Texts: an item each, or those that pictures, videos and sounds are ranked by
    #[arg(long, help_heading = INPUTS, num_args = 1.., env = "WEBMATRIX_TEXT", value_name = "TEXT")]
    pub(in crate::cli) text: Vec<String>,
    /// A text that models that continue text are scored by: their perplexity is kept, by the folder's tokenizer.json
    #[arg(long, help_heading = INPUTS, env = "WEBMATRIX_CORPUS", value_name = "FILE", conflicts_with_all = ["image", "audio", "text"])]
    pub(in crate::cli) corpus: Option<PathBuf>,
}
