//! What is computed twice is computed once, and what is only named otherwise is not copied: equal ops on the same values are one
//! node, equal constants one value, reshapes of reshapes one reshape or none.
//!
//! Layers of a model say the same of their tokens again and again: which keys are hidden, where a position's row of a table
//! lies. And what one op has as rows of a matrix the next has by sequences, which costs a device a copy each time.

use std::collections::HashMap;

use crate::error::Result;
use crate::ir::{Graph, Source, ValueId};
use crate::ops::Op;
use crate::plan::rewrite::Rewrite;
use crate::tensor::DType;

/// Ops of one name on the same operands, and their results.
type Made<'g> = Vec<(&'g Op, ValueId)>;

/// The same graph, without what is there already. What nothing reads any more is left for [`super::fold`] to leave out.
///
/// # Errors
/// If a shape rule refuses what was built: a fault of this pass.
pub(super) fn tidy(graph: &Graph) -> Result<Graph> {
    let mut rewrite = Rewrite::new(graph, |_, _| true);
    let mut constants: HashMap<(DType, &[usize], &[u8]), ValueId> = HashMap::new();
    let mut weights: HashMap<(&str, &[usize]), ValueId> = HashMap::new();
    for (at, value) in graph.values().iter().enumerate() {
        let id = ValueId(at as u32);
        let own = || rewrite.mapped(id);
        let first = match &value.source {
            Source::Constant(tensor) => {
                *constants.entry((value.ty.dtype, &value.ty.shape, tensor.bytes())).or_insert_with(own)
            }
            Source::Weight(name) => *weights.entry((name, &value.ty.shape)).or_insert_with(own),
            Source::Input(_) | Source::State(_) | Source::Node(_) => continue,
        };
        rewrite.put(id, first);
    }
    // By what a reshape gives: what it was made from.
    let mut origins: HashMap<ValueId, ValueId> = HashMap::new();
    // By name and operands: what is left to compare are an op's few numbers.
    let mut known: HashMap<(&str, Vec<ValueId>), Made<'_>> = HashMap::new();
    for node in graph.nodes() {
        rewrite.enter(node);
        let mut inputs = rewrite.operands(node);
        if let Op::Reshape { shape } = &node.op {
            inputs[0] = origins.get(&inputs[0]).copied().unwrap_or(inputs[0]);
            // An input is no result.
            let computed = matches!(rewrite.to.value(inputs[0]).source, Source::Node(_));
            if computed && rewrite.to.ty(inputs[0]).shape == *shape {
                rewrite.put(node.output, inputs[0]);
                continue;
            }
        }
        let alike = known.entry((node.op.name(), inputs.clone())).or_default();
        let result = match alike.iter().find(|(op, _)| **op == node.op) {
            Some((_, result)) => *result,
            None => {
                let result = rewrite.op(node.op.clone(), &inputs)?;
                alike.push((&node.op, result));
                if let Op::Reshape { .. } = node.op {
                    origins.insert(result, inputs[0]);
                }
                result
            }
        };
        rewrite.put(node.output, result);
    }
    Ok(rewrite.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use crate::ir::GraphBuilder;
    use crate::ops::{Binary, Unary};
    use crate::weights::Weights;

    #[test]
    fn only_what_differs_is_computed_apart() {
        let weights = Weights::Twin { seed: 1 };
        let mut b = GraphBuilder::new(&weights);
        let (x, y) = (b.input("x", DType::F32, [2, 3]), b.input("y", DType::F32, [2, 3]));
        let mut each = Vec::new();
        for (number, of) in [(1.0, x), (1.0, x), (2.0, x), (1.0, y)] {
            let number = b.constant(Tensor::f32([1], vec![number]));
            let sum = b.op(Op::Binary(Binary::Add), &[of, number]).unwrap();
            let sum = b.reshape(sum, [3, 2]).unwrap();
            each.push(b.op(Op::Unary(Unary::Tanh), &[sum]).unwrap());
        }
        let flat = b.reshape(x, [6]).unwrap();
        let column = b.reshape(x, [6, 1]).unwrap();
        each.extend([flat, column]);
        for (at, id) in each.iter().enumerate() {
            b.output(&format!("output {at}"), *id);
        }
        let tidied = tidy(&b.finish()).unwrap();
        let outputs: Vec<ValueId> = tidied.outputs().iter().map(|(_, id)| *id).collect();
        assert_eq!(tidied.nodes().len(), 3 * 3 + 2);
        assert_eq!(outputs[0], outputs[1]);
        assert!(!outputs[2..].contains(&outputs[0]) && outputs[4] != outputs[5]);
    }

    #[test]
    fn a_reshape_of_a_reshape_is_one_or_none() {
        let weights = Weights::Twin { seed: 1 };
        let mut b = GraphBuilder::new(&weights);
        let x = b.input("x", DType::F32, [2, 3]);
        let same = b.reshape(x, [2, 3]).unwrap();
        let y = b.op(Op::Unary(Unary::Tanh), &[same]).unwrap();
        let flat = b.reshape(y, [6]).unwrap();
        let (back, column) = (b.reshape(flat, [2, 3]).unwrap(), b.reshape(flat, [6, 1]).unwrap());
        for (name, id) in [("same", same), ("back", back), ("column", column)] {
            b.output(name, id);
        }
        let tidied = tidy(&b.finish()).unwrap();
        let of = |at: usize| tidied.outputs()[at].1;
        let made: Vec<(&str, ValueId)> =
            tidied.nodes().iter().map(|node| (node.op.name(), node.inputs[0])).collect();
        let y = tidied.nodes()[1].output;
        assert_eq!(made[1], ("tanh", of(0)), "an output is a result, even where it is an input anew");
        assert_eq!(of(1), y);
        assert_eq!(made[3], ("reshape", y));
        assert_eq!((tidied.ty(of(2)).shape.as_slice(), made.len()), (&[6, 1][..], 4));
    }
}
