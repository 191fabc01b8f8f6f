//! The model classes, one file each. A model file reads `config.json`, resolves weight names and
//! builds graphs; it knows nothing of backends.

mod bert;
mod config;
mod layers;
mod llama;
mod rope;
mod vit;

use std::collections::BTreeMap;

pub use config::Config;

use crate::error::{Error, Result};
use crate::ir::{Graph, TensorType};
use crate::tensor::{NamedTensors, Tensor};
use crate::weights::{Weights, twin::Draw};

/// Types of a run's inputs, by name.
pub type InputTypes = BTreeMap<String, TensorType>;

/// What one model of a class can be asked for.
pub trait Model: std::fmt::Debug {
    /// The inputs that these types stand for, completed with defaults (an absent mask is all ones),
    /// their values checked.
    ///
    /// # Errors
    /// Names the input that is missing, unknown or out of range.
    fn prepare(&self, inputs: &NamedTensors) -> Result<NamedTensors>;

    /// The whole forward pass for inputs of these types.
    ///
    /// # Errors
    /// If weights are missing or have other shapes than config says.
    fn forward(&self, weights: &Weights, inputs: &InputTypes) -> Result<Graph>;

    /// How to generate tokens, for classes that do.
    fn decoder(&self) -> Option<&dyn Decoder> {
        None
    }

    /// Seeded inputs for a twin.
    fn twin_inputs(&self, draw: &mut Draw) -> NamedTensors;
}

/// A model that continues a sequence of tokens, with keys and values kept in states.
pub trait Decoder {
    /// The graph that takes `tokens` new tokens (`input_ids [batch, tokens]`, `position [1]`) into
    /// caches of `context` and gives `logits [batch, tokens, vocabulary]`.
    ///
    /// # Errors
    /// If weights are missing or have other shapes than config says.
    fn step(&self, weights: &Weights, batch: usize, tokens: usize, context: usize) -> Result<Graph>;

    /// Positions that the model was made for.
    fn max_context(&self) -> usize;
}

/// Reads a model's config; `class` is the matrix's name for it.
///
/// # Errors
/// If the class is not implemented or a config field cannot be honoured.
pub fn model(class: &str, config: &Config) -> Result<Box<dyn Model>> {
    match class {
        "bert" => Ok(Box::new(bert::Bert::new(config)?)),
        "llama" => Ok(Box::new(llama::Llama::new(config)?)),
        "vit" => Ok(Box::new(vit::Vit::new(config)?)),
        _ => Err(Error::UnknownClass(class.to_owned())),
    }
}

/// The config of a class's twin: `tiny`, `small` or `base`.
///
/// # Errors
/// If the class is not implemented or the size unknown.
pub fn twin_config(class: &str, size: &str) -> Result<Config> {
    let text = match (class, size) {
        ("bert", "tiny") => include_str!("twins/bert-tiny.json"),
        ("bert", "small") => include_str!("twins/bert-small.json"),
        ("bert", "base") => include_str!("twins/bert-base.json"),
        ("llama", "tiny") => include_str!("twins/llama-tiny.json"),
        ("llama", "small") => include_str!("twins/llama-small.json"),
        ("llama", "base") => include_str!("twins/llama-base.json"),
        ("vit", "tiny") => include_str!("twins/vit-tiny.json"),
        ("vit", "small") => include_str!("twins/vit-small.json"),
        ("vit", "base") => include_str!("twins/vit-base.json"),
        _ => return Err(Error::UnknownClass(format!("{class}@{size}"))),
    };
    Config::parse(&format!("{class}@{size}"), text.as_bytes())
}

/// Takes the inputs a model knows out of what was given.
pub(crate) struct Inputs<'t> {
    given: &'t NamedTensors,
    taken: NamedTensors,
}

impl<'t> Inputs<'t> {
    pub(crate) fn new(given: &'t NamedTensors) -> Self {
        Self { given, taken: NamedTensors::new() }
    }

    /// A required integer input of rank 2 with values in `0..limit`.
    pub(crate) fn ids(&mut self, name: &str, limit: usize) -> Result<[usize; 2]> {
        let tensor = self.given.get(name).ok_or_else(|| Error::input(name, "missing"))?;
        self.take_ids(name, tensor.clone(), limit)
    }

    /// An optional integer input of a known shape, filled with `default` if absent.
    pub(crate) fn ids_or(&mut self, name: &str, shape: [usize; 2], default: i32, limit: usize) -> Result<()> {
        let tensor = match self.given.get(name) {
            Some(tensor) if tensor.shape() != shape => {
                return Err(Error::input(
                    name,
                    format!("has shape {:?} where {shape:?} belongs", tensor.shape()),
                ));
            }
            Some(tensor) => tensor.clone(),
            None => Tensor::i32(shape, vec![default; shape[0] * shape[1]]),
        };
        self.take_ids(name, tensor, limit).map(|_| ())
    }

    fn take_ids(&mut self, name: &str, tensor: Tensor, limit: usize) -> Result<[usize; 2]> {
        let &[batch, tokens] = tensor.shape() else {
            return Err(Error::input(
                name,
                format!("has shape {:?} where [batch, tokens] belongs", tensor.shape()),
            ));
        };
        let crate::tensor::Data::I32(values) = tensor.data() else {
            return Err(Error::input(name, "holds floats where integers belong"));
        };
        if batch == 0 || tokens == 0 {
            return Err(Error::input(name, "is empty"));
        }
        if let Some(bad) = values.iter().find(|&&v| v < 0 || v as usize >= limit) {
            return Err(Error::input(name, format!("holds {bad}, outside 0..{limit}")));
        }
        self.taken.insert(name.to_owned(), tensor);
        Ok([batch, tokens])
    }

    /// A required float input of this shape, where `None` is any size.
    pub(crate) fn floats(&mut self, name: &str, shape: &[Option<usize>]) -> Result<Vec<usize>> {
        let tensor = self.given.get(name).ok_or_else(|| Error::input(name, "missing"))?;
        let fits = tensor.shape().len() == shape.len()
            && tensor
                .shape()
                .iter()
                .zip(shape)
                .all(|(&have, want)| have > 0 && want.is_none_or(|want| want == have));
        if !fits || tensor.dtype() != crate::DType::F32 {
            return Err(Error::input(
                name,
                format!("is {:?} {:?} where floats of {shape:?} belong", tensor.dtype(), tensor.shape()),
            ));
        }
        self.taken.insert(name.to_owned(), tensor.clone());
        Ok(tensor.shape().to_vec())
    }

    /// The inputs taken; one that was given but not taken is an error, since ignoring it would
    /// silently compute something else than was asked.
    pub(crate) fn finish(self) -> Result<NamedTensors> {
        match self.given.keys().find(|name| !self.taken.contains_key(*name)) {
            Some(name) => Err(Error::input(name, "this model takes no such input")),
            None => Ok(self.taken),
        }
    }
}
