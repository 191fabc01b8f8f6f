//! Where a graph's values live on a device: results share slots when their lives do not overlap.

use crate::ir::{Graph, Source, ValueId};
use crate::ops::Op;
use crate::plan::liveness::{FOREVER, last_uses};

/// Where a value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a buffer of its own: weights, constants, states, inputs.
    Own,
    /// In a slot shared with results of other times.
    Slot(usize),
    /// Where that earlier value lives: a reshape, or a cache written in place.
    SameAs(ValueId),
    /// Nothing reads it.
    Nowhere,
}

/// Where every value lives.
#[derive(Clone, Debug)]
pub struct Plan {
    /// By value.
    pub places: Vec<Place>,
    /// Bytes by slot.
    pub slots: Vec<usize>,
}

impl Plan {
    /// The value whose place `id` shares.
    pub fn root(&self, id: ValueId) -> ValueId {
        match self.places[id.index()] {
            Place::SameAs(other) => self.root(other),
            _ => id,
        }
    }
}

/// Plans a graph's memory. A result never gets the slot of one of its own operands.
pub fn plan(graph: &Graph) -> Plan {
    let last = last_uses(graph);
    let mut plan = Plan { places: vec![Place::Nowhere; graph.values().len()], slots: Vec::new() };
    for (at, value) in graph.values().iter().enumerate() {
        if last[at].is_some() && !matches!(value.source, Source::Node(_)) {
            plan.places[at] = Place::Own;
        }
    }
    // A state that a new value replaces is written even if nothing reads it.
    for state in graph.states() {
        plan.places[state.before.index()] = Place::Own;
    }
    for (at, node) in graph.nodes().iter().enumerate() {
        if shares_place(graph, &last, at) {
            plan.places[node.output.index()] = Place::SameAs(node.inputs[0]);
        }
    }
    // How long each place is needed: as long as any value in it.
    let mut needed: Vec<usize> = vec![0; graph.values().len()];
    for (at, until) in last.iter().enumerate() {
        let root = plan.root(ValueId(at as u32));
        needed[root.index()] = needed[root.index()].max(until.unwrap_or(0));
    }
    let mut busy: Vec<(usize, usize)> = Vec::new();
    for (at, node) in graph.nodes().iter().enumerate() {
        let id = node.output;
        if plan.root(id) != id {
            continue;
        }
        let bytes = graph.ty(id).bytes();
        let free = |slot: &usize| {
            busy.iter().all(|&(taken, until)| taken != *slot || (until < at && until != FOREVER))
        };
        // The free slot that wastes least, else the one that must grow least, else a new one.
        let best = (0..plan.slots.len()).filter(free).min_by_key(|&slot| {
            let size = plan.slots[slot];
            if size >= bytes { (0, size - bytes) } else { (1, bytes - size) }
        });
        let slot = best.unwrap_or_else(|| {
            plan.slots.push(0);
            plan.slots.len() - 1
        });
        plan.slots[slot] = plan.slots[slot].max(bytes);
        plan.places[id.index()] = Place::Slot(slot);
        busy.retain(|&(taken, _)| taken != slot);
        // A result that nothing reads still must not overwrite an operand of its own node.
        busy.push((slot, needed[id.index()].max(at)));
    }
    plan
}

/// Whether a node's result lives where its first operand lives.
fn shares_place(graph: &Graph, last: &[Option<usize>], at: usize) -> bool {
    let node = &graph.nodes()[at];
    let Some(&first) = node.inputs.first() else { return false };
    match node.op {
        Op::Reshape { .. } => true,
        Op::KvAppend { .. } => {
            last[first.index()] == Some(at)
                && matches!(graph.value(first).source, Source::State(_))
                && node.inputs.iter().filter(|id| **id == first).count() == 1
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::GraphBuilder;
    use crate::ops::Unary;
    use crate::tensor::DType;
    use crate::weights::Weights;

    #[test]
    fn a_chain_needs_two_slots_and_no_node_reads_what_it_writes() {
        let weights = Weights::Twin { seed: 1 };
        let mut b = GraphBuilder::new(&weights);
        let mut x = b.input("x", DType::F32, [4, 4]);
        let residual = b.unary(Unary::Exp, x).unwrap();
        x = residual;
        for _ in 0..6 {
            x = b.unary(Unary::Tanh, x).unwrap();
            x = b.reshape(x, [16]).unwrap();
            x = b.reshape(x, [4, 4]).unwrap();
        }
        let y = b.add(x, residual).unwrap();
        b.output("y", y);
        let graph = b.finish();
        let plan = plan(&graph);
        assert_eq!(plan.slots, [64, 64, 64]);
        for node in graph.nodes() {
            for input in &node.inputs {
                let (from, to) = (plan.root(*input), plan.root(node.output));
                let reshape = matches!(node.op, Op::Reshape { .. });
                assert!(
                    reshape
                        || plan.places[from.index()] != plan.places[to.index()]
                        || plan.places[from.index()] == Place::Own
                );
            }
        }
    }
}
