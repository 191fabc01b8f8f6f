//! `reduceMean`, `reduceMax`.

use super::{operands, require};
use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::tensor::{DType, Tensor};

/// What the last axis, which stays as 1 (WebNN's `keepDimensions`), is reduced to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduce {
    /// The arithmetic mean.
    Mean,
    /// The largest element.
    Max,
}

impl Reduce {
    /// Every member.
    pub const ALL: [Self; 2] = [Self::Mean, Self::Max];

    /// WebNN's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mean => "reduceMean",
            Self::Max => "reduceMax",
        }
    }

    pub(super) fn infer(self, inputs: &[&TensorType]) -> Result<TensorType> {
        let [x] = operands(self.name(), inputs)?;
        require(self.name(), "the operand", x, DType::F32)?;
        let mut shape = x.shape.clone();
        match shape.last_mut() {
            Some(last) if *last > 0 => *last = 1,
            _ => {
                return Err(Error::shape(self.name(), format!("{:?} has no last axis to reduce", x.shape)));
            }
        }
        Ok(TensorType::f32(shape))
    }

    pub(super) fn eval(self, x: &Tensor) -> Tensor {
        let width = *x.shape().last().expect("inferred");
        let mut shape = x.shape().to_vec();
        shape[x.shape().len() - 1] = 1;
        let rows = x.as_f32().chunks_exact(width).map(|row| match self {
            Self::Mean => (row.iter().map(|&v| f64::from(v)).sum::<f64>() / width as f64) as f32,
            Self::Max => row.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        });
        Tensor::f32(shape, rows.collect())
    }
}
