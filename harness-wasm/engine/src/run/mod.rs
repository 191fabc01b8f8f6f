//! Runs a model on a backend: prepares inputs, picks graphs, generates.

mod generate;
mod loaded;
mod measure;

use std::collections::HashMap;

pub use loaded::Loaded;
pub use measure::{Measured, Schedule, Span, Witness, measure};

use crate::backend::{Backend, ProgramId};
use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::models::{InputTypes, Model};
use crate::tensor::NamedTensors;
use crate::weights::Weights;

/// What to do besides the forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Tokens to generate greedily, for classes that generate.
    pub max_new_tokens: usize,
}

/// A model on a backend, with the graphs compiled so far.
#[derive(Debug)]
pub struct Runner<'m, B> {
    model: &'m dyn Model,
    weights: &'m Weights,
    backend: B,
    options: Options,
    programs: HashMap<Key, ProgramId>,
}

/// What a graph was built for: the static shapes of its inputs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Forward(Vec<(String, Vec<usize>)>),
    Step { batch: usize, tokens: usize, context: usize },
}

impl<'m, B: Backend> Runner<'m, B> {
    /// A runner with nothing compiled.
    pub fn new(model: &'m dyn Model, weights: &'m Weights, backend: B, options: Options) -> Self {
        Self { model, weights, backend, options, programs: HashMap::new() }
    }

    /// The backend.
    pub fn backend(&mut self) -> &mut B {
        &mut self.backend
    }

    /// Gives the backend back.
    pub fn into_backend(self) -> B {
        self.backend
    }

    /// Compiles whatever these inputs need, so that inferences are all alike.
    ///
    /// # Errors
    /// If an input, a weight or the device refuses.
    pub async fn compile(&mut self, inputs: &NamedTensors) -> Result<()> {
        let inputs = self.model.prepare(inputs)?;
        if self.generates() {
            let plan = generate::Plan::new(&inputs, self.options.max_new_tokens)?;
            self.step_program(plan.batch, plan.prompt, plan.context).await?;
            self.step_program(plan.batch, 1, plan.context).await?;
        } else {
            self.forward_program(&inputs).await?;
        }
        Ok(())
    }

    /// One inference: the forward pass and, where asked for, greedy generation.
    ///
    /// # Errors
    /// If an input, a weight or the device refuses.
    pub async fn infer(&mut self, inputs: &NamedTensors) -> Result<NamedTensors> {
        let inputs = self.model.prepare(inputs)?;
        if self.generates() {
            return self.generate(&inputs).await;
        }
        let program = self.forward_program(&inputs).await?;
        let mut inputs = inputs;
        if self.model.decoder().is_some() {
            inputs.insert("position".into(), crate::Tensor::i32([1], vec![0]));
        }
        self.backend.reset();
        self.backend.run(program, &inputs).await
    }

    fn generates(&self) -> bool {
        self.options.max_new_tokens > 0 && self.model.decoder().is_some()
    }

    async fn forward_program(&mut self, inputs: &NamedTensors) -> Result<ProgramId> {
        let key = Key::Forward(inputs.iter().map(|(name, t)| (name.clone(), t.shape().to_vec())).collect());
        if let Some(&program) = self.programs.get(&key) {
            return Ok(program);
        }
        let types: InputTypes =
            inputs.iter().map(|(name, t)| (name.clone(), TensorType::new(t.dtype(), t.shape()))).collect();
        let graph = self.model.forward(self.weights, &types)?;
        let program = self.backend.compile(&graph, self.weights).await?;
        self.programs.insert(key, program);
        Ok(program)
    }

    async fn step_program(&mut self, batch: usize, tokens: usize, context: usize) -> Result<ProgramId> {
        let key = Key::Step { batch, tokens, context };
        if let Some(&program) = self.programs.get(&key) {
            return Ok(program);
        }
        let decoder = self
            .model
            .decoder()
            .ok_or_else(|| Error::input("max_new_tokens", "this class does not generate"))?;
        if context > decoder.max_context() {
            return Err(Error::input(
                "max_new_tokens",
                format!(
                    "prompt and new tokens need {context} positions, the model has {}",
                    decoder.max_context()
                ),
            ));
        }
        let graph = decoder.step(self.weights, batch, tokens, context)?;
        let program = self.backend.compile(&graph, self.weights).await?;
        self.programs.insert(key, program);
        Ok(program)
    }
}
