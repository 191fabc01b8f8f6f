//! Codes of a few bits by few rows, in whole numbers.
//!
//! A row of activations is rounded, group by group, to integers in units of the group's largest: 16 bits, and 16 more
//! for what these leave over, so that nothing is lost that float32 had. The lower ones are left out where they are less
//! than what sums of so many float32 products may be wrong by ([`counts_below`]). A group's dot products are then exact
//! in int32, for every width: 128 · 255 · 32767 < 2^31.

use std::array::from_fn;

use super::super::integer::I32x4;
use super::super::simd::{F32x4, dot};
use super::{COLUMNS, Kernel, Part, tiles};
use crate::quant::{BLOCK, Packing, Scales};

/// A way to multiply codes of so many bits by integers.
pub(super) trait Dots<const BITS: usize>: 'static {
    /// The largest integer that there is.
    const MOST: i16;
    /// What the lower integers are in units of: parts of a unit of the upper ones.
    const PART: f32 = 2.0 * Self::MOST as f32;

    /// A block's integers, as they are read.
    type Block: Send + Sync + 'static;

    /// Integers in the order of the codes.
    fn block(integers: &[i16; BLOCK]) -> Self::Block;

    /// A group's dot products of codes with the upper integers, and with the lower ones where `PARTS` is 2, added to
    /// `starts`: what all lanes come to together.
    fn dots<const BLOCKS: usize, const PARTS: usize>(
        x: &[[Self::Block; 2]; BLOCKS],
        starts: &[[i32; 4]; 2],
        words: &[[u32; BITS]; BLOCKS],
    ) -> [I32x4; PARTS];
}

/// Products of these activations.
pub(super) fn kernel<const BITS: usize, D: Dots<BITS>>(packing: Packing, x: &[f32]) -> Kernel {
    let x = Activations::new::<BITS, D>(packing, x);
    // A group's blocks are a constant of the inner loop.
    match packing.group() / BLOCK {
        1 => Box::new(move |part, out| groups_of::<BITS, 1, D>(part, &x, out)),
        2 => Box::new(move |part, out| groups_of::<BITS, 2, D>(part, &x, out)),
        _ => Box::new(move |part, out| groups_of::<BITS, 4, D>(part, &x, out)),
    }
}

fn groups_of<const BITS: usize, const BLOCKS: usize, D: Dots<BITS>>(
    part: &Part<'_>,
    x: &Activations<D::Block>,
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
            let sums = tile::<BITS, BLOCKS, D>(
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
fn tile<const BITS: usize, const BLOCKS: usize, D: Dots<BITS>>(
    x: &[[[D::Block; 2]; BLOCKS]],
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
                let [upper, lower] = D::dots::<BLOCKS, 2>(x, starts, &words[c][group]);
                let dot = lower.to_f32().mul_add(F32x4::splat(1.0 / D::PART), upper.to_f32());
                add(sums[c], dot, factors[c][group])
            })
        } else {
            from_fn(|c| {
                let [upper] = D::dots::<BLOCKS, 1>(x, starts, &words[c][group]);
                add(sums[c], upper.to_f32(), factors[c][group])
            })
        };
    }
    sums.map(F32x4::sum)
}

/// Rows of activations as integers.
pub(super) struct Activations<Block> {
    /// By row and block, as dot products read them: upper integers, and lower ones.
    blocks: Vec<[Block; 2]>,
    /// By row and group: the unit of the upper integers.
    units: Vec<f32>,
    /// By row and group: the sum of the activations.
    sums: Vec<f32>,
    /// By row and group: whether the lower integers count.
    pub(super) fine: Vec<bool>,
    /// By row and group: what the sums of products with upper and with lower integers begin with, so that codes count
    /// from their middle on: what is nearly zero must not come out as a difference of large sums.
    starts: Vec<[[i32; 4]; 2]>,
}

impl<Block> Activations<Block> {
    pub(super) fn new<const BITS: usize, D: Dots<BITS, Block = Block>>(packing: Packing, x: &[f32]) -> Self {
        let (group, groups) = (packing.group(), packing.groups());
        let rows = x.len().checked_div(packing.columns).unwrap_or(0);
        let mut these = Self {
            blocks: Vec::with_capacity(rows * groups * group / BLOCK),
            units: Vec::with_capacity(rows * groups),
            sums: Vec::with_capacity(rows * groups),
            fine: Vec::with_capacity(rows * groups),
            starts: Vec::with_capacity(rows * groups),
        };
        let most = f32::from(D::MOST);
        for row in x.chunks_exact(packing.columns.max(1)) {
            for group_of in row.chunks(group) {
                let widest = group_of.iter().fold(0.0_f32, |widest, x| widest.max(x.abs()));
                let steps = if widest > 0.0 { most / widest } else { 0.0 };
                // A NaN or an infinity must come out as one: as the unit it reaches every sum of the row.
                let finite = group_of.iter().map(|x| x * 0.0).sum::<f32>();
                these.units.push(widest / most + finite);
                these.sums.push(group_of.iter().sum());
                these.fine.push(counts_below(group_of, widest / most, packing.columns));
                let mut whole_sums = [0, 0];
                for at in (0..group).step_by(BLOCK) {
                    let (mut upper, mut lower) = ([0_i16; BLOCK], [0_i16; BLOCK]);
                    let rest = group_of.get(at..).unwrap_or_default();
                    for ((upper, lower), &x) in upper.iter_mut().zip(&mut lower).zip(rest) {
                        let wished = x * steps;
                        let whole = wished.round_ties_even();
                        *upper = whole as i16;
                        *lower = ((wished - whole) * D::PART).round_ties_even() as i16;
                        whole_sums[0] += i32::from(*upper);
                        whole_sums[1] += i32::from(*lower);
                    }
                    these.blocks.push([D::block(&upper), D::block(&lower)]);
                }
                these.starts.push(whole_sums.map(|sum| [-sum << (BITS - 1), 0, 0, 0]));
            }
        }
        these
    }
}

/// Whether what is below a unit of these activations counts in a sum of `depth` products.
///
/// Half a unit is the most that an activation loses without. A float32 sum of `depth` products may be wrong by
/// `depth · 2^-24` of the sum of their sizes, to which each activation adds its own: so much may be lost.
fn counts_below(of: &[f32], unit: f32, depth: usize) -> bool {
    let mean = of.iter().map(|x| x.abs()).sum::<f32>() / of.len() as f32;
    unit / 2.0 > depth as f32 * (f32::EPSILON / 2.0) * mean
}
