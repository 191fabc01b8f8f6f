//! Pieces that several classes share.

use crate::error::{Error, Result};
use crate::ir::{GraphBuilder, ValueId};
use crate::ops::{Gemm, Op, Unary};

/// Weight names with one of several spellings of a prefix, joined to one of several endings.
///
/// Checkpoints of different ages name the same weight differently; the first spelling is today's.
pub(super) fn spellings(prefixes: &[String], endings: &[&str]) -> Vec<String> {
    prefixes.iter().flat_map(|prefix| endings.iter().map(move |ending| format!("{prefix}{ending}"))).collect()
}

/// A weight under the first of these names.
pub(super) fn weight(b: &mut GraphBuilder<'_>, names: &[String], shape: &[usize]) -> Result<ValueId> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    b.weight(&names, shape)
}

/// A linear layer: where it is, how wide, whether it has a bias, what follows it.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    /// Spellings of the prefix, without `.weight`.
    pub(super) names: Vec<String>,
    /// Input features.
    pub(super) from: usize,
    /// Output features.
    pub(super) to: usize,
    /// Whether there is a `.bias`.
    pub(super) bias: bool,
    /// Applied to the result.
    pub(super) activation: Option<Unary>,
}

impl Linear {
    pub(super) fn new(names: Vec<String>, from: usize, to: usize) -> Self {
        Self { names, from, to, bias: true, activation: None }
    }

    pub(super) fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    pub(super) fn then(mut self, activation: Unary) -> Self {
        self.activation = Some(activation);
        self
    }

    /// Applies the layer to `x [rows, from]`.
    pub(super) fn build(&self, b: &mut GraphBuilder<'_>, x: ValueId) -> Result<ValueId> {
        let mut inputs = vec![x, weight(b, &spellings(&self.names, &[".weight"]), &[self.to, self.from])?];
        if self.bias {
            inputs.push(weight(b, &spellings(&self.names, &[".bias"]), &[self.to])?);
        }
        b.op(Op::Gemm(Gemm { activation: self.activation }), &inputs)
    }
}

/// Layer normalisation over the last axis; old checkpoints say `gamma` and `beta`.
pub(super) fn layer_norm(
    b: &mut GraphBuilder<'_>,
    names: &[String],
    epsilon: f64,
    x: ValueId,
) -> Result<ValueId> {
    let width = *b.shape(x).last().ok_or_else(|| Error::shape("layerNormalization", "x needs an axis"))?;
    let scale = weight(b, &spellings(names, &[".weight", ".gamma"]), &[width])?;
    let bias = weight(b, &spellings(names, &[".bias", ".beta"]), &[width])?;
    b.op(Op::LayerNormalization { epsilon: epsilon as f32 }, &[x, scale, bias])
}

/// Root-mean-square normalisation over the last axis.
pub(super) fn rms_norm(b: &mut GraphBuilder<'_>, name: &str, epsilon: f64, x: ValueId) -> Result<ValueId> {
    let width = *b.shape(x).last().ok_or_else(|| Error::shape("rmsNormalization", "x needs an axis"))?;
    let scale = b.weight(&[&format!("{name}.weight")], [width])?;
    b.op(Op::RmsNormalization { epsilon: epsilon as f32 }, &[x, scale])
}

/// Heads must share the width evenly.
pub(super) fn head_width(width: usize, heads: usize) -> Result<usize> {
    if heads > 0 && width.is_multiple_of(heads) {
        Ok(width / heads)
    } else {
        Err(Error::config("num_attention_heads", heads, format!("does not divide hidden_size {width}")))
    }
}
