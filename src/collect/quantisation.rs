//! What is told of a model whose weights are quantised.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How a model's weights were quantised.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantisation {
    /// How many matrices have each scheme, by its spelling, such as `int4-g32`.
    pub schemes: BTreeMap<String, u32>,
    /// How scales were chosen.
    pub fit: String,
    /// What codes were chosen with regard to; none if each was chosen by itself.
    pub calibration: Option<String>,
    /// Bits that a weight of these matrices takes, scales included.
    pub bits_per_weight: f64,
    /// Bytes that these matrices take.
    pub bytes: u64,
    /// Their weights.
    pub weights: u64,
    /// Bits that a weight takes on average over the whole model, with what is not quantised.
    #[serde(default)]
    pub model_bits_per_weight: f64,
    /// How caches of keys and values are packed, by its scheme; none if they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caches: Option<String>,
}

impl Quantisation {
    /// Of weights at full precision.
    pub(super) fn none() -> Self {
        Self { bits_per_weight: 32.0, model_bits_per_weight: 32.0, ..Self::default() }
    }
}
