//! Elementwise functions of two operands, and `where`.

use super::broadcast::{broadcast_shape, broadcast_strides, for_each};
use super::{operands, require};
use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::tensor::{DType, Data, Tensor};

/// An elementwise function of two operands. Comparisons give integers, 1 for true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`.
    Div,
    /// `max(a, b)`.
    Max,
    /// `min(a, b)`.
    Min,
    /// Extension: `silu(a) * b`.
    SwiGlu,
    /// `a == b`.
    Equal,
    /// `a <= b`.
    LesserOrEqual,
}

impl Binary {
    /// Every member.
    pub const ALL: [Self; 9] = [
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Max,
        Self::Min,
        Self::SwiGlu,
        Self::Equal,
        Self::LesserOrEqual,
    ];

    /// WebNN's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Sub => "sub",
            Self::Mul => "mul",
            Self::Div => "div",
            Self::Max => "max",
            Self::Min => "min",
            Self::SwiGlu => "swiglu",
            Self::Equal => "equal",
            Self::LesserOrEqual => "lesserOrEqual",
        }
    }

    /// Whether the result is a truth value.
    pub const fn is_comparison(self) -> bool {
        matches!(self, Self::Equal | Self::LesserOrEqual)
    }

    pub(super) fn infer(self, inputs: &[&TensorType]) -> Result<TensorType> {
        let [a, b] = operands(self.name(), inputs)?;
        if a.dtype != b.dtype {
            return Err(Error::shape(self.name(), format!("{:?} and {:?} do not mix", a.dtype, b.dtype)));
        }
        if matches!(self, Self::SwiGlu | Self::Div) {
            require(self.name(), "both operands", a, DType::F32)?;
        }
        let dtype = if self.is_comparison() { DType::I32 } else { a.dtype };
        Ok(TensorType::new(dtype, broadcast_shape(self.name(), &a.shape, &b.shape)?))
    }

    pub(super) fn eval(self, a: &Tensor, b: &Tensor) -> Tensor {
        let shape = broadcast_shape(self.name(), a.shape(), b.shape()).expect("inferred");
        match (a.data(), b.data()) {
            (Data::F32(x), Data::F32(y)) if self.is_comparison() => {
                zip(&shape, a, b, x, y, |x, y| self.compare(f64::from(x), f64::from(y)), Tensor::i32)
            }
            (Data::I32(x), Data::I32(y)) if self.is_comparison() => {
                zip(&shape, a, b, x, y, |x, y| self.compare(f64::from(x), f64::from(y)), Tensor::i32)
            }
            (Data::F32(x), Data::F32(y)) => {
                zip(&shape, a, b, x, y, |x, y| self.float(f64::from(x), f64::from(y)) as f32, Tensor::f32)
            }
            (Data::I32(x), Data::I32(y)) => zip(&shape, a, b, x, y, |x, y| self.integer(x, y), Tensor::i32),
            _ => unreachable!("types do not mix: inferred"),
        }
    }

    fn compare(self, a: f64, b: f64) -> i32 {
        i32::from(if self == Self::Equal { a == b } else { a <= b })
    }

    fn float(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Max => a.max(b),
            Self::Min => a.min(b),
            Self::SwiGlu => a / (1.0 + libm::exp(-a)) * b,
            Self::Equal | Self::LesserOrEqual => f64::from(self.compare(a, b)),
        }
    }

    fn integer(self, a: i32, b: i32) -> i32 {
        match self {
            Self::Add => a.wrapping_add(b),
            Self::Sub => a.wrapping_sub(b),
            Self::Mul => a.wrapping_mul(b),
            Self::Max => a.max(b),
            Self::Min => a.min(b),
            Self::Div | Self::SwiGlu | Self::Equal | Self::LesserOrEqual => {
                unreachable!("no integer form: inferred")
            }
        }
    }
}

fn zip<T: Copy, R: Copy + Default>(
    shape: &[usize],
    a: &Tensor,
    b: &Tensor,
    x: &[T],
    y: &[T],
    f: impl Fn(T, T) -> R,
    make: impl Fn(Vec<usize>, Vec<R>) -> Tensor,
) -> Tensor {
    let mut out = vec![R::default(); shape.iter().product()];
    let steps = [&broadcast_strides(a.shape(), shape)[..], &broadcast_strides(b.shape(), shape)[..]];
    for_each(shape, steps, |i, [ia, ib]| out[i] = f(x[ia], y[ib]));
    make(shape.to_vec(), out)
}

pub(super) fn infer_where(inputs: &[&TensorType]) -> Result<TensorType> {
    let [condition, a, b] = operands("where", inputs)?;
    require("where", "the condition", condition, DType::I32)?;
    require("where", "both choices", b, a.dtype)?;
    let shape = broadcast_shape("where", &a.shape, &b.shape)?;
    Ok(TensorType::new(a.dtype, broadcast_shape("where", &condition.shape, &shape)?))
}

pub(super) fn eval_where(inputs: &[&Tensor]) -> Tensor {
    let [condition, a, b] = inputs else { unreachable!("three operands: inferred") };
    let shape = broadcast_shape("where", a.shape(), b.shape())
        .and_then(|shape| broadcast_shape("where", condition.shape(), &shape))
        .expect("inferred");
    let mut out = vec![[0; 4]; shape.iter().product()];
    let steps = [condition, a, b].map(|t| broadcast_strides(t.shape(), &shape));
    // Either type is four bytes wide.
    let (c, x, y) = (condition.as_i32(), a.bytes().as_chunks::<4>().0, b.bytes().as_chunks::<4>().0);
    for_each(&shape, [&steps[0], &steps[1], &steps[2]], |i, [ic, ix, iy]| {
        out[i] = if c[ic] != 0 { x[ix] } else { y[iy] };
    });
    Tensor::from_bytes(a.dtype(), shape, out.as_flattened())
}
