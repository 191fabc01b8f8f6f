//! NumPy's broadcasting, which is WebNN's.

use crate::error::{Error, Result};
use crate::tensor::strides;

/// The shape that both operands broadcast to.
///
/// # Errors
/// If they do not: names `op` and the shapes.
pub fn broadcast_shape(op: &'static str, a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    (0..rank)
        .map(|axis| {
            let at = |shape: &[usize]| (axis + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
            match (at(a), at(b)) {
                (x, y) if x == y => Ok(x),
                (1, y) => Ok(y),
                (x, 1) => Ok(x),
                _ => Err(Error::shape(op, format!("{a:?} and {b:?} do not broadcast"))),
            }
        })
        .collect()
}

/// Strides by which an operand of `shape` is read along the axes of `out`: 0 where it repeats.
pub fn broadcast_strides(shape: &[usize], out: &[usize]) -> Vec<usize> {
    let own = strides(shape);
    let lead = out.len() - shape.len();
    (0..out.len())
        .map(|axis| match axis.checked_sub(lead) {
            Some(i) if shape[i] != 1 => own[i],
            _ => 0,
        })
        .collect()
}

/// Calls `f(output index, [offset into each operand])` for every element of `out`, in order.
pub(super) fn for_each<const N: usize>(
    out: &[usize],
    steps: [&[usize]; N],
    mut f: impl FnMut(usize, [usize; N]),
) {
    let total: usize = out.iter().product();
    let mut index = vec![0; out.len()];
    let mut offsets = [0; N];
    for flat in 0..total {
        f(flat, offsets);
        for axis in (0..out.len()).rev() {
            index[axis] += 1;
            for (offset, step) in offsets.iter_mut().zip(steps) {
                *offset += step[axis];
            }
            if index[axis] < out[axis] {
                break;
            }
            for (offset, step) in offsets.iter_mut().zip(steps) {
                *offset -= step[axis] * out[axis];
            }
            index[axis] = 0;
        }
    }
}
