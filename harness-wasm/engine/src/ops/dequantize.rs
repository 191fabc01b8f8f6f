//! `dequantize`: the matrix that packed rows stand for.

use super::{operands, require};
use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::quant::{self, Packing};
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
    Tensor::f32([words.shape()[0], packing.columns], quant::dequantised(packing, words, scales))
}
