//! `gemm`: the 2-D matrix product that carries nearly all weights.

use super::{Unary, operands, require};
use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::tensor::{DType, Tensor};

/// `activation(a · bᵀ + c)`: `a` is `[M, K]`, `b` is `[N, K]` as checkpoints store linear layers
/// (WebNN's `bTranspose`), and the optional `c` is `[N]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Gemm {
    /// Applied to the result: WebNN's `gemm` followed by that op.
    pub activation: Option<Unary>,
}

impl Gemm {
    pub(super) fn infer(self, inputs: &[&TensorType]) -> Result<TensorType> {
        let (a, b) = match inputs {
            [a, b] => (*a, *b),
            _ => {
                let [a, b, c] = operands("gemm", inputs)?;
                require("gemm", "the bias", c, DType::F32)?;
                if b.shape.first().is_none_or(|n| c.shape != [*n]) {
                    return Err(Error::shape(
                        "gemm",
                        format!("a bias of {:?} does not fit {:?}", c.shape, b.shape),
                    ));
                }
                (a, b)
            }
        };
        require("gemm", "a", a, DType::F32)?;
        require("gemm", "b", b, DType::F32)?;
        match (&a.shape[..], &b.shape[..]) {
            ([m, k], [n, k2]) if k == k2 => Ok(TensorType::f32([*m, *n])),
            _ => {
                Err(Error::shape("gemm", format!("{:?} does not multiply {:?} transposed", a.shape, b.shape)))
            }
        }
    }

    pub(super) fn eval(self, inputs: &[&Tensor]) -> Tensor {
        let (a, b) = (inputs[0], inputs[1]);
        let (m, k, n) = (a.shape()[0], a.shape()[1], b.shape()[0]);
        let bias = inputs.get(2).map(|c| c.as_f32());
        let mut out = Vec::with_capacity(m * n);
        for row in 0..m {
            let x = &a.as_f32()[row * k..(row + 1) * k];
            for column in 0..n {
                let w = &b.as_f32()[column * k..(column + 1) * k];
                let dot: f64 = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                let sum = dot + bias.map_or(0.0, |c| f64::from(c[column]));
                out.push(self.activation.map_or(sum, |f| f.scalar(sum)) as f32);
            }
        }
        Tensor::f32([m, n], out)
    }
}
