//! `matrices/gate.toml`: what the gate calls a change. Data, read by `analyse`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the gate calls a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GateRules {
    /// The part of all verdicts of change that may be expected to be wrong: above 0, below 1.
    #[schemars(range(min = 0, max = 1))]
    pub false_share: f64,
    /// Earlier runs that are looked at, the latest ones.
    #[schemars(range(min = 1, max = 1000))]
    pub history: u32,
    /// The metrics that are compared, by name: `latency`, the median of the timed inferences, and those of the table `metric`.
    pub metrics: BTreeMap<String, MetricRule>,
}

/// What is a change of one metric. All shares are of the baseline's value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricRule {
    /// The direction in which it gets worse.
    pub worse: Worse,
    /// The least that matters: above 0.
    #[schemars(range(min = 0))]
    pub change: f64,
    /// Standard deviation of a run's value that is supposed where history is short; 0 where nothing varies.
    #[schemars(range(min = 0))]
    pub run_noise: f64,
    /// The same on every machine.
    #[serde(default)]
    pub portable: bool,
}

/// The direction in which a metric gets worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Worse {
    /// More is worse, as of times.
    Up,
    /// Less is worse, as of rates.
    Down,
}

/// The rules that the program carries.
const EMBEDDED: &str = include_str!("../../matrices/gate.toml");

/// A file of rules that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("rules {name}: {reason}")]
pub struct GateRulesError {
    name: String,
    reason: String,
}

impl GateRules {
    /// Those that the program carries.
    ///
    /// # Errors
    /// Never: a test reads them.
    pub fn embedded() -> Result<Self, GateRulesError> {
        Self::parse("gate.toml", EMBEDDED)
    }

    /// Reads the text of a file; `name` is what errors call it.
    ///
    /// # Errors
    /// With line and column, or the key.
    pub fn parse(name: &str, text: &str) -> Result<Self, GateRulesError> {
        let fault = |reason: String| GateRulesError { name: name.to_owned(), reason };
        let rules: Self =
            toml::from_str(text).map_err(|error| fault(error.to_string().trim_end().to_owned()))?;
        if !(rules.false_share > 0.0 && rules.false_share < 1.0) {
            return Err(fault(format!(
                "false_share: must be above 0 and below 1, not {}",
                rules.false_share
            )));
        }
        if rules.history == 0 {
            return Err(fault("history: must be at least 1".to_owned()));
        }
        for (metric, rule) in &rules.metrics {
            if !(rule.change > 0.0 && rule.change.is_finite()) {
                return Err(fault(format!("metrics.{metric}.change: must be above 0, not {}", rule.change)));
            }
            if !(rule.run_noise >= 0.0 && rule.run_noise.is_finite()) {
                let text = format!("metrics.{metric}.run_noise: must be at least 0, not {}", rule.run_noise);
                return Err(fault(text));
            }
        }
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_ones_judge_latency() {
        let rules = GateRules::embedded().unwrap_or_else(|error| panic!("{error}"));
        let latency = rules.metrics.get("latency").map(|rule| (rule.worse, rule.portable));
        assert_eq!(latency, Some((Worse::Up, false)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let rest = "history = 5\n[metrics.latency]\nworse = \"up\"\n";
        let errors = [
            "false_share = 1.0\nhistory = 5\n[metrics]\n".to_owned(),
            "false_share = 0.05\nhistory = 0\n[metrics]\n".to_owned(),
            format!("false_share = 0.05\n{rest}change = 0\nrun_noise = 0.1\n"),
            format!("false_share = 0.05\n{rest}change = 0.1\nrun_noise = -1\n"),
            format!("false_share = 0.05\n{rest}change = 0.1\nrun_noise = 0.1\nbetter = \"down\"\n"),
        ]
        .map(|text| {
            GateRules::parse("g.toml", &text).map_err(|error| error.to_string()).err().unwrap_or_default()
        });
        insta::assert_snapshot!(errors.join("\n"), @r#"
        rules g.toml: false_share: must be above 0 and below 1, not 1
        rules g.toml: history: must be at least 1
        rules g.toml: metrics.latency.change: must be above 0, not 0
        rules g.toml: metrics.latency.run_noise: must be at least 0, not -1
        rules g.toml: TOML parse error at line 7, column 1
          |
        7 | better = "down"
          | ^^^^^^
        unknown field `better`, expected one of `worse`, `change`, `run_noise`, `portable`
        "#);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,120}") {
            drop(GateRules::parse("g.toml", &text));
        }
    }
}
