//! LLaMA (Touvron et al. 2023): `LlamaForCausalLM`.

use crate::error::Result;
use crate::models::Config;
use crate::models::causal::{Causal, Dialect};
use crate::models::layers::Names;

/// The text model of a LLaMA, also inside other classes.
pub(super) fn causal(config: &Config, model: Names, head: Names) -> Result<Causal> {
    let bias = config.flag_or("attention_bias", false)?;
    let dialect =
        Dialect { model, head, qkv_bias: bias, out_bias: bias, qk_norm: false, windows: Vec::new() };
    Causal::new(config, dialect, None)
}

/// Reads a LLaMA's config.
pub(super) fn new(config: &Config) -> Result<Causal> {
    causal(config, Names::of_model(), "lm_head".into())
}
