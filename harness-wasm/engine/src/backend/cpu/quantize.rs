//! `quantize`: rows packed by the routine that packs weights.

use crate::ops::{Part, Quantize};
use crate::quant::{Fit, Matrix};
use crate::tensor::Tensor;

pub(super) fn run(op: Quantize, x: &Tensor) -> Tensor {
    let (&columns, outer) = x.shape().split_last().expect("inferred");
    let count: usize = outer.iter().product();
    let packed = Matrix::packed(x.as_f32(), &[count, columns], op.scheme, Fit::Nearest);
    let part = if op.part == Part::Words { packed.words() } else { packed.scales() };
    part.clone().reshaped([outer, &[op.width(columns)]].concat())
}
