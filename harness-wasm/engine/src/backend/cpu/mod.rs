//! The CPU executor: the scalar oracle, and the same graphs with SIMD kernels.
//!
//! [`Kernels::Oracle`] runs every op by its scalar definition in [`crate::ops`]. [`Kernels::Simd`]
//! replaces the ops that take time; what only moves elements stays as it is.

mod attention;
mod conv2d;
mod elementwise;
mod gemm;
mod integer;
mod normalization;
mod parallel;
mod qgather;
mod qgemm;
mod quantize;
mod simd;
mod slot;
mod stft;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use crate::backend::{Backend, Held, ProgramId, Tally, checked_input};
use crate::error::Result;
use crate::ir::{Graph, Node, Source, TensorType, ValueId};
use crate::ops::Op;
use crate::plan::liveness::{last_uses, most_alive};
use crate::tensor::{NamedTensors, Tensor};
use crate::weights::Weights;

pub use self::parallel::{Crew, Member};
use self::slot::Slot;

/// Which kernels execute the ops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    /// The scalar definitions, accumulating in f64.
    Oracle,
    /// Kernels written for SIMD, accumulating in f32.
    Simd,
}

/// The CPU executor.
#[derive(Debug)]
pub struct Cpu {
    kernels: Kernels,
    crew: Crew,
    programs: Vec<Rc<Program>>,
    weights: HashMap<String, Arc<Tensor>>,
    packed: HashMap<String, Rc<gemm::Packed>>,
    states: HashMap<String, Arc<Tensor>>,
    tally: Tally,
    /// Whether products are taken by relaxed SIMD's dot product of bytes, where there is one.
    relaxed_dot: bool,
    /// Kernels that made use of that, and how often.
    variants: BTreeMap<String, u64>,
    /// Results alive at once, in the program that has most of them.
    activations: u64,
}

#[derive(Debug)]
struct Program {
    graph: Graph,
    last: Vec<Option<usize>>,
}

impl Cpu {
    /// An executor with nothing loaded, in the caller's thread.
    pub fn new(kernels: Kernels) -> Self {
        Self::with_crew(kernels, Crew::alone())
    }

    /// As [`Self::new`], with threads for the SIMD kernels. Whatever their number, results are the same bits.
    pub fn with_crew(kernels: Kernels, crew: Crew) -> Self {
        Self {
            kernels,
            crew,
            programs: Vec::new(),
            weights: HashMap::new(),
            packed: HashMap::new(),
            states: HashMap::new(),
            tally: Tally::new(),
            relaxed_dot: false,
            variants: BTreeMap::new(),
            activations: 0,
        }
    }

    /// Multiplies weights of 4 bits by few rows by relaxed SIMD's dot product of bytes: faster where processors have one,
    /// slower elsewhere. Builds without relaxed SIMD stay as they are.
    #[must_use]
    pub fn with_relaxed_dot(mut self, wanted: bool) -> Self {
        self.relaxed_dot = wanted;
        self
    }

    /// Loads a graph's weights: packed for `gemm` where only that reads them, as they are elsewhere.
    fn load_weights(&mut self, graph: &Graph, weights: &Weights) -> Result<()> {
        for (at, value) in graph.values().iter().enumerate() {
            let Source::Weight(name) = &value.source else { continue };
            let id = ValueId(at as u32);
            let (mut by_gemm, mut by_others) = (false, false);
            for node in graph.nodes() {
                for (i, &input) in node.inputs.iter().enumerate() {
                    if input == id {
                        let packs = self.kernels == Kernels::Simd && matches!(node.op, Op::Gemm(_)) && i == 1;
                        by_gemm |= packs;
                        by_others |= !packs;
                    }
                }
            }
            let need_packed = by_gemm && !self.packed.contains_key(name);
            let need_plain = by_others && !self.weights.contains_key(name);
            if !need_packed && !need_plain {
                weights.check(name, &value.ty.shape)?;
                continue;
            }
            let tensor = weights.load(name, &value.ty.shape)?;
            if need_packed {
                self.packed.insert(name.clone(), Rc::new(gemm::Packed::new(&tensor)));
            }
            if need_plain {
                self.weights.insert(name.clone(), Arc::new(tensor));
            }
        }
        Ok(())
    }

    fn execute(&mut self, graph: &Graph, node: &Node, slots: &mut [Option<Slot<'_>>], last: bool) -> Tensor {
        *self.tally.entry(node.op.name()).or_default() += 1;
        if self.kernels == Kernels::Simd {
            if writes_over_first(&node.op) {
                let (first, rest) = node.inputs.split_first().expect("an op has operands");
                // Its own memory where nothing else reads it, a copy where something does.
                let taken = if last && !rest.contains(first) {
                    slots[first.index()].take()
                } else {
                    slots[first.index()].clone()
                };
                let x = taken.expect("computed before its use");
                let rest: Vec<&Tensor> =
                    rest.iter().map(|id| slots[id.index()].as_deref().expect("computed")).collect();
                return write_over(&self.crew, &node.op, x, &rest);
            }
            if let Op::Gemm(op) = &node.op
                && let Source::Weight(name) = &graph.value(node.inputs[1]).source
            {
                let a = slots[node.inputs[0].index()].as_deref().expect("computed before its use");
                let bias =
                    node.inputs.get(2).map(|id| slots[id.index()].as_deref().expect("loaded").as_f32());
                return gemm::run(&self.crew, a, &self.packed[name], bias, op.activation);
            }
        }
        let inputs: Vec<&Tensor> = node
            .inputs
            .iter()
            .map(|id| slots[id.index()].as_deref().expect("computed before its use"))
            .collect();
        match (self.kernels, &node.op) {
            (Kernels::Oracle, op) => op.eval(&inputs),
            (Kernels::Simd, Op::Attention(op)) => attention::run(&self.crew, op, &inputs),
            (Kernels::Simd, Op::Conv2d(op)) => {
                conv2d::run(&self.crew, *op, &inputs, &graph.ty(node.output).shape)
            }
            (Kernels::Simd, Op::Dequantize(packing)) => qgather::all(*packing, inputs[0], inputs[1]),
            (Kernels::Simd, Op::Gemm(op)) => {
                let bias = inputs.get(2).map(|c| c.as_f32());
                gemm::run(&self.crew, inputs[0], &gemm::Packed::new(inputs[1]), bias, op.activation)
            }
            (Kernels::Simd, Op::Qgather(packing)) => qgather::run(*packing, &inputs),
            (Kernels::Simd, Op::Qgemm(op)) => {
                let bytes = self.relaxed_dot && qgemm::has_bytes(*op, inputs[0]);
                if bytes {
                    *self.variants.entry("qgemv+relaxed-dot".to_owned()).or_default() += 1;
                }
                qgemm::run(&self.crew, *op, &inputs, bytes)
            }
            (Kernels::Simd, Op::Quantize(op)) => quantize::run(*op, inputs[0]),
            (Kernels::Simd, Op::Stft(op)) => stft::run(*op, &inputs),
            (Kernels::Simd, op) => op.eval(&inputs),
        }
    }
}

/// Whether the SIMD kernel of `op` writes its result over its first operand.
fn writes_over_first(op: &Op) -> bool {
    matches!(
        op,
        Op::Binary(_)
            | Op::KvAppend { .. }
            | Op::LayerNormalization { .. }
            | Op::Reshape { .. }
            | Op::RmsNormalization { .. }
            | Op::Softmax { .. }
            | Op::Unary(_)
    )
}

/// Runs such an op on its first operand and the others.
fn write_over(crew: &Crew, op: &Op, x: Slot<'_>, rest: &[&Tensor]) -> Tensor {
    match (op, rest) {
        (Op::Binary(op), [b]) => elementwise::binary(crew, *op, x.into_tensor(), b),
        (Op::KvAppend { ring }, [new, position]) => {
            let mut cache = x.into_tensor();
            elementwise::kv_append(*ring, &mut cache, new, position.as_i32()[0]);
            cache
        }
        (Op::LayerNormalization { epsilon }, [scale, bias]) => {
            normalization::layer(crew, *epsilon, x, scale, bias)
        }
        (Op::Reshape { shape }, []) => x.into_tensor().reshaped(shape.as_slice()),
        (Op::RmsNormalization { epsilon }, [scale]) => normalization::rms(crew, *epsilon, x, scale),
        (Op::Softmax { axis }, []) if axis + 1 == x.shape().len() => normalization::softmax(crew, x),
        (Op::Unary(op), []) => elementwise::unary(crew, *op, x.into_tensor()),
        (op, rest) => {
            let inputs: Vec<&Tensor> = std::iter::once(&*x).chain(rest.iter().copied()).collect();
            op.eval(&inputs)
        }
    }
}

impl Backend for Cpu {
    fn name(&self) -> &'static str {
        if cfg!(target_arch = "wasm32") { "wasm" } else { "native-cpu" }
    }

    async fn compile(&mut self, graph: &Graph, weights: &Weights) -> Result<ProgramId> {
        self.load_weights(graph, weights)?;
        let last = last_uses(graph);
        let over = |node: &Node| self.kernels == Kernels::Simd && writes_over_first(&node.op);
        self.activations = self.activations.max(most_alive(graph, &last, over));
        self.programs.push(Rc::new(Program { graph: graph.clone(), last }));
        Ok(ProgramId(self.programs.len() - 1))
    }

    async fn run(&mut self, program: ProgramId, inputs: &NamedTensors) -> Result<NamedTensors> {
        self.execute_program(program, |name, ty| Ok(Slot::Given(checked_input(inputs, name, ty)?)))
    }

    async fn run_taking(&mut self, program: ProgramId, mut inputs: NamedTensors) -> Result<NamedTensors> {
        self.execute_program(program, |name, ty| {
            checked_input(&inputs, name, ty)?;
            // Each input is one value of the graph.
            let tensor = inputs.remove(name).expect("checked");
            Ok(Slot::Shared(Arc::new(tensor)))
        })
    }

    fn reset(&mut self) {
        self.states.clear();
    }

    fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    fn dispatches(&self) -> u64 {
        0
    }

    fn kernels(&self) -> &BTreeMap<String, u64> {
        &self.variants
    }

    fn held(&self) -> Held {
        let bytes = |tensors: &HashMap<String, Arc<Tensor>>| -> u64 {
            tensors.values().map(|tensor| tensor.bytes().len() as u64).sum()
        };
        let packed: u64 = self.packed.values().map(|packed| packed.bytes() as u64).sum();
        Held {
            weights: bytes(&self.weights) + packed,
            activations: Some(self.activations),
            states: bytes(&self.states),
            io: 0,
        }
    }

    /// The oracle keeps whole caches, so that its answer to a ring is that of a cache without one.
    fn takes_rings(&self) -> bool {
        self.kernels == Kernels::Simd
    }

    fn threads(&self) -> Option<usize> {
        (self.crew.threads() > 1).then(|| self.crew.worked())
    }
}

impl Cpu {
    /// Runs a program on what `input` gives for each of its inputs.
    fn execute_program<'t>(
        &mut self,
        program: ProgramId,
        mut input: impl FnMut(&str, &TensorType) -> Result<Slot<'t>>,
    ) -> Result<NamedTensors> {
        let program = Rc::clone(&self.programs[program.0]);
        let graph = &program.graph;
        let mut slots: Vec<Option<Slot<'t>>> = vec![None; graph.values().len()];
        for (slot, value) in slots.iter_mut().zip(graph.values()) {
            *slot = match &value.source {
                Source::Input(name) => Some(input(name, &value.ty)?),
                Source::Weight(name) => self.weights.get(name).cloned().map(Slot::Shared),
                Source::Constant(tensor) => Some(Slot::Shared(Arc::clone(tensor))),
                Source::State(name) => {
                    // Taken where it is replaced, so that a cache has one owner and can be written in place.
                    let replaced = graph.states().iter().any(|state| state.name == *name);
                    let now =
                        if replaced { self.states.remove(name) } else { self.states.get(name).cloned() };
                    Some(Slot::Shared(now.unwrap_or_else(|| {
                        Arc::new(Tensor::zeros(value.ty.dtype, value.ty.shape.as_slice()))
                    })))
                }
                Source::Node(_) => None,
            };
        }
        for (at, node) in graph.nodes().iter().enumerate() {
            let last = node.inputs.first().is_some_and(|id| program.last[id.index()] == Some(at));
            let result = self.execute(graph, node, &mut slots, last);
            debug_assert_eq!(result.shape(), graph.ty(node.output).shape, "{} by inference", node.op.name());
            slots[node.output.index()] = Some(Slot::Shared(Arc::new(result)));
            for id in &node.inputs {
                if program.last[id.index()] == Some(at) {
                    slots[id.index()] = None;
                }
            }
        }
        for state in graph.states() {
            let after = slots[state.after.index()].clone().expect("states live to the end");
            self.states.insert(state.name.clone(), after.into_shared());
        }
        let mut outputs = NamedTensors::new();
        for (at, (name, id)) in graph.outputs().iter().enumerate() {
            let again = graph.outputs()[at + 1..].iter().any(|(_, other)| other == id);
            let slot = if again { slots[id.index()].clone() } else { slots[id.index()].take() };
            outputs.insert(name.clone(), slot.expect("outputs live to the end").into_tensor());
        }
        Ok(outputs)
    }
}
