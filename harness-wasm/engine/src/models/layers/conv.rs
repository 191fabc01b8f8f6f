//! Convolutions over time, and convolutions with a frozen batch norm.

use crate::error::{Error, Result};
use crate::ir::{GraphBuilder, ValueId};
use crate::models::layers::{Names, weight};
use crate::ops::{Binary, Conv2d, Op, Unary};
use crate::tensor::Tensor;

/// Convolution of `x [batch, from, time]` by `filter [to, from / groups, taps]` with `bias [to]`: one of height 1.
/// `op` speaks of that: what it says of the height must leave it alone.
pub(in crate::models) fn conv1d(
    b: &mut GraphBuilder<'_>,
    op: Conv2d,
    x: ValueId,
    filter: ValueId,
    bias: Option<ValueId>,
) -> Result<ValueId> {
    let flat = |b: &mut GraphBuilder<'_>, value: ValueId| match *b.shape(value) {
        [outer, inner, width] => b.reshape(value, [outer, inner, 1, width]),
        _ => Err(Error::shape("conv2d", "a convolution over time takes rank 3")),
    };
    let mut operands = vec![flat(b, x)?, flat(b, filter)?];
    operands.extend(bias);
    let y = b.op(Op::Conv2d(op), &operands)?;
    let &[batch, to, _, time] = b.shape(y) else { unreachable!("rank 4: inferred") };
    b.reshape(y, [batch, to, time])
}

/// Convolution of `x [batch, from, height, width]` by a filter of this shape, without a bias, followed by batch norm
/// with the statistics of training. That is linear, too, and becomes part of the filter.
pub(in crate::models) fn conv_norm(
    b: &mut GraphBuilder<'_>,
    op: Conv2d,
    [conv, norm]: [&Names; 2],
    shape: [usize; 4],
    x: ValueId,
) -> Result<ValueId> {
    /// PyTorch's, which no config changes.
    const EPSILON: f32 = 1e-5;
    let to = shape[0];
    let filter = weight(b, conv, &[".weight"], &shape)?;
    let [scale, shift, mean, variance] = {
        let mut of = |ending: &str| weight(b, norm, &[ending], &[to]);
        [of(".weight")?, of(".bias")?, of(".running_mean")?, of(".running_var")?]
    };
    let epsilon = b.constant(Tensor::f32([1], vec![EPSILON]));
    let variance = b.add(variance, epsilon)?;
    let deviation = b.unary(Unary::Sqrt, variance)?;
    let scale = b.op(Op::Binary(Binary::Div), &[scale, deviation])?;
    let mean = b.mul(mean, scale)?;
    let bias = b.op(Op::Binary(Binary::Sub), &[shift, mean])?;
    let scale = b.reshape(scale, [to, 1, 1, 1])?;
    let filter = b.mul(filter, scale)?;
    b.op(Op::Conv2d(op), &[x, filter, bias])
}
