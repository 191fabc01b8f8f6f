//! A transformer block of an encoder.

use crate::error::Result;
use crate::ir::{GraphBuilder, ValueId};
use crate::models::layers::{Linear, MultiHead, Names, layer_norm};

/// Where a block's two layer norms stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::models) enum Norms {
    /// In front of attention and feed-forward, inside the residual.
    Before,
    /// After each residual sum.
    After,
}

/// Self-attention and a feed-forward pair, each with residual and layer norm.
#[derive(Clone, Debug)]
pub(in crate::models) struct Block {
    /// Today's name, for people who look for a fault.
    pub(in crate::models) scope: String,
    pub(in crate::models) attention: MultiHead,
    /// Feed-forward: in, with its activation, and out.
    pub(in crate::models) feed_forward: [Linear; 2],
    /// Layer norm of the attention, then of the feed-forward.
    pub(in crate::models) norms: [Names; 2],
    pub(in crate::models) placement: Norms,
    pub(in crate::models) epsilon: f64,
}

impl Block {
    /// Applies the block to `x [batch, tokens, width]`; `extras` are further operands of its attention.
    pub(in crate::models) fn build(
        &self,
        b: &mut GraphBuilder<'_>,
        x: ValueId,
        extras: &[ValueId],
    ) -> Result<ValueId> {
        let x = self.attend(b, x, extras)?;
        self.feed(b, x)
    }

    /// The first half: attention with its residual and norm.
    pub(in crate::models) fn attend(
        &self,
        b: &mut GraphBuilder<'_>,
        x: ValueId,
        extras: &[ValueId],
    ) -> Result<ValueId> {
        b.scope(format!("{}.attention", self.scope));
        self.residual(b, 0, x, |b, x| self.attention.build(b, x, x, extras))
    }

    /// The second half: feed-forward with its residual and norm.
    pub(in crate::models) fn feed(&self, b: &mut GraphBuilder<'_>, x: ValueId) -> Result<ValueId> {
        b.scope(format!("{}.feed_forward", self.scope));
        self.residual(b, 1, x, |b, x| {
            let inner = self.feed_forward[0].build(b, x)?;
            self.feed_forward[1].build(b, inner)
        })
    }

    fn residual(
        &self,
        b: &mut GraphBuilder<'_>,
        norm: usize,
        x: ValueId,
        branch: impl FnOnce(&mut GraphBuilder<'_>, ValueId) -> Result<ValueId>,
    ) -> Result<ValueId> {
        let names = &self.norms[norm];
        match self.placement {
            Norms::Before => {
                let normal = layer_norm(b, names, self.epsilon, x)?;
                let y = branch(b, normal)?;
                b.add(y, x)
            }
            Norms::After => {
                let y = branch(b, x)?;
                let sum = b.add(y, x)?;
                layer_norm(b, names, self.epsilon, sum)
            }
        }
    }
}
