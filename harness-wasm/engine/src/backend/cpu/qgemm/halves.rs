//! Half-precision weights by few rows.

use std::array::from_fn;

use super::super::simd::F32x4;
use super::{COLUMNS, Kernel, Part, tiles};
use crate::quant::Packing;

/// A word's lower half goes with one activation, its upper half with the next.
type HalfPairs = [[f32; 4]; 2];

/// What float16 are divided by as they are read, in two parts: activations carry one, so that products are of a size
/// that float32 holds, and sums the other. What an activation above 2^79 comes to is infinite.
const HALF_UNIT: [f32; 2] = [(1_u64 << 48) as f32, (1_u128 << 64) as f32];

/// Rows of activations, each filled up with zeros.
fn half_pairs(packing: Packing, x: &[f32]) -> Vec<Vec<HalfPairs>> {
    let pairs = |x: &[f32]| -> HalfPairs {
        from_fn(|half| from_fn(|i| x.get(2 * i + half).map_or(0.0, |x| x * HALF_UNIT[0])))
    };
    x.chunks_exact(packing.columns.max(1)).map(|row| row.chunks(8).map(pairs).collect()).collect()
}

/// Products of these activations.
pub(super) fn kernel(packing: Packing, x: &[f32]) -> Kernel {
    let x = half_pairs(packing, x);
    Box::new(move |part, out| halves(part, &x, out))
}

fn halves(part: &Part<'_>, x: &[Vec<HalfPairs>], out: &mut [&mut [f32]]) {
    for columns in tiles(part.count) {
        let words = columns.map(|column| part.weight.words(part.first + column));
        for (x, out) in x.iter().zip(out.iter_mut()) {
            for (column, sum) in columns.into_iter().zip(half_tile(x, words)) {
                out[column] = sum;
            }
        }
    }
}

/// A row of activations by some rows of weights.
#[inline(always)]
fn half_tile(x: &[HalfPairs], words: [&[u32]; COLUMNS]) -> [f32; COLUMNS] {
    let mut sums = [[F32x4::splat(0.0); 2]; COLUMNS];
    let add = |sum: &mut [F32x4; 2], x: &HalfPairs, words: &[u32; 4]| {
        let [low, high] = F32x4::half_pairs(words);
        sum[0] = low.mul_add(F32x4::load(&x[0]), sum[0]);
        sum[1] = high.mul_add(F32x4::load(&x[1]), sum[1]);
    };
    let whole = words[0].len() / 4;
    let quads = words.map(|words| &words.as_chunks::<4>().0[..whole]);
    for (at, x) in x[..whole].iter().enumerate() {
        for (sum, quads) in sums.iter_mut().zip(&quads) {
            add(sum, x, &quads[at]);
        }
    }
    if let Some(x) = x.get(whole) {
        for (sum, words) in sums.iter_mut().zip(words) {
            let rest = words.get(4 * whole..).unwrap_or_default();
            add(sum, x, &from_fn(|i| rest.get(i).copied().unwrap_or(0)));
        }
    }
    sums.map(|[low, high]| low.add(high).sum() * HALF_UNIT[1])
}
