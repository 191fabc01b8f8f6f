//! `quantize`: rows packed as they are computed, for caches; and the same with another's rounding, for the oracle.
//!
//! Two devices whose sums differ in the last bit may round a number to two different codes. What follows from a code is held
//! to the tolerance of float32, and a code is coarse: so the oracle does not round by itself where another's rounding
//! is as right as its own. [`Quantize::adopt`] takes what was given, group by group, if every code of it lies within half a step of
//! what the oracle computed, give or take what float32 may be off ([`SLACK`]); what is not so right is not taken, and then the
//! two differ.

use half::f16;

use super::dequantize::{affine, code, half};
use super::{operands, require};
use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::quant::{BLOCK, Bits, Group, Packing, Scheme};
use crate::tensor::{DType, Tensor};

/// One of the two tensors that packed rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The numbers' bits.
    Words,
    /// Their scales and minimums.
    Scales,
}

/// Rows to packed rows, each group's extremes its first and last code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quantize {
    /// How rows are stored: groups of 32 without super-blocks, or half precision.
    pub scheme: Scheme,
    /// Which tensor of them this is.
    pub part: Part,
}

/// How far a number computed in float32 may be off, as a part of the widest of its row.
const SLACK: f64 = 1e-5;
/// How far a scale or a half may be off besides, in units of its last place: WGSL lets conversions round either way.
const PLACES: f64 = 1.0;

impl Quantize {
    /// How a row of so many numbers is stored.
    pub fn packing(self, columns: usize) -> Packing {
        Packing { scheme: self.scheme, columns }
    }

    /// Words of a row of so many numbers.
    pub fn width(self, columns: usize) -> usize {
        match self.part {
            Part::Words => self.packing(columns).words(),
            Part::Scales => self.packing(columns).scale_words(),
        }
    }

    pub(super) fn infer(self, inputs: &[&TensorType]) -> Result<TensorType> {
        let [x] = operands("quantize", inputs)?;
        self.of("quantize", x)
    }

    fn of(self, op: &'static str, x: &TensorType) -> Result<TensorType> {
        require(op, "the rows", x, DType::F32)?;
        let plain = match self.scheme {
            Scheme::Half => self.part == Part::Words,
            Scheme::Grouped { group, nested, .. } => group == Group::Of32 && !nested,
        };
        match x.shape.split_last() {
            Some((&columns, rows)) if plain && columns > 0 => {
                Ok(TensorType::i32([rows, &[self.width(columns)]].concat()))
            }
            _ => Err(Error::shape(op, format!("no {:?} of {} in {:?}", self.part, self.scheme, x.shape))),
        }
    }

    /// `x [batch, tokens, columns]`, another's packed rows `words scales [batch, context, …]`, and where tokens stand among them.
    pub(super) fn infer_adopt(self, inputs: &[&TensorType]) -> Result<TensorType> {
        let [x, words, scales, position] = operands("adopt", inputs)?;
        require("adopt", "the position", position, DType::I32)?;
        require("adopt", "the words", words, DType::I32)?;
        require("adopt", "the scales", scales, DType::I32)?;
        let (&[batch, _, columns], &[b, context, w], &[b2, context2, s]) =
            (&x.shape[..], &words.shape[..], &scales.shape[..])
        else {
            return Err(Error::shape("adopt", "rows need rank 3"));
        };
        let packing = self.packing(columns);
        let fits = (b, b2, context2) == (batch, batch, context)
            && (w, s) == (packing.words(), packing.scale_words());
        if !fits {
            return Err(Error::shape(
                "adopt",
                format!("{:?} {:?} are no rows of it", words.shape, scales.shape),
            ));
        }
        self.of("adopt", x)
    }

    pub(super) fn eval(self, x: &Tensor) -> Tensor {
        self.collected(x, |_, row| pack(self.packing(row.len()), row))
    }

    pub(super) fn adopt(self, inputs: &[&Tensor]) -> Tensor {
        let [x, words, scales, position] = inputs else { unreachable!("four operands: inferred") };
        let (tokens, context) = (x.shape()[1], words.shape()[1]);
        let start = position.as_i32()[0].max(0) as usize;
        let given = |tensor: &Tensor, row: usize| -> Option<Vec<u32>> {
            let (at, width) = (start + row % tokens, tensor.shape()[2]);
            let first = (row / tokens * context + at) * width;
            (at < context).then(|| bytemuck::cast_slice(&tensor.as_i32()[first..first + width]).to_vec())
        };
        self.collected(x, |at, row| {
            let packing = self.packing(row.len());
            let own = pack(packing, row);
            match (given(words, at), given(scales, at)) {
                (Some(words), Some(scales)) => adopted(packing, row, own, (words, scales)),
                _ => own,
            }
        })
    }

    fn collected(self, x: &Tensor, pack: impl Fn(usize, &[f32]) -> (Vec<u32>, Vec<u32>)) -> Tensor {
        let (columns, rows) = x.shape().split_last().expect("inferred");
        let mut out: Vec<u32> = Vec::new();
        for (at, row) in x.as_f32().chunks_exact(*columns).enumerate() {
            let (words, scales) = pack(at, row);
            out.extend(if self.part == Part::Words { words } else { scales });
        }
        Tensor::i32([rows, &[self.width(*columns)]].concat(), bytemuck::cast_vec(out))
    }
}

/// A row's words and scales, by the definition.
fn pack(packing: Packing, row: &[f32]) -> (Vec<u32>, Vec<u32>) {
    let (mut words, mut scales) = (vec![0; packing.words()], vec![0; packing.scale_words()]);
    let Scheme::Grouped { bits, asymmetric, .. } = packing.scheme else {
        for (i, &x) in row.iter().enumerate() {
            set_half(&mut words, i, f16::from_f32(x));
        }
        return (words, scales);
    };
    for (at, group) in row.chunks(BLOCK).enumerate() {
        let (scale, min) = fitted(bits, asymmetric, group);
        set_half(&mut scales, at, scale);
        if let Some(min) = min {
            let mins = packing.scale_words() / 2;
            set_half(&mut scales[mins..], at, min);
        }
        for (i, &x) in group.iter().enumerate() {
            set_code(bits, &mut words, at * BLOCK + i, place(affine(packing, &scales, at), bits, x) as u32);
        }
    }
    (words, scales)
}

/// A group's scale, and its minimum if the scheme keeps one.
fn fitted(bits: Bits, asymmetric: bool, group: &[f32]) -> (f16, Option<f16>) {
    if asymmetric {
        let (low, high) = extremes(group);
        let scale = (f64::from(high) - f64::from(low)) / f64::from(bits.most());
        return (narrowed(scale), Some(f16::from_f32(low)));
    }
    let widest = group.iter().copied().fold(0.0_f32, |a, b| if b.abs() > a.abs() { b } else { a });
    (narrowed(f64::from(widest) / -f64::from(bits.zero())), None)
}

fn extremes(group: &[f32]) -> (f32, f32) {
    group.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)))
}

/// Where `x` lies among the codes, a whole number.
fn place([scale, min]: [f64; 2], bits: Bits, x: f32) -> f64 {
    among([scale, min], bits, x).round_ties_even()
}

/// Where `x` lies among the codes.
fn among([scale, min]: [f64; 2], bits: Bits, x: f32) -> f64 {
    if scale == 0.0 { 0.0 } else { ((f64::from(x) - min) / scale).clamp(0.0, f64::from(bits.most())) }
}

/// By way of float32: straight from float64, processors with such an instruction and those without round differently, and a page
/// and its host would make other bits of the same rows.
fn narrowed(x: f64) -> f16 {
    f16::from_f32(x as f32)
}

fn set_half(words: &mut [u32], at: usize, half: f16) {
    words[at / 2] |= u32::from(half.to_bits()) << (16 * (at % 2));
}

/// Writes a column's code into words that are zero there.
fn set_code(bits: Bits, words: &mut [u32], column: usize, q: u32) {
    let (block, quad, byte) = (column / BLOCK * bits.count(), column % BLOCK / 4, 8 * (column % 4));
    match bits {
        Bits::Eight => words[block + quad] |= q << byte,
        Bits::Four => words[block + quad / 2] |= q << (byte + 4 * (quad % 2)),
        Bits::Two => words[block + quad / 4] |= q << (byte + 2 * (quad % 4)),
        Bits::Three => {
            words[block + quad / 4] |= (q & 3) << (byte + 2 * (quad % 4));
            words[block + 2] |= (q >> 2) << (byte + quad);
        }
    }
}

/// The row as it was given where that is right, group by group; else the row's own.
fn adopted(
    packing: Packing,
    row: &[f32],
    own: (Vec<u32>, Vec<u32>),
    given: (Vec<u32>, Vec<u32>),
) -> (Vec<u32>, Vec<u32>) {
    let slack = SLACK * row.iter().fold(0.0_f64, |a, &b| a.max(f64::from(b).abs()));
    let Scheme::Grouped { bits, asymmetric, .. } = packing.scheme else {
        let near = |(i, &x): (usize, &f32)| near(half(given.0[i / 2], i % 2), f64::from(x), slack);
        let filled = row.len().is_multiple_of(2) || given.0.last().is_some_and(|word| word >> 16 == 0);
        return if filled && row.iter().enumerate().all(near) { given } else { own };
    };
    let (mut words, mut scales) = own;
    for (at, group) in row.chunks(BLOCK).enumerate() {
        let theirs = affine(packing, &given.1, at);
        let coded = group.iter().enumerate().all(|(i, &x)| {
            let off = f64::from(code(bits, &given.0, at * BLOCK + i)) - among(theirs, bits, x);
            off.abs() * theirs[0].abs() <= 0.5 * theirs[0].abs() + slack
        });
        if !coded || !scaled(bits, asymmetric, group, theirs, slack) {
            continue;
        }
        for i in 0..group.len() {
            let column = at * BLOCK + i;
            clear_code(bits, &mut words, column);
            set_code(bits, &mut words, column, code(bits, &given.0, column));
        }
        let mins = packing.scale_words() / 2;
        for first in [0, mins].into_iter().take(if asymmetric { 2 } else { 1 }) {
            let (to, from) = (&mut scales[first + at / 2], given.1[first + at / 2]);
            let mask = 0xffff << (16 * (at % 2));
            *to = *to & !mask | from & mask;
        }
    }
    (words, scales)
}

/// Whether a float16 is what a number computed in float32 becomes.
fn near(given: f64, wanted: f64, slack: f64) -> bool {
    (given - wanted).abs() <= PLACES * last_place(wanted) + slack
}

/// Whether a group's numbers are those of its extremes.
fn scaled(bits: Bits, asymmetric: bool, group: &[f32], [scale, min]: [f64; 2], slack: f64) -> bool {
    if asymmetric {
        let (low, high) = extremes(group);
        let (low, high, steps) = (f64::from(low), f64::from(high), f64::from(bits.most()));
        return near(min, low, slack) && near(scale, (high - low) / steps, 2.0 * slack / steps);
    }
    // Of two that are nearly as wide, either may have been the widest.
    let zero = f64::from(bits.zero());
    let widest = group.iter().fold(0.0_f64, |a, &b| a.max(f64::from(b).abs()));
    let close = |x: &&f32| f64::from(x.abs()) >= widest - 2.0 * slack;
    group.iter().filter(close).any(|&x| near(scale, f64::from(x) / -zero, slack / zero))
}

fn clear_code(bits: Bits, words: &mut [u32], column: usize) {
    let mut mask = vec![0; words.len()];
    set_code(bits, &mut mask, column, bits.most());
    words.iter_mut().zip(mask).for_each(|(word, mask)| *word &= !mask);
}

/// The distance between float16 numbers around `x`. What lies below the normal ones a device may take for 0.
fn last_place(x: f64) -> f64 {
    const LEAST_NORMAL: f64 = 1.0 / 16384.0;
    if x.abs() < LEAST_NORMAL { LEAST_NORMAL } else { libm::exp2(libm::floor(libm::log2(x.abs())) - 10.0) }
}
