//! A quantised matrix.

use super::bits;
use super::fit::{self, Fit};
use super::scales::{self, Affine, Scales};
use super::scheme::{BLOCK, Bits, Packing, Scheme};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// A weight whose first axis are rows, each packed by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// The weight's shape: rows, and what a row's columns are.
    shape: Vec<usize>,
    packing: Packing,
    /// `[rows, Packing::words]`.
    words: Tensor,
    /// `[rows, Packing::scale_words]`.
    scales: Tensor,
}

impl Matrix {
    /// Packs `weights` of this shape, which has two axes or more; `name` is what errors call them.
    ///
    /// # Errors
    /// If a weight is not finite: no scale could hold it.
    pub fn quantise(name: &str, weights: &[f32], shape: &[usize], scheme: Scheme, fit: Fit) -> Result<Self> {
        check_finite(name, weights)?;
        Ok(Self::packed(weights, shape, scheme, fit))
    }

    /// As [`Self::quantise`], of numbers that are taken as they are: a group with one that is not finite stands for anything.
    pub(crate) fn packed(weights: &[f32], shape: &[usize], scheme: Scheme, fit: Fit) -> Self {
        let mut builder = Builder::new(shape, scheme);
        let packing = builder.packing;
        for row in weights.chunks_exact(packing.columns.max(1)) {
            match scheme {
                Scheme::Half => builder.words.extend(row.chunks(2).map(|pair| {
                    let half = |x: Option<&f32>| scales::bits_of(x.copied().unwrap_or(0.0));
                    half(pair.first()) | half(pair.get(1)) << 16
                })),
                Scheme::Grouped { bits, .. } => {
                    let fitted = builder.fitted(row, fit);
                    let codes: Vec<u8> = row
                        .iter()
                        .enumerate()
                        .map(|(i, &x)| fit::code(bits, x, fitted.groups[i / packing.group()]))
                        .collect();
                    builder.add(&fitted, &codes);
                }
            }
        }
        builder.finish()
    }

    /// The matrix that words and scales are said to be.
    ///
    /// # Errors
    /// If they are not.
    pub(crate) fn from_parts(
        scheme: Scheme,
        shape: &[usize],
        words: Tensor,
        scales: Tensor,
    ) -> std::result::Result<Self, String> {
        let packing = Packing { scheme, columns: shape[1..].iter().product() };
        let fits = words.shape() == [shape[0], packing.words()]
            && scales.shape() == [shape[0], packing.scale_words()];
        if !fits {
            return Err(format!(
                "words {:?} and scales {:?} are no rows of {} × {scheme}",
                words.shape(),
                scales.shape(),
                packing.columns
            ));
        }
        if scheme == Scheme::Half && words.as_i32().iter().any(|&word| !finite_halves(word as u32)) {
            return Err("a weight is no finite number".to_owned());
        }
        Ok(Self { shape: shape.to_vec(), packing, words, scales })
    }

    /// The weight's shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How its rows are stored.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// The weights' bits, `[rows, words]`.
    pub fn words(&self) -> &Tensor {
        &self.words
    }

    /// Their scales and minimums, `[rows, words]`.
    pub fn scales(&self) -> &Tensor {
        &self.scales
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.words.bytes().len() + self.scales.bytes().len()
    }

    /// The weights that it stands for, row after row.
    pub fn dequantised(&self) -> Vec<f32> {
        let (packed, mut room) =
            (Rows::new(self.packing, &self.words, &self.scales), Scales::new(self.packing));
        let mut out = vec![0.0; packed.count * self.packing.columns];
        for (row, to) in out.chunks_exact_mut(self.packing.columns.max(1)).enumerate() {
            packed.dequantise(&mut room, row, to);
        }
        out
    }
}

/// Whether neither float16 of a word has the exponent of what is no finite number.
const fn finite_halves(word: u32) -> bool {
    const ONES: u32 = 0x7c00;
    word & ONES != ONES && word >> 16 & ONES != ONES
}

/// Packed rows, where a graph or a matrix holds them.
pub(crate) struct Rows<'t> {
    /// How they are stored.
    pub(crate) packing: Packing,
    /// How many there are.
    pub(crate) count: usize,
    words: &'t [u32],
    scales: &'t [u32],
}

impl<'t> Rows<'t> {
    /// Those of the words and scales that an op has for operands.
    pub(crate) fn new(packing: Packing, words: &'t Tensor, scales: &'t Tensor) -> Self {
        Self::of(packing, words.shape()[0], words.as_i32(), scales.as_i32())
    }

    /// So many rows one after another.
    pub(crate) fn of(packing: Packing, count: usize, words: &'t [i32], scales: &'t [i32]) -> Self {
        Self { packing, count, words: bytemuck::cast_slice(words), scales: bytemuck::cast_slice(scales) }
    }

    /// A row's bits.
    pub(crate) fn words(&self, row: usize) -> &'t [u32] {
        &self.words[row * self.packing.words()..][..self.packing.words()]
    }

    /// A row's scales and minimums.
    pub(crate) fn scales(&self, row: usize) -> &'t [u32] {
        &self.scales[row * self.packing.scale_words()..][..self.packing.scale_words()]
    }

    /// What some columns of a row stand for, from `first` on: the numbers that [`Self::dequantise`] gives for them.
    pub(crate) fn dequantise_part(&self, row: usize, first: usize, out: &mut [f32]) {
        let (words, scales) = (self.words(row), self.scales(row));
        match self.packing.scheme {
            Scheme::Half => scales::halves_from(words, first, out),
            Scheme::Grouped { bits: Bits::Two, .. } => self.part::<2>(Bits::Two, words, scales, first, out),
            Scheme::Grouped { bits: Bits::Three, .. } => {
                self.part::<3>(Bits::Three, words, scales, first, out)
            }
            Scheme::Grouped { bits: Bits::Four, .. } => self.part::<4>(Bits::Four, words, scales, first, out),
            Scheme::Grouped { bits: Bits::Eight, .. } => {
                self.part::<8>(Bits::Eight, words, scales, first, out)
            }
        }
    }

    /// `bits` is a constant where this is inlined.
    #[inline(always)]
    fn part<const BITS: usize>(
        &self,
        bits: Bits,
        words: &[u32],
        scales: &[u32],
        first: usize,
        mut out: &mut [f32],
    ) {
        let words = words.as_chunks::<BITS>().0;
        let mut column = first;
        while !out.is_empty() {
            let block = column / BLOCK;
            // To the end of the block, or of what is asked for.
            let count = (BLOCK - column % BLOCK).min(out.len());
            let (to, rest) = std::mem::take(&mut out).split_at_mut(count);
            let Affine { scale, min } = scales::read(self.packing, scales, column / self.packing.group());
            let codes = bits::unpack(bits, &words[block]);
            for (to, &q) in to.iter_mut().zip(&codes[column % BLOCK..]) {
                *to = scale * f32::from(q) + min;
            }
            (column, out) = (column + to.len(), rest);
        }
    }

    /// The weights that a row stands for. `room` is of the same packing.
    pub(crate) fn dequantise(&self, room: &mut Scales, row: usize, out: &mut [f32]) {
        dequantise_row(room, self.words(row), self.scales(row), out);
    }
}

fn dequantise_row(room: &mut Scales, words: &[u32], scales: &[u32], out: &mut [f32]) {
    room.read(scales);
    match room.packing().scheme {
        Scheme::Half => scales::halves(words, out),
        Scheme::Grouped { bits: Bits::Two, .. } => dequantise_blocks::<2>(room, Bits::Two, words, out),
        Scheme::Grouped { bits: Bits::Three, .. } => dequantise_blocks::<3>(room, Bits::Three, words, out),
        Scheme::Grouped { bits: Bits::Four, .. } => dequantise_blocks::<4>(room, Bits::Four, words, out),
        Scheme::Grouped { bits: Bits::Eight, .. } => dequantise_blocks::<8>(room, Bits::Eight, words, out),
    }
}

/// `bits` is a constant where this is inlined, so that a block is unpacked without a branch.
#[inline(always)]
fn dequantise_blocks<const BITS: usize>(room: &Scales, bits: Bits, words: &[u32], out: &mut [f32]) {
    let blocks = room.packing().group() / BLOCK;
    let (whole, last) = out.as_chunks_mut::<BLOCK>();
    let words = words.as_chunks::<BITS>().0;
    let block = |at: usize| {
        let Affine { scale, min } = room.affine(at / blocks);
        bits::unpack(bits, &words[at]).map(|q| scale * f32::from(q) + min)
    };
    let count = whole.len();
    for (at, to) in whole.iter_mut().enumerate() {
        *to = block(at);
    }
    if !last.is_empty() {
        last.copy_from_slice(&block(count)[..last.len()]);
    }
}

/// What is no number has no place among groups.
pub(super) fn check_finite(name: &str, numbers: &[f32]) -> Result<()> {
    match numbers.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::Weight {
            name: name.to_owned(),
            reason: format!("{} at {at} cannot be quantised", numbers[at]),
        }),
    }
}

/// The numbers of a row's groups: as words, and as what these say.
pub(super) struct Fitted {
    words: Vec<u32>,
    pub(super) groups: Vec<Affine>,
}

impl Fitted {
    pub(super) fn new(packing: Packing, wished: &[Affine]) -> Self {
        let mut words = Vec::with_capacity(packing.scale_words());
        scales::write(packing, wished, &mut words);
        // Codes are chosen for the numbers as they are stored, not as they were wished.
        let groups = (0..wished.len()).map(|at| scales::read(packing, &words, at)).collect();
        Self { words, groups }
    }
}

/// A matrix that is made row by row.
pub(super) struct Builder {
    shape: Vec<usize>,
    pub(super) packing: Packing,
    words: Vec<u32>,
    scales: Vec<u32>,
}

impl Builder {
    pub(super) fn new(shape: &[usize], scheme: Scheme) -> Self {
        let packing = Packing { scheme, columns: shape[1..].iter().product() };
        let words = Vec::with_capacity(shape[0] * packing.words());
        let scales = Vec::with_capacity(shape[0] * packing.scale_words());
        Self { shape: shape.to_vec(), packing, words, scales }
    }

    /// The numbers that fit a row.
    pub(super) fn fitted(&self, row: &[f32], fit: Fit) -> Fitted {
        let Scheme::Grouped { bits, asymmetric, nested, .. } = self.packing.scheme else {
            unreachable!("half precision has no groups")
        };
        let wished: Vec<Affine> = row
            .chunks(self.packing.group())
            .map(|group| fit::group(bits, asymmetric, nested, group, fit))
            .collect();
        Fitted::new(self.packing, &wished)
    }

    /// Adds a row. What fills the last group up is 0.
    pub(super) fn add(&mut self, fitted: &Fitted, codes: &[u8]) {
        let Scheme::Grouped { bits, .. } = self.packing.scheme else { unreachable!("as above") };
        self.scales.extend_from_slice(&fitted.words);
        let mut codes = codes.to_vec();
        codes.resize(self.packing.groups() * self.packing.group(), 0);
        codes.as_chunks::<BLOCK>().0.iter().for_each(|block| bits::pack(bits, block, &mut self.words));
    }

    pub(super) fn finish(self) -> Matrix {
        let Self { shape, packing, words, scales } = self;
        let tensor = |words: Vec<u32>, width| Tensor::i32([shape[0], width], bytemuck::cast_vec(words));
        let (words, scales) = (tensor(words, packing.words()), tensor(scales, packing.scale_words()));
        Matrix { shape, packing, words, scales }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::weights::twin::Draw;

    fn drawn(rows: usize, columns: usize) -> Vec<f32> {
        let mut draw = Draw::new(5, "matrix");
        (0..rows * columns).map(|_| 0.1 * draw.normal()).collect()
    }

    proptest! {
        #[test]
        fn no_weight_is_further_off_than_its_step(
            rows in 1..4_usize,
            columns in 1..300_usize,
            scheme in prop::sample::select(Scheme::all()),
        ) {
            let weights = drawn(rows, columns);
            let matrix = Matrix::quantise("w", &weights, &[rows, columns], scheme, Fit::Nearest).unwrap();
            let packing = matrix.packing();
            prop_assert_eq!(matrix.words().shape(), [rows, packing.words()]);
            prop_assert_eq!(matrix.scales().shape(), [rows, packing.scale_words()]);
            let most = weights.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
            let step = match scheme {
                Scheme::Half => 0.001,
                // Symmetric: the widest weight's opposite has no code, and gets the one a step nearer to zero.
                // Asymmetric: half a step of the range. Nested numbers lose a part of the super-block's widest.
                Scheme::Grouped { bits, asymmetric, nested, .. } => {
                    let steps = if asymmetric { bits.most() } else { bits.zero() };
                    1.0 / steps as f32 + if nested { 0.1 } else { 0.002 }
                }
            };
            for (got, want) in matrix.dequantised().iter().zip(&weights) {
                prop_assert!((got - want).abs() <= step * most * 1.01, "{} {} {}", scheme, got, want);
            }
        }
    }

    #[test]
    fn a_part_of_a_row_is_what_it_is_of_the_whole() {
        let weights = drawn(2, 150);
        for scheme in Scheme::all() {
            let matrix = Matrix::quantise("w", &weights, &[2, 150], scheme, Fit::Nearest).unwrap();
            let rows = Rows::new(matrix.packing(), matrix.words(), matrix.scales());
            let whole = matrix.dequantised();
            for (first, count) in [(0, 150), (0, 1), (1, 2), (31, 2), (40, 80), (33, 0), (149, 1), (15, 17)] {
                let mut part = vec![f32::NAN; count];
                rows.dequantise_part(1, first, &mut part);
                for (part, whole) in part.iter().zip(&whole[150 + first..]) {
                    assert!((part - whole).abs() <= 1e-7, "{scheme} {first} {count}: {part} {whole}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        let told =
            Matrix::quantise("a.weight", &[1.0, f32::NAN], &[1, 2], Scheme::Half, Fit::Mse).unwrap_err();
        assert_eq!(told.to_string(), "weight a.weight: NaN at 1 cannot be quantised");
    }
}
