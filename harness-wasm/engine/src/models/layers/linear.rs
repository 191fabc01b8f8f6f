//! Weights by name, linear layers, normalisations.

use crate::error::{Error, Result};
use crate::ir::{GraphBuilder, ValueId};
use crate::ops::{Binary, Gemm, Op, Unary};
use crate::tensor::Tensor;
use crate::weights::Weights;

/// Spellings of a module's name. Checkpoints of different ages name the same module differently; the first
/// spelling is today's.
#[derive(Clone, Debug)]
pub(in crate::models) struct Names(Vec<String>);

impl Names {
    /// A module with several spellings; an empty one is the checkpoint's top level.
    pub(in crate::models) fn any(spellings: impl IntoIterator<Item = String>) -> Self {
        Self(spellings.into_iter().collect())
    }

    /// The module `model` of a class with a head. A checkpoint saved without the head has it at its top level.
    pub(in crate::models) fn of_model() -> Self {
        Self::any(["model", ""].map(str::to_owned))
    }

    /// A part of the module, spelled the same under every spelling of it.
    pub(in crate::models) fn part(&self, name: &str) -> Self {
        let joined = |prefix: &String| {
            if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
        };
        Self(self.0.iter().map(joined).collect())
    }

    /// A part of the module that has spellings of its own.
    pub(in crate::models) fn part_of(&self, spellings: &[&str]) -> Self {
        Self(spellings.iter().flat_map(|name| self.part(name).0).collect())
    }

    /// Today's spelling.
    pub(in crate::models) fn today(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// Whether a checkpoint has its weight under any spelling.
    pub(in crate::models) fn held_by(&self, weights: &Weights) -> bool {
        self.endings(&[".weight"]).iter().any(|name| weights.holds(name))
    }

    fn endings(&self, endings: &[&str]) -> Vec<String> {
        self.0
            .iter()
            .flat_map(|prefix| endings.iter().map(move |ending| format!("{prefix}{ending}")))
            .collect()
    }
}

impl From<String> for Names {
    fn from(name: String) -> Self {
        Self(vec![name])
    }
}

impl From<&str> for Names {
    fn from(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }
}

/// The module's tensor with one of these endings, such as `.weight`.
pub(in crate::models) fn weight(
    b: &mut GraphBuilder<'_>,
    names: &Names,
    endings: &[&str],
    shape: &[usize],
) -> Result<ValueId> {
    let names = names.endings(endings);
    b.weight(&names.iter().map(String::as_str).collect::<Vec<_>>(), shape)
}

/// A linear layer: where it is, how wide, whether it has a bias, what follows it.
#[derive(Clone, Debug)]
pub(in crate::models) struct Linear {
    /// Its module.
    pub(in crate::models) names: Names,
    /// Input features.
    pub(in crate::models) from: usize,
    /// Output features.
    pub(in crate::models) to: usize,
    bias: bool,
    activation: Option<Unary>,
}

impl Linear {
    pub(in crate::models) fn new(names: impl Into<Names>, from: usize, to: usize) -> Self {
        Self { names: names.into(), from, to, bias: true, activation: None }
    }

    /// Whether there is a `.bias`.
    pub(in crate::models) fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// Applied to the result.
    pub(in crate::models) fn then(mut self, activation: Unary) -> Self {
        self.activation = Some(activation);
        self
    }

    /// Applies the layer to the last axis of `x`.
    pub(in crate::models) fn build(&self, b: &mut GraphBuilder<'_>, x: ValueId) -> Result<ValueId> {
        let mut shape = b.shape(x).to_vec();
        let Some((last, leading)) = shape.split_last_mut() else {
            return Err(Error::shape("gemm", "x needs an axis"));
        };
        let rows = leading.iter().product();
        *last = self.to;
        let flat = b.reshape(x, [rows, self.from])?;
        let mut inputs = vec![flat, weight(b, &self.names, &[".weight"], &[self.to, self.from])?];
        if self.bias {
            inputs.push(weight(b, &self.names, &[".bias"], &[self.to])?);
        }
        let y = b.op(Op::Gemm(Gemm { activation: self.activation }), &inputs)?;
        b.reshape(y, shape)
    }
}

/// Layer normalisation over the last axis; old checkpoints say `gamma` and `beta`.
pub(in crate::models) fn layer_norm(
    b: &mut GraphBuilder<'_>,
    names: &Names,
    epsilon: f64,
    x: ValueId,
) -> Result<ValueId> {
    let width = *b.shape(x).last().ok_or_else(|| Error::shape("layerNormalization", "x needs an axis"))?;
    let scale = weight(b, names, &[".weight", ".gamma"], &[width])?;
    let bias = weight(b, names, &[".bias", ".beta"], &[width])?;
    b.op(Op::LayerNormalization { epsilon: epsilon as f32 }, &[x, scale, bias])
}

/// Root-mean-square normalisation over the last axis.
pub(in crate::models) fn rms_norm(
    b: &mut GraphBuilder<'_>,
    names: &Names,
    epsilon: f64,
    x: ValueId,
) -> Result<ValueId> {
    let width = *b.shape(x).last().ok_or_else(|| Error::shape("rmsNormalization", "x needs an axis"))?;
    let scale = weight(b, names, &[".weight"], &[width])?;
    b.op(Op::RmsNormalization { epsilon: epsilon as f32 }, &[x, scale])
}

/// Each row of `x [rows, width]` divided by its length.
pub(in crate::models) fn l2_normalize(b: &mut GraphBuilder<'_>, x: ValueId) -> Result<ValueId> {
    let width = *b.shape(x).last().ok_or_else(|| Error::shape("l2", "x needs an axis"))?;
    // The root mean square is the length divided by the root of the width.
    let scale = b.constant(Tensor::f32([width], vec![1.0 / (width as f32).sqrt(); width]));
    b.op(Op::RmsNormalization { epsilon: 0.0 }, &[x, scale])
}

/// What a batch norm multiplies its channels by, and adds to them, by its running statistics.
pub(in crate::models) fn batch_norm(
    b: &mut GraphBuilder<'_>,
    names: &Names,
    channels: usize,
    epsilon: f64,
) -> Result<[ValueId; 2]> {
    let mut part = |ending: &str| weight(b, names, &[ending], &[channels]);
    let [scale, bias, mean, variance] =
        [part(".weight")?, part(".bias")?, part(".running_mean")?, part(".running_var")?];
    let epsilon = b.constant(Tensor::f32([1], vec![epsilon as f32]));
    let variance = b.add(variance, epsilon)?;
    let deviation = b.unary(Unary::Sqrt, variance)?;
    let factor = b.op(Op::Binary(Binary::Div), &[scale, deviation])?;
    let middle = b.mul(mean, factor)?;
    let shift = b.op(Op::Binary(Binary::Sub), &[bias, middle])?;
    Ok([factor, shift])
}
