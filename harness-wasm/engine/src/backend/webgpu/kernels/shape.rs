//! Shapes and strides as the shaders take them: up to six axes, outermost first, padded to eight words.

use crate::ops::broadcast_strides;

/// Axes that a shader can walk.
const MAX_RANK: usize = 6;
/// Words in a uniform array of two `vec4<u32>`.
const WORDS: usize = 8;

/// A shape of at most six axes.
#[derive(Clone, Debug)]
pub(super) struct Axes(Vec<usize>);

/// The shape, if it has few enough axes.
pub(super) fn axes(shape: &[usize]) -> Option<Axes> {
    (shape.len() <= MAX_RANK).then(|| Axes(shape.to_vec()))
}

impl Axes {
    /// One axis.
    pub(super) fn line(n: usize) -> Self {
        Self(vec![n])
    }

    /// The number of elements.
    pub(super) fn len(&self) -> usize {
        self.0.iter().product()
    }

    /// The sizes, leading axes of 1 in front.
    pub(super) fn sizes(&self) -> Vec<u32> {
        pad(&self.0, 1)
    }

    /// Strides along these axes.
    pub(super) fn steps(&self, strides: &[usize]) -> Vec<u32> {
        pad(strides, 0)
    }

    /// Strides by which an operand of `shape` is read along these axes.
    pub(super) fn broadcast(&self, shape: &[usize]) -> Vec<u32> {
        pad(&broadcast_strides(shape, &self.0), 0)
    }
}

fn pad(values: &[usize], fill: u32) -> Vec<u32> {
    let mut words = vec![fill; WORDS - values.len()];
    words.extend(values.iter().map(|&v| v as u32));
    words
}
