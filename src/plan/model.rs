//! The model axis: the classes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use webmatrix_wire::{TwinSize, UnknownName};

/// A model architecture, named as Hugging Face's `model_type` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub struct ModelClass(&'static ModelInfo);

/// What is known about a class before anything runs.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelInfo {
    /// Its one spelling.
    pub name: &'static str,
    /// What it does, for people.
    pub task: &'static str,
    /// What goes in and what comes out, for people.
    pub modality: &'static str,
    /// How it is built, for people.
    pub family: &'static str,
    /// Tokens to generate in a cell, 0 for classes that do not generate. The goldens' numbers.
    pub new_tokens: u32,
}

impl ModelInfo {
    /// What goes in: `text`, `image`, `audio`, `video`.
    pub fn takes(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.modality.split(" to ").next().unwrap_or_default().split(", ")
    }
}

const fn model(
    name: &'static str,
    task: &'static str,
    modality: &'static str,
    family: &'static str,
    new_tokens: u32,
) -> ModelInfo {
    ModelInfo { name, task, modality, family, new_tokens }
}

/// Every class, in the order in which reports list them.
pub static MODELS: [ModelInfo; 14] = [
    model("bert", "text encoder", "text", "encoder", 0),
    model("t5", "text to text", "text to text", "encoder-decoder", 12),
    model("llama", "text generation", "text to text", "decoder", 16),
    model("qwen2", "text generation", "text to text", "decoder", 16),
    model("qwen3", "text generation", "text to text", "decoder", 16),
    model("clip", "image and text embedding", "image, text", "dual encoder", 0),
    model("vit", "image classification", "image", "encoder", 0),
    model("clap", "audio and text embedding", "audio, text", "dual encoder", 0),
    model("whisper", "speech to text", "audio to text", "encoder-decoder", 12),
    model("wav2vec2", "speech recognition", "audio to text", "encoder", 0),
    model("llava", "image and text to text", "image, text to text", "encoder and decoder", 12),
    model("llava_next", "image and text to text", "image, text to text", "encoder and decoder", 12),
    model("xclip", "video and text embedding", "video, text", "dual encoder", 0),
    model("detr", "object detection", "image", "convolutions, encoder-decoder", 0),
];

/// The names of [`MODELS`].
pub const MODEL_NAMES: &[&str] = &[
    "bert",
    "t5",
    "llama",
    "qwen2",
    "qwen3",
    "clip",
    "vit",
    "clap",
    "whisper",
    "wav2vec2",
    "llava",
    "llava_next",
    "xclip",
    "detr",
];

impl ModelClass {
    /// Every class.
    pub fn all() -> impl Iterator<Item = Self> {
        MODELS.iter().map(Self)
    }

    /// Its one spelling.
    pub const fn as_str(self) -> &'static str {
        self.0.name
    }

    /// What is known about it.
    pub const fn info(self) -> &'static ModelInfo {
        self.0
    }
}

impl fmt::Display for ModelClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ModelClass {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::all().find(|class| class.as_str() == text).ok_or_else(|| UnknownName {
            what: "model",
            given: text.to_owned(),
            known: MODEL_NAMES,
        })
    }
}

impl TryFrom<String> for ModelClass {
    type Error = UnknownName;

    fn try_from(text: String) -> Result<Self, UnknownName> {
        text.parse()
    }
}

impl From<ModelClass> for &'static str {
    fn from(class: ModelClass) -> Self {
        class.as_str()
    }
}

/// How large the model of a cell is, and with it where its weights come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// The golden fixture of the class.
    Tiny,
    /// A twin of some millions of parameters.
    Small,
    /// A twin with the dimensions of the well-known checkpoint.
    Base,
    /// A folder that the user gave with `--weights`.
    Own,
    /// Of a model that is a file of the user's: no matrix names it.
    #[serde(skip)]
    File,
}

impl Size {
    /// The spelling of each size of a class.
    pub const NAMES: &'static [&'static str] = &["tiny", "small", "base", "own"];

    /// Every size of a class.
    pub const ALL: [Self; 4] = [Self::Tiny, Self::Small, Self::Base, Self::Own];

    /// Its one spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Base => "base",
            Self::Own => "own",
            Self::File => "file",
        }
    }

    /// The twin of this size; none for weights that are given.
    pub const fn twin(self) -> Option<TwinSize> {
        match self {
            Self::Tiny => Some(TwinSize::Tiny),
            Self::Small => Some(TwinSize::Small),
            Self::Base => Some(TwinSize::Base),
            Self::Own | Self::File => None,
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Size {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|size| size.as_str() == text).ok_or_else(|| UnknownName {
            what: "size",
            given: text.to_owned(),
            known: Self::NAMES,
        })
    }
}

/// What drives the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// Our own engine.
    WebMatrix,
    /// onnxruntime-web, which runs files.
    #[serde(rename = "ort-web")]
    OrtWeb,
}

impl Runtime {
    /// The spelling of each runtime.
    pub const NAMES: &'static [&'static str] = &["webmatrix", "ort-web"];

    /// Every runtime.
    pub const ALL: [Self; 2] = [Self::WebMatrix, Self::OrtWeb];

    /// Its one spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WebMatrix => "webmatrix",
            Self::OrtWeb => "ort-web",
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Runtime {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|runtime| runtime.as_str() == text).ok_or_else(|| UnknownName {
            what: "runtime",
            given: text.to_owned(),
            known: Self::NAMES,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_table() {
        assert_eq!(MODEL_NAMES, MODELS.iter().map(|info| info.name).collect::<Vec<_>>());
    }

    #[test]
    fn what_goes_in_is_read_from_the_table() {
        let that = |kind: &str| {
            let names =
                MODELS.iter().filter(|info| info.takes().any(|taken| taken == kind)).map(|info| info.name);
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(that("audio"), "clap whisper wav2vec2");
        assert_eq!(that("video"), "xclip");
        assert_eq!(that("image"), "clip vit llava llava_next detr");
    }
}
