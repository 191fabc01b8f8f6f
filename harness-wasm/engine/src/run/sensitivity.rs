//! What a model's outputs lose when one of its matrices is quantised.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::calibrate::seen;
use super::{Loaded, Options, Runner};
use crate::backend::cpu::{Cpu, Kernels};
use crate::error::Result;
use crate::quant::{Activations, Choice, Fit, Recipe, Scheme, Watch};
use crate::tensor::{Data, NamedTensors};
use crate::weights::Weights;

/// Every matrix under every one of these schemes, the others as they are: what it takes and what the outputs for `inputs`
/// lose.
///
/// # Errors
/// If the model does not run, or a weight is not finite; and what `watch` says.
pub async fn sensitivities(
    loaded: &Loaded,
    inputs: &NamedTensors,
    schemes: &[Scheme],
    fit: Fit,
    activations: &BTreeMap<String, Arc<Activations>>,
    watch: Watch<'_>,
) -> Result<BTreeMap<String, Vec<Choice>>> {
    let matrices = loaded.matrices()?;
    let plain = outputs(loaded, &loaded.weights, inputs).await?;
    let mut choices = BTreeMap::new();
    for (name, shape) in &matrices {
        let (rows, columns) = (shape[0], shape[1..].iter().product());
        let mut of_matrix: Vec<Choice> = Vec::with_capacity(schemes.len());
        for &scheme in schemes {
            watch(name)?;
            // What refining gains is alike everywhere: it says nothing of which matrix to spend bits on.
            let recipe = Recipe { fit, refines: false, ..Recipe::uniform(scheme) };
            let scheme = recipe.scheme_of(name, columns);
            if of_matrix.iter().any(|known| known.scheme == scheme) {
                continue;
            }
            let matrix = recipe.matrix(&loaded.weights, name, shape, activations)?;
            let one = Weights::Quantised {
                base: Box::new(loaded.weights.clone()),
                matrices: Arc::new(BTreeMap::from([(name.clone(), matrix)])),
            };
            let loss = loss(&plain, &outputs(loaded, &one, inputs).await?);
            of_matrix.push(Choice::new(scheme, rows, columns, loss));
        }
        choices.insert(name.clone(), of_matrix);
    }
    Ok(choices)
}

async fn outputs(loaded: &Loaded, weights: &Weights, inputs: &NamedTensors) -> Result<NamedTensors> {
    let mut runner = Runner::new(&*loaded.model, weights, Cpu::new(Kernels::Simd), Options::default());
    let outputs = runner.infer(inputs).await?;
    Ok(outputs.into_iter().map(|(name, tensor)| (name, seen(tensor, inputs))).collect())
}

/// The error's part of the energy, averaged over outputs of floats.
pub fn loss(plain: &NamedTensors, other: &NamedTensors) -> f64 {
    let of = |name: &String, plain: &[f32]| {
        let Some(Data::F32(other)) = other.get(name).map(crate::Tensor::data) else { return 1.0 };
        let energy: f64 = plain.iter().map(|x| f64::from(*x).powi(2)).sum();
        let error: f64 = plain.iter().zip(other).map(|(x, y)| f64::from(x - y).powi(2)).sum();
        if energy > 0.0 { error / energy } else { 0.0 }
    };
    let losses: Vec<f64> = plain
        .iter()
        .filter_map(|(name, tensor)| match tensor.data() {
            Data::F32(plain) => Some(of(name, plain)),
            Data::I32(_) => None,
        })
        .collect();
    losses.iter().sum::<f64>() / losses.len().max(1) as f64
}
