//! Launches of `attention`: by tiles of queries, by single queries, or by single queries and parts of the keys.

use super::products::constants;
use super::{Kernel, Launch, Operand};
use crate::ir::TensorType;
use crate::ops::{Attention, AttentionDims};

use Operand::{Input, Output, Scratch};

/// From so many queries on, a tile of them that is not full costs less than reading keys for each.
const FEW_QUERIES: usize = 4;
/// Queries of a tile: the shader says the same.
const QUERIES: usize = 8;
/// Keys of a part, where single queries share them out among workgroups.
const PART: usize = 512;
/// Single queries that keep a device busy by themselves.
const BUSY: usize = 256;

pub(super) fn attend(op: &Attention, inputs: &[&TensorType]) -> Vec<Launch> {
    let n = op.dims(&inputs[0].shape, &inputs[1].shape, &inputs[2].shape);
    let rows = n.batch * n.tokens * op.heads;
    if n.tokens >= FEW_QUERIES {
        return vec![by_tiles(op, n, inputs)];
    }
    let parts = n.keys.div_ceil(PART);
    if parts < 2 || rows >= BUSY {
        return vec![by_rows(op, n, inputs, 1)];
    }
    let merge = [rows * n.e, n.e, parts].map(|n| n as u32).to_vec();
    vec![
        by_rows(op, n, inputs, parts),
        Launch::linear(Kernel::AttentionMerge, rows * n.e, merge, vec![Scratch, Output]),
    ]
}

/// Eight queries of a head at a time.
fn by_tiles(op: &Attention, n: AttentionDims, inputs: &[&TensorType]) -> Launch {
    let tiles = n.tokens.div_ceil(QUERIES);
    let params = [params(op, n, inputs), vec![tiles as u32]].concat();
    let kernel = if op.packed.is_some() { Kernel::AttentionTilesPacked } else { Kernel::AttentionTiles };
    Launch::groups(kernel, n.batch * op.heads * tiles, params, operands(op, Output))
        .with(&flags(op))
        .with(&widths(op))
        .with(&[("CHANNELS", n.e.div_ceil(64) as f64)])
}

/// A query of a head at a time, and of the keys as many as a part has.
fn by_rows(op: &Attention, n: AttentionDims, inputs: &[&TensorType], parts: usize) -> Launch {
    let (rows, span) = (n.batch * n.tokens * op.heads, if parts > 1 { PART } else { n.keys });
    let params = [params(op, n, inputs), vec![parts as u32, span as u32]].concat();
    let operands = operands(op, if parts > 1 { Scratch } else { Output });
    let kernel = if op.packed.is_some() { Kernel::AttentionPacked } else { Kernel::Attention };
    let launch = Launch::groups(kernel, rows * parts, params, operands)
        .with(&flags(op))
        .with(&widths(op))
        .with(&[("PARTIAL", f64::from(u8::from(parts > 1)))]);
    Launch { scratch: if parts > 1 { 4 * rows * parts * (n.e + 2) } else { 0 }, ..launch }
}

fn params(op: &Attention, n: AttentionDims, inputs: &[&TensorType]) -> Vec<u32> {
    let mut params: Vec<u32> =
        [n.batch, n.tokens, n.keys, op.heads, op.kv_heads, n.d, n.e].map(|n| n as u32).to_vec();
    params.push(op.scale.to_bits());
    // How many sequences take biases of their own.
    let bias_sets = op.bias_at().map_or(1, |at| inputs[at].shape[0]);
    // A window wider than the keys hides none.
    params.extend([op.window.unwrap_or(0x7fff_ffff), bias_sets, op.ring.unwrap_or(0)].map(|n| n as u32));
    params
}

fn operands(op: &Attention, result: Operand) -> Vec<Operand> {
    // What is absent is bound to `q`, which the shader then never reads as such.
    let optional = |at: Option<usize>| Input(at.unwrap_or(0));
    if op.packed.is_some() {
        // One of mask and bias, and scales on both sides of what every attention has.
        let scales = |which: usize| op.scales_at().map_or(1 + which, |at| at[which]);
        let operands =
            [Some(0), Some(1), Some(2), op.mask_at().or(op.bias_at()), Some(scales(0)), op.position_at()];
        return [&operands.map(optional)[..], &[result, Input(scales(1))]].concat();
    }
    let operands = [Some(0), Some(1), Some(2), op.mask_at(), op.bias_at(), op.position_at()].map(optional);
    [&operands[..], &[result]].concat()
}

/// What `keys_packed.wgsl` is specialised by.
fn widths(op: &Attention) -> Vec<(&'static str, f64)> {
    let packed = op.packed.map(|packed| constants(packed.packing(0)));
    packed.map_or(Vec::new(), |[bits, _, asymmetric, _]| vec![bits, asymmetric])
}

fn flags(op: &Attention) -> [(&'static str, f64); 4] {
    let flag = |flag: bool| f64::from(u8::from(flag));
    [
        ("MASKED", flag(op.masked)),
        ("BIASED", flag(op.biased)),
        ("CAUSAL", flag(op.causal)),
        ("RING", flag(op.ring.is_some())),
    ]
}
