//! Cases of the ops that read packed weights: every scheme.

use super::{Cases, floats, integers};
use crate::ops::dequantize;
use crate::ops::{Op, Part, Qgemm, Quantize, Unary};
use crate::quant::{Bits, Fit, Matrix, Packing, Scheme};
use crate::tensor::Tensor;

/// What a matrix's weights are stored as, in WebNN's words.
pub(super) fn dtype(packing: Packing) -> &'static str {
    match packing.scheme {
        Scheme::Half => "float16",
        Scheme::Grouped { bits: Bits::Eight, .. } => "int8",
        Scheme::Grouped { bits: Bits::Four, .. } => "int4",
        Scheme::Grouped { bits: Bits::Three, .. } => "int3",
        Scheme::Grouped { bits: Bits::Two, .. } => "int2",
    }
}

/// `scale · q + min`, where the two may be summed in one rounding or in two.
pub(super) fn rounding(packing: Packing, inputs: &[Tensor]) -> f32 {
    4.0 * f32::EPSILON * widest(dequantize::eval(packing, &inputs[0], &inputs[1]).as_f32())
}

/// A sum of `k` products in float32, in which a weight may be `scale · q + min` with the two summed apart: errors are
/// those of the larger terms.
pub(super) fn product(op: Qgemm, inputs: &[Tensor], at: usize) -> f32 {
    let (n, k) = (inputs[1].shape()[0], op.packing.columns);
    let (row, column) = (at / n, at % n);
    let x = widest(&inputs[0].as_f32()[row * k..(row + 1) * k]);
    let part = |tensor: &Tensor| {
        let width = tensor.shape()[1];
        Tensor::i32([1, width], tensor.as_i32()[column * width..(column + 1) * width].to_vec())
    };
    let weights = widest(dequantize::eval(op.packing, &part(&inputs[1]), &part(&inputs[2])).as_f32());
    4.0 * f32::EPSILON * k as f32 * (x * weights).max(1.0)
}

fn widest(numbers: &[f32]) -> f32 {
    numbers.iter().fold(0.0, |widest, number| widest.max(number.abs()))
}

fn matrix(rows: usize, columns: usize, scheme: Scheme) -> Matrix {
    let scale = 1.0 / (columns as f32).sqrt();
    let weights: Vec<f32> = floats("packed", &[rows, columns]).as_f32().iter().map(|w| w * scale).collect();
    Matrix::quantise("w", &weights, &[rows, columns], scheme, Fit::Mse).expect("finite")
}

pub(super) fn add(cases: &mut Cases) {
    for scheme in Scheme::all() {
        for [m, k, n] in [[1, 300, 33], [6, 96, 10]] {
            let w = matrix(n, k, scheme);
            let operands = vec![floats("x", &[m, k]), w.words().clone(), w.scales().clone()];
            let op = Qgemm { packing: w.packing(), activation: None };
            cases.add(&format!("{scheme} {m}x{k}x{n}"), Op::Qgemm(op), operands.clone());
        }
        let w = matrix(7, 75, scheme);
        let table = vec![w.words().clone(), w.scales().clone()];
        cases.add(&scheme.to_string(), Op::Dequantize(w.packing()), table.clone());
        let picks = integers("picks", &[2, 3], 7);
        cases.add(&scheme.to_string(), Op::Qgather(w.packing()), [table, vec![picks]].concat());
    }
    // So deep that the CPU leaves out what 16 bits of an activation leave over, but in the group with one far above the rest.
    for scheme in ["int8-g128", "int4-g32", "int4-g64-asym", "int3-g32-asym-super", "int2-g32-asym-super"] {
        let w = matrix(6, 2048, scheme.parse().expect("a scheme"));
        let mut x = floats("x", &[2, 2048]);
        x.as_f32_mut()[99] = 40.0;
        let op = Qgemm { packing: w.packing(), activation: None };
        let operands = vec![x, w.words().clone(), w.scales().clone()];
        cases.add(&format!("{scheme} 2x2048x6"), Op::Qgemm(op), operands);
    }
    // Rows that end within four columns, whose neighbours are the next row's; one activation far above all others.
    for scheme in ["fp16", "int8-g64", "int4-g32", "int3-g32-asym", "int2-g32-asym-super"] {
        let w = matrix(7, 75, scheme.parse().expect("a scheme"));
        for m in [2, 9] {
            let mut x = floats("x", &[m, 75]);
            x.as_f32_mut()[74] = 1e4;
            let op = Qgemm { packing: w.packing(), activation: None };
            let operands = vec![x, w.words().clone(), w.scales().clone()];
            cases.add(&format!("{scheme} {m}x75x7"), Op::Qgemm(op), operands);
        }
    }
    for scheme in ["fp16", "int8-g32", "int4-g32", "int3-g32-asym", "int2-g32-asym", "int4-g32-asym"] {
        let known: Scheme = scheme.parse().expect("a scheme");
        for part in [Part::Words, Part::Scales] {
            if known != Scheme::Half || part == Part::Words {
                let name = if part == Part::Words { "words" } else { "scales" };
                let op = Op::Quantize(Quantize { scheme: known, part });
                // An odd number of groups, the last one cut short.
                cases.add(&format!("{scheme} {name}"), op, vec![floats("rows", &[2, 3, 75])]);
            }
        }
    }
    for (scheme, [m, k, n]) in
        [("int4-g32", [3, 512, 40]), ("int8-g128", [2, 640, 9]), ("int2-g32-asym-super", [40, 520, 36])]
    {
        let w = matrix(n, k, scheme.parse().expect("a scheme"));
        let op = Qgemm { packing: w.packing(), activation: Some(Unary::Gelu) };
        let operands = vec![floats("x", &[m, k]), w.words().clone(), w.scales().clone(), floats("c", &[n])];
        cases.add(&format!("{scheme} {m}x{k}x{n} bias gelu"), Op::Qgemm(op), operands);
    }
}
