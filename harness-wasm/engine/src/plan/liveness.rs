//! When values are needed for the last time.

use crate::ir::Graph;

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
