//! Multi-head attention with its projections, and caches of keys and values.

use crate::error::{Error, Result};
use crate::ir::{GraphBuilder, ValueId};
use crate::models::layers::{Linear, Names};
use crate::ops::{Attention, Op};
use crate::tensor::DType;

/// Attention between its four projections.
#[derive(Clone, Debug)]
pub(in crate::models) struct MultiHead {
    pub(in crate::models) q: Linear,
    pub(in crate::models) k: Linear,
    pub(in crate::models) v: Linear,
    pub(in crate::models) out: Linear,
    pub(in crate::models) op: Attention,
}

impl MultiHead {
    /// As many key heads as query heads, all projections `width` wide and with a bias; `parts` names
    /// query, key, value and output projection under `at`.
    pub(in crate::models) fn new(at: &Names, parts: [&str; 4], width: usize, heads: usize) -> Self {
        let projections = parts.map(|part| Linear::new(at.part(part), width, width));
        Self::of(projections, width, heads)
    }

    /// As many key heads as query heads, between these projections.
    pub(in crate::models) fn of([q, k, v, out]: [Linear; 4], width: usize, heads: usize) -> Self {
        Self { q, k, v, out, op: Attention::new(heads, heads, width / heads) }
    }

    /// Queries from `x [batch, tokens, width]`, keys and values from `memory [batch, keys, width]`;
    /// `extras` are the further operands that the op's flags ask for.
    pub(in crate::models) fn build(
        &self,
        b: &mut GraphBuilder<'_>,
        x: ValueId,
        memory: ValueId,
        extras: &[ValueId],
    ) -> Result<ValueId> {
        let (k, v) = (self.k.build(b, memory)?, self.v.build(b, memory)?);
        self.mix(b, x, [k, v], extras)
    }

    /// As [`Self::build`], from projected keys and values.
    pub(in crate::models) fn mix(
        &self,
        b: &mut GraphBuilder<'_>,
        x: ValueId,
        [k, v]: [ValueId; 2],
        extras: &[ValueId],
    ) -> Result<ValueId> {
        let q = self.q.build(b, x)?;
        let mixed = b.op(Op::Attention(self.op), &[&[q, k, v], extras].concat())?;
        self.out.build(b, mixed)
    }
}

/// Where new keys and values of a decoder go.
#[derive(Clone, Copy, Debug)]
pub(in crate::models) struct Cache {
    /// Positions that each cache has.
    pub(in crate::models) context: usize,
    /// Position of the first new token, `[1]`.
    pub(in crate::models) position: ValueId,
}

impl Cache {
    /// Writes `new [batch, tokens, width]` into the cache of that name and gives the whole cache.
    pub(in crate::models) fn append(
        &self,
        b: &mut GraphBuilder<'_>,
        name: &str,
        new: ValueId,
    ) -> Result<ValueId> {
        let &[batch, _, width] = b.shape(new) else {
            return Err(Error::shape("kvAppend", "new rows are [batch, tokens, width]"));
        };
        let before = b.state(name, DType::F32, [batch, self.context, width]);
        let after = b.op(Op::KvAppend { ring: false }, &[before, new, self.position])?;
        b.set_state(before, after)?;
        Ok(after)
    }

    /// The places of `tokens` new tokens, `[tokens]`.
    pub(in crate::models) fn places(&self, b: &mut GraphBuilder<'_>, tokens: usize) -> Result<ValueId> {
        let count = b.constant(crate::Tensor::i32([tokens], (0..tokens as i32).collect()));
        b.add(count, self.position)
    }
}

/// Heads must share the width evenly.
pub(in crate::models) fn head_width(width: usize, heads: usize) -> Result<usize> {
    if width.is_multiple_of(heads) {
        Ok(width / heads)
    } else {
        Err(Error::config("num_attention_heads", heads, format!("does not divide hidden_size {width}")))
    }
}

/// The states that hold the keys and values that a decoder's layer reads of the encoder's result.
fn memory_names(layer: usize) -> [String; 2] {
    ["key", "value"].map(|part| format!("memory.{layer}.{part}"))
}

/// Keys and values that a layer's attention makes of the encoder's result, kept for the steps to come.
pub(in crate::models) fn keep_memory(
    b: &mut GraphBuilder<'_>,
    layer: usize,
    attention: &MultiHead,
    encoded: ValueId,
) -> Result<[ValueId; 2]> {
    let pair = [attention.k.build(b, encoded)?, attention.v.build(b, encoded)?];
    for (name, new) in memory_names(layer).iter().zip(pair) {
        let shape = b.shape(new).to_vec();
        let before = b.state(name, DType::F32, shape);
        b.set_state(before, new)?;
    }
    Ok(pair)
}

/// What [`keep_memory`] kept, `[batch, keys, width]` each.
pub(in crate::models) fn memory(b: &mut GraphBuilder<'_>, layer: usize, shape: [usize; 3]) -> [ValueId; 2] {
    memory_names(layer).map(|name| b.state(&name, DType::F32, shape))
}
