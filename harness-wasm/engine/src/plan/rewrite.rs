//! A graph made anew from another, node by node: what every pass over graphs does.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::ir::{Graph, Node, Source, State, TensorType, Value, ValueId};
use crate::ops::Op;
use crate::quant::Packing;
use crate::tensor::Tensor;

/// The new graph so far, and what became of the old one's values.
pub(super) struct Rewrite<'g> {
    pub(super) from: &'g Graph,
    pub(super) to: Graph,
    map: Vec<Option<ValueId>>,
    /// Where new nodes stand.
    scope: &'g str,
}

impl<'g> Rewrite<'g> {
    /// Begins with the values that no node computes and that `keeps` names.
    pub(super) fn new(from: &'g Graph, mut keeps: impl FnMut(ValueId, &Value) -> bool) -> Self {
        let mut to = Graph::default();
        let own = |(at, value): (usize, &Value)| match &value.source {
            Source::Node(_) => None,
            source => {
                keeps(ValueId(at as u32), value).then(|| to.push_value(value.ty.clone(), source.clone()))
            }
        };
        let map = from.values().iter().enumerate().map(own).collect();
        Self { from, to, map, scope: "" }
    }

    /// What a value became.
    pub(super) fn mapped(&self, id: ValueId) -> ValueId {
        self.map[id.index()].expect("operands come before their use, and nothing reads what is left out")
    }

    /// New nodes stand where this one does, from here on.
    pub(super) fn enter(&mut self, node: &'g Node) {
        self.scope = &node.scope;
    }

    /// What a node's operands became.
    pub(super) fn operands(&self, node: &Node) -> Vec<ValueId> {
        node.inputs.iter().map(|id| self.mapped(*id)).collect()
    }

    /// `new` stands for the old graph's value.
    pub(super) fn put(&mut self, old: ValueId, new: ValueId) {
        self.map[old.index()] = Some(new);
    }

    /// Adds a node.
    pub(super) fn op(&mut self, op: Op, inputs: &[ValueId]) -> Result<ValueId> {
        self.to.push_node(op, inputs, self.scope)
    }

    pub(super) fn reshape(&mut self, x: ValueId, shape: &[usize]) -> Result<ValueId> {
        self.op(Op::Reshape { shape: shape.to_vec() }, &[x])
    }

    /// The numbers `[batch, rows, columns]` that packed rows `[batch, rows, …]` stand for; half precision has no scales.
    pub(super) fn unpacked(
        &mut self,
        words: ValueId,
        scales: Option<ValueId>,
        packing: Packing,
    ) -> Result<ValueId> {
        let &[batch, rows, _] = &self.to.ty(words).shape[..] else {
            return Err(Error::shape("dequantize", "packed rows of sequences have rank 3"));
        };
        let words = self.reshape(words, &[batch * rows, packing.words()])?;
        let scales = match scales {
            Some(scales) => self.reshape(scales, &[batch * rows, packing.scale_words()])?,
            None => self.constant(Tensor::i32([batch * rows, 0], Vec::new())),
        };
        let numbers = self.op(Op::Dequantize(packing), &[words, scales])?;
        self.reshape(numbers, &[batch, rows, packing.columns])
    }

    pub(super) fn constant(&mut self, tensor: impl Into<Arc<Tensor>>) -> ValueId {
        let tensor = tensor.into();
        let ty = TensorType::new(tensor.dtype(), tensor.shape());
        self.to.push_value(ty, Source::Constant(tensor))
    }

    /// The new graph, with the old one's outputs, and with its states where they were not left out.
    pub(super) fn finish(self) -> Graph {
        let outputs = self.from.outputs().iter().map(|(name, id)| (name.clone(), self.mapped(*id)));
        let kept = self.from.states().iter().filter(|state| self.map[state.before.index()].is_some());
        let states = kept.map(|state| State {
            name: state.name.clone(),
            before: self.mapped(state.before),
            after: self.mapped(state.after),
        });
        let (outputs, states): (Vec<_>, Vec<_>) = (outputs.collect(), states.collect());
        let mut to = self.to;
        to.outputs.extend(outputs);
        to.states.extend(states);
        to
    }
}
