//! `kvAppend`: new keys or values written into their cache, as numbers or packed: at their places, or round and round.

use super::{operands, require};
use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::tensor::{DType, Tensor};

pub(super) fn infer(ring: bool, inputs: &[&TensorType]) -> Result<TensorType> {
    let [cache, new, position] = operands("kvAppend", inputs)?;
    require("kvAppend", "the new rows", new, cache.dtype)?;
    require("kvAppend", "the position", position, DType::I32)?;
    match (&cache.shape[..], &new.shape[..], &position.shape[..]) {
        ([b, context, w], [b2, tokens, w2], [1])
            if b == b2 && w == w2 && *context > 0 && (ring || tokens <= context) =>
        {
            Ok(cache.clone())
        }
        _ => Err(Error::shape(
            "kvAppend",
            format!("{:?} does not fit into {:?} at {:?}", new.shape, cache.shape, position.shape),
        )),
    }
}

/// Rows that would fall behind the cache's end are dropped; in a ring they are written over the oldest.
pub(super) fn eval(ring: bool, inputs: &[&Tensor]) -> Tensor {
    let [cache, new, position] = inputs else { unreachable!("three operands: inferred") };
    let &[batch, context, width] = cache.shape() else { unreachable!("rank 3: inferred") };
    let tokens = new.shape()[1];
    let start = position.as_i32()[0].max(0) as usize;
    let mut out = cache.bytes().to_vec();
    let row = 4 * width;
    for b in 0..batch {
        for t in (0..tokens).take_while(|t| ring || start + t < context) {
            let to = (b * context + (start + t) % context) * row;
            let from = (b * tokens + t) * row;
            out[to..to + row].copy_from_slice(&new.bytes()[from..from + row]);
        }
    }
    Tensor::from_bytes(cache.dtype(), cache.shape(), &out)
}
