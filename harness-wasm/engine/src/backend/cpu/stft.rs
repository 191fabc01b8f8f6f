//! `stft` by Stockham's self-sorting FFT, a pass a radix.

use crate::ops::Stft;
use crate::tensor::Tensor;

/// A complex number.
type Point = [f32; 2];

/// `a` times the conjugate of `b`: the transform's exponents are negative.
#[inline(always)]
fn turned(a: Point, b: Point) -> Point {
    [a[0] * b[0] + a[1] * b[1], a[1] * b[0] - a[0] * b[1]]
}

pub(super) fn run(op: Stft, inputs: &[&Tensor]) -> Tensor {
    let &[batch, samples] = inputs[0].shape() else { unreachable!("rank 2: inferred") };
    let (window, roots) = (inputs[1].as_f32(), inputs[2].as_f32().as_chunks::<2>().0);
    let (frames, bins) = (op.frames(samples), op.bins());
    let radices = op.radices().expect("inferred");
    let mut y = Vec::with_capacity(batch * frames * bins);
    let (mut points, mut other) = (vec![[0.0; 2]; op.frame], vec![[0.0; 2]; op.frame]);
    for signal in inputs[0].as_f32().chunks_exact(samples) {
        for t in 0..frames {
            for (i, point) in points.iter_mut().enumerate() {
                *point = [signal[op.mirrored(t * op.hop + i, samples)] * window[i], 0.0];
            }
            let (mut stride, mut rest) = (1, op.frame);
            for &radix in &radices {
                rest /= radix;
                pass(radix, stride, rest, roots, &points, &mut other);
                std::mem::swap(&mut points, &mut other);
                stride *= radix;
            }
            y.extend(points[..bins].iter().map(|[re, im]| re * re + im * im));
        }
    }
    Tensor::f32([batch, frames, bins], y)
}

/// Butterflies of one radix: `rest` rows, each for `stride` interleaved transforms.
fn pass(radix: usize, stride: usize, rest: usize, roots: &[Point], from: &[Point], to: &mut [Point]) {
    let step = roots.len() / radix;
    for row in 0..rest {
        for j in 0..radix {
            let turn = roots[row * j * stride];
            let results = &mut to[stride * (radix * row + j)..][..stride];
            for (q, result) in results.iter_mut().enumerate() {
                let mut sum = [0.0; 2];
                for k in 0..radix {
                    let part = turned(from[q + stride * (row + rest * k)], roots[j * k % radix * step]);
                    sum = [sum[0] + part[0], sum[1] + part[1]];
                }
                *result = turned(sum, turn);
            }
        }
    }
}
