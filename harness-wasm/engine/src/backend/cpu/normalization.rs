//! Row kernels: `softmax`, `layerNormalization`, `rmsNormalization`, each written over its operand.

use crate::tensor::Tensor;

use super::Slot;
use super::elementwise::exp_to_one;
use super::parallel::Crew;
use super::simd::{F32x4, dot, map, max, sum};

/// What an element of a row costs, in multiply-adds.
const COST: usize = 8;

pub(super) fn softmax(crew: &Crew, x: Slot<'_>) -> Tensor {
    let width = x.shape().last().copied().unwrap_or(1);
    x.rows(crew, width, 2 * COST, softmax_row)
}

/// `softmax` of one row, in place. The largest element passes over a NaN, which makes the sum one.
pub(super) fn softmax_row(row: &mut [f32]) {
    let top = max(row);
    let high = F32x4::splat(top);
    let (row4, rest) = row.as_chunks_mut::<4>();
    let mut total = F32x4::splat(0.0);
    for x in row4 {
        let e = exp_to_one(F32x4::load(x).sub(high));
        total = total.add(e);
        e.store(x);
    }
    let mut total = total.sum();
    if !rest.is_empty() {
        let mut last = [f32::NEG_INFINITY; 4];
        last[..rest.len()].copy_from_slice(rest);
        let e = exp_to_one(F32x4::load(&last).sub(high)).to_array();
        rest.copy_from_slice(&e[..rest.len()]);
        total += rest.iter().sum::<f32>();
    }
    let inverse = F32x4::splat(1.0 / total);
    map(row, |x| x.mul(inverse));
}

pub(super) fn layer(crew: &Crew, epsilon: f32, x: Slot<'_>, scale: &Tensor, bias: &Tensor) -> Tensor {
    let width = scale.len();
    x.rows(crew, width, COST, |row| {
        // Two passes: subtracting the mean first keeps the variance exact for rows far from 0.
        let mean = F32x4::splat(sum(row) / width as f32);
        map(row, |x| x.sub(mean));
        let inverse = 1.0 / (dot(row, row) / width as f32 + epsilon).sqrt();
        for ((v, s), b) in row.iter_mut().zip(scale.as_f32()).zip(bias.as_f32()) {
            *v = *v * inverse * s + b;
        }
    })
}

pub(super) fn rms(crew: &Crew, epsilon: f32, x: Slot<'_>, scale: &Tensor) -> Tensor {
    let width = scale.len();
    x.rows(crew, width, COST, |row| {
        let inverse = 1.0 / (dot(row, row) / width as f32 + epsilon).sqrt();
        for (v, s) in row.iter_mut().zip(scale.as_f32()) {
            *v = *v * inverse * s;
        }
    })
}
