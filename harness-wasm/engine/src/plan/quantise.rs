//! Graphs that read quantised weights: `gemm` becomes `qgemm`, a table's `gather` becomes `qgather`, and a convolution
//! gets its weight through `dequantize`.

use std::collections::{BTreeMap, HashMap};

use crate::error::Result;
use crate::ir::{Graph, Node, Source, TensorType, Value, ValueId};
use crate::ops::{Op, Qgemm};
use crate::plan::rewrite::Rewrite;
use crate::quant::Packing;
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

/// The tables of which nothing but some rows, known from shapes alone, is read, with their shapes: positions. In a graph that is
/// folded they stand as constants, made of what the packed rows say; so it is the graph before that is asked for.
pub fn tables_of(graph: &Graph) -> BTreeMap<String, Vec<usize>> {
    let tables = graph.values().iter().enumerate().filter_map(|(at, value)| {
        let (Source::Weight(name), &[_, columns]) = (&value.source, &value.ty.shape[..]) else { return None };
        let id = ValueId(at as u32);
        let whole_rows =
            |op: &Op| matches!(op, Op::Slice { starts, sizes } if starts[1] == 0 && sizes[1] == columns);
        let mut readers = graph.nodes().iter().filter(|node| node.inputs.contains(&id)).peekable();
        let read = readers.peek().is_some() && graph.outputs().iter().all(|(_, output)| *output != id);
        (read && readers.all(|node| whole_rows(&node.op))).then(|| (name.clone(), value.ty.shape.clone()))
    });
    tables.collect()
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
    let matrices = weights_of(graph);
    let matrix = |value: &Value| match &value.source {
        Source::Weight(name) if matrices.contains_key(name) => {
            weights.matrix(name).map(|m| (name.clone(), m))
        }
        _ => None,
    };
    let mut rewrite = Rewrite::new(graph, |_, value| matrix(value).is_none());
    let mut packed = HashMap::new();
    for (at, value) in graph.values().iter().enumerate() {
        let Some((name, matrix)) = matrix(value) else { continue };
        let [words, scales] = parts(&name);
        let [words, scales] = [(words, matrix.words()), (scales, matrix.scales())].map(|(name, tensor)| {
            rewrite.to.push_value(TensorType::i32(tensor.shape()), Source::Weight(name))
        });
        let id = ValueId(at as u32);
        rewrite.put(id, words);
        packed.insert(id, (scales, matrix.packing()));
    }
    for node in graph.nodes() {
        rewrite.enter(node);
        let result = quantised(&mut rewrite, node, &packed)?;
        rewrite.put(node.output, result);
    }
    Ok(rewrite.finish())
}

/// The node's result, where `packed` has the scales of old weights.
fn quantised(
    rewrite: &mut Rewrite<'_>,
    node: &Node,
    packed: &HashMap<ValueId, (ValueId, Packing)>,
) -> Result<ValueId> {
    let at = match node.op {
        Op::Gather { .. } => 0,
        _ => 1,
    };
    let mut inputs = rewrite.operands(node);
    let Some(&(scales, packing)) = node.inputs.get(at).and_then(|id| packed.get(id)) else {
        return rewrite.op(node.op.clone(), &inputs);
    };
    let op = match &node.op {
        Op::Gemm(gemm) => Op::Qgemm(Qgemm { packing, activation: gemm.activation }),
        Op::Gather { .. } => Op::Qgather(packing),
        op => {
            let rows = rewrite.op(Op::Dequantize(packing), &[inputs[at], scales])?;
            inputs[at] = rewrite.reshape(rows, &rewrite.from.ty(node.inputs[at]).shape)?;
            return rewrite.op(op.clone(), &inputs);
        }
    };
    inputs.insert(at + 1, scales);
    rewrite.op(op, &inputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::GraphBuilder;
    use crate::ops::{Conv2d, Gemm};
    use crate::quant::{Recipe, Scheme, unwatched};
    use crate::tensor::DType;

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
        assert_eq!(read, ["added", "table.words", "table.scales", "kernel.words", "kernel.scales"]);
    }
}
