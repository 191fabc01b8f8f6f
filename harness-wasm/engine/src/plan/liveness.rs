//! When values are needed for the last time.

use crate::ir::{Graph, Node, Source};

/// Marks values that outlive the last node.
pub const FOREVER: usize = usize::MAX;

/// For each value the position of the last node that reads it, [`FOREVER`] for outputs and new states,
/// `None` if nothing reads it.
pub fn last_uses(graph: &Graph) -> Vec<Option<usize>> {
    let mut last = vec![None; graph.values().len()];
    for (at, node) in graph.nodes().iter().enumerate() {
        for input in &node.inputs {
            last[input.index()] = Some(at);
        }
    }
    let kept =
        graph.outputs().iter().map(|(_, id)| *id).chain(graph.states().iter().map(|state| state.after));
    for id in kept {
        last[id.index()] = Some(FOREVER);
    }
    last
}

/// Bytes of results at the moment of a run when there are most of them, for an executor that frees each after its last
/// use. `over` tells the nodes that write their result over their first operand where that one is not needed again; what
/// is written over a state belongs to the state.
pub fn most_alive(graph: &Graph, last: &[Option<usize>], over: impl Fn(&Node) -> bool) -> u64 {
    let mut owned = vec![0; graph.values().len()];
    let (mut alive, mut most) = (0, 0);
    for (at, node) in graph.nodes().iter().enumerate() {
        let taken = node.inputs.first().filter(|id| over(node) && last[id.index()] == Some(at));
        owned[node.output.index()] = match taken.map(|id| (id, &graph.value(*id).source)) {
            Some((id, Source::Node(_))) => std::mem::take(&mut owned[id.index()]),
            Some((_, Source::State(_))) => 0,
            _ => {
                let bytes = graph.ty(node.output).bytes() as u64;
                alive += bytes;
                bytes
            }
        };
        most = most.max(alive);
        for id in node.inputs.iter().filter(|id| last[id.index()] == Some(at)) {
            alive -= std::mem::take(&mut owned[id.index()]);
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::GraphBuilder;
    use crate::ops::{Op, Unary};
    use crate::tensor::DType;
    use crate::weights::Weights;

    #[test]
    fn a_chain_with_a_residual_has_three_alive_or_two_in_place() {
        let weights = Weights::Twin { seed: 1 };
        let mut b = GraphBuilder::new(&weights);
        let x = b.input("x", DType::F32, [4, 4]);
        let residual = b.unary(Unary::Exp, x).unwrap();
        let mut x = residual;
        for _ in 0..5 {
            x = b.unary(Unary::Tanh, x).unwrap();
        }
        let y = b.add(x, residual).unwrap();
        b.output("y", y);
        let graph = b.finish();
        let last = last_uses(&graph);
        assert_eq!(most_alive(&graph, &last, |_| false), 3 * 64);
        assert_eq!(most_alive(&graph, &last, |node| matches!(node.op, Op::Unary(_) | Op::Binary(_))), 2 * 64);
    }

    #[test]
    fn what_is_written_into_a_cache_is_no_activation() {
        let weights = Weights::Twin { seed: 1 };
        let mut b = GraphBuilder::new(&weights);
        let new = b.input("new", DType::F32, [1, 1, 8]);
        let position = b.input("position", DType::I32, [1]);
        let before = b.state("cache", DType::F32, [1, 100, 8]);
        let after = b.op(Op::KvAppend { ring: false }, &[before, new, position]).unwrap();
        b.set_state(before, after).unwrap();
        let y = b.unary(Unary::Exp, new).unwrap();
        b.output("y", y);
        let graph = b.finish();
        let over = |node: &Node| matches!(node.op, Op::KvAppend { .. });
        assert_eq!(most_alive(&graph, &last_uses(&graph), over), 32);
    }
}
