//! `gather`: rows picked by index, of whatever type.

use super::{operands, require};
use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::tensor::{DType, Tensor, elements};

pub(super) fn infer(axis: usize, inputs: &[&TensorType]) -> Result<TensorType> {
    let [x, indices] = operands("gather", inputs)?;
    require("gather", "the indices", indices, DType::I32)?;
    if axis >= x.shape.len() {
        return Err(Error::shape("gather", format!("axis {axis} is not one of {:?}", x.shape)));
    }
    let shape = [&x.shape[..axis], &indices.shape, &x.shape[axis + 1..]].concat();
    Ok(TensorType::new(x.dtype, shape))
}

/// Indices are clamped into range, as WebNN does; inputs are range-checked before they get here.
pub(super) fn eval(axis: usize, x: &Tensor, indices: &Tensor) -> Tensor {
    let (outer, rows) = (elements(&x.shape()[..axis]), x.shape()[axis]);
    let run = 4 * elements(&x.shape()[axis + 1..]);
    let mut out = Vec::with_capacity(outer * indices.len() * run);
    for block in x.bytes().chunks_exact((rows * run).max(1)).take(outer) {
        for &index in indices.as_i32() {
            let row = (index.max(0) as usize).min(rows - 1);
            out.extend_from_slice(&block[row * run..(row + 1) * run]);
        }
    }
    let shape = [&x.shape()[..axis], indices.shape(), &x.shape()[axis + 1..]].concat();
    Tensor::from_bytes(x.dtype(), shape, &out)
}
