//! The WebNN executor: graphs decomposed into WebNN's ops and handed to an `MLGraphBuilder`.
//!
//! Shapes are static and weights are constants of the graph. States are pairs of tensors: a dispatch
//! reads one and writes the other, then they change places.

mod context;
mod lower;
mod packed;

use std::collections::HashMap;

pub use context::{Attribute, Context, ElementType, GraphBuilding};
pub use packed::element as packed_element;

use crate::backend::{Backend, Held, ProgramId, Tally, checked_input};
use crate::error::Result;
use crate::ir::{Graph, Source, TensorType};
use crate::plan::decompose::decompose;
use crate::plan::fold::fold;
use crate::plan::liveness::last_uses;
use crate::tensor::{NamedTensors, Tensor};
use crate::weights::Weights;

/// The executor over a context.
#[derive(Debug)]
pub struct WebNn<C: Context> {
    context: C,
    states: HashMap<String, Pair<C::Tensor>>,
    programs: Vec<Program<C>>,
    tally: Tally,
    dispatches: u64,
    held: Held,
}

/// A state's tensors.
#[derive(Debug)]
struct Pair<T> {
    ty: TensorType,
    now: T,
    next: T,
}

struct Program<C: Context> {
    graph: C::Graph,
    inputs: Vec<(String, TensorType, C::Tensor)>,
    outputs: Vec<(String, TensorType, C::Tensor)>,
    /// States that the graph reads.
    reads: Vec<String>,
    /// States that it gives new values.
    writes: Vec<String>,
    tally: Tally,
}

impl<C: Context> std::fmt::Debug for Program<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("tally", &self.tally).finish_non_exhaustive()
    }
}

/// What a graph's operands are called: names of inputs and outputs are free in WebNN, so those of
/// models and states are kept apart by a prefix.
pub(crate) mod names {
    pub(crate) fn input(name: &str) -> String {
        format!("input {name}")
    }

    pub(crate) fn output(name: &str) -> String {
        format!("output {name}")
    }

    pub(crate) fn before(state: &str) -> String {
        format!("before {state}")
    }

    pub(crate) fn after(state: &str) -> String {
        format!("after {state}")
    }
}

impl<C: Context> WebNn<C> {
    /// An executor with nothing loaded.
    pub fn new(context: C) -> Self {
        Self {
            context,
            states: HashMap::new(),
            programs: Vec::new(),
            tally: Tally::new(),
            dispatches: 0,
            held: Held::default(),
        }
    }
}

impl<C: Context> Backend for WebNn<C> {
    fn name(&self) -> &'static str {
        "webnn"
    }

    async fn compile(&mut self, graph: &Graph, weights: &Weights) -> Result<ProgramId> {
        // Again after decomposing: what extensions do to constants alone is done here.
        let plain = fold(&decompose(graph)?, weights)?;
        let (built, tally) = lower::lower(&self.context, &plain, weights).await?;
        let used = last_uses(&plain);
        let bytes = |ty: &TensorType| ty.bytes() as u64;
        // Each graph has its own copy of what is constant in it.
        self.held.weights += plain
            .values()
            .iter()
            .zip(&used)
            .filter(|(value, used)| {
                used.is_some() && matches!(value.source, Source::Weight(_) | Source::Constant(_))
            })
            .map(|(value, _)| bytes(&value.ty))
            .sum::<u64>();
        let (mut inputs, mut reads) = (Vec::new(), Vec::new());
        for (value, used) in plain.values().iter().zip(&used) {
            match &value.source {
                // What nothing reads is no part of the graph that was built.
                Source::Input(name) if used.is_some() => {
                    let tensor = self.context.tensor(&value.ty).await?;
                    self.held.io += bytes(&value.ty);
                    inputs.push((name.clone(), value.ty.clone(), tensor));
                }
                Source::State(name) => {
                    if used.is_some() {
                        reads.push(name.clone());
                    }
                    if !self.states.contains_key(name) {
                        let (now, next) =
                            (self.context.tensor(&value.ty).await?, self.context.tensor(&value.ty).await?);
                        self.held.states += 2 * bytes(&value.ty);
                        self.states.insert(name.clone(), Pair { ty: value.ty.clone(), now, next });
                    }
                }
                _ => {}
            }
        }
        let mut outputs = Vec::new();
        for (name, id) in plain.outputs() {
            let ty = plain.ty(*id).clone();
            let tensor = self.context.tensor(&ty).await?;
            self.held.io += bytes(&ty);
            outputs.push((name.clone(), ty, tensor));
        }
        let writes = plain.states().iter().map(|state| state.name.clone()).collect();
        self.programs.push(Program { graph: built, inputs, outputs, reads, writes, tally });
        Ok(ProgramId(self.programs.len() - 1))
    }

    async fn run(&mut self, program: ProgramId, inputs: &NamedTensors) -> Result<NamedTensors> {
        let program = &self.programs[program.0];
        let mut given = Vec::with_capacity(program.inputs.len() + program.reads.len());
        for (name, ty, tensor) in &program.inputs {
            self.context.write(tensor, checked_input(inputs, name, ty)?.bytes())?;
            given.push((names::input(name), tensor.clone()));
        }
        let mut wanted: Vec<_> =
            program.outputs.iter().map(|(name, _, tensor)| (names::output(name), tensor.clone())).collect();
        for state in &program.reads {
            given.push((names::before(state), self.states[state].now.clone()));
        }
        for state in &program.writes {
            wanted.push((names::after(state), self.states[state].next.clone()));
        }
        self.context.dispatch(&program.graph, &given, &wanted)?;
        let mut outputs = NamedTensors::new();
        for (name, ty, tensor) in &program.outputs {
            let bytes = self.context.read(tensor).await?;
            outputs.insert(name.clone(), Tensor::from_bytes(ty.dtype, ty.shape.as_slice(), &bytes));
        }
        for state in &program.writes {
            if let Some(pair) = self.states.get_mut(state) {
                std::mem::swap(&mut pair.now, &mut pair.next);
            }
        }
        self.dispatches += 1;
        for (op, count) in &program.tally {
            *self.tally.entry(op).or_default() += count;
        }
        Ok(outputs)
    }

    fn reset(&mut self) {
        for pair in self.states.values() {
            // A write fails only on a lost context, which the next dispatch reports with its reason.
            let _ = self.context.write(&pair.now, &vec![0; pair.ty.bytes()]);
        }
    }

    fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    fn dispatches(&self) -> u64 {
        self.dispatches
    }

    /// What graphs need for their results only the browser knows.
    fn held(&self) -> Held {
        self.held
    }
}
