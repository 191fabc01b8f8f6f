//! A quantised matrix.

use half::f16;

use super::bits;
use super::fit::{self, Fit};
use super::scales::{self, Affine};
use super::scheme::{BLOCK, Packing, Scheme};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Weights `[rows, columns]`, each row packed by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    packing: Packing,
    /// `[rows, Packing::words]`.
    words: Tensor,
    /// `[rows, Packing::scale_words]`.
    scales: Tensor,
}

impl Matrix {
    /// Packs `weights`; `name` is what errors call them.
    ///
    /// # Errors
    /// If a weight is not finite: no scale could hold it.
    pub fn quantise(name: &str, weights: &[f32], columns: usize, scheme: Scheme, fit: Fit) -> Result<Self> {
        if let Some(at) = weights.iter().position(|x| !x.is_finite()) {
            return Err(Error::Weight {
                name: name.to_owned(),
                reason: format!("{} at {at} cannot be quantised", weights[at]),
            });
        }
        let packing = Packing { scheme, columns };
        let rows = weights.len().checked_div(columns).unwrap_or(0);
        let (mut words, mut scales) = (Vec::with_capacity(rows * packing.words()), Vec::new());
        for row in weights.chunks_exact(columns.max(1)) {
            match scheme {
                Scheme::Half => words.extend(row.chunks(2).map(|pair| {
                    let half =
                        |x: Option<&f32>| u32::from(f16::from_f32(x.copied().unwrap_or(0.0)).to_bits());
                    half(pair.first()) | half(pair.get(1)) << 16
                })),
                Scheme::Grouped { .. } => pack_row(packing, row, fit, &mut words, &mut scales),
            }
        }
        let tensor = |words: Vec<u32>, width| Tensor::i32([rows, width], bytemuck::cast_vec(words));
        Ok(Self {
            packing,
            words: tensor(words, packing.words()),
            scales: tensor(scales, packing.scale_words()),
        })
    }

    /// How its rows are stored.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.words.shape()[0]
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
        dequantised(self.packing, &self.words, &self.scales)
    }
}

/// The weights that rows of words and of scales stand for.
pub(crate) fn dequantised(packing: Packing, words: &Tensor, scales: &Tensor) -> Vec<f32> {
    let rows = words.len().checked_div(packing.words()).unwrap_or(0);
    let (words, scales): (&[u32], &[u32]) =
        (bytemuck::cast_slice(words.as_i32()), bytemuck::cast_slice(scales.as_i32()));
    let mut out = vec![0.0; rows * packing.columns];
    for (row, to) in out.chunks_exact_mut(packing.columns.max(1)).enumerate() {
        let words = &words[row * packing.words()..][..packing.words()];
        let scales = &scales[row * packing.scale_words()..][..packing.scale_words()];
        dequantise_row(packing, words, scales, to);
    }
    out
}

/// The weights that a row stands for.
pub(crate) fn dequantise_row(packing: Packing, words: &[u32], scales: &[u32], out: &mut [f32]) {
    let Scheme::Grouped { bits, .. } = packing.scheme else {
        for (to, &word) in out.chunks_mut(2).zip(words) {
            for (i, to) in to.iter_mut().enumerate() {
                *to = f16::from_bits((word >> (16 * i)) as u16).to_f32();
            }
        }
        return;
    };
    let blocks = words.chunks_exact(packing.block_words());
    for (at, (to, words)) in out.chunks_mut(BLOCK).zip(blocks).enumerate() {
        let Affine { scale, min } = scales::read(packing, scales, at * BLOCK / packing.group());
        for (to, q) in to.iter_mut().zip(bits::unpack(bits, words)) {
            *to = scale * f32::from(q) + min;
        }
    }
}

fn pack_row(packing: Packing, row: &[f32], fit: Fit, words: &mut Vec<u32>, scales: &mut Vec<u32>) {
    let Scheme::Grouped { bits, asymmetric, nested, .. } = packing.scheme else {
        unreachable!("called for groups")
    };
    let fitted: Vec<Affine> = row
        .chunks(packing.group())
        .map(|group| {
            if asymmetric {
                fit::asymmetric(bits, group, nested, fit)
            } else {
                fit::symmetric(bits, group, fit)
            }
        })
        .collect();
    let start = scales.len();
    scales::write(packing, &fitted, scales);
    let mut codes = row.to_vec();
    // What fills the last group up is read by nobody; zero makes the bits the same everywhere.
    codes.resize(packing.groups() * packing.group(), 0.0);
    for (at, block) in codes.as_chunks::<BLOCK>().0.iter().enumerate() {
        // Codes are chosen for the numbers as they are stored, not as they were wished.
        let group = scales::read(packing, &scales[start..], at * BLOCK / packing.group());
        bits::pack(bits, &block.map(|x| fit::code(bits, x, group)), words);
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
            let matrix = Matrix::quantise("w", &weights, columns, scheme, Fit::Nearest).unwrap();
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
    fn what_is_not_finite_is_refused() {
        let told = Matrix::quantise("a.weight", &[1.0, f32::NAN], 2, Scheme::Half, Fit::Mse).unwrap_err();
        assert_eq!(told.to_string(), "weight a.weight: NaN at 1 cannot be quantised");
    }
}
