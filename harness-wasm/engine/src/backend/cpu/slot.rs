//! Values during a run: whose they are decides whether a kernel may write over them.

use std::ops::Deref;
use std::sync::Arc;

use crate::tensor::Tensor;

/// A value during a run.
#[derive(Clone, Debug)]
pub(super) enum Slot<'t> {
    /// An input, where the caller has it.
    Given(&'t Tensor),
    /// Anything else.
    Shared(Arc<Tensor>),
}

impl Deref for Slot<'_> {
    type Target = Tensor;

    fn deref(&self) -> &Tensor {
        match self {
            Self::Given(tensor) => tensor,
            Self::Shared(tensor) => tensor,
        }
    }
}

impl Slot<'_> {
    /// To change or give away: a copy only if someone else still has it.
    pub(super) fn into_tensor(self) -> Tensor {
        match self {
            Self::Given(tensor) => tensor.clone(),
            Self::Shared(tensor) => Arc::unwrap_or_clone(tensor),
        }
    }

    pub(super) fn into_shared(self) -> Arc<Tensor> {
        match self {
            Self::Given(tensor) => Arc::new(tensor.clone()),
            Self::Shared(tensor) => tensor,
        }
    }
    /// Changes every row of so many floats, in its own memory where nobody else has it. Where someone has, each row is
    /// copied just before: it is read from memory once, and still in the cache when it is changed.
    pub(super) fn rows(self, width: usize, change: impl Fn(&mut [f32])) -> Tensor {
        let width = width.max(1);
        let theirs = |tensor: &Tensor| {
            let mut out = Vec::with_capacity(tensor.len());
            for row in tensor.as_f32().chunks_exact(width) {
                let start = out.len();
                out.extend_from_slice(row);
                change(&mut out[start..]);
            }
            Tensor::f32(tensor.shape(), out)
        };
        match self {
            Self::Given(tensor) => theirs(tensor),
            Self::Shared(tensor) => match Arc::try_unwrap(tensor) {
                Ok(mut ours) => {
                    ours.as_f32_mut().chunks_exact_mut(width).for_each(change);
                    ours
                }
                Err(tensor) => theirs(&tensor),
            },
        }
    }
}
