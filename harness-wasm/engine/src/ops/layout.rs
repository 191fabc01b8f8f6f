//! Ops that move elements without changing them: `reshape transpose slice concat expand`.

use super::broadcast::{broadcast_shape, broadcast_strides, for_each};
use super::operands;
use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::tensor::{Data, Tensor, elements, strides};

pub(super) fn infer_reshape(shape: &[usize], inputs: &[&TensorType]) -> Result<TensorType> {
    let [x] = operands("reshape", inputs)?;
    if elements(shape) != x.len() {
        return Err(Error::shape(
            "reshape",
            format!("{:?} does not have the elements of {shape:?}", x.shape),
        ));
    }
    Ok(TensorType::new(x.dtype, shape))
}

pub(super) fn infer_transpose(permutation: &[usize], inputs: &[&TensorType]) -> Result<TensorType> {
    let [x] = operands("transpose", inputs)?;
    let mut seen = permutation.to_vec();
    seen.sort_unstable();
    if !seen.iter().copied().eq(0..x.shape.len()) {
        return Err(Error::shape(
            "transpose",
            format!("{permutation:?} does not permute the axes of {:?}", x.shape),
        ));
    }
    Ok(TensorType::new(x.dtype, permutation.iter().map(|&axis| x.shape[axis]).collect::<Vec<_>>()))
}

pub(super) fn infer_slice(starts: &[usize], sizes: &[usize], inputs: &[&TensorType]) -> Result<TensorType> {
    let [x] = operands("slice", inputs)?;
    let inside = starts.len() == x.shape.len()
        && sizes.len() == x.shape.len()
        && starts
            .iter()
            .zip(sizes)
            .zip(&x.shape)
            .all(|((start, size), all)| *size > 0 && start + size <= *all);
    if !inside {
        return Err(Error::shape(
            "slice",
            format!("{sizes:?} from {starts:?} does not lie in {:?}", x.shape),
        ));
    }
    Ok(TensorType::new(x.dtype, sizes))
}

pub(super) fn infer_concat(axis: usize, inputs: &[&TensorType]) -> Result<TensorType> {
    let Some((first, rest)) = inputs.split_first() else {
        return Err(Error::shape("concat", "needs an operand"));
    };
    if axis >= first.shape.len() {
        return Err(Error::shape("concat", format!("axis {axis} is not one of {:?}", first.shape)));
    }
    let mut out = (*first).clone();
    for next in rest {
        let fits = next.dtype == first.dtype
            && next.shape.len() == first.shape.len()
            && next.shape.iter().zip(&first.shape).enumerate().all(|(i, (a, b))| i == axis || a == b);
        if !fits {
            return Err(Error::shape(
                "concat",
                format!("{next:?} does not follow {first:?} along axis {axis}"),
            ));
        }
        out.shape[axis] += next.shape[axis];
    }
    Ok(out)
}

pub(super) fn infer_expand(shape: &[usize], inputs: &[&TensorType]) -> Result<TensorType> {
    let [x] = operands("expand", inputs)?;
    if broadcast_shape("expand", &x.shape, shape)? != shape {
        return Err(Error::shape("expand", format!("{:?} does not expand to {shape:?}", x.shape)));
    }
    Ok(TensorType::new(x.dtype, shape))
}

/// The elements of `x` at `start`, then by `steps`, in a tensor of `shape`.
fn pick(x: &Tensor, shape: &[usize], start: usize, steps: &[usize]) -> Tensor {
    match x.data() {
        Data::F32(data) => {
            let mut out = vec![0.0; elements(shape)];
            for_each(shape, [steps], |i, [at]| out[i] = data[start + at]);
            Tensor::f32(shape, out)
        }
        Data::I32(data) => {
            let mut out = vec![0; elements(shape)];
            for_each(shape, [steps], |i, [at]| out[i] = data[start + at]);
            Tensor::i32(shape, out)
        }
    }
}

pub(super) fn transpose(permutation: &[usize], x: &Tensor) -> Tensor {
    let own = strides(x.shape());
    let shape: Vec<usize> = permutation.iter().map(|&axis| x.shape()[axis]).collect();
    let steps: Vec<usize> = permutation.iter().map(|&axis| own[axis]).collect();
    pick(x, &shape, 0, &steps)
}

pub(super) fn slice(starts: &[usize], sizes: &[usize], x: &Tensor) -> Tensor {
    let own = strides(x.shape());
    let start = starts.iter().zip(&own).map(|(a, b)| a * b).sum();
    pick(x, sizes, start, &own)
}

pub(super) fn expand(shape: &[usize], x: &Tensor) -> Tensor {
    pick(x, shape, 0, &broadcast_strides(x.shape(), shape))
}

pub(super) fn concat(axis: usize, inputs: &[&Tensor]) -> Tensor {
    fn join<T: Copy>(axis: usize, parts: &[(&[usize], &[T])]) -> Vec<T> {
        let outer = elements(&parts[0].0[..axis]);
        let mut out = Vec::with_capacity(parts.iter().map(|(_, data)| data.len()).sum());
        for row in 0..outer {
            for (shape, data) in parts {
                let run = elements(&shape[axis..]);
                out.extend_from_slice(&data[row * run..(row + 1) * run]);
            }
        }
        out
    }
    let mut shape = inputs[0].shape().to_vec();
    shape[axis] = inputs.iter().map(|t| t.shape()[axis]).sum();
    match inputs[0].data() {
        Data::F32(_) => {
            let parts: Vec<_> = inputs.iter().map(|t| (t.shape(), t.as_f32())).collect();
            Tensor::f32(shape, join(axis, &parts))
        }
        Data::I32(_) => {
            let parts: Vec<_> = inputs.iter().map(|t| (t.shape(), t.as_i32())).collect();
            Tensor::i32(shape, join(axis, &parts))
        }
    }
}
