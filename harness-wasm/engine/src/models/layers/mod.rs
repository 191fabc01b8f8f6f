//! Pieces that several classes share.

mod attention;
mod block;
mod conv;
mod linear;
mod rope;

pub(super) use attention::{Cache, MultiHead, head_width, keep_memory, memory};
pub(super) use block::{Block, Norms};
pub(super) use conv::{Conv1d, conv_norm};
pub(super) use linear::{Linear, Names, batch_norm, l2_normalize, layer_norm, rms_norm, weight};
pub(super) use rope::{Rope, Rotary};
