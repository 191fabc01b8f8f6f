//! What happens to a graph between a model file and a backend. Pure.

pub mod caches;
pub mod decompose;
pub mod fold;
pub mod liveness;
pub mod memory;
pub mod quantise;
mod rewrite;
pub mod split;
mod tidy;
