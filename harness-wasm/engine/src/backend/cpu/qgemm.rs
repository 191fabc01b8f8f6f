//! `qgemm`: for few rows by whole-number dot products, for many by unpacking weights into panels of `gemm`.
//!
//! A row of activations is rounded, group by group, to integers in units of the group's largest: 16 bits, and 16 more
//! for what these leave over, so that nothing is lost that float32 had. The lower ones are left out where they are less
//! than what sums of so many float32 products may be wrong by ([`counts_below`]). A group's dot products are then exact
//! in int32, for every width: 128 · 255 · 32767 < 2^31.

use std::array::from_fn;

use super::elementwise::unary_in_place;
use super::gemm;
use super::integer::{I16x8, I32x4};
use super::parallel::{self, Crew};
use super::simd::{F32x4, dot};
use crate::ops::Qgemm;
use crate::quant::{BLOCK, Bits, Packing, Rows, Scales, Scheme};
use crate::tensor::Tensor;

/// From so many rows of activations on, weights are unpacked to floats once for all of them.
const MANY: usize = 4;
/// Columns whose loads of a row are shared.
const COLUMNS: usize = 4;
/// Columns that are unpacked to floats at once.
const UNPACKED: usize = 4 * gemm::NR;
/// What the lower integers are in units of: parts of a unit of the upper ones.
const PART: f32 = 65534.0;

/// `activation(x · wᵀ + bias)`: operands as [`Qgemm`] says.
pub(super) fn run(crew: &Crew, op: Qgemm, inputs: &[&Tensor]) -> Tensor {
    let weight = Rows::new(op.packing, inputs[1], inputs[2]);
    let (m, n) = (inputs[0].shape()[0], weight.count);
    let (x, packing) = (inputs[0].as_f32(), op.packing);
    let activations = match packing.scheme {
        Scheme::Grouped { bits, .. } if m < MANY => Some(match bits {
            Bits::Two => Activations::new::<2>(packing, x),
            Bits::Three => Activations::new::<3>(packing, x),
            Bits::Four => Activations::new::<4>(packing, x),
            Bits::Eight => Activations::new::<8>(packing, x),
        }),
        _ => None,
    };
    let pairs = match packing.scheme {
        Scheme::Half if m < MANY => half_pairs(packing, x),
        _ => Vec::new(),
    };
    let many = if m < MANY { gemm::RowBlocks::default() } else { gemm::RowBlocks::of(x, packing.columns) };
    let mut out = vec![0.0; m * n];
    let units = crew.split(n.div_ceil(gemm::NR), gemm::NR * m * packing.columns);
    let columns: Vec<_> = units.iter().map(|at| at.start * gemm::NR..(at.end * gemm::NR).min(n)).collect();
    let rows = parallel::columns(&mut out, n, &columns);
    crew.each(columns.into_iter().zip(rows).collect(), |(columns, mut rows)| {
        let part = Part { weight: &weight, first: columns.start, count: columns.len() };
        match (packing.scheme, &activations) {
            (Scheme::Grouped { bits, .. }, Some(x)) => match bits {
                Bits::Two => grouped::<2>(&part, x, &mut rows),
                Bits::Three => grouped::<3>(&part, x, &mut rows),
                Bits::Four => grouped::<4>(&part, x, &mut rows),
                Bits::Eight => grouped::<8>(&part, x, &mut rows),
            },
            _ if m >= MANY => unpacked(&part, &many, &mut rows),
            _ => halves(&part, &pairs, &mut rows),
        }
        for row in &mut rows {
            if let Some(bias) = inputs.get(3) {
                let bias = &bias.as_f32()[columns.clone()];
                row.iter_mut().zip(bias).for_each(|(y, c)| *y += c);
            }
            if let Some(activation) = op.activation {
                unary_in_place(activation, row);
            }
        }
    });
    Tensor::f32([m, n], out)
}

/// Some columns of the result, which are rows of the weight.
struct Part<'w> {
    weight: &'w Rows<'w>,
    first: usize,
    count: usize,
}

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

/// Columns whose loads of a row of activations are shared: as far from one another as can be. Each is then a stream of
/// memory of its own, where processors read ahead in one stream a page. Towards the end some come twice.
fn tiles(count: usize) -> impl Iterator<Item = [usize; COLUMNS]> {
    let apart = count.div_ceil(COLUMNS);
    (0..apart).map(move |at| from_fn(|c| (c * apart + at).min(count - 1)))
}

/// Half-precision weights by few rows.
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

/// Unpacks some columns at a time and multiplies all rows by them.
fn unpacked(part: &Part<'_>, x: &gemm::RowBlocks, out: &mut [&mut [f32]]) {
    let k = part.weight.packing.columns;
    let mut scales = Scales::new(part.weight.packing);
    let (mut rows, mut panels) = (vec![0.0; UNPACKED * k], Vec::new());
    for first in (0..part.count).step_by(UNPACKED) {
        let columns = UNPACKED.min(part.count - first);
        let rows = &mut rows[..columns * k];
        for (c, row) in rows.chunks_exact_mut(k.max(1)).enumerate() {
            part.weight.dequantise(&mut scales, part.first + first + c, row);
        }
        gemm::pack_rows(&mut panels, rows, k);
        let mut out: Vec<&mut [f32]> = out.iter_mut().map(|row| &mut row[first..first + columns]).collect();
        x.accumulate(&panels, 0..k, &mut out);
    }
}

/// Rows of activations as integers.
struct Activations {
    /// By row and block, in the order in which weights are unpacked: upper integers, then lower ones.
    blocks: Vec<[[i16; 8]; 8]>,
    /// By row and group: the unit of the upper integers.
    units: Vec<f32>,
    /// By row and group: the sum of the activations.
    sums: Vec<f32>,
    /// By row and group: whether the lower integers count.
    fine: Vec<bool>,
    /// By row and group: what the sums of products with upper and with lower integers begin with, so that codes count
    /// from their middle on: what is nearly zero must not come out as a difference of large sums.
    starts: Vec<[[i32; 4]; 2]>,
}

impl Activations {
    fn new<const BITS: usize>(packing: Packing, x: &[f32]) -> Self {
        let (group, groups) = (packing.group(), packing.groups());
        let rows = x.len().checked_div(packing.columns).unwrap_or(0);
        let mut these = Self {
            blocks: Vec::with_capacity(rows * groups * group / BLOCK),
            units: Vec::with_capacity(rows * groups),
            sums: Vec::with_capacity(rows * groups),
            fine: Vec::with_capacity(rows * groups),
            starts: Vec::with_capacity(rows * groups),
        };
        for row in x.chunks_exact(packing.columns.max(1)) {
            for group_of in row.chunks(group) {
                let widest = group_of.iter().fold(0.0_f32, |widest, x| widest.max(x.abs()));
                let steps = if widest > 0.0 { 32767.0 / widest } else { 0.0 };
                // A NaN or an infinity must come out as one: as the unit it reaches every sum of the row.
                let finite = group_of.iter().map(|x| x * 0.0).sum::<f32>();
                these.units.push(widest / 32767.0 + finite);
                these.sums.push(group_of.iter().sum());
                these.fine.push(counts_below(group_of, widest, packing.columns));
                let mut whole_sums = [0, 0];
                for at in (0..group).step_by(BLOCK) {
                    let (mut upper, mut lower) = ([0_i16; BLOCK], [0_i16; BLOCK]);
                    let rest = group_of.get(at..).unwrap_or_default();
                    for ((upper, lower), &x) in upper.iter_mut().zip(&mut lower).zip(rest) {
                        let wished = x * steps;
                        let whole = wished.round_ties_even();
                        *upper = whole as i16;
                        *lower = ((wished - whole) * PART).round_ties_even() as i16;
                        whole_sums[0] += i32::from(*upper);
                        whole_sums[1] += i32::from(*lower);
                    }
                    these.blocks.push(from_fn(|t| {
                        let from = if t < 4 { &upper } else { &lower };
                        from_fn(|lane| from[place::<BITS>(t % 4, lane)])
                    }));
                }
                these.starts.push(whole_sums.map(|sum| [-sum << (BITS - 1), 0, 0, 0]));
            }
        }
        these
    }
}

/// Whether what is below 16 bits of the widest of these activations counts in a sum of `depth` products.
///
/// Half a unit is the most that an activation loses without. A float32 sum of `depth` products may be wrong by
/// `depth · 2^-24` of the sum of their sizes, to which each activation adds its own: so much may be lost.
fn counts_below(of: &[f32], widest: f32, depth: usize) -> bool {
    let mean = of.iter().map(|x| x.abs()).sum::<f32>() / of.len() as f32;
    widest / (2.0 * 32767.0) > depth as f32 * (f32::EPSILON / 2.0) * mean
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

/// Grouped weights by few rows.
fn grouped<const BITS: usize>(part: &Part<'_>, x: &Activations, out: &mut [&mut [f32]]) {
    // A group's blocks are a constant of the inner loop.
    match part.weight.packing.group() / BLOCK {
        1 => groups_of::<BITS, 1>(part, x, out),
        2 => groups_of::<BITS, 2>(part, x, out),
        _ => groups_of::<BITS, 4>(part, x, out),
    }
}

fn groups_of<const BITS: usize, const BLOCKS: usize>(
    part: &Part<'_>,
    x: &Activations,
    out: &mut [&mut [f32]],
) {
    let (weight, packing) = (part.weight, part.weight.packing);
    let groups = packing.groups();
    let blocks = x.blocks.as_chunks::<BLOCKS>().0;
    let mut scales: [Scales; COLUMNS] = from_fn(|_| Scales::new(packing));
    let mut factors: [Vec<f32>; COLUMNS] = from_fn(|_| vec![0.0; groups]);
    for columns in tiles(part.count) {
        let words = columns.map(|column| weight.words(part.first + column));
        for (scales, column) in scales.iter_mut().zip(columns) {
            scales.read(weight.scales(part.first + column));
        }
        for (row, out) in out.iter_mut().enumerate() {
            let of_row = row * groups..(row + 1) * groups;
            for (factors, scales) in factors.iter_mut().zip(&scales) {
                product(factors, scales.scales(), &x.units[of_row.clone()]);
            }
            let factors = from_fn(|c| &factors[c][..]);
            let sums = tile::<BITS, BLOCKS>(
                &blocks[of_row.clone()],
                &x.starts[of_row.clone()],
                &x.fine[of_row.clone()],
                words,
                factors,
            );
            for ((column, sum), scales) in columns.into_iter().zip(sums).zip(&scales) {
                out[column] =
                    sum + scales.offsets().map_or(0.0, |offsets| dot(&x.sums[of_row.clone()], offsets));
            }
        }
    }
}

/// `out[i] = a[i] * b[i]`.
#[inline(always)]
fn product(out: &mut [f32], a: &[f32], b: &[f32]) {
    let (out4, out_rest) = out.as_chunks_mut::<4>();
    let ((a4, a_rest), (b4, b_rest)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    for ((out, a), b) in out4.iter_mut().zip(a4).zip(b4) {
        F32x4::load(a).mul(F32x4::load(b)).store(out);
    }
    for ((out, a), b) in out_rest.iter_mut().zip(a_rest).zip(b_rest) {
        *out = a * b;
    }
}

/// A row of activations by some rows of weights, whose groups' scales are in `factors`.
#[inline(always)]
fn tile<const BITS: usize, const BLOCKS: usize>(
    x: &[[[[i16; 8]; 8]; BLOCKS]],
    starts: &[[[i32; 4]; 2]],
    fine: &[bool],
    words: [&[u32]; COLUMNS],
    factors: [&[f32]; COLUMNS],
) -> [f32; COLUMNS] {
    // Equal lengths, so that the loop checks no index.
    let groups = starts.len();
    let (x, fine) = (&x[..groups], &fine[..groups]);
    let words = words.map(|words| &words.as_chunks::<BITS>().0.as_chunks::<BLOCKS>().0[..groups]);
    let factors = factors.map(|factors| &factors[..groups]);
    let mut sums = [F32x4::splat(0.0); COLUMNS];
    for group in 0..groups {
        let (x, starts) = (&x[group], &starts[group]);
        let add = |sum: F32x4, dot: F32x4, factor: f32| dot.mul_add(F32x4::splat(factor), sum);
        sums = if fine[group] {
            from_fn(|c| {
                let [upper, lower] = dots::<BITS, BLOCKS, 2>(x, starts, &words[c][group]);
                let dot = lower.to_f32().mul_add(F32x4::splat(1.0 / PART), upper.to_f32());
                add(sums[c], dot, factors[c][group])
            })
        } else {
            from_fn(|c| {
                let [upper] = dots::<BITS, BLOCKS, 1>(x, starts, &words[c][group]);
                add(sums[c], upper.to_f32(), factors[c][group])
            })
        };
    }
    sums.map(F32x4::sum)
}

/// A group's dot products of codes with the upper integers, and with the lower ones where `PARTS` is 2.
#[inline(always)]
fn dots<const BITS: usize, const BLOCKS: usize, const PARTS: usize>(
    x: &[[[i16; 8]; 8]; BLOCKS],
    starts: &[[i32; 4]; 2],
    words: &[[u32; BITS]; BLOCKS],
) -> [I32x4; PARTS] {
    let mut sums = from_fn(|part| I32x4::load(&starts[part]));
    for (x, words) in x.iter().zip(words) {
        let q = fields::<BITS>(words);
        for (part, sum) in sums.iter_mut().enumerate() {
            let [a, b, c, d] = from_fn(|t| q[t].dot(I16x8::load(&x[4 * part + t])));
            *sum = sum.add(a.add(b).add(c.add(d)));
        }
    }
    sums
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
        let y = run(&Crew::alone(), op, &[&x, w.words(), w.scales()]);
        assert!((y.as_f32()[0] - 254.0 * 255.0).abs() < 0.1, "{:?}", y.as_f32());
    }

    /// Activations of very unlike sizes lose nothing that float32 had.
    #[test]
    fn small_activations_count_beside_large_ones() {
        let k = 64;
        for scheme in Scheme::all() {
            let weights: Vec<f32> =
                (0..k).map(|i| if i == 3 { 0.0 } else { 0.25 + i as f32 / 256.0 }).collect();
            let w = Matrix::quantise("w", &weights, &[1, k], scheme, Fit::Nearest).unwrap();
            let x: Vec<f32> = (0..k).map(|i| if i == 3 { 1000.0 } else { 0.01 * (i as f32).sin() }).collect();
            let op = Qgemm { packing: w.packing(), activation: None };
            let coded = w.dequantised();
            let want: f64 = coded.iter().zip(&x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
            let size: f64 = coded.iter().zip(&x).map(|(w, x)| f64::from((w * x).abs())).sum();
            let y = run(&Crew::alone(), op, &[&Tensor::f32([1, k], x), w.words(), w.scales()]).as_f32()[0];
            // A unit of the lower integers is 1000 / 32767 / 65534. A minimum makes a term of its own of the large
            // activation, which float32 rounds.
            let asymmetric = matches!(scheme, Scheme::Grouped { asymmetric: true, .. });
            let rounding = if asymmetric { 1000.0 * 1.2e-7 } else { 64.0 * 5e-7 };
            assert!((f64::from(y) - want).abs() < 2e-6 * size + rounding, "{scheme}: {y} {want}");
        }
    }

    /// Beside float32's own bound, with and without what is below 16 bits; both ways are taken.
    #[test]
    fn what_is_left_out_is_less_than_float32_may_be_wrong_by() {
        let k = 2048;
        let mut draw = Draw::new(11, "depth");
        let mut normal = |n: usize| -> Vec<f32> {
            (0..n)
                .map(|_| (0..12).map(|_| draw.bits() as u32 as f32 / 4_294_967_296.0).sum::<f32>() - 6.0)
                .collect()
        };
        let weights = normal(k);
        for (peak, fine) in [(1.0, false), (1000.0, true)] {
            let mut x = normal(k);
            (0..k).step_by(32).for_each(|i| x[i] *= peak);
            for scheme in Scheme::all().into_iter().filter(|scheme| matches!(scheme, Scheme::Grouped { .. }))
            {
                let w = Matrix::quantise("w", &weights, &[1, k], scheme, Fit::Nearest).unwrap();
                let op = Qgemm { packing: w.packing(), activation: None };
                let activations = Activations::new::<4>(w.packing(), &x);
                assert!(
                    activations.fine.iter().filter(|&&is| is == fine).count() * 10
                        > 9 * activations.fine.len()
                );
                let coded = w.dequantised();
                let products = coded.iter().zip(&x).map(|(w, x)| f64::from(*w) * f64::from(*x));
                let (want, size) = products.fold((0.0, 0.0), |(sum, size), p| (sum + p, size + p.abs()));
                let y = run(&Crew::alone(), op, &[&Tensor::f32([1, k], x.clone()), w.words(), w.scales()])
                    .as_f32()[0];
                // A hundredth of the bound: rounding errors are of either sign.
                let bound = size * k as f64 * 2.0_f64.powi(-24) / 100.0;
                assert!((f64::from(y) - want).abs() < bound, "{scheme}: {y} {want} {bound}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for scheme in Scheme::all() {
            let w = Matrix::quantise("w", &[0.5; 96], &[1, 96], scheme, Fit::Nearest).unwrap();
            for poison in [f32::NAN, f32::INFINITY] {
                let mut x = vec![1.0; 96];
                x[40] = poison;
                let op = Qgemm { packing: w.packing(), activation: None };
                let y = run(&Crew::alone(), op, &[&Tensor::f32([1, 96], x), w.words(), w.scales()]);
                assert!(!y.as_f32()[0].is_finite(), "{scheme} {poison}");
            }
        }
    }
}
