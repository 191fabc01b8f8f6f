//! `conv2d`.

use super::{operands, require};
use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::tensor::{DType, Tensor};

/// 2-D convolution of `x [batch, in, height, width]` by `filter [out, in / groups, kh, kw]`, with an
/// optional `bias [out]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2d {
    /// Steps `[height, width]`.
    pub strides: [usize; 2],
    /// Zeros `[top, bottom, left, right]`.
    pub padding: [usize; 4],
    /// Gaps between taps plus one, `[height, width]`.
    pub dilations: [usize; 2],
    /// Channels are split into this many independent parts.
    pub groups: usize,
}

impl Default for Conv2d {
    fn default() -> Self {
        Self { strides: [1, 1], padding: [0; 4], dilations: [1, 1], groups: 1 }
    }
}

impl Conv2d {
    pub(super) fn infer(self, inputs: &[&TensorType]) -> Result<TensorType> {
        let fault = |reason: String| Error::shape("conv2d", reason);
        let (x, filter, bias) = match inputs {
            [x, filter] => (*x, *filter, None),
            _ => {
                let [x, filter, bias] = operands("conv2d", inputs)?;
                (x, filter, Some(bias))
            }
        };
        for ty in inputs {
            require("conv2d", "every operand", ty, DType::F32)?;
        }
        let (&[batch, channels, height, width], &[out, per_group, kh, kw]) =
            (&x.shape[..], &filter.shape[..])
        else {
            return Err(fault(format!("{:?} by {:?}: both need rank 4", x.shape, filter.shape)));
        };
        if self.groups == 0 || per_group * self.groups != channels || out % self.groups != 0 {
            return Err(fault(format!(
                "{channels} channels by {:?} in {} groups",
                filter.shape, self.groups
            )));
        }
        if bias.is_some_and(|bias| bias.shape != [out]) {
            return Err(fault(format!("the bias must be [{out}]")));
        }
        let [top, bottom, left, right] = self.padding;
        let extent = |size: usize, kernel: usize, axis: usize| {
            let span = (kernel - 1) * self.dilations[axis] + 1;
            size.checked_sub(span).map(|room| room / self.strides[axis] + 1)
        };
        match (extent(height + top + bottom, kh, 0), extent(width + left + right, kw, 1)) {
            (Some(h), Some(w)) => Ok(TensorType::f32([batch, out, h, w])),
            _ => Err(fault(format!("the filter {:?} is larger than {:?}", filter.shape, x.shape))),
        }
    }

    pub(super) fn eval(self, inputs: &[&Tensor]) -> Tensor {
        let types: Vec<TensorType> = inputs.iter().map(|t| TensorType::f32(t.shape())).collect();
        let ty = self.infer(&types.iter().collect::<Vec<_>>()).expect("inferred");
        let (x, filter) = (inputs[0].as_f32(), inputs[1].as_f32());
        let &[_, channels, height, width] = inputs[0].shape() else { unreachable!("rank 4: inferred") };
        let &[_, per_group, kh, kw] = inputs[1].shape() else { unreachable!("rank 4: inferred") };
        let &[batch, out, oh, ow] = &ty.shape[..] else { unreachable!("rank 4: inferred") };
        let mut y = Vec::with_capacity(ty.len());
        for b in 0..batch {
            for o in 0..out {
                let group = o / (out / self.groups);
                let bias = inputs.get(2).map_or(0.0, |c| f64::from(c.as_f32()[o]));
                for r in 0..oh {
                    for c in 0..ow {
                        let mut sum = bias;
                        for i in 0..per_group {
                            for u in 0..kh {
                                for v in 0..kw {
                                    let row = (r * self.strides[0] + u * self.dilations[0])
                                        .wrapping_sub(self.padding[0]);
                                    let column = (c * self.strides[1] + v * self.dilations[1])
                                        .wrapping_sub(self.padding[2]);
                                    if row < height && column < width {
                                        let channel = b * channels + group * per_group + i;
                                        sum += f64::from(x[(channel * height + row) * width + column])
                                            * f64::from(filter[((o * per_group + i) * kh + u) * kw + v]);
                                    }
                                }
                            }
                        }
                        y.push(sum as f32);
                    }
                }
            }
        }
        Tensor::f32(ty.shape, y)
    }
}
