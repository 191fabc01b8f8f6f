//! One-dimensional convolution.

use crate::error::{Error, Result};
use crate::ir::{GraphBuilder, ValueId};
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
