//! Elementwise functions of one operand, and `cast`.

use super::{operands, require};
use crate::error::Result;
use crate::ir::TensorType;
use crate::tensor::{DType, Data, Tensor};

/// An elementwise function of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    /// `|x|`.
    Abs,
    /// Cosine of radians.
    Cos,
    /// The error function.
    Erf,
    /// `e^x`.
    Exp,
    /// `x * Φ(x)`, with the error function.
    Gelu,
    /// Extension: Hugging Face's `gelu_new` and `gelu_pytorch_tanh`.
    GeluTanh,
    /// Natural logarithm.
    Log,
    /// `-x`.
    Neg,
    /// Extension: `x * sigmoid(1.702 x)`, CLIP's.
    QuickGelu,
    /// `1 / x`.
    Reciprocal,
    /// `max(x, 0)`.
    Relu,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// Extension: `x * sigmoid(x)`.
    Silu,
    /// Sine of radians.
    Sin,
    /// Square root.
    Sqrt,
    /// Hyperbolic tangent.
    Tanh,
}

impl Unary {
    /// Every member.
    pub const ALL: [Self; 16] = [
        Self::Abs,
        Self::Cos,
        Self::Erf,
        Self::Exp,
        Self::Gelu,
        Self::GeluTanh,
        Self::Log,
        Self::Neg,
        Self::QuickGelu,
        Self::Reciprocal,
        Self::Relu,
        Self::Sigmoid,
        Self::Silu,
        Self::Sin,
        Self::Sqrt,
        Self::Tanh,
    ];

    /// WebNN's name, or our extension's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Abs => "abs",
            Self::Cos => "cos",
            Self::Erf => "erf",
            Self::Exp => "exp",
            Self::Gelu => "gelu",
            Self::GeluTanh => "geluTanh",
            Self::Log => "log",
            Self::Neg => "neg",
            Self::QuickGelu => "quickGelu",
            Self::Reciprocal => "reciprocal",
            Self::Relu => "relu",
            Self::Sigmoid => "sigmoid",
            Self::Silu => "silu",
            Self::Sin => "sin",
            Self::Sqrt => "sqrt",
            Self::Tanh => "tanh",
        }
    }

    pub(super) fn infer(self, inputs: &[&TensorType]) -> Result<TensorType> {
        let [x] = operands(self.name(), inputs)?;
        require(self.name(), "the operand", x, DType::F32)?;
        Ok(x.clone())
    }

    pub(super) fn eval(self, x: &Tensor) -> Tensor {
        Tensor::f32(x.shape(), x.as_f32().iter().map(|&v| self.scalar(f64::from(v)) as f32).collect())
    }

    /// The function itself, in f64.
    pub fn scalar(self, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + libm::exp(-x));
        match self {
            Self::Abs => x.abs(),
            Self::Cos => libm::cos(x),
            Self::Erf => libm::erf(x),
            Self::Exp => libm::exp(x),
            Self::Gelu => 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2),
            Self::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
                0.5 * x * (1.0 + libm::tanh(inner))
            }
            Self::Log => libm::log(x),
            Self::Neg => -x,
            Self::QuickGelu => x * sigmoid(1.702 * x),
            Self::Reciprocal => 1.0 / x,
            // Not `max`, which would swallow a NaN.
            Self::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Self::Sigmoid => sigmoid(x),
            Self::Silu => x * sigmoid(x),
            Self::Sin => libm::sin(x),
            Self::Sqrt => x.sqrt(),
            Self::Tanh => libm::tanh(x),
        }
    }
}

pub(super) fn cast(dtype: DType, x: &Tensor) -> Tensor {
    match (x.data(), dtype) {
        (Data::F32(_), DType::F32) | (Data::I32(_), DType::I32) => x.clone(),
        (Data::F32(data), DType::I32) => Tensor::i32(x.shape(), data.iter().map(|&v| v as i32).collect()),
        (Data::I32(data), DType::F32) => Tensor::f32(x.shape(), data.iter().map(|&v| v as f32).collect()),
    }
}
