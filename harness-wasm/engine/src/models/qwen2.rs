//! Qwen2 (Yang et al. 2024): `Qwen2ForCausalLM`. LLaMA's stack with a bias on queries, keys and values, and
//! sliding windows in some layers.

use crate::error::Result;
use crate::models::Config;
use crate::models::causal::{Causal, Dialect, windows};
use crate::models::layers::Names;

/// The text model of a Qwen2, also inside other classes.
pub(super) fn causal(config: &Config, model: Names, head: Names) -> Result<Causal> {
    let windows = windows(config)?;
    Causal::new(
        config,
        Dialect { model, head, qkv_bias: true, out_bias: false, qk_norm: false, windows },
        None,
    )
}

/// Reads a Qwen2's config.
pub(super) fn new(config: &Config) -> Result<Causal> {
    causal(config, Names::of_model(), "lm_head".into())
}
