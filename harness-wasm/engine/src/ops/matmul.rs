//! `matmul`: the batched matrix product.

use super::broadcast::{broadcast_shape, broadcast_strides, for_each};
use super::{operands, require};
use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::tensor::{DType, Tensor};

pub(super) fn infer(inputs: &[&TensorType]) -> Result<TensorType> {
    let [a, b] = operands("matmul", inputs)?;
    require("matmul", "a", a, DType::F32)?;
    require("matmul", "b", b, DType::F32)?;
    let ([batch_a @ .., m, k], [batch_b @ .., k2, n]) = (&a.shape[..], &b.shape[..]) else {
        return Err(Error::shape("matmul", "both operands need rank 2 or more"));
    };
    if k != k2 {
        return Err(Error::shape("matmul", format!("{:?} does not multiply {:?}", a.shape, b.shape)));
    }
    let mut shape = broadcast_shape("matmul", batch_a, batch_b)?;
    shape.extend([*m, *n]);
    Ok(TensorType::f32(shape))
}

pub(super) fn eval(a: &Tensor, b: &Tensor) -> Tensor {
    let ([batch_a @ .., m, k], [batch_b @ .., _, n]) = (a.shape(), b.shape()) else {
        unreachable!("rank 2 or more: inferred")
    };
    let (m, k, n) = (*m, *k, *n);
    let batch = broadcast_shape("matmul", batch_a, batch_b).expect("inferred");
    let steps = [broadcast_strides(batch_a, &batch), broadcast_strides(batch_b, &batch)];
    let (x, y) = (a.as_f32(), b.as_f32());
    let mut out = vec![0.0; batch.iter().product::<usize>() * m * n];
    for_each(&batch, [&steps[0], &steps[1]], |at, [ia, ib]| {
        for row in 0..m {
            for column in 0..n {
                let dot: f64 = (0..k)
                    .map(|i| {
                        f64::from(x[ia * m * k + row * k + i]) * f64::from(y[ib * k * n + i * n + column])
                    })
                    .sum();
                out[(at * m + row) * n + column] = dot as f32;
            }
        }
    });
    let mut shape = batch;
    shape.extend([m, n]);
    Tensor::f32(shape, out)
}
