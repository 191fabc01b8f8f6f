//! `dequantize`: the matrix that packed rows stand for.

use half::f16;

use super::{operands, require};
use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::quant::{Bits, Packing, Scheme};
use crate::tensor::{DType, Tensor};

/// Checks a matrix's words and scales, and gives its number of rows.
pub(super) fn rows(
    op: &'static str,
    packing: Packing,
    words: &TensorType,
    scales: &TensorType,
) -> Result<usize> {
    require(op, "the words", words, DType::I32)?;
    require(op, "the scales", scales, DType::I32)?;
    match (&words.shape[..], &scales.shape[..]) {
        (&[rows, w], &[rows2, s]) if rows == rows2 && w == packing.words() && s == packing.scale_words() => {
            Ok(rows)
        }
        (words, scales) => Err(Error::shape(
            op,
            format!(
                "words {words:?} and scales {scales:?} are no rows of {} × {}",
                packing.columns, packing.scheme
            ),
        )),
    }
}

pub(super) fn infer(packing: Packing, inputs: &[&TensorType]) -> Result<TensorType> {
    let [words, scales] = operands("dequantize", inputs)?;
    Ok(TensorType::f32([rows("dequantize", packing, words, scales)?, packing.columns]))
}

pub(super) fn eval(packing: Packing, words: &Tensor, scales: &Tensor) -> Tensor {
    let rows = words.shape()[0];
    let (words, scales): (&[u32], &[u32]) =
        (bytemuck::cast_slice(words.as_i32()), bytemuck::cast_slice(scales.as_i32()));
    let mut out = Vec::with_capacity(rows * packing.columns);
    for row in 0..rows {
        let words = &words[row * packing.words()..(row + 1) * packing.words()];
        let scales = &scales[row * packing.scale_words()..(row + 1) * packing.scale_words()];
        out.extend((0..packing.columns).map(|column| weight(packing, words, scales, column) as f32));
    }
    Tensor::f32([rows, packing.columns], out)
}

/// One weight of a row, bit by bit as the layout's tables in [`crate::quant`] have it. Kernels unpack whole blocks, by other
/// code: this is what they are held to.
fn weight(packing: Packing, words: &[u32], scales: &[u32], column: usize) -> f64 {
    let Scheme::Grouped { bits, group, .. } = packing.scheme else {
        return half(words[column / 2], column % 2);
    };
    let [scale, min] = affine(packing, scales, column / group.size());
    scale * f64::from(code(bits, words, column)) + min
}

/// The lower or the upper float16 of a word.
pub(super) fn half(word: u32, at: usize) -> f64 {
    f64::from(f16::from_bits((word >> (16 * at)) as u16))
}

/// A column's `q`.
pub(super) fn code(bits: Bits, words: &[u32], column: usize) -> u32 {
    let (block, quad, byte) = (column / 32, column % 32 / 4, column % 4);
    // Bits `at..at + count` of the quad's byte in word `i` of the block.
    let field = |i: usize, at: usize, count: usize| {
        (words[block * bits.count() + i] >> (8 * byte + at)) & ((1 << count) - 1)
    };
    match bits {
        Bits::Eight => field(quad, 0, 8),
        Bits::Four => field(quad / 2, 4 * (quad % 2), 4),
        Bits::Two => field(quad / 4, 2 * (quad % 4), 2),
        Bits::Three => field(quad / 4, 2 * (quad % 4), 2) + 4 * field(2, quad, 1),
    }
}

/// The scale and the minimum of a row's group.
pub(super) fn affine(packing: Packing, scales: &[u32], at: usize) -> [f64; 2] {
    let Scheme::Grouped { bits, asymmetric, nested, .. } = packing.scheme else { return [1.0, 0.0] };
    let centred = |scale: f64| [scale, -f64::from(bits.zero()) * scale];
    match (nested, asymmetric) {
        (false, false) => centred(half(scales[at / 2], at % 2)),
        (false, true) => {
            let mins = &scales[scales.len() / 2..];
            [half(scales[at / 2], at % 2), half(mins[at / 2], at % 2)]
        }
        (true, false) => {
            let [head, low] = [0, 1].map(|i| scales[at / 8 * 2 + i]);
            let number = (low >> (4 * (at % 8))) % 16 + (head >> (16 + 2 * (at % 8))) % 4 * 16;
            centred(half(head, 0) * (f64::from(number) - 32.0))
        }
        (true, true) => {
            let [head, scale, min, high] = [0, 1, 2, 3].map(|i| scales[at / 8 * 4 + i]);
            let number = |low: u32, from: usize| {
                f64::from((low >> (4 * (at % 8))) % 16 + (high >> (from + 2 * (at % 8))) % 4 * 16)
            };
            [half(head, 0) * number(scale, 0), half(head, 1) * number(min, 16)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::{Fit, Matrix};
    use crate::weights::twin::Draw;

    /// The definition and what weights are read as: two pieces of code, one meaning.
    #[test]
    fn the_definition_is_what_matrices_stand_for() {
        let mut draw = Draw::new(4, "definition");
        for scheme in Scheme::all() {
            for columns in [1, 31, 75, 300] {
                let weights: Vec<f32> = (0..3 * columns).map(|_| draw.normal()).collect();
                let matrix = Matrix::quantise("w", &weights, &[3, columns], scheme, Fit::Nearest).unwrap();
                let defined = eval(matrix.packing(), matrix.words(), matrix.scales());
                for (defined, read) in defined.as_f32().iter().zip(matrix.dequantised()) {
                    assert!((defined - read).abs() <= 1e-6, "{scheme} of {columns}: {defined} {read}");
                }
            }
        }
    }
}
