//! Mistral (Jiang et al. 2023), as a text model inside other classes: LLaMA's stack with a sliding window in every layer.

use serde_json::json;

use crate::error::Result;
use crate::models::Config;
use crate::models::causal::{Causal, Dialect};
use crate::models::layers::Names;

/// The text model of a Mistral.
pub(super) fn causal(config: &Config, model: Names, head: Names) -> Result<Causal> {
    let config = config.clone().with_defaults(json!({
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 131_072,
        "sliding_window": 4096, "eos_token_id": 2,
    }));
    // A null, unlike an absent field, means that there is no window.
    let window = config.get("sliding_window").map(|_| config.size("sliding_window")).transpose()?;
    let windows = vec![window; config.size("num_hidden_layers")?];
    Causal::new(
        &config,
        Dialect { model, head, qkv_bias: false, out_bias: false, qk_norm: false, windows },
        None,
    )
}
