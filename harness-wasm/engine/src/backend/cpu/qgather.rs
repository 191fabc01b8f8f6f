//! `qgather`: only the rows that are picked are unpacked.

use crate::quant::{Packing, Scales, dequantise_row};
use crate::tensor::Tensor;

pub(super) fn run(packing: Packing, inputs: &[&Tensor]) -> Tensor {
    let (words, scales): (&[u32], &[u32]) =
        (bytemuck::cast_slice(inputs[0].as_i32()), bytemuck::cast_slice(inputs[1].as_i32()));
    let (rows, columns) = (inputs[0].shape()[0], packing.columns);
    let (mut room, mut out) = (Scales::new(packing), vec![0.0; inputs[2].len() * columns]);
    for (to, &index) in out.chunks_exact_mut(columns.max(1)).zip(inputs[2].as_i32()) {
        let row = (index.max(0) as usize).min(rows - 1);
        let words = &words[row * packing.words()..][..packing.words()];
        let scales = &scales[row * packing.scale_words()..][..packing.scale_words()];
        dequantise_row(&mut room, words, scales, to);
    }
    Tensor::f32([inputs[2].shape(), &[columns]].concat(), out)
}
