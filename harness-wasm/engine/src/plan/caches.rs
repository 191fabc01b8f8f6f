//! How graphs keep keys and values. Packed: a cache's rows are packed as they are written, and `attention` reads them as they
//! are.
//!
//! With few bits an outlier in one channel costs all others of its group their precision. Keys and queries may be turned
//! alike without changing a product, and values may be turned back after they are mixed: by Hadamard's matrix, which spreads an
//! outlier over its head.
//!
//! Where attention sees no further than a window, a cache need not have more rows than that: it becomes a ring, whose oldest row
//! the next one is written over.

mod readers;

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::ir::{Graph, Node, Source, State, TensorType, ValueId};
use crate::ops::{Attention, Gemm, Op, PackedPair, Part, Quantize};
use crate::plan::rewrite::Rewrite;
use crate::quant::{Bits, Group, Packing, Scheme};
use crate::tensor::Tensor;
use crate::weights::parts;

use readers::{Memory, cache, memories, window};

/// How caches are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Caches {
    scheme: Scheme,
    /// Whether heads are turned.
    rotates: bool,
}

impl Caches {
    /// The features that ask for packed caches.
    pub const FEATURES: [&'static str; 5] = ["kv-fp16", "kv-int8", "kv-int4", "kv-int3", "kv-int2"];

    /// What a feature of [`Self::FEATURES`] asks for.
    pub fn of_feature(feature: &str) -> Option<Self> {
        let (symmetric, asymmetric) =
            (|bits| Scheme::symmetric(bits, Group::Of32), |bits| Scheme::asymmetric(bits, Group::Of32));
        let (scheme, rotates) = match feature {
            "kv-fp16" => (Scheme::Half, false),
            "kv-int8" => (symmetric(Bits::Eight), false),
            "kv-int4" => (symmetric(Bits::Four), true),
            "kv-int3" => (asymmetric(Bits::Three), true),
            "kv-int2" => (asymmetric(Bits::Two), true),
            _ => return None,
        };
        Some(Self { scheme, rotates })
    }

    /// What features ask for, if any does.
    pub fn asked(features: &[String]) -> Option<Self> {
        features.iter().find_map(|feature| Self::of_feature(feature))
    }

    /// Words and scales of rows `[batch, rows, columns]`.
    fn types(self, [batch, rows, columns]: [usize; 3]) -> [TensorType; 2] {
        let packing = Packing { scheme: self.scheme, columns };
        [packing.words(), packing.scale_words()].map(|width| TensorType::i32([batch, rows, width]))
    }

    fn parts(self) -> &'static [Part] {
        if self.scheme == Scheme::Half { &[Part::Words] } else { &[Part::Words, Part::Scales] }
    }
}

impl std::fmt::Display for Caches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.scheme, if self.rotates { ", heads turned" } else { "" })
    }
}

/// The input by which the oracle is given what another kept of a state.
pub fn given(state: &str) -> String {
    format!("given {state}")
}

/// The output by which a graph tells the rows that it writes into a state.
pub fn told(state: &str) -> String {
    format!("told {state}")
}

/// The state whose rows an output tells, if it is one of those that [`told`] names.
pub fn untold(output: &str) -> Option<&str> {
    output.strip_prefix("told ")
}

/// The name by which rows are given and told that a later graph writes over: a state's, as it is after the forward pass.
pub fn apart(state: &str) -> String {
    format!("{APART}{state}")
}

/// What the names that [`apart`] makes begin with.
const APART: &str = "forward/";

/// Whether [`apart`] made this name.
pub fn is_apart(state: &str) -> bool {
    state.starts_with(APART)
}

/// How a graph keeps keys and values.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keeping {
    /// Packed how; none for float32.
    pub caches: Option<Caches>,
    /// Caches that a window reads are rings of as many rows as it has, in a graph that so begins; none for whole ones.
    pub rings: Option<Entry>,
    /// Packed rows become those of the inputs that [`given`] names, where these are right: for the oracle.
    pub adopts: bool,
    /// Packed rows are outputs, which [`told`] names: for caches that are written over.
    pub tells: bool,
    /// Rows are given and told by the names that [`apart`] makes, and are those of this graph alone.
    pub apart: bool,
}

/// Where in a sequence a graph begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// At its first token: its queries see no key but those of the same graph.
    Start,
    /// Anywhere.
    Later,
}

/// The same graph with its caches kept so.
///
/// # Errors
/// If a shape rule refuses what was built: a fault of this pass.
pub fn keep(graph: &Graph, keeping: Keeping) -> Result<Graph> {
    let kept = |node: &Node| {
        let ring = || keeping.rings.and_then(|_| window(graph, node));
        cache(graph, node).is_some() && (keeping.caches.is_some() || ring().is_some())
    };
    let appended: HashSet<ValueId> =
        graph.nodes().iter().filter(|node| kept(node)).map(|node| node.inputs[0]).collect();
    let memories = if keeping.caches.is_some() { memories(graph) } else { Vec::new() };
    if appended.is_empty() && memories.is_empty() {
        return Ok(graph.clone());
    }
    let is_kept = |id: ValueId| appended.contains(&id) || memories.iter().any(|memory| memory.before == id);
    let mut pass = Pass {
        graph: Rewrite::new(graph, |id, _| !is_kept(id)),
        keeping,
        rings: HashMap::new(),
        turned: HashSet::new(),
        packed: HashMap::new(),
        appended,
    };
    for memory in memories.iter().filter(|memory| memory.read == memory.before) {
        let rows = pass.remembered(memory)?;
        pass.graph.put(memory.read, rows);
    }
    for node in graph.nodes() {
        pass.graph.enter(node);
        let mut result = pass.node(node)?;
        if let Some(memory) = memories.iter().find(|memory| memory.read == node.output) {
            result = pass.remember(memory, result)?;
        }
        pass.graph.put(node.output, result);
    }
    Ok(pass.graph.finish())
}

/// Rows of a graph's widest ring, of all sequences together, and bytes of all rings; none of a graph without.
pub fn rings(graph: &Graph) -> Option<(usize, usize)> {
    let rings = graph.nodes().iter().filter(|node| node.op == Op::KvAppend { ring: true });
    let sizes = rings.map(|node| graph.ty(node.output)).map(|ty| (ty.shape[0] * ty.shape[1], ty.bytes()));
    sizes.reduce(|(rows, bytes), (more, others)| (rows.max(more), bytes + others))
}

/// Bytes of the states that a graph gives as a whole: what an encoder's result is kept as, which does not grow with the context.
pub fn encoded(graph: &Graph) -> usize {
    let appended = |id: ValueId| match graph.value(id).source {
        Source::Node(at) => matches!(graph.nodes()[at].op, Op::KvAppend { .. }),
        _ => false,
    };
    let whole = graph.states().iter().filter(|state| !appended(state.after));
    whole.map(|state| graph.ty(state.after).bytes()).sum()
}

struct Pass<'g> {
    graph: Rewrite<'g>,
    keeping: Keeping,
    /// The states whose rows are kept otherwise.
    appended: HashSet<ValueId>,
    /// By a cache of the old graph: rows of the ring that stands for it, first among the keys that are read.
    rings: HashMap<ValueId, usize>,
    /// What of the old graph attention reads with its heads turned.
    turned: HashSet<ValueId>,
    /// By a value of the old graph that attention reads: the parts of the packed rows that stand for it.
    packed: HashMap<ValueId, Vec<ValueId>>,
}

impl Pass<'_> {
    fn node(&mut self, node: &Node) -> Result<ValueId> {
        if node.inputs.first().is_some_and(|id| self.appended.contains(id))
            && let Some((name, attention)) = cache(self.graph.from, node)
        {
            return self.append(node, name, attention);
        }
        let Op::Attention(mut op) = node.op else {
            return self.graph.op(node.op.clone(), &self.graph.operands(node));
        };
        let (packed, mut inputs) = self.rows(&op, node)?;
        let [keys, values] = [1, 2].map(|i| self.turned.contains(&node.inputs[i]));
        if keys {
            inputs[0] = self.turn(inputs[0], op.heads)?;
        }
        (op.packed, op.ring) = (packed, self.rings.get(&node.inputs[1]).copied());
        let mixed = self.graph.op(Op::Attention(op), &inputs)?;
        // Turned twice is turned back.
        if values { self.turn(mixed, op.heads) } else { Ok(mixed) }
    }

    /// New rows packed and appended; the result is what is read of the cache: all of it, or a ring, with the rows before it
    /// that are still to be seen.
    fn append(&mut self, node: &Node, name: &str, attention: Attention) -> Result<ValueId> {
        let (new, position) = (self.graph.mapped(node.inputs[1]), self.graph.mapped(node.inputs[2]));
        let new = self.spread(node.output, new, attention)?;
        let cache = &self.graph.from.ty(node.output).shape;
        let &[batch, context, columns] = &cache[..] else {
            return Err(Error::shape("kvAppend", "a cache has rank 3"));
        };
        let ring = self.keeping.rings.and_then(|entry| Some((entry, window(self.graph.from, node)?)));
        let rows = match self.keeping.caches {
            Some(caches) => self.packed(new, position, name, [batch, context, columns], caches)?,
            None => vec![(name.to_owned(), new)],
        };
        let mut read = Vec::new();
        for (name, rows) in rows {
            let ty = self.graph.to.ty(rows);
            let (dtype, tokens, width) = (ty.dtype, ty.shape[1], ty.shape[2]);
            let kept = ring.map_or(context, |(_, rows)| rows);
            let ty = TensorType::new(dtype, [batch, kept, width]);
            let before = self.graph.to.push_value(ty, Source::State(name.clone()));
            // Read before the oldest rows of a ring are written over, unless no query of this graph sees them.
            let seen = match ring {
                Some((Entry::Start, _)) => Some(rows),
                Some((Entry::Later, kept)) if tokens > 1 => {
                    self.rings.insert(node.output, kept);
                    Some(self.graph.op(Op::Concat { axis: 1 }, &[before, rows])?)
                }
                Some((Entry::Later, kept)) => {
                    self.rings.insert(node.output, kept);
                    None
                }
                None => None,
            };
            let after = self.graph.op(Op::KvAppend { ring: ring.is_some() }, &[before, rows, position])?;
            self.tell(&name, rows);
            self.graph.to.states.push(State { name, before, after });
            read.push(seen.unwrap_or(after));
        }
        Ok(self.reads(node.output, read))
    }

    /// Rows as attention reads them; the result stands for the old graph's value.
    fn reads(&mut self, old: ValueId, parts: Vec<ValueId>) -> ValueId {
        let first = parts[0];
        if self.keeping.caches.is_some() {
            self.packed.insert(old, parts);
        }
        first
    }

    /// The operands of an attention of the old graph, and how its keys and values are packed, if they are: where only one of
    /// them is, or there are both mask and bias, it becomes numbers first.
    fn rows(&mut self, op: &Attention, node: &Node) -> Result<(Option<PackedPair>, Vec<ValueId>)> {
        let mut inputs = self.graph.operands(node);
        let Some(caches) = self.keeping.caches else { return Ok((None, inputs)) };
        let parts = [1, 2].map(|at| self.packed.get(&node.inputs[at]).cloned());
        let columns = [1, 2].map(|at| self.graph.from.ty(node.inputs[at]).shape[2]);
        if let [Some(keys), Some(values)] = &parts
            && !(op.masked && op.biased)
        {
            let scales = keys[1..].iter().chain(&values[1..]).copied();
            inputs.splice(3..3, scales);
            return Ok((Some(PackedPair { scheme: caches.scheme, columns }), inputs));
        }
        for (at, parts) in parts.into_iter().enumerate() {
            if let Some(parts) = parts {
                let packing = Packing { scheme: caches.scheme, columns: columns[at] };
                inputs[1 + at] = self.graph.unpacked(parts[0], parts.get(1).copied(), packing)?;
            }
        }
        Ok((None, inputs))
    }

    /// Keys or values that this graph makes of an encoder's result, packed for the steps to come, and read so by this
    /// graph too.
    fn remember(&mut self, memory: &Memory<'_>, new: ValueId) -> Result<ValueId> {
        let Some(caches) = self.keeping.caches else { return Ok(new) };
        let new = self.spread(memory.read, new, memory.attention)?;
        let shape = memory.shape(self.graph.from)?;
        let start = self.graph.constant(Tensor::i32([1], vec![0]));
        let mut parts = Vec::new();
        for (name, rows) in self.packed(new, start, memory.name, shape, caches)? {
            let ty = self.graph.to.ty(rows).clone();
            let before = self.graph.to.push_value(ty, Source::State(name.clone()));
            self.tell(&name, rows);
            self.graph.to.states.push(State { name, before, after: rows });
            parts.push(rows);
        }
        Ok(self.reads(memory.read, parts))
    }

    /// What [`Self::remember`] left.
    fn remembered(&mut self, memory: &Memory<'_>) -> Result<ValueId> {
        let Some(caches) = self.keeping.caches else {
            return Err(Error::shape("state", "only what is packed is read otherwise"));
        };
        if caches.rotates {
            self.turned.insert(memory.read);
        }
        let shape = memory.shape(self.graph.from)?;
        let types = caches.types(shape);
        let names = parts(memory.name).into_iter().take(caches.parts().len());
        let states = names.zip(types).map(|(name, ty)| self.graph.to.push_value(ty, Source::State(name)));
        let states = states.collect();
        Ok(self.reads(memory.read, states))
    }

    /// Rows that the old graph's attention reads as `read`, turned if they are kept so.
    fn spread(&mut self, read: ValueId, new: ValueId, attention: Attention) -> Result<ValueId> {
        if !self.keeping.caches.is_some_and(|caches| caches.rotates) {
            return Ok(new);
        }
        self.turned.insert(read);
        self.turn(new, attention.kv_heads)
    }

    /// Names rows that are written into a state as an output, if they are to be told.
    fn tell(&mut self, state: &str, rows: ValueId) {
        if self.keeping.tells && self.keeping.caches.is_some() {
            let name = told(&self.name(state));
            self.graph.to.outputs.push((name, rows));
        }
    }

    /// The name by which a state's rows are given and told.
    fn name(&self, state: &str) -> String {
        if self.keeping.apart { apart(state) } else { state.to_owned() }
    }

    /// New rows as the parts that are kept of them, by their states' names.
    fn packed(
        &mut self,
        new: ValueId,
        position: ValueId,
        name: &str,
        [batch, context, columns]: [usize; 3],
        caches: Caches,
    ) -> Result<Vec<(String, ValueId)>> {
        let names = parts(name);
        let given_rows = if self.keeping.apart { self.graph.to.ty(new).shape[1] } else { context };
        let theirs = if self.keeping.adopts {
            // Half precision has no scales.
            let input = |(name, ty): (&String, TensorType)| match ty.is_empty() {
                true => self.graph.constant(Tensor::i32(ty.shape, Vec::new())),
                false => {
                    let given = given(&self.name(name));
                    self.graph.to.push_value(ty, Source::Input(given))
                }
            };
            names.iter().zip(caches.types([batch, given_rows, columns])).map(input).collect()
        } else {
            Vec::new()
        };
        let mut kept = Vec::new();
        for (&part, name) in caches.parts().iter().zip(names) {
            let quantize = Quantize { scheme: caches.scheme, part };
            let rows = match theirs[..] {
                [words, scales] => self.graph.op(Op::Adopt(quantize), &[new, words, scales, position])?,
                _ => self.graph.op(Op::Quantize(quantize), &[new])?,
            };
            kept.push((name, rows));
        }
        Ok(kept)
    }

    /// Each head of `x [batch, tokens, heads * width]` by Hadamard's matrix, or by several of the largest power of two that
    /// divides its width.
    fn turn(&mut self, x: ValueId, heads: usize) -> Result<ValueId> {
        let shape = self.graph.to.ty(x).shape.clone();
        let width = shape[2] / heads;
        let size = 1 << width.trailing_zeros();
        let matrix = self.graph.constant(hadamard(size));
        let rows = self.graph.reshape(x, &[shape.iter().product::<usize>() / size, size])?;
        let turned = self.graph.op(Op::Gemm(Gemm::default()), &[rows, matrix])?;
        self.graph.reshape(turned, &shape)
    }
}

/// Sylvester's matrix of this size, a power of two, divided by its root: symmetric, and its own inverse.
fn hadamard(size: usize) -> Tensor {
    let unit = 1.0 / (size as f64).sqrt();
    let at = |i: usize| if ((i / size) & (i % size)).count_ones().is_multiple_of(2) { unit } else { -unit };
    Tensor::f32([size, size], (0..size * size).map(|i| at(i) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turned_twice_is_turned_back() {
        for size in [1, 2, 16, 64] {
            let h = hadamard(size);
            let h = h.as_f32();
            for (i, j) in [(0, 0), (size - 1, size - 1), (0, size - 1), (size / 2, size / 3)] {
                let dot: f32 = (0..size).map(|k| h[i * size + k] * h[k * size + j]).sum();
                assert!((dot - f32::from(u8::from(i == j))).abs() < 1e-6, "{size} [{i}, {j}]: {dot}");
            }
        }
    }

    #[test]
    fn every_feature_asks_for_something() {
        let told: Vec<String> =
            Caches::FEATURES.iter().map(|name| Caches::of_feature(name).unwrap().to_string()).collect();
        let turned = ", heads turned";
        let want = ["fp16", "int8-g32", "int4-g32", "int3-g32-asym", "int2-g32-asym"];
        let want: Vec<String> = want
            .iter()
            .enumerate()
            .map(|(i, scheme)| format!("{scheme}{}", ["", turned][usize::from(i > 1)]))
            .collect();
        assert_eq!(told, want);
        assert_eq!(Caches::of_feature("kv-int5"), None);
    }
}
