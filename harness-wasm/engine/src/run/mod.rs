//! Runs a model on a backend: prepares inputs, picks graphs, generates.

mod caches;
mod calibrate;
mod case;
mod generate;
mod loaded;
mod measure;
mod sampling;
mod sensitivity;
mod sizes;
mod steady;
pub mod subject;
mod trace;

use std::collections::HashMap;
use std::rc::Rc;

pub use caches::no_packed_caches;
pub use calibrate::activations;
pub use case::{CaseRun, run_cases};
pub use loaded::Loaded;
pub use measure::{Measured, Pace, Schedule, Span, Witness, measure};
pub use sampling::Sampling;
pub use sensitivity::{loss, sensitivities};
pub use sizes::weight_shapes;
pub use steady::{Until, WarmUp};
pub use trace::{Step, trace};

use crate::backend::{Backend, ProgramId};
use crate::error::Result;
use crate::ir::{Graph, State, TensorType};
use crate::models::{Decoder, InputTypes, Model, Prompt};
use crate::plan::caches::{Caches, Entry, Keeping, encoded, keep, rings};
use crate::plan::fold::fold;
use crate::plan::quantise::quantise;
use crate::tensor::NamedTensors;
use crate::weights::Weights;

/// What to do besides the forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options {
    /// Tokens to generate, for classes that generate; 0 for none.
    pub max_new_tokens: usize,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// Whether an end token ends generation. Without, end tokens are never chosen and exactly
    /// `max_new_tokens` are made, so that runs are alike.
    pub stops: bool,
    /// How caches of keys and values are kept; none for float32.
    pub caches: Option<Caches>,
}

impl Options {
    /// Exactly so many new tokens, the likeliest each time.
    pub fn greedy(max_new_tokens: usize) -> Self {
        Self { max_new_tokens, ..Self::default() }
    }
}

/// A model on a backend, with the graphs compiled so far.
#[derive(Debug)]
pub struct Runner<'m, B> {
    model: &'m dyn Model,
    weights: &'m Weights,
    backend: B,
    options: Options,
    programs: HashMap<Key, Rc<Program>>,
    /// What ran last and left states.
    last: Option<Rc<Program>>,
    /// What another kept of its caches, whose rounding is taken where it is right.
    adopted: Option<NamedTensors>,
    /// While it is gathered: what an inference writes into packed caches.
    told: Option<caches::Told>,
}

/// What a graph was built for: the static shapes of its inputs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Forward(Shapes),
    Prefill {
        inputs: Shapes,
        context: usize,
    },
    Step {
        inputs: Shapes,
        tokens: usize,
        context: usize,
    },
    Kept(Shapes),
    /// That program, which tells besides what it writes into packed caches.
    Telling(Box<Self>),
}

/// The inputs' shapes by name.
type Shapes = Vec<(String, Vec<usize>)>;

/// A compiled graph with the names of its inputs.
#[derive(Debug)]
struct Program {
    id: ProgramId,
    inputs: Vec<String>,
    /// The states that it leaves.
    states: Vec<(String, TensorType)>,
    /// Rows of its widest ring and bytes of all, if it has any.
    rings: Option<(usize, usize)>,
    /// Bytes of its states that are given as a whole.
    encoded: usize,
}

impl<'m, B: Backend> Runner<'m, B> {
    /// A runner with nothing compiled.
    pub fn new(model: &'m dyn Model, weights: &'m Weights, backend: B, options: Options) -> Self {
        Self {
            model,
            weights,
            backend,
            options,
            programs: HashMap::new(),
            last: None,
            adopted: None,
            told: None,
        }
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
        self.check_caches()?;
        let inputs = self.model.prepare(inputs)?;
        let types = types(&inputs);
        let Some(decoder) = self.generates() else {
            let program = self.forward_program(&types).await?;
            return self.compile_kept(&program).await;
        };
        let plan = generate::Plan::new(decoder, &inputs, self.options.max_new_tokens)?;
        let prefill = self.prefill_program(decoder, &types, plan.context).await?;
        self.compile_kept(&prefill).await?;
        for tokens in plan.steps() {
            self.step_program(decoder, &types, tokens, plan.context).await?;
        }
        Ok(())
    }

    /// One inference: the forward pass and, where asked for, generation. What packed caches hold then, [`Self::kept`] tells.
    ///
    /// # Errors
    /// If an input, a weight or the device refuses.
    pub async fn infer(&mut self, inputs: &NamedTensors) -> Result<NamedTensors> {
        self.infer_watched(inputs, &mut || {}).await
    }

    /// As [`Self::infer`]; `chosen` is called whenever every row has its next token.
    ///
    /// # Errors
    /// If an input, a weight or the device refuses.
    pub async fn infer_watched(
        &mut self,
        inputs: &NamedTensors,
        chosen: &mut dyn FnMut(),
    ) -> Result<NamedTensors> {
        let mut inputs = self.model.prepare(inputs)?;
        if let Some(decoder) = self.generates() {
            return self.generate(decoder, inputs, chosen).await;
        }
        let program = self.forward_program(&types(&inputs)).await?;
        if self.model.decoder().is_some() {
            inputs.insert("position".into(), crate::Tensor::i32([1], vec![0]));
        }
        inputs.extend(self.adopted.clone().unwrap_or_default());
        self.backend.reset();
        let outputs = self.run(&program, &inputs).await?;
        self.last = Some(program);
        Ok(outputs)
    }

    /// Positions that caches of keys and values stand for with these inputs, of all sequences together; 0 for a model that
    /// generates nothing.
    ///
    /// # Errors
    /// If an input is not what the model takes.
    pub fn cache_positions(&self, inputs: &NamedTensors) -> Result<usize> {
        let Some(decoder) = self.generates() else { return Ok(0) };
        let inputs = self.model.prepare(inputs)?;
        Ok(generate::Plan::new(decoder, &inputs, self.options.max_new_tokens)?.positions())
    }

    /// How tokens are generated, if they are to be.
    fn generates(&self) -> Option<&'m dyn Decoder> {
        self.model.decoder().filter(|_| self.options.max_new_tokens > 0)
    }

    async fn forward_program(&mut self, inputs: &InputTypes) -> Result<Rc<Program>> {
        let model = self.model;
        let build = |weights: &Weights| model.forward(weights, inputs);
        self.program(Key::Forward(shapes(inputs)), build).await
    }

    async fn prefill_program(
        &mut self,
        decoder: &dyn Decoder,
        inputs: &InputTypes,
        context: usize,
    ) -> Result<Rc<Program>> {
        let build = |weights: &Weights| decoder.prefill(weights, inputs, context);
        self.program(Key::Prefill { inputs: shapes(inputs), context }, build).await
    }

    async fn step_program(
        &mut self,
        decoder: &dyn Decoder,
        inputs: &InputTypes,
        tokens: usize,
        context: usize,
    ) -> Result<Rc<Program>> {
        let build = |weights: &Weights| decoder.step(weights, inputs, tokens, context);
        self.program(Key::Step { inputs: shapes(inputs), tokens, context }, build).await
    }

    async fn program(
        &mut self,
        key: Key,
        build: impl FnOnce(&Weights) -> Result<Graph>,
    ) -> Result<Rc<Program>> {
        // Forward pass and prefill take all tokens from the first on.
        let entry = if matches!(key, Key::Step { .. }) { Entry::Later } else { Entry::Start };
        let (adopts, tells) = (self.adopted.is_some(), self.told.is_some());
        let apart = entry == Entry::Start && self.writes_twice();
        let key = if tells { Key::Telling(Box::new(key)) } else { key };
        if let Some(program) = self.programs.get(&key) {
            return Ok(Rc::clone(program));
        }
        let keeping = Keeping {
            caches: self.options.caches,
            rings: self.backend.takes_rings().then_some(entry),
            adopts,
            tells,
            apart,
        };
        let graph = keep(&build(self.weights)?, keeping)?;
        let graph = quantise(&fold(&graph, self.weights)?, self.weights)?;
        let inputs = graph.inputs().map(|(name, _)| name.to_owned()).collect();
        let state = |state: &State| (state.name.clone(), graph.ty(state.before).clone());
        let states = graph.states().iter().map(state).collect();
        let id = self.backend.compile(&graph, self.weights).await?;
        let (rings, encoded) = (rings(&graph), encoded(&graph));
        let program = Rc::new(Program { id, inputs, states, rings, encoded });
        self.programs.insert(key, Rc::clone(&program));
        Ok(program)
    }
}

/// How many new tokens make `generated_ids` that wide; 0 for a class that does not generate.
pub fn new_tokens(model: &dyn Model, inputs: &NamedTensors, generated: usize) -> usize {
    let start = model.decoder().map(|decoder| match decoder.prompt() {
        Prompt::Given => inputs.get("input_ids").and_then(|ids| ids.shape().last().copied()).unwrap_or(0),
        Prompt::Start(tokens) => tokens.len(),
    });
    start.map_or(0, |start| generated.saturating_sub(start))
}

fn shapes(inputs: &InputTypes) -> Shapes {
    inputs.iter().map(|(name, ty)| (name.clone(), ty.shape.clone())).collect()
}

fn types(inputs: &NamedTensors) -> InputTypes {
    let ty = |tensor: &crate::Tensor| TensorType::new(tensor.dtype(), tensor.shape());
    inputs.iter().map(|(name, tensor)| (name.clone(), ty(tensor))).collect()
}
