//! `layerNormalization` and `rmsNormalization`, over the last axis.

use super::{operands, require};
use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::tensor::{DType, Tensor};

pub(super) fn infer_layer(inputs: &[&TensorType]) -> Result<TensorType> {
    let [x, scale, bias] = operands("layerNormalization", inputs)?;
    check("layerNormalization", x, &[scale, bias])
}

pub(super) fn infer_rms(inputs: &[&TensorType]) -> Result<TensorType> {
    let [x, scale] = operands("rmsNormalization", inputs)?;
    check("rmsNormalization", x, &[scale])
}

fn check(op: &'static str, x: &TensorType, parameters: &[&TensorType]) -> Result<TensorType> {
    require(op, "x", x, DType::F32)?;
    let Some(width) = x.shape.last() else { return Err(Error::shape(op, "x needs an axis")) };
    for parameter in parameters {
        require(op, "a parameter", parameter, DType::F32)?;
        if parameter.shape != [*width] {
            return Err(Error::shape(
                op,
                format!("a parameter of {:?} does not fit {:?}", parameter.shape, x.shape),
            ));
        }
    }
    Ok(x.clone())
}

pub(super) fn layer(epsilon: f32, inputs: &[&Tensor]) -> Tensor {
    let [x, scale, bias] = inputs else { unreachable!("three operands: inferred") };
    rows(x, |row, out| {
        let n = row.len() as f64;
        let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        let inverse = 1.0 / (variance + f64::from(epsilon)).sqrt();
        for (i, &v) in row.iter().enumerate() {
            let normal = (f64::from(v) - mean) * inverse;
            out.push((normal * f64::from(scale.as_f32()[i]) + f64::from(bias.as_f32()[i])) as f32);
        }
    })
}

pub(super) fn rms(epsilon: f32, inputs: &[&Tensor]) -> Tensor {
    let [x, scale] = inputs else { unreachable!("two operands: inferred") };
    rows(x, |row, out| {
        let square = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / row.len() as f64;
        let inverse = 1.0 / (square + f64::from(epsilon)).sqrt();
        for (&v, &s) in row.iter().zip(scale.as_f32()) {
            out.push((f64::from(v) * inverse * f64::from(s)) as f32);
        }
    })
}

fn rows(x: &Tensor, mut f: impl FnMut(&[f32], &mut Vec<f32>)) -> Tensor {
    let width = *x.shape().last().expect("inferred");
    let mut out = Vec::with_capacity(x.len());
    for row in x.as_f32().chunks_exact(width.max(1)) {
        f(row, &mut out);
    }
    Tensor::f32(x.shape(), out)
}
