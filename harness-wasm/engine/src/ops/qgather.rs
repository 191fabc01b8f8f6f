//! `qgather`: rows of a quantised matrix, picked by index.

use super::{dequantize, gather, operands, require};
use crate::error::Result;
use crate::ir::TensorType;
use crate::quant::Packing;
use crate::tensor::{DType, Tensor};

pub(super) fn infer(packing: Packing, inputs: &[&TensorType]) -> Result<TensorType> {
    let [words, scales, indices] = operands("qgather", inputs)?;
    dequantize::rows("qgather", packing, words, scales)?;
    require("qgather", "the indices", indices, DType::I32)?;
    Ok(TensorType::f32([&indices.shape[..], &[packing.columns]].concat()))
}

pub(super) fn eval(packing: Packing, inputs: &[&Tensor]) -> Tensor {
    gather::eval(0, &dequantize::eval(packing, inputs[0], inputs[1]), inputs[2])
}
