//! `qgemm`: whole-number dot products of packed weights with activations at 16 bits.
//!
//! A row of activations is rounded once, group by group, to 16-bit integers in units of 1/32767 of the group's largest. A
//! group's dot product is then exact in int32, for every width: 128 · 255 · 32767 < 2^31. What is lost is the rounding of
//! activations, at most half a unit each, a hundredth of what eight bits would lose.

use std::array::from_fn;

use super::elementwise::unary_in_place;
use super::integer::{I16x8, I32x4};
use super::simd::{F32x4, dot};
use crate::ops::Qgemm;
use crate::quant::{BLOCK, Bits, Packing, Scales, Scheme, dequantise_row};
use crate::tensor::Tensor;

/// Rows of activations that share a block's unpacking.
const ROWS: usize = 4;
/// Columns that share the loads of a single row.
const COLUMNS: usize = 4;

/// `activation(x · wᵀ + bias)`: operands as [`Qgemm`] says.
pub(super) fn run(op: Qgemm, inputs: &[&Tensor]) -> Tensor {
    let (m, n) = (inputs[0].shape()[0], inputs[1].shape()[0]);
    let mut out = vec![0.0; m * n];
    let weight = Weight {
        packing: op.packing,
        words: bytemuck::cast_slice(inputs[1].as_i32()),
        scales: bytemuck::cast_slice(inputs[2].as_i32()),
    };
    let x = inputs[0].as_f32();
    match op.packing.scheme {
        Scheme::Half => halves(&weight, x, n, &mut out),
        Scheme::Grouped { bits: Bits::Two, .. } => grouped::<2>(&weight, x, n, &mut out),
        Scheme::Grouped { bits: Bits::Three, .. } => grouped::<3>(&weight, x, n, &mut out),
        Scheme::Grouped { bits: Bits::Four, .. } => grouped::<4>(&weight, x, n, &mut out),
        Scheme::Grouped { bits: Bits::Eight, .. } => grouped::<8>(&weight, x, n, &mut out),
    }
    if let Some(bias) = inputs.get(3) {
        for row in out.chunks_exact_mut(n.max(1)) {
            row.iter_mut().zip(bias.as_f32()).for_each(|(y, c)| *y += c);
        }
    }
    if let Some(activation) = op.activation {
        unary_in_place(activation, &mut out);
    }
    Tensor::f32([m, n], out)
}

struct Weight<'w> {
    packing: Packing,
    words: &'w [u32],
    scales: &'w [u32],
}

impl Weight<'_> {
    fn words(&self, row: usize) -> &[u32] {
        &self.words[row * self.packing.words()..][..self.packing.words()]
    }

    fn scales(&self, row: usize) -> &[u32] {
        &self.scales[row * self.packing.scale_words()..][..self.packing.scale_words()]
    }
}

fn halves(weight: &Weight<'_>, x: &[f32], n: usize, out: &mut [f32]) {
    let k = weight.packing.columns;
    let mut row = vec![0.0; k];
    for column in 0..n {
        dequantise_row(weight.packing, weight.words(column), &[], &mut row);
        for (x, out) in x.chunks_exact(k.max(1)).zip(out.chunks_exact_mut(n)) {
            out[column] = dot(x, &row);
        }
    }
}

/// Rows of activations as integers.
struct Activations {
    /// By row and block, in the order in which weights are unpacked.
    blocks: Vec<[[i16; 8]; 4]>,
    /// By row and group: the unit.
    units: Vec<f32>,
    /// By row and group: the sum of the integers.
    sums: Vec<i32>,
}

impl Activations {
    fn new<const BITS: usize>(packing: Packing, x: &[f32]) -> Self {
        let (group, groups) = (packing.group(), packing.groups());
        let rows = x.len().checked_div(packing.columns).unwrap_or(0);
        let mut these = Self {
            blocks: Vec::with_capacity(rows * groups * group / BLOCK),
            units: Vec::with_capacity(rows * groups),
            sums: Vec::with_capacity(rows * groups),
        };
        for row in x.chunks_exact(packing.columns.max(1)) {
            for group_of in row.chunks(group) {
                let widest = group_of.iter().fold(0.0_f32, |widest, x| widest.max(x.abs()));
                let steps = if widest > 0.0 { 32767.0 / widest } else { 0.0 };
                // A NaN or an infinity must come out as one: as the unit it reaches every sum of the row.
                let finite = group_of.iter().map(|x| x * 0.0).sum::<f32>();
                these.units.push(widest / 32767.0 + finite);
                let mut sum = 0;
                for at in (0..group).step_by(BLOCK) {
                    let mut block = [0_i16; BLOCK];
                    let rest = group_of.get(at..).unwrap_or_default();
                    for (to, &x) in block.iter_mut().zip(rest) {
                        *to = (x * steps).round_ties_even() as i16;
                        sum += i32::from(*to);
                    }
                    these.blocks.push(from_fn(|t| from_fn(|lane| block[place::<BITS>(t, lane)])));
                }
                these.sums.push(sum);
            }
        }
        these
    }
}

/// Which weight of its block stands in lane `lane` of vector `t` that [`fields`] unpacks.
const fn place<const BITS: usize>(t: usize, lane: usize) -> usize {
    match BITS {
        8 => 16 * (t / 2) + 2 * lane + t % 2,
        4 => {
            let byte = 2 * lane + t / 2;
            8 * (byte / 4) + 4 * (t % 2) + byte % 4
        }
        _ => 4 * (4 * (lane / 4) + t) + lane % 4,
    }
}

/// A block's codes, eight a vector.
#[inline(always)]
fn fields<const BITS: usize>(words: &[u32]) -> [I16x8; 4] {
    match BITS {
        8 => {
            let (low, mask) = (words.as_chunks::<4>().0, I16x8::splat(0xff));
            let (a, b) = (I16x8::words(&low[0]), I16x8::words(&low[1]));
            [a.and(mask), a.shr(8), b.and(mask), b.shr(8)]
        }
        4 => {
            let (v, mask) = (I16x8::words(&words.as_chunks::<4>().0[0]), I16x8::splat(15));
            [v.and(mask), v.shr(4).and(mask), v.shr(8).and(mask), v.shr(12)]
        }
        2 => {
            let (v, mask) = (I16x8::bytes([words[0], words[1]]), I16x8::splat(3));
            [v.and(mask), v.shr(2).and(mask), v.shr(4).and(mask), v.shr(6)]
        }
        _ => {
            let (v, low, high) = (I16x8::bytes([words[0], words[1]]), I16x8::splat(3), I16x8::splat(4));
            // The third bits of quads 0 to 3 are the low halves of its bytes, those of quads 4 to 7 the high ones.
            let third = I16x8::bytes([words[2], words[2] >> 4]).shl(2);
            [
                v.and(low).or(third.and(high)),
                v.shr(2).and(low).or(third.shr(1).and(high)),
                v.shr(4).and(low).or(third.shr(2).and(high)),
                v.shr(6).or(third.shr(3).and(high)),
            ]
        }
    }
}

fn grouped<const BITS: usize>(weight: &Weight<'_>, x: &[f32], n: usize, out: &mut [f32]) {
    let packing = weight.packing;
    let (groups, m) = (packing.groups(), out.len().checked_div(n).unwrap_or(0));
    let x = Activations::new::<BITS>(packing, x);
    let mut scales: [Scales; COLUMNS] = from_fn(|_| Scales::new(packing));
    for first in (0..n).step_by(COLUMNS) {
        let columns = COLUMNS.min(n - first);
        let words: [&[u32]; COLUMNS] = from_fn(|c| weight.words(first + c.min(columns - 1)));
        for (c, scales) in scales[..columns].iter_mut().enumerate() {
            scales.read(weight.scales(first + c));
        }
        let mut row = 0;
        while row + ROWS <= m {
            for c in 0..columns {
                let sums = tile::<BITS, ROWS, 1>(packing, &x, row, [words[c]], [&scales[c]]);
                for r in 0..ROWS {
                    out[(row + r) * n + first + c] = sums[r][0];
                }
            }
            row += ROWS;
        }
        while row < m {
            let [sums] = tile::<BITS, 1, COLUMNS>(packing, &x, row, words, from_fn(|c| &scales[c]));
            out[row * n + first..][..columns].copy_from_slice(&sums[..columns]);
            row += 1;
        }
    }
    debug_assert_eq!(x.units.len(), m * groups);
}

/// `R` rows of activations by `C` rows of weights.
#[inline(always)]
fn tile<const BITS: usize, const R: usize, const C: usize>(
    packing: Packing,
    x: &Activations,
    row: usize,
    words: [&[u32]; C],
    scales: [&Scales; C],
) -> [[f32; C]; R] {
    let (groups, blocks) = (packing.groups(), packing.group() / BLOCK);
    let width = groups * blocks;
    let x_blocks: [&[[[i16; 8]; 4]]; R] = from_fn(|r| &x.blocks[(row + r) * width..][..width]);
    let units: [&[f32]; R] = from_fn(|r| &x.units[(row + r) * groups..][..groups]);
    let x_sums: [&[i32]; R] = from_fn(|r| &x.sums[(row + r) * groups..][..groups]);
    let mut sums = [[F32x4::splat(0.0); C]; R];
    let mut shifts = [[0.0_f32; C]; R];
    for group in 0..groups {
        let mut dots = [[I32x4::splat(0); C]; R];
        for block in group * blocks..(group + 1) * blocks {
            for c in 0..C {
                let q = fields::<BITS>(&words[c][block * BITS..][..BITS]);
                for r in 0..R {
                    let x = &x_blocks[r][block];
                    let [a, b, c2, d] = from_fn(|t| q[t].dot(I16x8::load(&x[t])));
                    dots[r][c] = dots[r][c].add(a.add(b).add(c2.add(d)));
                }
            }
        }
        for r in 0..R {
            let unit = units[r][group];
            let sum = unit * x_sums[r][group] as f32;
            for c in 0..C {
                let factor = F32x4::splat(unit * scales[c].scales[group]);
                sums[r][c] = dots[r][c].to_f32().mul_add(factor, sums[r][c]);
                shifts[r][c] += sum * scales[c].mins[group];
            }
        }
    }
    from_fn(|r| from_fn(|c| sums[r][c].sum() + shifts[r][c]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::{Fit, Group, Matrix};
    use crate::weights::twin::Draw;

    /// Codes unpacked in vectors, multiplied by integers: the same whole numbers as by the layout's definition.
    #[test]
    fn whole_number_dots_are_exact() {
        fn check<const BITS: usize>(bits: Bits) {
            let mut draw = Draw::new(9, "codes");
            for _ in 0..50 {
                let words: Vec<u32> = (0..BITS).map(|_| draw.bits() as u32).collect();
                let x: [i16; BLOCK] = from_fn(|_| draw.bits() as i16);
                let q = crate::quant::unpack(bits, &words);
                let want: i64 = x.iter().zip(q).map(|(x, q)| i64::from(*x) * i64::from(q)).sum();
                let vectors = fields::<BITS>(&words);
                let lanes: i64 = (0..4)
                    .map(|t| {
                        let x: [i16; 8] = from_fn(|lane| x[place::<BITS>(t, lane)]);
                        vectors[t].dot(I16x8::load(&x)).to_array().iter().map(|&v| i64::from(v)).sum::<i64>()
                    })
                    .sum();
                assert_eq!(lanes, want, "{bits:?}");
            }
        }
        check::<2>(Bits::Two);
        check::<3>(Bits::Three);
        check::<4>(Bits::Four);
        check::<8>(Bits::Eight);
    }

    #[test]
    fn the_largest_sums_do_not_overflow() {
        let k = 256;
        let scheme = Scheme::asymmetric(Bits::Eight, Group::Of128);
        // Codes are all 255 but for one in each group, activations all the largest there are.
        let weights: Vec<f32> = (0..k).map(|i| if i % 128 == 0 { 0.0 } else { 255.0 }).collect();
        let w = Matrix::quantise("w", &weights, &[1, k], scheme, Fit::Nearest).unwrap();
        let x = Tensor::f32([1, k], vec![1.0; k]);
        let op = Qgemm { packing: w.packing(), activation: None };
        let y = run(op, &[&x, w.words(), w.scales()]);
        assert!((y.as_f32()[0] - 254.0 * 255.0).abs() < 0.1, "{:?}", y.as_f32());
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for scheme in Scheme::all() {
            let w = Matrix::quantise("w", &[0.5; 96], &[1, 96], scheme, Fit::Nearest).unwrap();
            for poison in [f32::NAN, f32::INFINITY] {
                let mut x = vec![1.0; 96];
                x[40] = poison;
                let op = Qgemm { packing: w.packing(), activation: None };
                let y = run(op, &[&Tensor::f32([1, 96], x), w.words(), w.scales()]);
                assert!(!y.as_f32()[0].is_finite(), "{scheme} {poison}");
            }
        }
    }
}
