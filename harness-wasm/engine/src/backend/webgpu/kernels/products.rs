//! Launches of what multiplies by weights, or reads packed ones.

use super::{Extension, FEW_ROWS, Grid, Kernel, Launch, Operand, unary_code};
use crate::ir::TensorType;
use crate::ops::{Part, Quantize, Unary};
use crate::quant::{Packing, Scheme};

use Operand::{Input, Output, Scratch};

/// `activation(a · wᵀ + c)`. `bias` is an operand's position; `weight` are those of the weight: one, or packed ones.
pub(super) fn product(
    [m, n, k]: [usize; 3],
    bias: Option<usize>,
    weight: &[usize],
    packing: Option<Packing>,
    activation: Option<Unary>,
) -> Launch {
    // Where there is no bias, anything is bound in its place, and never read.
    let mut operands = vec![Input(0), Output];
    operands.extend(weight.iter().chain(&[bias.unwrap_or(0)]).map(|&at| Input(at)));
    let params = [m, n, k].map(|n| n as u32).to_vec();
    let few = m <= FEW_ROWS;
    let kernel = match (few, packing) {
        (true, None) => Kernel::Gemv,
        (false, None) => Kernel::Gemm,
        (true, Some(_)) => Kernel::Qgemv,
        (false, Some(_)) => Kernel::Qgemm,
    };
    let launch = if few {
        Launch::groups(kernel, m * n, params, operands)
    } else {
        Launch::on(kernel, Grid::Tiles(n, m), params, operands)
    };
    let activation = activation.map_or(f64::from(u32::MAX), unary_code);
    let launch =
        launch.with(&[("HAS_BIAS", f64::from(u8::from(bias.is_some()))), ("ACTIVATION", activation)]);
    match packing {
        Some(packing) => launch.with(&constants(packing)),
        None => launch,
    }
}

/// The same product by a weight in half precision, which the shader reads as such.
pub(super) fn halves(launch: Launch) -> Launch {
    let kernel = if launch.kernel == Kernel::Gemv { Kernel::Qgemv } else { Kernel::Qgemm };
    Launch { kernel, extension: Some(Extension::ShaderF16), ..launch }
}

/// Columns of a block of activations as bytes, and words of one: the shaders say the same.
const BLOCK: [usize; 2] = [32, 34];

/// The same product by grouped weights, of activations that are made whole numbers first.
pub(super) fn bytes(mut launch: Launch, [m, _, k]: [usize; 3]) -> Vec<Launch> {
    let [columns, words] = BLOCK;
    let blocks = m * k.div_ceil(columns);
    let params = [blocks, k].map(|n| n as u32).to_vec();
    let integers = Launch::linear(Kernel::Integers, blocks, params, vec![Input(0), Scratch]);
    launch.operands[0] = Scratch;
    vec![
        Launch { scratch: 4 * blocks * words, ..integers },
        Launch { extension: Some(Extension::Dp4a), ..launch },
    ]
}

/// Packed rows as float32: those that operand `picks` says, or all. Words and scales are the first operands.
pub(super) fn packed_rows(
    packing: Packing,
    rows: usize,
    picks: Option<usize>,
    output: &TensorType,
) -> Launch {
    let quads = output.len() / packing.columns.max(1) * packing.columns.div_ceil(4);
    let params = [output.len(), rows, packing.columns].map(|n| n as u32).to_vec();
    let picked = f64::from(u8::from(picks.is_some()));
    let operands = vec![Input(picks.unwrap_or(0)), Output, Input(0), Input(1)];
    Launch::linear(Kernel::PackedRows, quads, params, operands)
        .with(&constants(packing))
        .with(&[("PICKED", picked)])
}

/// What `weight_packed.wgsl` is specialised by.
pub(super) fn constants(packing: Packing) -> [(&'static str, f64); 4] {
    let flag = |flag: bool| f64::from(u8::from(flag));
    let [bits, group, asymmetric, nested] = match packing.scheme {
        Scheme::Half => [16.0, 1.0, 0.0, 0.0],
        Scheme::Grouped { bits, group, asymmetric, nested } => {
            [bits.count() as f64, group.size() as f64, flag(asymmetric), flag(nested)]
        }
    };
    [("BITS", bits), ("GROUP", group), ("ASYMMETRIC", asymmetric), ("NESTED", nested)]
}

/// Rows packed as they are computed: an invocation for each word, or for each block of them.
pub(super) fn quantize(op: Quantize, x: &TensorType, output: &TensorType) -> Launch {
    let columns = x.shape.last().copied().unwrap_or(1);
    let packing = op.packing(columns);
    let width = op.width(columns);
    let blocks = match (op.scheme, op.part) {
        (Scheme::Half, _) | (_, Part::Scales) => output.len(),
        (Scheme::Grouped { .. }, Part::Words) => output.len() / width.max(1) * packing.groups(),
    };
    let params = [blocks, columns, width].map(|n| n as u32).to_vec();
    let [bits, _, asymmetric, _] = constants(packing);
    let scales = ("SCALES", f64::from(u8::from(op.part == Part::Scales)));
    Launch::linear(Kernel::Quantize, blocks, params, vec![Input(0), Output]).with(&[bits, asymmetric, scales])
}
