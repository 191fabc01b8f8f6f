//! What a model's matrices are multiplied with, for quantisation that takes it into account.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Loaded, types};
use crate::backend::Backend;
use crate::backend::cpu::{Cpu, Kernels};
use crate::error::Result;
use crate::ir::{Source, ValueId};
use crate::ops::Op;
use crate::plan::fold::fold;
use crate::quant::Activations;
use crate::tensor::{Data, NamedTensors, Tensor};

/// The input that says which tokens fill a text up.
const MASK: &str = "attention_mask";

/// Rows of activations that `gemm` multiplies each weight with in a forward pass, by the weight's name.
///
/// # Errors
/// If an input or a weight does not fit.
pub async fn activations(loaded: &Loaded) -> Result<BTreeMap<String, Arc<Activations>>> {
    let mut inputs = loaded.model.prepare(&loaded.inputs)?;
    let graph = loaded.model.forward(&loaded.weights, &types(&inputs))?;
    if loaded.model.decoder().is_some() {
        inputs.insert("position".into(), Tensor::i32([1], vec![0]));
    }
    let mut graph = fold(&graph, &loaded.weights)?;
    // By what is multiplied: several matrices often read the same.
    let mut readers: BTreeMap<ValueId, Vec<String>> = BTreeMap::new();
    for node in graph.nodes() {
        if let Op::Gemm(_) = &node.op
            && let Source::Weight(name) = &graph.value(node.inputs[1]).source
        {
            readers.entry(node.inputs[0]).or_default().push(name.clone());
        }
    }
    graph.outputs = readers.keys().map(|id| (id.index().to_string(), *id)).collect();
    let mut cpu = Cpu::new(Kernels::Simd);
    let program = cpu.compile(&graph, &loaded.weights).await?;
    let mut results = cpu.run(program, &inputs).await?;
    let mut by_weight: BTreeMap<String, Arc<Activations>> = BTreeMap::new();
    for (id, names) in readers {
        let Some(x) = results.remove(&id.index().to_string()) else { continue };
        let columns = x.shape().last().copied().unwrap_or(0);
        let Data::F32(rows) = seen(x, &loaded.inputs).into_data() else { continue };
        let shared = Arc::new(Activations::new(columns, rows));
        for name in names {
            // A matrix that is used at several places is calibrated for the first.
            by_weight.entry(name).or_insert_with(|| Arc::clone(&shared));
        }
    }
    Ok(by_weight)
}

/// What is told of tokens that the inputs' mask lets be seen, as rows: what fills texts up would count as much as what they
/// say. Anything else as it is.
pub(super) fn seen(tensor: Tensor, inputs: &NamedTensors) -> Tensor {
    let Some(Data::I32(mask)) = inputs.get(MASK).map(Tensor::data) else { return tensor };
    let columns = tensor.shape().last().copied().unwrap_or(0);
    let Data::F32(rows) = tensor.data() else { return tensor };
    if columns == 0 || mask.len() * columns != rows.len() {
        return tensor;
    }
    let kept = rows.chunks_exact(columns).zip(mask).filter(|(_, mask)| **mask != 0);
    let kept: Vec<f32> = kept.flat_map(|(row, _)| row).copied().collect();
    Tensor::f32([kept.len() / columns, columns], kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fills_up_is_left_out() {
        let inputs = NamedTensors::from([(MASK.to_owned(), Tensor::i32([2, 2], vec![1, 1, 1, 0]))]);
        let tokens = Tensor::f32([2, 2, 2], (0..8).map(|x| x as f32).collect());
        let told = seen(tokens.clone(), &inputs);
        assert_eq!((told.shape(), told.as_f32()), (&[3, 2][..], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0][..]));
        assert_eq!(seen(tokens.clone(), &NamedTensors::new()).shape(), [2, 2, 2]);
        let pooled = Tensor::f32([2, 3], vec![0.0; 6]);
        assert_eq!(seen(pooled, &inputs).shape(), [2, 3]);
    }
}
