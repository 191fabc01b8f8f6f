//! Weights at 16, 8, 4, 3 and 2 bits: how they are stored, and how they are made from float32.
//!
//! Everything that a kernel must know is a [`Packing`]; a [`Matrix`] is two integer tensors, which are all that a
//! backend sees of it. [`crate::plan::quantise`] makes graphs read them.

mod allot;
mod bits;
mod fit;
mod gptq;
mod matrix;
mod recipe;
mod refine;
mod scales;
mod scheme;

pub use allot::{Choice, allot};
pub(crate) use bits::unpack;
pub use fit::Fit;
pub use gptq::Activations;
pub use matrix::Matrix;
pub(crate) use matrix::Rows;
pub use recipe::{Recipe, Watch, unwatched};
pub(crate) use scales::{Scales, read};
pub use scheme::{BLOCK, Bits, Group, Packing, SUPER_BLOCK, Scheme};
