//! From a decomposed graph to calls of `MLGraphBuilder`, one a node.

use std::collections::HashSet;

use crate::backend::Tally;
use crate::backend::webnn::context::{Attribute, Context, ElementType, GraphBuilding};
use crate::backend::webnn::names;
use crate::error::{Error, Result};
use crate::ir::{Graph, Node, Source, TensorType, ValueId};
use crate::ops::Op;
use crate::plan::liveness::last_uses;
use crate::tensor::{DType, Tensor};
use crate::weights::Weights;

use Attribute::{Flag, Number, Numbers, Operand, Operands, Text};

/// Builds the graph; the tally counts the calls by name.
pub(super) async fn lower<C: Context>(
    context: &C,
    graph: &Graph,
    weights: &Weights,
) -> Result<(C::Graph, Tally)> {
    let builder = context.builder()?;
    let used = last_uses(graph);
    let packed = graph.packed();
    let values = vec![None; graph.values().len()];
    let mut lowering = Lowering { builder: &builder, graph, weights, values, tally: Tally::new() };
    for (at, value) in graph.values().iter().enumerate() {
        // What nothing reads is no part of an `MLGraph`, which then refuses a tensor for it.
        if used[at].is_none() || packed[at] {
            continue;
        }
        let operand = match &value.source {
            Source::Input(name) => builder.input(&names::input(name), &value.ty)?,
            Source::State(name) => builder.input(&names::before(name), &value.ty)?,
            Source::Weight(name) => {
                builder.constant(&value.ty, weights.load(name, &value.ty.shape)?.bytes())?
            }
            Source::Constant(tensor) => builder.constant(&value.ty, tensor.bytes())?,
            Source::Node(_) => continue,
        };
        lowering.values[at] = Some(Lowered { operand, truth: false });
    }
    for node in graph.nodes() {
        let lowered = lowering.node(node)?;
        lowering.values[node.output.index()] = Some(lowered);
    }
    let mut outputs = Vec::new();
    let mut given = HashSet::new();
    let results = graph.outputs().iter().map(|(name, id)| (names::output(name), *id));
    let states = graph.states().iter().map(|state| (names::after(&state.name), state.after));
    for (name, id) in results.chain(states) {
        outputs.push((name, lowering.result(id, !given.insert(id))?));
    }
    let tally = lowering.tally;
    Ok((builder.build(&outputs).await?, tally))
}

#[derive(Clone)]
struct Lowered<O> {
    operand: O,
    /// A comparison's result: `uint8` in WebNN, an integer in the IR.
    truth: bool,
}

pub(super) struct Lowering<'l, B: GraphBuilding> {
    pub(super) builder: &'l B,
    pub(super) graph: &'l Graph,
    weights: &'l Weights,
    values: Vec<Option<Lowered<B::Operand>>>,
    tally: Tally,
}

impl<B: GraphBuilding> Lowering<'_, B> {
    pub(super) fn call(
        &mut self,
        op: &'static str,
        arguments: &[Attribute<B::Operand>],
        options: &[(&'static str, Attribute<B::Operand>)],
    ) -> Result<B::Operand> {
        *self.tally.entry(op).or_default() += 1;
        self.builder.op(op, arguments, options)
    }

    fn lowered(&self, id: ValueId) -> Result<Lowered<B::Operand>> {
        self.values[id.index()].clone().ok_or_else(|| Error::Device {
            backend: "webnn",
            reason: format!("value {} was never lowered", id.index()),
        })
    }

    /// The operand with the type that the IR gives it.
    pub(super) fn typed(&mut self, id: ValueId) -> Result<B::Operand> {
        let Lowered { operand, truth } = self.lowered(id)?;
        if truth {
            self.call("cast", &[Operand(operand), Text(ElementType::Int32.as_str())], &[])
        } else {
            Ok(operand)
        }
    }

    /// What a graph holds by itself.
    pub(super) fn tensor(&self, id: ValueId) -> Result<Tensor> {
        let value = self.graph.value(id);
        match &value.source {
            Source::Weight(name) => self.weights.load(name, &value.ty.shape),
            Source::Constant(tensor) => Ok(Tensor::clone(tensor)),
            Source::Input(_) | Source::State(_) | Source::Node(_) => Err(Error::Unsupported {
                backend: "webnn",
                reason: "WebNN has no ops on bits: packed rows that are no constants cannot be read".into(),
            }),
        }
    }

    /// What an output is built from: an input, a constant or what is `given` by another name cannot be one, so it goes through
    /// `identity`.
    fn result(&mut self, id: ValueId, given: bool) -> Result<B::Operand> {
        let operand = self.typed(id)?;
        match self.graph.value(id).source {
            Source::Node(_) if !given => Ok(operand),
            _ => self.call("identity", &[Operand(operand)], &[]),
        }
    }

    fn node(&mut self, node: &Node) -> Result<Lowered<B::Operand>> {
        if let Op::Where = node.op {
            return self.choose(node);
        }
        if let Op::Cast(to) = node.op {
            // Straight from the truth value, without the detour over the IR's type.
            let from = self.lowered(node.inputs[0])?.operand;
            let operand = self.call("cast", &[Operand(from), Text(ElementType::from(to).as_str())], &[])?;
            return Ok(Lowered { operand, truth: false });
        }
        if let Op::Dequantize(packing) | Op::Qgather(packing) = node.op {
            let operand = match node.op {
                Op::Qgather(_) => self.qgather(packing, node)?,
                _ => self.dequantize(packing, node)?,
            };
            return Ok(Lowered { operand, truth: false });
        }
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for id in &node.inputs {
            inputs.push(self.typed(*id)?);
        }
        let first = || Operand(inputs[0].clone());
        let name = node.op.name();
        let operand = match &node.op {
            Op::Unary(_) => self.call(name, &[first()], &[]),
            Op::Binary(_) | Op::Matmul => self.call(name, &[first(), Operand(inputs[1].clone())], &[]),
            Op::Gemm(_) => {
                let mut options = vec![("bTranspose", Flag(true))];
                options.extend(inputs.get(2).map(|bias| ("c", Operand(bias.clone()))));
                self.call(name, &[first(), Operand(inputs[1].clone())], &options)
            }
            Op::Softmax { axis } => self.call(name, &[first(), Number(*axis as f64)], &[]),
            Op::Reshape { shape } | Op::Expand { shape } => {
                self.call(name, &[first(), Numbers(shape.clone())], &[])
            }
            Op::Transpose { permutation } => {
                self.call(name, &[first()], &[("permutation", Numbers(permutation.clone()))])
            }
            Op::Slice { starts, sizes } => {
                self.call(name, &[first(), Numbers(starts.clone()), Numbers(sizes.clone())], &[])
            }
            Op::Concat { axis } => self.call(name, &[Operands(inputs.clone()), Number(*axis as f64)], &[]),
            Op::Gather { axis } => {
                self.call(name, &[first(), Operand(inputs[1].clone())], &[("axis", Number(*axis as f64))])
            }
            Op::Reduce(_) => {
                let last = self.graph.ty(node.inputs[0]).shape.len() - 1;
                self.call(name, &[first()], &[("axes", Numbers(vec![last])), ("keepDimensions", Flag(true))])
            }
            Op::LayerNormalization { epsilon } => {
                let last = self.graph.ty(node.output).shape.len() - 1;
                let options = [
                    ("scale", Operand(inputs[1].clone())),
                    ("bias", Operand(inputs[2].clone())),
                    ("axes", Numbers(vec![last])),
                    ("epsilon", Number(f64::from(*epsilon))),
                ];
                self.call(name, &[first()], &options)
            }
            Op::Conv2d(conv) => {
                let mut options = vec![
                    ("strides", Numbers(conv.strides.to_vec())),
                    ("padding", Numbers(conv.padding.to_vec())),
                    ("dilations", Numbers(conv.dilations.to_vec())),
                    ("groups", Number(conv.groups as f64)),
                ];
                options.extend(inputs.get(2).map(|bias| ("bias", Operand(bias.clone()))));
                self.call(name, &[first(), Operand(inputs[1].clone())], &options)
            }
            Op::MaxPool2d(pool) => {
                let options = [
                    ("windowDimensions", Numbers(pool.window.to_vec())),
                    ("strides", Numbers(pool.strides.to_vec())),
                    ("padding", Numbers(pool.padding.to_vec())),
                ];
                self.call(name, &[first()], &options)
            }
            Op::Where | Op::Cast(_) | Op::Dequantize(_) | Op::Qgather(_) => unreachable!("lowered above"),
            Op::Adopt(_) | Op::Quantize(_) => {
                let reason = format!("WebNN has no ops on bits, and {name} packs them");
                Err(Error::Unsupported { backend: "webnn", reason })
            }
            Op::Attention(_)
            | Op::KvAppend { .. }
            | Op::Qgemm(_)
            | Op::RmsNormalization { .. }
            | Op::Rope { .. }
            | Op::Stft(_) => {
                Err(Error::Unsupported { backend: "webnn", reason: format!("{name} was not decomposed") })
            }
        }?;
        let truth = matches!(&node.op, Op::Binary(op) if op.is_comparison());
        Ok(Lowered { operand, truth })
    }

    /// `where` takes `uint8`: a comparison's result as it is, any other integer compared with 0.
    fn choose(&mut self, node: &Node) -> Result<Lowered<B::Operand>> {
        let (mut yes, mut no) = (self.typed(node.inputs[1])?, self.typed(node.inputs[2])?);
        let condition = self.lowered(node.inputs[0])?;
        let condition = if condition.truth {
            condition.operand
        } else {
            std::mem::swap(&mut yes, &mut no);
            let zero = Tensor::i32([1], vec![0]);
            let zero = self.builder.constant(&TensorType::new(DType::I32, [1]), zero.bytes())?;
            self.call("equal", &[Operand(condition.operand), Operand(zero)], &[])?
        };
        let operand = self.call("where", &[Operand(condition), Operand(yes), Operand(no)], &[])?;
        Ok(Lowered { operand, truth: false })
    }
}
