//! `reduceMean`.

use super::{operands, require};
use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::tensor::{DType, Tensor};

/// The mean over the last axis, which stays as 1 (WebNN's `keepDimensions`).
pub(super) fn infer(inputs: &[&TensorType]) -> Result<TensorType> {
    let [x] = operands("reduceMean", inputs)?;
    require("reduceMean", "the operand", x, DType::F32)?;
    let mut shape = x.shape.clone();
    match shape.last_mut() {
        Some(last) if *last > 0 => *last = 1,
        _ => return Err(Error::shape("reduceMean", format!("{:?} has no last axis to average", x.shape))),
    }
    Ok(TensorType::f32(shape))
}

pub(super) fn eval(x: &Tensor) -> Tensor {
    let width = *x.shape().last().expect("inferred");
    let mut shape = x.shape().to_vec();
    shape[x.shape().len() - 1] = 1;
    let means = x.as_f32().chunks_exact(width);
    let means = means.map(|row| (row.iter().map(|&v| f64::from(v)).sum::<f64>() / width as f64) as f32);
    Tensor::f32(shape, means.collect())
}
