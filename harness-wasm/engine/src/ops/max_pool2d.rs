//! `maxPool2d`.

use super::{operands, require};
use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::tensor::{DType, Tensor};

/// The largest element of each window of `x [batch, channels, height, width]`; padding never wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MaxPool2d {
    /// Size `[height, width]`.
    pub window: [usize; 2],
    /// Steps `[height, width]`.
    pub strides: [usize; 2],
    /// Places outside `x`, `[top, bottom, left, right]`, each less than the window.
    pub padding: [usize; 4],
}

impl MaxPool2d {
    pub(super) fn infer(self, inputs: &[&TensorType]) -> Result<TensorType> {
        let fault = |reason: String| Error::shape("maxPool2d", reason);
        let [x] = operands("maxPool2d", inputs)?;
        require("maxPool2d", "the operand", x, DType::F32)?;
        let &[batch, channels, height, width] = &x.shape[..] else {
            return Err(fault(format!("{:?} needs rank 4", x.shape)));
        };
        let ([wh, ww], [top, bottom, left, right]) = (self.window, self.padding);
        // A window wholly in the padding would have no largest element.
        if top.max(bottom) >= wh || left.max(right) >= ww || self.strides.contains(&0) {
            return Err(fault(format!(
                "window {:?}, padding {:?}, strides {:?}",
                self.window, self.padding, self.strides
            )));
        }
        let extent = |size: usize, window: usize, stride: usize| Some(size.checked_sub(window)? / stride + 1);
        match (
            extent(height + top + bottom, wh, self.strides[0]),
            extent(width + left + right, ww, self.strides[1]),
        ) {
            (Some(h), Some(w)) => Ok(TensorType::f32([batch, channels, h, w])),
            _ => Err(fault(format!("the window {:?} is larger than {:?}", self.window, x.shape))),
        }
    }

    pub(super) fn eval(self, x: &Tensor) -> Tensor {
        let ty = self.infer(&[&TensorType::f32(x.shape())]).expect("inferred");
        let (&[_, _, height, width], &[batch, channels, oh, ow]) = (x.shape(), &ty.shape[..]) else {
            unreachable!("rank 4: inferred")
        };
        let mut y = Vec::with_capacity(ty.len());
        for plane in x.as_f32().chunks_exact(height * width).take(batch * channels) {
            for r in 0..oh {
                for c in 0..ow {
                    let mut best = f32::NEG_INFINITY;
                    for u in 0..self.window[0] {
                        for v in 0..self.window[1] {
                            let row = (r * self.strides[0] + u).wrapping_sub(self.padding[0]);
                            let column = (c * self.strides[1] + v).wrapping_sub(self.padding[2]);
                            if row < height && column < width {
                                best = best.max(plane[row * width + column]);
                            }
                        }
                    }
                    y.push(best);
                }
            }
        }
        Tensor::f32(ty.shape, y)
    }
}
