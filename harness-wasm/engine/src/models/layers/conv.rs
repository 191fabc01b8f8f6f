//! One-dimensional convolution, and convolution with batch norm.

use crate::error::{Error, Result};
use crate::ir::{GraphBuilder, ValueId};
use crate::models::layers::{Names, batch_norm, weight};
use crate::ops::{Conv2d, Op};

/// How a filter goes along the one axis.
#[derive(Clone, Copy, Debug)]
pub(in crate::models) struct Conv1d {
    /// Steps.
    pub(in crate::models) stride: usize,
    /// Zeros before and after.
    pub(in crate::models) padding: usize,
    /// Independent parts of the channels.
    pub(in crate::models) groups: usize,
}

impl Default for Conv1d {
    fn default() -> Self {
        Self { stride: 1, padding: 0, groups: 1 }
    }
}

impl Conv1d {
    /// `x [batch, in, width]` by `filter [out, in / groups, taps]`: `conv2d` of height 1.
    pub(in crate::models) fn build(
        &self,
        b: &mut GraphBuilder<'_>,
        x: ValueId,
        filter: ValueId,
        bias: Option<ValueId>,
    ) -> Result<ValueId> {
        let (&[batch, channels, width], &[out, per_group, taps]) = (b.shape(x), b.shape(filter)) else {
            return Err(Error::shape("conv1d", "x and filter need rank 3"));
        };
        let flat = b.reshape(x, [batch, channels, 1, width])?;
        let filter = b.reshape(filter, [out, per_group, 1, taps])?;
        let op = Conv2d {
            strides: [1, self.stride],
            padding: [0, 0, self.padding, self.padding],
            groups: self.groups,
            ..Conv2d::default()
        };
        let inputs: Vec<ValueId> = [flat, filter].into_iter().chain(bias).collect();
        let y = b.op(Op::Conv2d(op), &inputs)?;
        let width = b.shape(y)[3];
        b.reshape(y, [batch, out, width])
    }
}

/// Convolution of `x [batch, from, height, width]` by a filter of this shape, with a bias or without, followed by batch
/// norm with the statistics of training. That is linear, too, and becomes part of the filter.
pub(in crate::models) fn conv_norm(
    b: &mut GraphBuilder<'_>,
    op: Conv2d,
    [conv, norm]: [&Names; 2],
    biased: bool,
    shape: [usize; 4],
    x: ValueId,
) -> Result<ValueId> {
    // PyTorch's epsilon, which no config changes.
    let [factor, mut shift] = batch_norm(b, norm, shape[0], 1e-5)?;
    if biased {
        let bias = weight(b, conv, &[".bias"], &shape[..1])?;
        let bias = b.mul(bias, factor)?;
        shift = b.add(shift, bias)?;
    }
    let filter = weight(b, conv, &[".weight"], &shape)?;
    let factor = b.reshape(factor, [shape[0], 1, 1, 1])?;
    let filter = b.mul(filter, factor)?;
    b.op(Op::Conv2d(op), &[x, filter, shift])
}
