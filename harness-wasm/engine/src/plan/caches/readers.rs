//! Which values of a graph are caches: what is read by attention alone.

use crate::error::{Error, Result};
use crate::ir::{Graph, Node, Source, ValueId};
use crate::ops::{Attention, Op};

/// The state that a node appends to and the attention that reads it, if nothing else does.
pub(super) fn cache<'g>(graph: &'g Graph, node: &Node) -> Option<(&'g str, Attention)> {
    let (Op::KvAppend { .. }, Source::State(name)) = (&node.op, &graph.value(*node.inputs.first()?).source)
    else {
        return None;
    };
    Some((name.as_str(), reader(graph, node.output)?))
}

/// The attention that reads a value as keys or values, if nothing else reads it.
fn reader(graph: &Graph, read: ValueId) -> Option<Attention> {
    let mut readers = graph.nodes().iter().filter(|reader| reader.inputs.contains(&read));
    let attention = |reader: &Node| match reader.op {
        Op::Attention(op) if reader.inputs[1..3].contains(&read) => Some(op),
        _ => None,
    };
    let first = readers.next().and_then(attention)?;
    let leaves = graph.outputs().iter().any(|(_, id)| *id == read);
    (!leaves && readers.all(|reader| attention(reader) == Some(first))).then_some(first)
}

/// Keys or values of an encoder's result: a state that one graph gives as a whole and others read.
pub(super) struct Memory<'g> {
    pub(super) name: &'g str,
    /// The state's value before a run.
    pub(super) before: ValueId,
    /// What attention reads: the same, or what the state becomes.
    pub(super) read: ValueId,
    pub(super) attention: Attention,
}

impl Memory<'_> {
    /// `[batch, keys, columns]`.
    pub(super) fn shape(&self, graph: &Graph) -> Result<[usize; 3]> {
        let shape = graph.ty(self.read).shape.as_slice();
        shape.try_into().map_err(|_| Error::shape("state", "keys and values have rank 3"))
    }
}

pub(super) fn memories(graph: &Graph) -> Vec<Memory<'_>> {
    let mut found = Vec::new();
    for (at, value) in graph.values().iter().enumerate() {
        let Source::State(name) = &value.source else { continue };
        let before = ValueId(at as u32);
        let after = graph.states().iter().find(|state| state.before == before).map(|state| state.after);
        let is_read = graph.nodes().iter().any(|node| node.inputs.contains(&before));
        let read = match after {
            None => before,
            Some(after) if !is_read && matches!(graph.value(after).source, Source::Node(_)) => after,
            Some(_) => continue,
        };
        found.extend(reader(graph, read).map(|attention| Memory { name, before, read, attention }));
    }
    found
}

/// The window through which a cache is read, if that hides some of it: then a ring of so many rows does as well. Keys and
/// values go round together, from the same place on.
pub(super) fn window(graph: &Graph, node: &Node) -> Option<usize> {
    let (_, attention) = cache(graph, node)?;
    let context = graph.ty(node.output).shape[1];
    let window = attention.window.filter(|&window| window < context)?;
    let place = attention.position_at()?;
    let writes = |id: &ValueId| {
        let writer = graph.nodes().iter().find(|writer| writer.output == *id);
        writer.is_some_and(|writer| {
            let same = cache(graph, writer).is_some() && writer.inputs[2] == node.inputs[2];
            same && graph.ty(writer.output).shape[1] == context
        })
    };
    let mut readers = graph.nodes().iter().filter(|reader| reader.inputs.contains(&node.output));
    let fits = readers
        .all(|reader| reader.inputs[1..3].iter().all(writes) && reader.inputs[place] == node.inputs[2]);
    (fits && !attention.masked && !attention.biased).then_some(window)
}
