//! Graphs that read quantised weights: `gemm` becomes `qgemm`, a table's `gather` becomes `qgather`, and a convolution
//! gets its weight through `dequantize`.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::ir::{Graph, Node, Source, State, ValueId};
use crate::ops::{Op, Qgemm};
use crate::quant::{Matrix, Packing};
use crate::tensor::DType;
use crate::weights::{Weights, parts};

/// The weights that can be quantised, with their shapes: those that nothing reads but as a `gemm`'s or a convolution's
/// weight or as a table of rows. Along the first axis lie a matrix's rows.
pub fn weights_of(graph: &Graph) -> BTreeMap<String, Vec<usize>> {
    let mut found = BTreeMap::new();
    for (at, value) in graph.values().iter().enumerate() {
        let Source::Weight(name) = &value.source else { continue };
        let id = ValueId(at as u32);
        let mut readers = graph.nodes().iter().flat_map(|node| {
            node.inputs.iter().enumerate().filter(|(_, input)| **input == id).map(|(i, _)| (&node.op, i))
        });
        let result = graph.outputs().iter().any(|(_, output)| *output == id);
        if !result && value.ty.shape.len() > 1 && readers.all(|(op, i)| takes(op, i)) {
            found.insert(name.clone(), value.ty.shape.clone());
        }
    }
    found
}

/// Whether operand `i` of `op` can be a quantised matrix.
fn takes(op: &Op, i: usize) -> bool {
    matches!((op, i), (Op::Gemm(_) | Op::Conv2d(_), 1) | (Op::Gather { axis: 0 }, 0))
}

/// The same graph, reading words and scales where `weights` has a matrix.
///
/// # Errors
/// If a shape rule refuses what was built: a fault of this pass.
pub fn quantise(graph: &Graph, weights: &Weights) -> Result<Graph> {
    let mut pass = Pass { from: graph, to: Graph::default(), map: Vec::new(), packed: BTreeMap::new() };
    let matrices = weights_of(graph);
    for value in graph.values() {
        let matrix = match &value.source {
            Source::Weight(name) if matrices.contains_key(name) => weights.matrix(name).map(|m| (name, m)),
            _ => None,
        };
        let id = match (&value.source, matrix) {
            (Source::Node(_), _) => None,
            (_, Some((name, matrix))) => {
                pass.pack(name, matrix);
                None
            }
            (source, None) => Some(pass.to.push_value(value.ty.clone(), source.clone())),
        };
        pass.map.push(id);
    }
    for node in graph.nodes() {
        let result = pass.node(node)?;
        pass.map[node.output.index()] = Some(result);
    }
    let Pass { mut to, map, .. } = pass;
    let mapped = |id: ValueId| map[id.index()].expect("no matrix is a result or a state");
    to.outputs = graph.outputs().iter().map(|(name, id)| (name.clone(), mapped(*id))).collect();
    let state = |s: &State| State { name: s.name.clone(), before: mapped(s.before), after: mapped(s.after) };
    to.states = graph.states().iter().map(state).collect();
    Ok(to)
}

struct Pass<'g> {
    from: &'g Graph,
    to: Graph,
    map: Vec<Option<ValueId>>,
    /// Words, scales and packing by the weight's name.
    packed: BTreeMap<String, ([ValueId; 2], Packing)>,
}

impl Pass<'_> {
    fn pack(&mut self, name: &str, matrix: &Matrix) {
        let [words, scales] = parts(name);
        let ids = [(words, matrix.words()), (scales, matrix.scales())].map(|(name, tensor)| {
            self.to.push_value(crate::ir::TensorType::new(DType::I32, tensor.shape()), Source::Weight(name))
        });
        self.packed.insert(name.to_owned(), (ids, matrix.packing()));
    }

    fn packed(&self, id: ValueId) -> Option<([ValueId; 2], Packing)> {
        match &self.from.value(id).source {
            Source::Weight(name) => self.packed.get(name).copied(),
            _ => None,
        }
    }

    fn node(&mut self, node: &Node) -> Result<ValueId> {
        let at = match node.op {
            Op::Gather { .. } => 0,
            _ => 1,
        };
        let packed = node.inputs.get(at).and_then(|id| self.packed(*id));
        let mapped = |id: &ValueId| self.map[id.index()].expect("operands come before their use");
        let Some(([words, scales], packing)) = packed else {
            let inputs: Vec<ValueId> = node.inputs.iter().map(mapped).collect();
            return self.to.push_node(node.op.clone(), &inputs, &node.scope);
        };
        match &node.op {
            Op::Gemm(gemm) => {
                let op = Op::Qgemm(Qgemm { packing, activation: gemm.activation });
                let mut inputs = vec![mapped(&node.inputs[0]), words, scales];
                inputs.extend(node.inputs.get(2).map(mapped));
                self.to.push_node(op, &inputs, &node.scope)
            }
            Op::Gather { .. } => {
                let inputs = [words, scales, mapped(&node.inputs[1])];
                self.to.push_node(Op::Qgather(packing), &inputs, &node.scope)
            }
            op => {
                let (x, bias) = (mapped(&node.inputs[0]), node.inputs.get(2).map(mapped));
                let shape = self.from.ty(node.inputs[1]).shape.clone();
                let rows = self.to.push_node(Op::Dequantize(packing), &[words, scales], &node.scope)?;
                let weight = self.to.push_node(Op::Reshape { shape }, &[rows], &node.scope)?;
                let inputs: Vec<ValueId> = [x, weight].into_iter().chain(bias).collect();
                self.to.push_node(op.clone(), &inputs, &node.scope)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::GraphBuilder;
    use crate::ops::{Conv2d, Gemm};
    use crate::quant::{Recipe, Scheme, unwatched};

    #[test]
    fn each_use_reads_the_same_words() {
        let twin = Weights::Twin { seed: 1 };
        let mut b = GraphBuilder::new(&twin);
        let ids = b.input("ids", DType::I32, [2]);
        let table = b.weight(&["table"], [5, 40]).unwrap();
        let added = b.weight(&["added"], [2, 40]).unwrap();
        let rows = b.op(Op::Gather { axis: 0 }, &[table, ids]).unwrap();
        let rows = b.add(rows, added).unwrap();
        let logits = b.op(Op::Gemm(Gemm::default()), &[rows, table]).unwrap();
        let picture = b.reshape(rows, [1, 2, 5, 8]).unwrap();
        let kernel = b.weight(&["kernel"], [3, 2, 3, 3]).unwrap();
        let plain = Conv2d { strides: [1, 1], padding: [0; 4], dilations: [1, 1], groups: 1 };
        let conv = b.op(Op::Conv2d(plain), &[picture, kernel]).unwrap();
        b.output("logits", logits);
        b.output("conv", conv);
        let graph = b.finish();
        let matrices = weights_of(&graph);
        assert_eq!(matrices.keys().collect::<Vec<_>>(), ["kernel", "table"]);
        let scheme: Scheme = "int4-g32".parse().unwrap();
        let weights = Recipe::uniform(scheme).apply(twin, &matrices, &BTreeMap::new(), &unwatched).unwrap();
        assert_eq!(
            weights.matrix("kernel").unwrap().packing().scheme,
            Scheme::Half,
            "18 weights fill no group"
        );
        let quantised = quantise(&graph, &weights).unwrap();
        let ops: Vec<&str> = quantised.nodes().iter().map(|node| node.op.name()).collect();
        assert_eq!(ops, ["qgather", "add", "qgemm", "reshape", "dequantize", "reshape", "conv2d"]);
        let read: Vec<&str> = quantised
            .values()
            .iter()
            .filter_map(|value| match &value.source {
                Source::Weight(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(read, ["table.words", "table.scales", "added", "kernel.words", "kernel.scales"]);
    }
}
