//! The op-graph: values, nodes, and the builder that models use.
//!
//! Invariants: nodes are in execution order, every value's type is inferred when its node is added,
//! and a graph that was built type-checks.

mod builder;
mod graph;

pub use builder::GraphBuilder;
pub use graph::{Graph, InputTypes, Node, Source, State, TensorType, Value, ValueId};
