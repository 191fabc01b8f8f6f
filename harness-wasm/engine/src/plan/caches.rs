//! How graphs keep keys and values. Packed: a cache's rows are packed as they are written, and read again through
//! `dequantize`.
//!
//! With few bits an outlier in one channel costs all others of its group their precision. Keys and queries may be turned
//! alike without changing a product, and values may be turned back after they are mixed: by Hadamard's matrix, which spreads an
//! outlier over its head.
//!
//! Where attention sees no further than a window, a cache need not have more rows than that: it becomes a ring, whose oldest row
//! the next one is written over.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::ir::{Graph, Node, Source, State, TensorType, ValueId};
use crate::ops::{Attention, Gemm, Op, Part, Quantize};
use crate::plan::rewrite::Rewrite;
use crate::quant::{Bits, Group, Packing, Scheme};
use crate::tensor::Tensor;
use crate::weights::parts;

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

/// How a graph keeps keys and values.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keeping {
    /// Packed how; none for float32.
    pub caches: Option<Caches>,
    /// Caches that a window reads are rings of as many rows as it has, in a graph that so begins; none for whole ones.
    pub rings: Option<Entry>,
    /// What happens to packed rows besides.
    pub packs: Packs,
}

/// Where in a sequence a graph begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// At its first token: its queries see no key but those of the same graph.
    Start,
    /// Anywhere.
    Later,
}

/// What happens to packed rows besides being written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packs {
    /// Nothing.
    #[default]
    Only,
    /// They become those of the inputs that [`given`] names, where these are right: for the oracle.
    Adopting,
    /// They are outputs, which [`told`] names: for caches that write over them.
    Telling,
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
    if appended.is_empty() {
        return Ok(graph.clone());
    }
    let mut pass = Pass {
        graph: Rewrite::new(graph, |id, _| !appended.contains(&id)),
        keeping,
        rings: HashMap::new(),
        appended,
    };
    for node in graph.nodes() {
        pass.graph.enter(node);
        let result = pass.node(node)?;
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

struct Pass<'g> {
    graph: Rewrite<'g>,
    keeping: Keeping,
    /// The states whose rows are kept otherwise.
    appended: HashSet<ValueId>,
    /// By a cache of the old graph: rows of the ring that stands for it, first among the keys that are read.
    rings: HashMap<ValueId, usize>,
}

impl Pass<'_> {
    fn rotates(&self) -> bool {
        self.keeping.caches.is_some_and(|caches| caches.rotates)
    }

    fn node(&mut self, node: &Node) -> Result<ValueId> {
        let from = self.graph.from;
        if node.inputs.first().is_some_and(|id| self.appended.contains(id))
            && let Some((name, attention)) = cache(from, node)
        {
            return self.append(node, name, attention);
        }
        let mut inputs = self.graph.operands(node);
        let Op::Attention(op) = node.op else { return self.graph.op(node.op.clone(), &inputs) };
        let turned = |i: usize| {
            let source = from.nodes().iter().find(|writer| writer.output == node.inputs[i]);
            self.rotates() && source.is_some_and(|writer| cache(from, writer).is_some())
        };
        let (keys, values) = (turned(1), turned(2));
        if keys {
            inputs[0] = self.turn(inputs[0], op.heads)?;
        }
        let ring = self.rings.get(&node.inputs[1]).copied();
        let mixed = self.graph.op(Op::Attention(Attention { ring, ..op }), &inputs)?;
        // Turned twice is turned back.
        if values { self.turn(mixed, op.heads) } else { Ok(mixed) }
    }

    /// New rows packed and appended; the result is what is read of the cache, as numbers: all of it, or a ring, with the
    /// rows before it that are still to be seen.
    fn append(&mut self, node: &Node, name: &str, attention: Attention) -> Result<ValueId> {
        let (mut new, position) = (self.graph.mapped(node.inputs[1]), self.graph.mapped(node.inputs[2]));
        if self.rotates() {
            new = self.turn(new, attention.kv_heads)?;
        }
        let cache = &self.graph.from.ty(node.output).shape;
        let &[batch, context, columns] = &cache[..] else {
            return Err(Error::shape("kvAppend", "a cache has rank 3"));
        };
        let ring = self.keeping.rings.and_then(|entry| Some((entry, window(self.graph.from, node)?)));
        let rows = match self.keeping.caches {
            Some(caches) => self.packed(new, position, name, [batch, context, columns], caches)?,
            None => vec![(name.to_owned(), new)],
        };
        let (mut read, mut keys) = (Vec::new(), context);
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
            if self.keeping.packs == Packs::Telling {
                self.graph.to.outputs.push((told(&name), rows));
            }
            self.graph.to.states.push(State { name, before, after });
            read.push(seen.unwrap_or(after));
            keys = self.graph.to.ty(seen.unwrap_or(after)).shape[1];
        }
        let Some(caches) = self.keeping.caches else { return Ok(read[0]) };
        for part in &mut read {
            let width = self.graph.to.ty(*part).shape[2];
            *part = self.graph.reshape(*part, &[batch * keys, width])?;
        }
        if read.len() == 1 {
            read.push(self.nothing(&[batch * keys, 0]));
        }
        let packing = Packing { scheme: caches.scheme, columns };
        let rows = self.graph.op(Op::Dequantize(packing), &read)?;
        self.graph.reshape(rows, &[batch, keys, columns])
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
        let packing = Packing { scheme: caches.scheme, columns };
        let names = parts(name);
        let types =
            [packing.words(), packing.scale_words()].map(|width| TensorType::i32([batch, context, width]));
        let theirs = if self.keeping.packs == Packs::Adopting {
            // Half precision has no scales.
            let input = |(name, ty): (&String, &TensorType)| match ty.is_empty() {
                true => self.nothing(&ty.shape),
                false => self.graph.to.push_value(ty.clone(), Source::Input(given(name))),
            };
            names.iter().zip(&types).map(input).collect()
        } else {
            Vec::new()
        };
        let mut kept = Vec::new();
        for (&part, name) in caches.parts().iter().zip(names) {
            let quantize = Quantize { scheme: packing.scheme, part };
            let rows = match theirs[..] {
                [words, scales] => self.graph.op(Op::Adopt(quantize), &[new, words, scales, position])?,
                _ => self.graph.op(Op::Quantize(quantize), &[new])?,
            };
            kept.push((name, rows));
        }
        Ok(kept)
    }

    /// A tensor without elements.
    fn nothing(&mut self, shape: &[usize]) -> ValueId {
        self.graph.constant(Tensor::i32(shape, Vec::new()))
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

/// The state that a node appends to and the attention that reads it, if nothing else does.
fn cache<'g>(graph: &'g Graph, node: &Node) -> Option<(&'g str, Attention)> {
    let (Op::KvAppend { .. }, Source::State(name)) = (&node.op, &graph.value(*node.inputs.first()?).source)
    else {
        return None;
    };
    let mut readers = graph.nodes().iter().filter(|reader| reader.inputs.contains(&node.output));
    let attention = |reader: &Node| match reader.op {
        Op::Attention(op) if reader.inputs[1..3].contains(&node.output) => Some(op),
        _ => None,
    };
    let first = readers.next().and_then(attention)?;
    readers.all(|reader| attention(reader) == Some(first)).then_some((name.as_str(), first))
}

/// The window through which a cache is read, if that hides some of it: then a ring of so many rows does as well. Keys and
/// values go round together, from the same place on.
fn window(graph: &Graph, node: &Node) -> Option<usize> {
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
