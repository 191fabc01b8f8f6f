//! `qgather` and `dequantize`: rows unpacked, those that are picked or all.

use crate::quant::{Packing, Rows, Scales};
use crate::tensor::Tensor;

pub(super) fn run(packing: Packing, inputs: &[&Tensor]) -> Tensor {
    let table = Rows::new(packing, inputs[0], inputs[1]);
    let rows = inputs[2].as_i32().iter().map(|&index| (index.max(0) as usize).min(table.count - 1));
    Tensor::f32([inputs[2].shape(), &[packing.columns]].concat(), unpacked(&table, rows))
}

pub(super) fn all(packing: Packing, words: &Tensor, scales: &Tensor) -> Tensor {
    let table = Rows::new(packing, words, scales);
    Tensor::f32([table.count, packing.columns], unpacked(&table, 0..table.count))
}

fn unpacked(table: &Rows<'_>, rows: impl ExactSizeIterator<Item = usize>) -> Vec<f32> {
    let columns = table.packing.columns;
    let (mut room, mut out) = (Scales::new(table.packing), vec![0.0; rows.len() * columns]);
    for (to, row) in out.chunks_exact_mut(columns.max(1)).zip(rows) {
        table.dequantise(&mut room, row, to);
    }
    out
}
