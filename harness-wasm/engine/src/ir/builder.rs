//! What a model file writes its graph with.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::ir::graph::{Graph, Source, State, TensorType, ValueId};
use crate::ops::{Binary, Op, Unary};
use crate::tensor::{DType, Tensor};
use crate::weights::Weights;

/// Builds a [`Graph`], checking weights against the checkpoint and types as it goes.
#[derive(Debug)]
pub struct GraphBuilder<'w> {
    graph: Graph,
    weights: &'w Weights,
    scope: String,
}

impl<'w> GraphBuilder<'w> {
    /// An empty graph over these weights.
    pub fn new(weights: &'w Weights) -> Self {
        Self { graph: Graph::default(), weights, scope: String::new() }
    }

    /// The weights that names are resolved against.
    pub fn weights(&self) -> &'w Weights {
        self.weights
    }

    /// Says where in the model the next nodes stand.
    pub fn scope(&mut self, scope: impl Into<String>) {
        self.scope = scope.into();
    }

    /// The type of a value.
    pub fn ty(&self, id: ValueId) -> &TensorType {
        self.graph.ty(id)
    }

    /// The shape of a value.
    pub fn shape(&self, id: ValueId) -> &[usize] {
        &self.graph.ty(id).shape
    }

    /// An input of every run.
    pub fn input(&mut self, name: &str, dtype: DType, shape: impl Into<Vec<usize>>) -> ValueId {
        self.graph.push_value(TensorType::new(dtype, shape), Source::Input(name.to_owned()))
    }

    /// A weight, under the first of `names` that the checkpoint has.
    ///
    /// # Errors
    /// If it has none of them, or has it in another shape.
    pub fn weight(&mut self, names: &[&str], shape: impl Into<Vec<usize>>) -> Result<ValueId> {
        let name = self.weights.first_of(names)?;
        let ty = TensorType::f32(shape);
        self.weights.check(name, &ty.shape)?;
        let known = self
            .graph
            .values
            .iter()
            .position(|value| matches!(&value.source, Source::Weight(n) if n == name));
        Ok(match known {
            Some(at) => ValueId(at as u32),
            None => self.graph.push_value(ty, Source::Weight(name.to_owned())),
        })
    }

    /// A constant of the graph itself.
    pub fn constant(&mut self, tensor: Tensor) -> ValueId {
        let ty = TensorType::new(tensor.dtype(), tensor.shape());
        self.graph.push_value(ty, Source::Constant(Arc::new(tensor)))
    }

    /// A state's value before the run.
    pub fn state(&mut self, name: &str, dtype: DType, shape: impl Into<Vec<usize>>) -> ValueId {
        self.graph.push_value(TensorType::new(dtype, shape), Source::State(name.to_owned()))
    }

    /// Gives the state read as `before` its value after the run.
    ///
    /// # Errors
    /// If `before` is no state or the types differ.
    pub fn set_state(&mut self, before: ValueId, after: ValueId) -> Result<()> {
        let Source::State(name) = &self.graph.value(before).source else {
            return Err(Error::shape("state", "only a state can be given a new value"));
        };
        if self.graph.ty(before) != self.graph.ty(after) {
            return Err(Error::shape("state", format!("{name} changes its type")));
        }
        self.graph.states.push(State { name: name.clone(), before, after });
        Ok(())
    }

    /// Adds a node.
    ///
    /// # Errors
    /// If the op's shape rule refuses the operands.
    pub fn op(&mut self, op: Op, inputs: &[ValueId]) -> Result<ValueId> {
        self.graph.push_node(op, inputs, &self.scope)
    }

    /// `a + b`, broadcasting.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn add(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.op(Op::Binary(Binary::Add), &[a, b])
    }

    /// `a * b`, broadcasting.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn mul(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.op(Op::Binary(Binary::Mul), &[a, b])
    }

    /// An elementwise function.
    ///
    /// # Errors
    /// If the operand is not of a float type.
    pub fn unary(&mut self, op: Unary, x: ValueId) -> Result<ValueId> {
        self.op(Op::Unary(op), &[x])
    }

    /// The same elements in another shape.
    ///
    /// # Errors
    /// If the numbers of elements differ.
    pub fn reshape(&mut self, x: ValueId, shape: impl Into<Vec<usize>>) -> Result<ValueId> {
        self.op(Op::Reshape { shape: shape.into() }, &[x])
    }

    /// Axes in another order.
    ///
    /// # Errors
    /// If `permutation` is none.
    pub fn transpose(&mut self, x: ValueId, permutation: &[usize]) -> Result<ValueId> {
        self.op(Op::Transpose { permutation: permutation.to_vec() }, &[x])
    }

    /// A box cut out of `x`.
    ///
    /// # Errors
    /// If it does not lie inside.
    pub fn slice(&mut self, x: ValueId, starts: &[usize], sizes: &[usize]) -> Result<ValueId> {
        self.op(Op::Slice { starts: starts.to_vec(), sizes: sizes.to_vec() }, &[x])
    }

    /// Names a result.
    pub fn output(&mut self, name: &str, value: ValueId) {
        self.graph.outputs.push((name.to_owned(), value));
    }

    /// The finished graph.
    pub fn finish(self) -> Graph {
        self.graph
    }
}
