//! `rope`: rotary position embedding (Su et al. 2021), in Hugging Face's half-split form.

use super::{operands, require};
use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::tensor::{DType, Tensor};

pub(super) fn infer(heads: usize, inputs: &[&TensorType]) -> Result<TensorType> {
    let [x, cos, sin, position] = operands("rope", inputs)?;
    for (what, ty) in [("x", x), ("cos", cos), ("sin", sin)] {
        require("rope", what, ty, DType::F32)?;
    }
    require("rope", "the position", position, DType::I32)?;
    match (&x.shape[..], &cos.shape[..], &sin.shape[..], &position.shape[..]) {
        ([_, tokens, width], [positions, half], [p2, h2], [1])
            if positions == p2
                && half == h2
                && tokens <= positions
                && width % heads == 0
                && 2 * half <= width / heads =>
        {
            Ok(x.clone())
        }
        _ => {
            Err(Error::shape("rope", format!("{heads} heads of {:?} by tables of {:?}", x.shape, cos.shape)))
        }
    }
}

pub(super) fn eval(heads: usize, inputs: &[&Tensor]) -> Tensor {
    let [x, cos, sin, position] = inputs else { unreachable!("four operands: inferred") };
    let &[_, tokens, width] = x.shape() else { unreachable!("rank 3: inferred") };
    let &[positions, half] = cos.shape() else { unreachable!("rank 2: inferred") };
    let head = width / heads;
    let start = position.as_i32()[0].max(0) as usize;
    let mut out = x.as_f32().to_vec();
    for (row, values) in out.chunks_exact_mut(width).enumerate() {
        let at = (start + row % tokens).min(positions - 1) * half;
        for values in values.chunks_exact_mut(head) {
            for i in 0..half {
                let (c, s) = (f64::from(cos.as_f32()[at + i]), f64::from(sin.as_f32()[at + i]));
                let (a, b) = (f64::from(values[i]), f64::from(values[i + half]));
                values[i] = (a * c - b * s) as f32;
                values[i + half] = (b * c + a * s) as f32;
            }
        }
    }
    Tensor::f32(x.shape(), out)
}
