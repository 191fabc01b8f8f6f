//! A model in memory: its architecture, weights and inputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Result;
use crate::ir::Graph;
use crate::models::{Config, Model, model, twin_batch, twin_config};
use crate::plan::fold::fold;
use crate::plan::quantise::{tables_of, weights_of};
use crate::quant::{Activations, Recipe, unwatched};
use crate::tensor::{NamedTensors, read_safetensors};
use crate::weights::Weights;

/// Everything that an inference needs, whatever backend runs it.
#[derive(Debug)]
pub struct Loaded {
    /// The architecture.
    pub model: Box<dyn Model>,
    /// Its weights.
    pub weights: Weights,
    /// What it is run on.
    pub inputs: NamedTensors,
}

impl Loaded {
    /// A model from the bytes of `config.json` and, where there is one, of the `preprocessor_config.json` beside it, of
    /// safetensors shards with their names, and of named inputs.
    ///
    /// # Errors
    /// If any of them is not what it should be.
    pub fn from_files(
        class: &str,
        config: &[u8],
        preprocessor: Option<&[u8]>,
        shards: Vec<(String, Vec<u8>)>,
        inputs: &[u8],
    ) -> Result<Self> {
        Ok(Self {
            model: model(class, &Config::of_files(config, preprocessor)?)?,
            weights: Weights::of_shards(shards)?,
            inputs: read_safetensors("inputs.safetensors", inputs)?,
        })
    }

    /// The class's twin of this size, made from its seed.
    ///
    /// # Errors
    /// If the class or the size is not built.
    pub fn twin(class: &str, size: &str, seed: u64) -> Result<Self> {
        Self::twin_of(class, size, seed, 1, None)
    }

    /// As [`Self::twin`], with a batch of so many items and, where that is said, texts of so many tokens.
    ///
    /// # Errors
    /// If the class or the size is not built, or has no such sequences.
    pub fn twin_of(class: &str, size: &str, seed: u64, batch: usize, tokens: Option<usize>) -> Result<Self> {
        let model = model(class, &twin_config(class, size)?)?;
        let inputs = twin_batch(&*model, seed, batch, tokens)?;
        Ok(Self { model, weights: Weights::Twin { seed }, inputs })
    }

    /// The matrices that can be quantised, with their shapes: those that the forward pass multiplies by or looks up in, and
    /// [`Self::tables`].
    ///
    /// # Errors
    /// If the inputs or the weights do not fit the model.
    pub fn matrices(&self) -> Result<BTreeMap<String, Vec<usize>>> {
        let graph = self.forward()?;
        let mut matrices = weights_of(&fold(&graph, &self.weights)?);
        matrices.extend(tables_of(&graph));
        Ok(matrices)
    }

    /// Those of the matrices that the forward pass reads some rows of, known from shapes alone: tables of positions.
    ///
    /// # Errors
    /// As [`Self::matrices`].
    pub fn tables(&self) -> Result<BTreeMap<String, Vec<usize>>> {
        Ok(tables_of(&self.forward()?))
    }

    fn forward(&self) -> Result<Graph> {
        self.model.forward(&self.weights, &super::types(&self.model.prepare(&self.inputs)?))
    }

    /// The same model with its weights quantised, with regard to `activations` where they are given.
    ///
    /// # Errors
    /// As [`Self::matrices`], and if the recipe does not fit them.
    pub fn quantised(
        self,
        recipe: &Recipe,
        activations: &BTreeMap<String, Arc<Activations>>,
    ) -> Result<Self> {
        let matrices = self.matrices()?;
        Ok(Self { weights: recipe.apply(self.weights, &matrices, activations, &unwatched)?, ..self })
    }
}
