//! Constant folding: what depends on weights and constants alone is computed once, before the graph reaches a
//! backend: a batch norm's scale and shift, a weight norm, tables of relative positions.

use std::sync::Arc;

use crate::error::Result;
use crate::ir::{Graph, Source, Value, ValueId};
use crate::ops::Op;
use crate::plan::rewrite::Rewrite;
use crate::tensor::Tensor;
use crate::weights::Weights;

/// The same graph, with every result that no input or state can change made a constant, and without what
/// nothing reads any more.
///
/// # Errors
/// If a weight that is folded cannot be loaded.
pub fn fold(graph: &Graph, weights: &Weights) -> Result<Graph> {
    let mut pass = Pass { graph, weights, fixed: Vec::new(), known: vec![None; graph.values().len()] };
    for value in graph.values() {
        let fixed = match &value.source {
            Source::Weight(_) | Source::Constant(_) => true,
            Source::Input(_) | Source::State(_) => false,
            Source::Node(at) => {
                let node = &graph.nodes()[*at];
                // Packed weights are packed to stay so.
                !matches!(node.op, Op::Dequantize(_)) && node.inputs.iter().all(|id| pass.fixed[id.index()])
            }
        };
        pass.fixed.push(fixed);
    }
    let needed = pass.needed();
    // An input is part of the graph's signature, read or not.
    let kept = |id: ValueId, value: &Value| needed[id.index()] || matches!(value.source, Source::Input(_));
    let mut rewrite = Rewrite::new(graph, kept);
    for node in graph.nodes().iter().filter(|node| needed[node.output.index()]) {
        rewrite.enter(node);
        let result = if pass.fixed[node.output.index()] {
            let value = pass.value(node.output)?;
            rewrite.constant(value)
        } else {
            rewrite.op(node.op.clone(), &rewrite.operands(node))?
        };
        rewrite.put(node.output, result);
    }
    Ok(rewrite.finish())
}

struct Pass<'g> {
    graph: &'g Graph,
    weights: &'g Weights,
    /// Whether a value depends on weights and constants alone.
    fixed: Vec<bool>,
    known: Vec<Option<Arc<Tensor>>>,
}

impl Pass<'_> {
    /// What outputs and states are computed from, not looking behind fixed results.
    fn needed(&self) -> Vec<bool> {
        let mut needed = vec![false; self.graph.values().len()];
        for (_, id) in self.graph.outputs() {
            needed[id.index()] = true;
        }
        for state in self.graph.states() {
            needed[state.before.index()] = true;
            needed[state.after.index()] = true;
        }
        for node in self.graph.nodes().iter().rev() {
            let at = node.output.index();
            if needed[at] && !self.fixed[at] {
                node.inputs.iter().for_each(|id| needed[id.index()] = true);
            }
        }
        needed
    }

    fn value(&mut self, id: ValueId) -> Result<Arc<Tensor>> {
        if let Some(known) = &self.known[id.index()] {
            return Ok(Arc::clone(known));
        }
        let value = self.graph.value(id);
        let tensor = match &value.source {
            Source::Constant(tensor) => Arc::clone(tensor),
            Source::Weight(name) => Arc::new(self.weights.load(name, &value.ty.shape)?),
            Source::Node(at) => {
                let node = &self.graph.nodes()[*at];
                let inputs = node.inputs.iter().map(|id| self.value(*id)).collect::<Result<Vec<_>>>()?;
                Arc::new(node.op.eval(&inputs.iter().map(Arc::as_ref).collect::<Vec<_>>()))
            }
            Source::Input(_) | Source::State(_) => unreachable!("not fixed"),
        };
        self.known[id.index()] = Some(Arc::clone(&tensor));
        Ok(tensor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::GraphBuilder;
    use crate::tensor::DType;

    #[test]
    fn only_what_inputs_reach_remains() {
        let weights = Weights::Twin { seed: 3 };
        let mut b = GraphBuilder::new(&weights);
        let x = b.input("x", DType::F32, [2]);
        b.input("unread", DType::F32, [1]);
        let w = b.weight(&["w"], [2]).unwrap();
        let twice = b.add(w, w).unwrap();
        let y = b.mul(x, twice).unwrap();
        let unread = b.mul(x, w).unwrap();
        b.add(unread, x).unwrap();
        b.output("y", y);
        b.output("twice", twice);
        let folded = fold(&b.finish(), &weights).unwrap();
        assert_eq!(folded.nodes().len(), 1);
        assert_eq!(folded.inputs().map(|(name, _)| name).collect::<Vec<_>>(), ["x", "unread"]);
        let Source::Constant(twice) = &folded.value(folded.outputs()[1].1).source else {
            panic!("not folded")
        };
        let plain = weights.load("w", &[2]).unwrap();
        let doubled: Vec<f32> = plain.as_f32().iter().map(|v| 2.0 * v).collect();
        assert_eq!(twice.as_f32(), doubled);
    }
}
