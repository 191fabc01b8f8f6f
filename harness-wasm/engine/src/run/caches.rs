//! Packed caches told with the outputs, and another's taken over: how a rounding that two devices may do differently is judged.

use std::rc::Rc;

use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::ir::{Graph, GraphBuilder};
use crate::models::{Model, Prompt};
use crate::plan::caches::given;
use crate::run::{Key, Program, Runner};
use crate::tensor::NamedTensors;

/// What the outputs that are caches begin with.
const KEPT: &str = "cache/";

impl<B: Backend> Runner<'_, B> {
    /// Takes over, from the outputs of another's inference, how it rounded its caches, wherever that is right.
    #[must_use]
    pub fn adopting(mut self, outputs: &NamedTensors) -> Self {
        let kept = |(name, tensor): (&String, &crate::Tensor)| {
            Some((given(name.strip_prefix(KEPT)?), tensor.clone()))
        };
        self.adopted = Some(outputs.iter().filter_map(kept).collect());
        self
    }

    pub(super) fn check_caches(&self) -> Result<()> {
        match self.options.caches.and_then(|_| no_packed_caches(self.model)) {
            None => Ok(()),
            Some(why) => Err(Error::Unsupported { backend: "packed caches", reason: why.to_owned() }),
        }
    }

    /// What the caches hold after the last inference, by `cache/` and the state's name; nothing of caches that are not packed.
    ///
    /// # Errors
    /// If the device refuses.
    pub async fn kept(&mut self) -> Result<NamedTensors> {
        match self.last.clone().filter(|_| self.options.caches.is_some()) {
            None => Ok(NamedTensors::new()),
            Some(last) => {
                let program = self.kept_program(&last).await?;
                self.backend.run(program.id, &NamedTensors::new()).await
            }
        }
    }

    /// Compiles what [`Self::kept`] runs after this program.
    pub(super) async fn compile_kept(&mut self, left: &Program) -> Result<()> {
        if self.options.caches.is_some() {
            self.kept_program(left).await?;
        }
        Ok(())
    }

    async fn kept_program(&mut self, left: &Program) -> Result<Rc<Program>> {
        let key = Key::Kept(left.states.iter().map(|(name, ty)| (name.clone(), ty.shape.clone())).collect());
        if let Some(program) = self.programs.get(&key) {
            return Ok(Rc::clone(program));
        }
        let graph = kept(self.weights, left);
        let id = self.backend.compile(&graph, self.weights).await?;
        let program = Rc::new(Program { id, inputs: Vec::new(), states: Vec::new() });
        self.programs.insert(key, Rc::clone(&program));
        Ok(program)
    }
}

/// Why a model's caches cannot be packed, if they cannot: rows that are written twice could not be told apart afterwards.
pub fn no_packed_caches(model: &dyn Model) -> Option<&'static str> {
    match model.decoder().map(|decoder| decoder.prompt()) {
        Some(Prompt::Given) => None,
        None => Some("the class has no caches of keys and values"),
        Some(Prompt::Start(_)) => {
            Some("forward pass and generation of an encoder-decoder write the same rows of its caches")
        }
    }
}

/// A graph whose outputs are the states.
fn kept(weights: &crate::weights::Weights, left: &Program) -> Graph {
    let mut b = GraphBuilder::new(weights);
    for (name, ty) in &left.states {
        let state = b.state(name, ty.dtype, ty.shape.clone());
        b.output(&format!("{KEPT}{name}"), state);
    }
    b.finish()
}
