//! How classes that generate go on, as a matrix or a command line says it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use webmatrix_wire::{Generation as Asked, Sampling};

/// How classes that generate go on. Where nothing is said they make a golden's number of tokens, the likeliest each
/// time, and end tokens are never chosen, so that runs are alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Generation {
    /// New tokens, at most where `stop` is set; without, as many as the class's golden or the expected output has.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_new_tokens: Option<u32>,
    /// Whether an end token ends generation.
    pub stop: bool,
    /// Divides the logits. This, or any of the next three, has tokens drawn: 1 where only others are said.
    #[schemars(range(max = 100))]
    pub temperature: Option<f32>,
    /// Only so many likeliest tokens are in the draw; 0 and without, all.
    pub top_k: Option<u32>,
    /// Only the likeliest tokens whose probabilities sum up to this are in the draw; without, all.
    #[schemars(range(max = 1))]
    pub top_p: Option<f32>,
    /// Of the draws; without, 0.
    pub seed: Option<u64>,
}

impl Generation {
    /// Whether nothing is said.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// This, and `other` where this says nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            max_new_tokens: self.max_new_tokens.or(other.max_new_tokens),
            stop: self.stop || other.stop,
            temperature: self.temperature.or(other.temperature),
            top_k: self.top_k.or(other.top_k),
            top_p: self.top_p.or(other.top_p),
            seed: self.seed.or(other.seed),
        }
    }

    /// What a page is asked for, of a class that usually makes so many tokens; none if it does not generate.
    pub fn asked(&self, usual: Option<u32>) -> Asked {
        let Some(usual) = usual else { return Asked::greedy(0) };
        let drawn =
            self.temperature.is_some() || self.top_k.is_some() || self.top_p.is_some() || self.seed.is_some();
        Asked {
            max_new_tokens: self.max_new_tokens.unwrap_or(usual),
            stops: self.stop,
            sampling: drawn.then(|| Sampling {
                temperature: self.temperature.unwrap_or(1.0),
                top_k: self.top_k.unwrap_or(0),
                top_p: self.top_p.unwrap_or(1.0),
                seed: self.seed.unwrap_or(0),
            }),
        }
    }

    /// What the types cannot say: the field, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if !(1..=1_000_000).contains(&self.max_new_tokens.unwrap_or(1)) {
            return Err(("max_new_tokens", "must be between 1 and 1000000".to_owned()));
        }
        let within = |value: Option<f32>, most: f32| value.is_none_or(|v| v > 0.0 && v <= most);
        if !within(self.temperature, 100.0) {
            let reason = "must be above 0 and at most 100; leave it out for the likeliest token each time";
            return Err(("temperature", reason.to_owned()));
        }
        if !within(self.top_p, 1.0) {
            return Err(("top_p", "must be above 0 and at most 1".to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_drawn_where_anything_is_said_of_draws() {
        let usual = Generation::default();
        assert_eq!(usual.asked(Some(16)), Asked::greedy(16));
        let stopping = Generation { stop: true, max_new_tokens: Some(3), ..usual };
        assert_eq!(stopping.asked(Some(16)), Asked { max_new_tokens: 3, stops: true, sampling: None });
        let seeded = Generation { seed: Some(5), ..usual }.asked(Some(16)).sampling;
        assert_eq!(seeded, Some(Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, seed: 5 }));
        assert_eq!(Generation { top_k: Some(4), ..stopping }.asked(None), Asked::greedy(0), "an encoder");
    }

    #[test]
    fn flags_come_before_the_file() {
        let file = Generation { top_k: Some(4), temperature: Some(0.5), stop: true, ..Generation::default() };
        let flags = Generation { top_k: Some(2), seed: Some(1), ..Generation::default() };
        let both = flags.or(file);
        assert_eq!((both.top_k, both.temperature, both.seed, both.stop), (Some(2), Some(0.5), Some(1), true));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (field, bad) in [
            ("temperature", Generation { temperature: Some(0.0), ..Generation::default() }),
            ("temperature", Generation { temperature: Some(f32::NAN), ..Generation::default() }),
            ("temperature", Generation { temperature: Some(f32::INFINITY), ..Generation::default() }),
            ("top_p", Generation { top_p: Some(1.5), ..Generation::default() }),
            ("max_new_tokens", Generation { max_new_tokens: Some(0), ..Generation::default() }),
        ] {
            assert_eq!(bad.check().map_err(|(field, _)| field), Err(field), "{bad:?}");
        }
        assert_eq!(
            Generation { temperature: Some(0.7), top_p: Some(1.0), ..Generation::default() }.check(),
            Ok(())
        );
    }
}
