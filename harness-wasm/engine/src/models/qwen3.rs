//! Qwen3 (Yang et al. 2025): `Qwen3ForCausalLM`. LLaMA's stack with queries and keys normalised head by head.

use crate::error::Result;
use crate::models::Config;
use crate::models::causal::{Causal, Dialect, windows};
use crate::models::layers::Names;

/// Reads a Qwen3's config.
pub(super) fn new(config: &Config) -> Result<Causal> {
    let bias = config.flag_or("attention_bias", false)?;
    let dialect = Dialect {
        model: Names::of_model(),
        head: "lm_head".into(),
        qkv_bias: bias,
        out_bias: bias,
        qk_norm: true,
        windows: windows(config)?,
    };
    Causal::new(config, dialect, Some(128))
}
