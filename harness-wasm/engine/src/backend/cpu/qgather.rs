//! `qgather`: only the rows that are picked are unpacked.

use crate::quant::{Packing, Rows, Scales};
use crate::tensor::Tensor;

pub(super) fn run(packing: Packing, inputs: &[&Tensor]) -> Tensor {
    let (table, columns) = (Rows::new(packing, inputs[0], inputs[1]), packing.columns);
    let (mut room, mut out) = (Scales::new(packing), vec![0.0; inputs[2].len() * columns]);
    for (to, &index) in out.chunks_exact_mut(columns.max(1)).zip(inputs[2].as_i32()) {
        table.dequantise(&mut room, (index.max(0) as usize).min(table.count - 1), to);
    }
    Tensor::f32([inputs[2].shape(), &[columns]].concat(), out)
}
