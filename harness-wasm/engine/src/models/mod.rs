//! The model classes, one file each. A model file reads `config.json`, resolves weight names and
//! builds graphs; it knows nothing of backends.

mod batch;
mod bert;
mod causal;
mod clap;
mod clip;
mod clip_towers;
pub(crate) mod config;
mod detr;
mod fusion;
mod inputs;
mod layers;
mod llama;
mod llava;
mod llava_next;
mod mistral;
mod qwen2;
mod qwen3;
mod resnet;
mod swin;
mod t5;
pub(crate) mod tiles;
mod vit;
mod wav2vec2;
mod whisper;
mod xclip;

pub use batch::{items, repeated, rows, twin_batch};
pub use config::Config;

use crate::error::{Error, Result};
use crate::ir::Graph;
pub use crate::ir::InputTypes;
use crate::tensor::NamedTensors;
use crate::weights::{Weights, twin::Draw};

/// What one model of a class can be asked for.
pub trait Model: std::fmt::Debug + Send + Sync {
    /// The inputs that these types stand for, completed with defaults (an absent mask is all ones),
    /// their values checked.
    ///
    /// # Errors
    /// Names the input that is missing, unknown or out of range.
    fn prepare(&self, inputs: &NamedTensors) -> Result<NamedTensors>;

    /// The whole forward pass for inputs of these types: where tokens are generated, a prefill that leaves no room.
    ///
    /// # Errors
    /// If weights are missing or have other shapes than config says.
    fn forward(&self, weights: &Weights, inputs: &InputTypes) -> Result<Graph> {
        let Some(decoder) = self.decoder() else {
            unreachable!("a class that does not generate has a forward pass of its own")
        };
        decoder.prefill(weights, inputs, inputs[decoder.prompt().input()].shape[1])
    }

    /// How to generate tokens, for classes that do.
    fn decoder(&self) -> Option<&dyn Decoder> {
        None
    }

    /// Seeded inputs for a twin: one item, its text of so many tokens where that is said.
    ///
    /// # Errors
    /// If the class reads no text, or none of that length.
    fn twin_inputs(&self, draw: &mut Draw, tokens: Option<usize>) -> Result<NamedTensors>;

    /// For a class that reads pictures among the tokens of a text: the token that stands for them, and how many of it each
    /// of the pictures among `inputs` takes.
    ///
    /// # Errors
    /// Names the input by which it cannot be told.
    fn image_tokens(&self, _inputs: &NamedTensors) -> Result<Option<(i32, Vec<usize>)>> {
        Ok(None)
    }

    /// The inputs that all items of a batch share, such as the texts by which each picture is ranked.
    fn shared_inputs(&self) -> &'static [&'static str] {
        &[]
    }
}

/// A model that continues a sequence of tokens, with keys and values kept in states.
///
/// Both graphs take the tokens under [`Prompt::input`]'s name and `position [1]`, where they begin, and give
/// `logits [batch, tokens, vocabulary]`.
pub trait Decoder {
    /// The graph that takes everything given (a prompt with its images, or what an encoder reads, with the
    /// decoder's tokens) into caches of `context` positions, and gives the forward pass's outputs.
    ///
    /// # Errors
    /// If weights are missing or have other shapes than config says.
    fn prefill(&self, weights: &Weights, inputs: &InputTypes, context: usize) -> Result<Graph>;

    /// The graph that takes `tokens` new tokens after that. It may read others of the inputs again.
    ///
    /// # Errors
    /// If weights are missing or have other shapes than config says.
    fn step(&self, weights: &Weights, inputs: &InputTypes, tokens: usize, context: usize) -> Result<Graph>;

    /// What generation continues.
    fn prompt(&self) -> Prompt;

    /// Tokens that stop generation or are never chosen.
    fn end(&self) -> &End;

    /// Positions that the model was made for.
    fn max_context(&self) -> usize;
}

/// What generation continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// `input_ids`: generation goes on where they end.
    Given,
    /// An encoder reads the inputs; the decoder starts from these tokens, whatever `decoder_input_ids` the
    /// forward pass was given.
    Start(Vec<i32>),
}

impl Prompt {
    /// The input that holds the decoder's tokens.
    pub const fn input(&self) -> &'static str {
        match self {
            Self::Given => "input_ids",
            Self::Start(_) => "decoder_input_ids",
        }
    }
}

/// Tokens that stop generation or are never chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// `eos_token_id`.
    pub stop: Vec<i32>,
    /// `suppress_tokens`: never chosen.
    pub suppressed: Vec<i32>,
    /// `begin_suppress_tokens`: not chosen as the first new token.
    pub suppressed_first: Vec<i32>,
}

impl End {
    fn of(config: &Config) -> Result<Self> {
        Ok(Self {
            stop: config.token_ids("eos_token_id")?,
            suppressed: config.token_ids("suppress_tokens")?,
            suppressed_first: config.token_ids("begin_suppress_tokens")?,
        })
    }
}

/// Reads a model's config; `class` is the matrix's name for it.
///
/// # Errors
/// If the class is not implemented or a config field cannot be honoured.
pub fn model(class: &str, config: &Config) -> Result<Box<dyn Model>> {
    Ok(match class {
        "bert" => Box::new(bert::Bert::new(config)?),
        "clap" => Box::new(clap::Clap::new(config)?),
        "clip" => Box::new(clip::Clip::new(config)?),
        "detr" => Box::new(detr::Detr::new(config)?),
        "llama" => Box::new(llama::new(config)?),
        "llava" => Box::new(llava::Llava::new(config)?),
        "llava_next" => Box::new(llava_next::LlavaNext::new(config)?),
        "qwen2" => Box::new(qwen2::new(config)?),
        "qwen3" => Box::new(qwen3::new(config)?),
        "t5" => Box::new(t5::T5::new(config)?),
        "vit" => Box::new(vit::Vit::new(config)?),
        "wav2vec2" => Box::new(wav2vec2::Wav2Vec2::new(config)?),
        "whisper" => Box::new(whisper::Whisper::new(config)?),
        "xclip" => Box::new(xclip::XClip::new(config)?),
        _ => return Err(Error::UnknownClass(class.to_owned())),
    })
}

macro_rules! twins {
    ($class:expr, $size:expr => $($name:literal)+) => {
        match ($class, $size) {
            $(
                ($name, "tiny") => include_str!(concat!("twins/", $name, "-tiny.json")),
                ($name, "small") => include_str!(concat!("twins/", $name, "-small.json")),
                ($name, "base") => include_str!(concat!("twins/", $name, "-base.json")),
            )+
            (class, size) => return Err(Error::UnknownClass(format!("{class}@{size}"))),
        }
    };
}

/// The config of a class's twin: `tiny`, `small` or `base`.
///
/// # Errors
/// If the class is not implemented or the size unknown.
pub fn twin_config(class: &str, size: &str) -> Result<Config> {
    Config::parse(&format!("{class}@{size}"), twin_text(class, size)?.as_bytes())
}

/// The twin's `config.json`.
///
/// # Errors
/// As [`twin_config`].
pub fn twin_text(class: &str, size: &str) -> Result<&'static str> {
    Ok(twins!(class, size =>
        "bert" "clap" "clip" "detr" "llama" "llava" "llava_next" "qwen2" "qwen3" "t5" "vit" "wav2vec2" "whisper"
        "xclip"))
}
