//! Graphs that keep keys and values packed: a cache's rows are packed as they are written, and read again through
//! `dequantize`.
//!
//! With few bits an outlier in one channel costs all others of its group their precision. Keys and queries may be turned
//! alike without changing a product, and values may be turned back after they are mixed: by Hadamard's matrix, which spreads an
//! outlier over its head.

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

/// The same graph with its caches packed. With `adopts` the rows are those of the inputs that [`given`] names, where they are
/// right: for the oracle.
///
/// # Errors
/// If a shape rule refuses what was built: a fault of this pass.
pub fn pack_caches(graph: &Graph, caches: Caches, adopts: bool) -> Result<Graph> {
    let appended = |id| {
        let cache = |node: &&Node| node.inputs.first() == Some(&id) && cache(graph, node).is_some();
        graph.nodes().iter().any(|node| cache(&node))
    };
    let mut pass = Pass { graph: Rewrite::new(graph, |id, _| !appended(id)), caches, adopts };
    for node in graph.nodes() {
        pass.graph.enter(node);
        let result = pass.node(node)?;
        pass.graph.put(node.output, result);
    }
    Ok(pass.graph.finish())
}

struct Pass<'g> {
    graph: Rewrite<'g>,
    caches: Caches,
    adopts: bool,
}

impl Pass<'_> {
    fn node(&mut self, node: &Node) -> Result<ValueId> {
        let from = self.graph.from;
        if let Some((name, attention)) = cache(from, node) {
            return self.append(node, name, attention);
        }
        let mut inputs = self.graph.operands(node);
        let Op::Attention(op) = node.op else { return self.graph.op(node.op.clone(), &inputs) };
        let turned = |i: usize| {
            let source = from.nodes().iter().find(|writer| writer.output == node.inputs[i]);
            self.caches.rotates && source.is_some_and(|writer| cache(from, writer).is_some())
        };
        let (keys, values) = (turned(1), turned(2));
        if keys {
            inputs[0] = self.turn(inputs[0], op.heads)?;
        }
        let mixed = self.graph.op(node.op.clone(), &inputs)?;
        // Turned twice is turned back.
        if values { self.turn(mixed, op.heads) } else { Ok(mixed) }
    }

    /// New rows packed and appended; the result is the whole cache as numbers.
    fn append(&mut self, node: &Node, name: &str, attention: Attention) -> Result<ValueId> {
        let (mut new, position) = (self.graph.mapped(node.inputs[1]), self.graph.mapped(node.inputs[2]));
        if self.caches.rotates {
            new = self.turn(new, attention.kv_heads)?;
        }
        let cache = &self.graph.from.ty(node.output).shape;
        let &[batch, context, columns] = &cache[..] else {
            return Err(Error::shape("kvAppend", "a cache has rank 3"));
        };
        let packing = Packing { scheme: self.caches.scheme, columns };
        let names = parts(name);
        let types =
            [packing.words(), packing.scale_words()].map(|width| TensorType::i32([batch, context, width]));
        let theirs = if self.adopts {
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
        for (&part, (name, ty)) in self.caches.parts().iter().zip(names.iter().zip(&types)) {
            let quantize = Quantize { scheme: packing.scheme, part };
            let rows = match theirs[..] {
                [words, scales] => self.graph.op(Op::Adopt(quantize), &[new, words, scales, position])?,
                _ => self.graph.op(Op::Quantize(quantize), &[new])?,
            };
            let before = self.graph.to.push_value(ty.clone(), Source::State(name.clone()));
            let after = self.graph.op(Op::KvAppend, &[before, rows, position])?;
            self.graph.to.states.push(State { name: name.clone(), before, after });
            kept.push(self.graph.reshape(after, &[batch * context, ty.shape[2]])?);
        }
        if kept.len() == 1 {
            kept.push(self.nothing(&[batch * context, 0]));
        }
        let rows = self.graph.op(Op::Dequantize(packing), &kept)?;
        self.graph.reshape(rows, cache)
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
    let (Op::KvAppend, Source::State(name)) = (&node.op, &graph.value(*node.inputs.first()?).source) else {
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
