//! `qgemm`: for few rows by dot products with the packed codes, for many by unpacking weights into panels of `gemm`.

mod bytes;
mod grouped;
mod halves;
mod words;

use std::array::from_fn;

use super::elementwise::unary_in_place;
use super::gemm;
use super::parallel::{self, Crew};
use crate::ops::Qgemm;
use crate::quant::{Bits, Rows, Scales, Scheme};
use crate::tensor::Tensor;
use bytes::Bytes;
use words::Words;

/// From so many rows of activations on, weights are unpacked to floats once for all of them.
const MANY: usize = 4;
/// Columns whose loads of a row are shared.
const COLUMNS: usize = 4;
/// Columns that are unpacked to floats at once.
const UNPACKED: usize = 4 * gemm::NR;

/// Computes some columns of the result, in all its rows.
type Kernel = Box<dyn Fn(&Part<'_>, &mut [&mut [f32]]) + Sync>;

/// Whether there are dot products of bytes for these operands, which [`run`] can be asked for.
pub(super) fn has_bytes(op: Qgemm, x: &Tensor) -> bool {
    // Slower than words but with relaxed SIMD's instruction. Outside of pages they are there to be tested.
    let relaxed = cfg!(not(target_arch = "wasm32")) || cfg!(target_feature = "relaxed-simd");
    let four = matches!(op.packing.scheme, Scheme::Grouped { bits: Bits::Four, .. });
    relaxed && four && x.shape()[0] < MANY
}

/// `activation(x · wᵀ + bias)`: operands as [`Qgemm`] says; by dot products of bytes if asked for and there are any.
pub(super) fn run(crew: &Crew, op: Qgemm, inputs: &[&Tensor], bytes: bool) -> Tensor {
    let weight = Rows::new(op.packing, inputs[1], inputs[2]);
    let (m, n) = (inputs[0].shape()[0], weight.count);
    let (x, packing) = (inputs[0].as_f32(), op.packing);
    let kernel: Kernel = match packing.scheme {
        _ if m >= MANY => {
            let x = gemm::RowBlocks::of(x, packing.columns);
            Box::new(move |part, out| unpacked(part, &x, out))
        }
        Scheme::Half => halves::kernel(packing, x),
        Scheme::Grouped { bits: Bits::Two, .. } => grouped::kernel::<2, Words>(packing, x),
        Scheme::Grouped { bits: Bits::Three, .. } => grouped::kernel::<3, Words>(packing, x),
        Scheme::Grouped { bits: Bits::Four, .. } if bytes && has_bytes(op, inputs[0]) => {
            grouped::kernel::<4, Bytes>(packing, x)
        }
        Scheme::Grouped { bits: Bits::Four, .. } => grouped::kernel::<4, Words>(packing, x),
        Scheme::Grouped { bits: Bits::Eight, .. } => grouped::kernel::<8, Words>(packing, x),
    };
    let mut out = vec![0.0; m * n];
    let units = crew.split(n.div_ceil(gemm::NR), gemm::NR * m * packing.columns);
    let columns: Vec<_> = units.iter().map(|at| at.start * gemm::NR..(at.end * gemm::NR).min(n)).collect();
    let rows = parallel::columns(&mut out, n, &columns);
    crew.each(columns.into_iter().zip(rows).collect(), |(columns, mut rows)| {
        kernel(&Part { weight: &weight, first: columns.start, count: columns.len() }, &mut rows);
        for row in &mut rows {
            if let Some(bias) = inputs.get(3) {
                let bias = &bias.as_f32()[columns.clone()];
                row.iter_mut().zip(bias).for_each(|(y, c)| *y += c);
            }
            if let Some(activation) = op.activation {
                unary_in_place(activation, row);
            }
        }
    });
    Tensor::f32([m, n], out)
}

/// Some columns of the result, which are rows of the weight.
struct Part<'w> {
    weight: &'w Rows<'w>,
    first: usize,
    count: usize,
}

/// Columns whose loads of a row of activations are shared: as far from one another as can be. Each is then a stream of
/// memory of its own, where processors read ahead in one stream a page. Towards the end some come twice.
fn tiles(count: usize) -> impl Iterator<Item = [usize; COLUMNS]> {
    let apart = count.div_ceil(COLUMNS);
    (0..apart).map(move |at| from_fn(|c| (c * apart + at).min(count - 1)))
}

/// Unpacks some columns at a time and multiplies all rows by them.
fn unpacked(part: &Part<'_>, x: &gemm::RowBlocks, out: &mut [&mut [f32]]) {
    let k = part.weight.packing.columns;
    let mut scales = Scales::new(part.weight.packing);
    let (mut rows, mut panels) = (vec![0.0; UNPACKED * k], Vec::new());
    for first in (0..part.count).step_by(UNPACKED) {
        let columns = UNPACKED.min(part.count - first);
        let rows = &mut rows[..columns * k];
        for (c, row) in rows.chunks_exact_mut(k.max(1)).enumerate() {
            part.weight.dequantise(&mut scales, part.first + first + c, row);
        }
        gemm::pack_rows(&mut panels, rows, k);
        let mut out: Vec<&mut [f32]> = out.iter_mut().map(|row| &mut row[first..first + columns]).collect();
        x.accumulate(&panels, 0..k, &mut out);
    }
}

#[cfg(test)]
mod tests;
