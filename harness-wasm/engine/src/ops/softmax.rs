//! `softmax`.

use super::{operands, require};
use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::tensor::{DType, Tensor, elements};

pub(super) fn infer(axis: usize, inputs: &[&TensorType]) -> Result<TensorType> {
    let [x] = operands("softmax", inputs)?;
    require("softmax", "the operand", x, DType::F32)?;
    if axis >= x.shape.len() {
        return Err(Error::shape("softmax", format!("axis {axis} is not one of {:?}", x.shape)));
    }
    Ok(x.clone())
}

pub(super) fn eval(axis: usize, x: &Tensor) -> Tensor {
    let (n, inner) = (x.shape()[axis], elements(&x.shape()[axis + 1..]));
    let mut out = x.as_f32().to_vec();
    for block in out.chunks_exact_mut((n * inner).max(1)) {
        for lane in 0..inner {
            let at = |i: usize| i * inner + lane;
            let max = (0..n).map(|i| block[at(i)]).fold(f32::NEG_INFINITY, f32::max);
            let exps: Vec<f64> =
                (0..n).map(|i| libm::exp(f64::from(block[at(i)]) - f64::from(max))).collect();
            let sum: f64 = exps.iter().sum();
            for (i, exp) in exps.iter().enumerate() {
                block[at(i)] = (exp / sum) as f32;
            }
        }
    }
    Tensor::f32(x.shape(), out)
}
