//! Pieces that several classes share.

mod attention;
mod block;
mod conv;
mod linear;
mod rope;

pub(super) use attention::{Cache, MultiHead, head_width};
pub(super) use block::{Block, Norms};
pub(super) use conv::{conv_norm, conv1d};
pub(super) use linear::{Linear, Names, layer_norm, rms_norm, weight};
pub(super) use rope::{Rope, Rotary};
