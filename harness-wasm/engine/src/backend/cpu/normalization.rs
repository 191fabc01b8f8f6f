//! Row kernels: `softmax`, `layerNormalization`, `rmsNormalization`.

use crate::tensor::Tensor;

use super::elementwise::exp;
use super::simd::{dot, max, sum};

pub(super) fn softmax(x: &Tensor) -> Tensor {
    let mut out = x.as_f32().to_vec();
    let width = x.shape().last().copied().unwrap_or(1).max(1);
    out.chunks_exact_mut(width).for_each(softmax_row);
    Tensor::f32(x.shape(), out)
}

/// `softmax` of one row, in place.
pub(super) fn softmax_row(row: &mut [f32]) {
    let top = max(row);
    for v in row.iter_mut() {
        *v = exp(*v - top);
    }
    let inverse = 1.0 / sum(row);
    for v in row {
        *v *= inverse;
    }
}

pub(super) fn layer(epsilon: f32, inputs: &[&Tensor]) -> Tensor {
    let [x, scale, bias] = inputs else { unreachable!("three operands: inferred") };
    let mut out = x.as_f32().to_vec();
    let width = scale.len();
    for row in out.chunks_exact_mut(width.max(1)) {
        // Two passes: subtracting the mean first keeps the variance exact for rows far from 0.
        let mean = sum(row) / width as f32;
        for v in row.iter_mut() {
            *v -= mean;
        }
        let inverse = 1.0 / (dot(row, row) / width as f32 + epsilon).sqrt();
        for ((v, s), b) in row.iter_mut().zip(scale.as_f32()).zip(bias.as_f32()) {
            *v = *v * inverse * s + b;
        }
    }
    Tensor::f32(x.shape(), out)
}

pub(super) fn rms(epsilon: f32, inputs: &[&Tensor]) -> Tensor {
    let [x, scale] = inputs else { unreachable!("two operands: inferred") };
    let mut out = x.as_f32().to_vec();
    let width = scale.len();
    for row in out.chunks_exact_mut(width.max(1)) {
        let inverse = 1.0 / (dot(row, row) / width as f32 + epsilon).sqrt();
        for (v, s) in row.iter_mut().zip(scale.as_f32()) {
            *v = *v * inverse * s;
        }
    }
    Tensor::f32(x.shape(), out)
}
