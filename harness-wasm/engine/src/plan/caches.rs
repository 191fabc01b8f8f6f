//! Graphs that keep keys and values packed: a cache's rows are packed as they are written, and read again through
//! `dequantize`.
//!
//! With few bits an outlier in one channel costs all others of its group their precision. Keys and queries may be turned
//! alike without changing a product, and values may be turned back after they are mixed: by Hadamard's matrix, which spreads an
//! outlier over its head.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::ir::{Graph, Node, Source, State, TensorType, ValueId};
use crate::ops::{Attention, Gemm, Op, Part, Quantize};
use crate::quant::{Bits, Group, Packing, Scheme};
use crate::tensor::{DType, Tensor};
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
    let mut pass = Pass { from: graph, to: Graph::default(), map: Vec::new(), caches, adopts };
    let mut packed = vec![false; graph.values().len()];
    for node in graph.nodes().iter().filter(|node| pass.cache(node).is_some()) {
        packed[node.inputs[0].index()] = true;
    }
    for (value, packed) in graph.values().iter().zip(packed) {
        let own = match &value.source {
            Source::Node(_) => None,
            _ if packed => None,
            source => Some(pass.to.push_value(value.ty.clone(), source.clone())),
        };
        pass.map.push(own);
    }
    for node in graph.nodes() {
        let result = pass.node(node)?;
        pass.map[node.output.index()] = Some(result);
    }
    for (name, id) in graph.outputs() {
        let id = pass.mapped(*id);
        pass.to.outputs.push((name.clone(), id));
    }
    for state in graph.states().iter().filter(|state| pass.map[state.before.index()].is_some()) {
        let (before, after) = (pass.mapped(state.before), pass.mapped(state.after));
        pass.to.states.push(State { name: state.name.clone(), before, after });
    }
    Ok(pass.to)
}

struct Pass<'g> {
    from: &'g Graph,
    to: Graph,
    map: Vec<Option<ValueId>>,
    caches: Caches,
    adopts: bool,
}

impl Pass<'_> {
    fn mapped(&self, id: ValueId) -> ValueId {
        self.map[id.index()].expect("operands come before their use, and only attention reads a cache")
    }

    /// The state that a node appends to and the attention that reads it, if nothing else does.
    fn cache(&self, node: &Node) -> Option<(&str, Attention)> {
        let (Op::KvAppend, Source::State(name)) = (&node.op, &self.from.value(*node.inputs.first()?).source)
        else {
            return None;
        };
        let mut readers = self.from.nodes().iter().filter(|reader| reader.inputs.contains(&node.output));
        let attention = |reader: &Node| match reader.op {
            Op::Attention(op) if reader.inputs[1..3].contains(&node.output) => Some(op),
            _ => None,
        };
        let first = readers.next().and_then(attention)?;
        readers.all(|reader| attention(reader) == Some(first)).then_some((name.as_str(), first))
    }

    fn op(&mut self, op: Op, inputs: &[ValueId], node: &Node) -> Result<ValueId> {
        self.to.push_node(op, inputs, &node.scope)
    }

    fn reshape(&mut self, x: ValueId, shape: &[usize], node: &Node) -> Result<ValueId> {
        self.op(Op::Reshape { shape: shape.to_vec() }, &[x], node)
    }

    fn node(&mut self, node: &Node) -> Result<ValueId> {
        if let Some((name, attention)) = self.cache(node).map(|(name, op)| (name.to_owned(), op)) {
            return self.append(node, &name, attention);
        }
        let mut inputs: Vec<ValueId> = node.inputs.iter().map(|id| self.mapped(*id)).collect();
        let turned = |pass: &Self, i: usize| {
            let source = pass.from.nodes().iter().find(|writer| writer.output == node.inputs[i]);
            pass.caches.rotates && source.is_some_and(|writer| pass.cache(writer).is_some())
        };
        let Op::Attention(op) = node.op else { return self.op(node.op.clone(), &inputs, node) };
        let (keys, values) = (turned(self, 1), turned(self, 2));
        if keys {
            inputs[0] = self.turn(inputs[0], op.heads, node)?;
        }
        let mixed = self.op(node.op.clone(), &inputs, node)?;
        // Turned twice is turned back.
        if values { self.turn(mixed, op.heads, node) } else { Ok(mixed) }
    }

    /// New rows packed and appended; the result is the whole cache as numbers.
    fn append(&mut self, node: &Node, name: &str, attention: Attention) -> Result<ValueId> {
        let (mut new, position) = (self.mapped(node.inputs[1]), self.mapped(node.inputs[2]));
        if self.caches.rotates {
            new = self.turn(new, attention.kv_heads, node)?;
        }
        let cache = self.from.ty(node.output).shape.clone();
        let &[batch, context, columns] = &cache[..] else {
            return Err(Error::shape("kvAppend", "a cache has rank 3"));
        };
        let packing = Packing { scheme: self.caches.scheme, columns };
        let names = parts(name);
        let shapes = [packing.words(), packing.scale_words()].map(|width| vec![batch, context, width]);
        let theirs = if self.adopts {
            // Half precision has no scales.
            let input = |(name, shape): (&String, &Vec<usize>)| match shape.contains(&0) {
                true => self.nothing(shape),
                false => self.to.push_value(TensorType::i32(shape.clone()), Source::Input(given(name))),
            };
            names.iter().zip(&shapes).map(input).collect()
        } else {
            Vec::new()
        };
        let mut kept = Vec::new();
        for (&part, (name, shape)) in self.caches.parts().iter().zip(names.iter().zip(&shapes)) {
            let quantize = Quantize { scheme: packing.scheme, part };
            let rows = match theirs[..] {
                [words, scales] => self.op(Op::Adopt(quantize), &[new, words, scales, position], node)?,
                _ => self.op(Op::Quantize(quantize), &[new], node)?,
            };
            let before =
                self.to.push_value(TensorType::new(DType::I32, shape.clone()), Source::State(name.clone()));
            let after = self.op(Op::KvAppend, &[before, rows, position], node)?;
            self.to.states.push(State { name: name.clone(), before, after });
            kept.push(self.reshape(after, &[batch * context, shape[2]], node)?);
        }
        if kept.len() == 1 {
            kept.push(self.nothing(&[batch * context, 0]));
        }
        let rows = self.op(Op::Dequantize(packing), &kept, node)?;
        self.reshape(rows, &cache, node)
    }

    /// A tensor without elements.
    fn nothing(&mut self, shape: &[usize]) -> ValueId {
        let none = Arc::new(Tensor::i32(shape, Vec::new()));
        self.to.push_value(TensorType::i32(shape), Source::Constant(none))
    }

    /// Each head of `x [batch, tokens, heads * width]` by Hadamard's matrix, or by several of the largest power of two that
    /// divides its width.
    fn turn(&mut self, x: ValueId, heads: usize, node: &Node) -> Result<ValueId> {
        let shape = self.to.ty(x).shape.clone();
        let width = shape[2] / heads;
        let size = 1 << width.trailing_zeros();
        let matrix = hadamard(size);
        let matrix = self.to.push_value(TensorType::f32(matrix.shape()), Source::Constant(Arc::new(matrix)));
        let rows = self.reshape(x, &[shape.iter().product::<usize>() / size, size], node)?;
        let turned = self.op(Op::Gemm(Gemm::default()), &[rows, matrix], node)?;
        self.reshape(turned, &shape, node)
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
