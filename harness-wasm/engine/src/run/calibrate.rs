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
use crate::tensor::Data;

/// Rows of activations that `gemm` multiplies each weight with in a forward pass, by the weight's name.
///
/// # Errors
/// If an input or a weight does not fit.
pub async fn activations(loaded: &Loaded) -> Result<BTreeMap<String, Arc<Activations>>> {
    let mut inputs = loaded.model.prepare(&loaded.inputs)?;
    let graph = loaded.model.forward(&loaded.weights, &types(&inputs))?;
    if loaded.model.decoder().is_some() {
        inputs.insert("position".into(), crate::Tensor::i32([1], vec![0]));
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
        let Data::F32(rows) = x.into_data() else { continue };
        let shared = Arc::new(Activations::new(columns, rows));
        for name in names {
            // A matrix that is used at several places is calibrated for the first.
            by_weight.entry(name).or_insert_with(|| Arc::clone(&shared));
        }
    }
    Ok(by_weight)
}
