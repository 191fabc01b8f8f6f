//! Values and nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ops::Op;
use crate::tensor::{DType, Tensor, elements};

/// Element type and shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Elements by axis, outermost first.
    pub shape: Vec<usize>,
}

impl TensorType {
    /// A type.
    pub fn new(dtype: DType, shape: impl Into<Vec<usize>>) -> Self {
        Self { dtype, shape: shape.into() }
    }

    /// A float type.
    pub fn f32(shape: impl Into<Vec<usize>>) -> Self {
        Self::new(DType::F32, shape)
    }

    /// An integer type.
    pub fn i32(shape: impl Into<Vec<usize>>) -> Self {
        Self::new(DType::I32, shape)
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        elements(&self.shape)
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size in bytes: every kernel type is four bytes wide.
    pub fn bytes(&self) -> usize {
        4 * self.len()
    }
}

/// Names a value of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

impl ValueId {
    /// Position in [`Graph::values`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Types of a run's inputs, by name.
pub type InputTypes = BTreeMap<String, TensorType>;

/// Where a value comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Given to every run.
    Input(String),
    /// A checkpoint's weight, uploaded once and shared by graphs.
    Weight(String),
    /// Part of the graph.
    Constant(Arc<Tensor>),
    /// Kept by the backend between runs, zero at first, shared by graphs.
    State(String),
    /// Computed by the node at this position.
    Node(usize),
}

/// A value: its type and where it comes from.
#[derive(Clone, Debug)]
pub struct Value {
    /// Inferred type.
    pub ty: TensorType,
    /// Where it comes from.
    pub source: Source,
}

/// One op applied to values.
#[derive(Clone, Debug)]
pub struct Node {
    /// The op with its attributes.
    pub op: Op,
    /// Its operands.
    pub inputs: Vec<ValueId>,
    /// Its result.
    pub output: ValueId,
    /// Where in the model it stands, such as `encoder.layer.0.attention`.
    pub scope: String,
}

/// A state and the value it takes after a run.
#[derive(Clone, Debug)]
pub struct State {
    /// Shared across graphs by this name.
    pub name: String,
    /// Its value before the run.
    pub before: ValueId,
    /// Its value after the run.
    pub after: ValueId,
}

/// A typed op-graph in execution order.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub(crate) values: Vec<Value>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) outputs: Vec<(String, ValueId)>,
    pub(crate) states: Vec<State>,
}

impl Graph {
    /// Every value.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// Every node, in execution order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Named results.
    pub fn outputs(&self) -> &[(String, ValueId)] {
        &self.outputs
    }

    /// States and their successors.
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// Named inputs.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, ValueId)> {
        self.values.iter().enumerate().filter_map(|(i, value)| match &value.source {
            Source::Input(name) => Some((name.as_str(), ValueId(i as u32))),
            _ => None,
        })
    }

    /// The value named by `id`.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// The type of the value named by `id`.
    pub fn ty(&self, id: ValueId) -> &TensorType {
        &self.values[id.index()].ty
    }

    /// Which values are nothing but words or scales of packed weights.
    pub(crate) fn packed(&self) -> Vec<bool> {
        let (mut packed, mut plain) = (vec![false; self.values.len()], vec![false; self.values.len()]);
        for node in &self.nodes {
            for (i, id) in node.inputs.iter().enumerate() {
                let seen = if node.op.packed_operands().contains(&i) { &mut packed } else { &mut plain };
                seen[id.index()] = true;
            }
        }
        packed.iter().zip(plain).map(|(packed, plain)| *packed && !plain).collect()
    }

    pub(crate) fn push_value(&mut self, ty: TensorType, source: Source) -> ValueId {
        let id = ValueId(u32::try_from(self.values.len()).expect("a graph has fewer than 2^32 values"));
        self.values.push(Value { ty, source });
        id
    }

    /// Infers the result's type and adds the node.
    pub(crate) fn push_node(&mut self, op: Op, inputs: &[ValueId], scope: &str) -> crate::Result<ValueId> {
        let types: Vec<&TensorType> = inputs.iter().map(|&id| self.ty(id)).collect();
        let ty = op.infer(&types)?;
        let output = self.push_value(ty, Source::Node(self.nodes.len()));
        self.nodes.push(Node { op, inputs: inputs.to_vec(), output, scope: scope.to_owned() });
        Ok(output)
    }
}
