//! `qgemm`: `gemm` with a quantised weight.

use super::{Gemm, Unary, dequantize, operands, require};
use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::quant::Packing;
use crate::tensor::{DType, Tensor};

/// `activation(a · wᵀ + c)`: operands are `a` `[M, K]`, the words and scales of `w` `[N, K]`, and an optional `c` `[N]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Qgemm {
    /// How `w` is stored.
    pub packing: Packing,
    /// Applied to the result.
    pub activation: Option<Unary>,
}

impl Qgemm {
    pub(super) fn infer(self, inputs: &[&TensorType]) -> Result<TensorType> {
        let (&[a, words, scales], bias) = match inputs {
            [inputs @ .., bias] if inputs.len() == 3 => {
                (<&[_; 3]>::try_from(inputs).expect("three"), Some(*bias))
            }
            _ => (&operands("qgemm", inputs)?, None),
        };
        require("qgemm", "a", a, DType::F32)?;
        let n = dequantize::rows("qgemm", self.packing, words, scales)?;
        if let Some(bias) = bias {
            require("qgemm", "the bias", bias, DType::F32)?;
            if bias.shape != [n] {
                return Err(Error::shape(
                    "qgemm",
                    format!("a bias of {:?} does not fit {n} rows", bias.shape),
                ));
            }
        }
        match a.shape[..] {
            [m, k] if k == self.packing.columns => Ok(TensorType::f32([m, n])),
            _ => Err(Error::shape(
                "qgemm",
                format!("{:?} does not multiply rows of {} weights", a.shape, self.packing.columns),
            )),
        }
    }

    pub(super) fn eval(self, inputs: &[&Tensor]) -> Tensor {
        let weight = dequantize::eval(self.packing, inputs[1], inputs[2]);
        let mut plain = vec![inputs[0], &weight];
        plain.extend(inputs.get(3));
        Gemm { activation: self.activation }.eval(&plain)
    }
}
