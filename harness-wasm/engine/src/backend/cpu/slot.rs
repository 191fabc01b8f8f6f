//! Values during a run: whose they are decides whether a kernel may write over them.

use std::ops::Deref;
use std::sync::Arc;

use super::parallel::{Crew, consecutive};
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
    /// copied just before: it is read from memory once, and still in the cache when it is changed. `cost` is that of an
    /// element, in multiply-adds.
    pub(super) fn rows(
        self,
        crew: &Crew,
        width: usize,
        cost: usize,
        change: impl Fn(&mut [f32]) + Sync,
    ) -> Tensor {
        let width = width.max(1);
        let parts = crew.split(self.len() / width, width * cost);
        let ours = |mut tensor: Tensor| {
            let pieces = consecutive(tensor.as_f32_mut(), &parts, width);
            crew.each(pieces, |piece| piece.chunks_exact_mut(width).for_each(&change));
            tensor
        };
        let theirs = |tensor: &Tensor| {
            if parts.len() > 1 {
                let mut out = vec![0.0; tensor.len()];
                let pieces = consecutive(&mut out, &parts, width).into_iter().zip(&parts).collect();
                crew.each(pieces, |(piece, part): (&mut [f32], _)| {
                    let from = tensor.as_f32()[part.start * width..].chunks_exact(width);
                    for (row, from) in piece.chunks_exact_mut(width).zip(from) {
                        row.copy_from_slice(from);
                        change(row);
                    }
                });
                return Tensor::f32(tensor.shape(), out);
            }
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
                Ok(tensor) => ours(tensor),
                Err(tensor) => theirs(&tensor),
            },
        }
    }
}
