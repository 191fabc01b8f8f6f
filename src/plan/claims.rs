//! `matrices/claims.toml`: what people promise of inference in browsers, each promise with the question that would settle it.
//! Data, read by `analyse`.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use webmatrix_wire::{Backend, Feature, Precision};

use super::axis::BrowserKind;
use super::fields;
use super::label::is_label;
use super::model::{ModelClass, Size};

/// The ledger: promises, in the order in which reports list them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The promises.
    pub claims: Vec<Claim>,
}

/// A promise. It has either a query or a reason why there can be none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Its name: small letters, digits and `-`.
    pub id: String,
    /// What is promised.
    pub promise: String,
    /// Whose words these are, in general terms.
    pub whose: String,
    /// What is measured for it.
    pub query: Option<Query>,
    /// Why nothing that this program measures can settle it, and what could.
    pub reason: Option<String>,
}

/// What is measured for a promise: of which cells, held against what, and what the figure must keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// What is measured.
    pub metric: Metric,
    /// Of which cells.
    #[serde(default)]
    pub cells: ChosenCells,
    /// The cell that each is held against: the same but for one axis. Without, the figure itself must keep the bound.
    pub against: Option<Against>,
    /// What the figure must keep: the ratio to the cell that it is held against, where there is one.
    pub bound: Bound,
}

/// Cells: those to which everything applies that is named.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChosenCells {
    /// Model classes.
    #[schemars(schema_with = "fields::classes")]
    pub models: Vec<String>,
    /// Classes that take one of these: `text`, `image`, `audio`, `video`.
    #[schemars(schema_with = "fields::takes")]
    pub takes: Vec<String>,
    /// Sizes.
    #[schemars(schema_with = "fields::sizes")]
    pub sizes: Vec<Size>,
    /// Kinds of browsers.
    #[schemars(schema_with = "fields::browser_kinds")]
    pub browsers: Vec<BrowserKind>,
    /// Backends.
    #[schemars(schema_with = "fields::backends")]
    pub backends: Vec<Backend>,
    /// Precisions of the weights.
    #[schemars(schema_with = "fields::precisions")]
    pub precisions: Vec<Precision>,
    /// The one feature that is switched on; without, none is.
    pub feature: Option<String>,
}

/// What a cell is held against: the same but for the one axis that is named.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Against {
    /// At this precision.
    #[schemars(schema_with = "fields::precision")]
    pub precision: Option<Precision>,
    /// On this backend.
    #[schemars(schema_with = "fields::backend")]
    pub backend: Option<Backend>,
    /// In a browser of one of these kinds.
    #[schemars(schema_with = "fields::browser_kinds")]
    pub browsers: Vec<BrowserKind>,
    /// With this feature alone, or `none`.
    pub feature: Option<String>,
}

/// What stands for no feature.
pub const NO_FEATURE: &str = "none";

/// What a figure must keep: both, where both are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Bound {
    /// No more than this.
    pub at_most: Option<f64>,
    /// No less than this.
    pub at_least: Option<f64>,
}

/// What a promise may be about: what the program stores of every cell, by the name that it is stored under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Milliseconds of an inference.
    Latency,
    /// Milliseconds to the first token.
    TimeToFirstToken,
    /// Tokens a second.
    TokensPerSecond,
    /// Items of a batch a second.
    ItemsPerSecond,
    /// Milliseconds until the harness was there.
    #[serde(rename = "phase.module")]
    Module,
    /// Milliseconds until the weights were there.
    #[serde(rename = "phase.load")]
    Load,
    /// Milliseconds until the device was there.
    #[serde(rename = "phase.device")]
    Device,
    /// Milliseconds until the model was compiled, pipelines included.
    #[serde(rename = "phase.compile")]
    Compile,
    /// Milliseconds of the first inference.
    #[serde(rename = "phase.first")]
    First,
    /// Milliseconds from the job's beginning to the end of the first inference.
    #[serde(rename = "phase.start")]
    Start,
    /// Bytes of the weights as the page holds them, scales included.
    WeightBytes,
    /// Bits that a weight takes on average over the whole model.
    BitsPerWeight,
    /// Bytes that the backend holds at most: weights, activations, caches, inputs and outputs.
    #[serde(rename = "memory.total")]
    Held,
    /// Bytes of the caches of keys and values that a token takes.
    #[serde(rename = "memory.cache_per_token")]
    CachePerToken,
    /// The smallest cosine of outputs with those at full precision.
    #[serde(rename = "accuracy.cosine")]
    Cosine,
    /// Of logits, the part of rows whose likeliest class is that of full precision.
    #[serde(rename = "accuracy.agreement")]
    Agreement,
    /// Of logits, the mean Kullback–Leibler divergence from full precision, in nats.
    #[serde(rename = "accuracy.divergence")]
    Divergence,
    /// Of texts, the perplexity over that at full precision.
    #[serde(rename = "perplexity.ratio")]
    PerplexityRatio,
}

/// What figures of a metric are, and with it which evidence counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Of a clock: told of hardware and the CPU alone, and only beside what was run in turn.
    Time,
    /// Counted: exact.
    Size,
    /// Of outputs beside those at full precision, over their rows.
    Accuracy,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 18] = [
        Self::Latency,
        Self::TimeToFirstToken,
        Self::TokensPerSecond,
        Self::ItemsPerSecond,
        Self::Module,
        Self::Load,
        Self::Device,
        Self::Compile,
        Self::First,
        Self::Start,
        Self::WeightBytes,
        Self::BitsPerWeight,
        Self::Held,
        Self::CachePerToken,
        Self::Cosine,
        Self::Agreement,
        Self::Divergence,
        Self::PerplexityRatio,
    ];

    /// Its one spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::TimeToFirstToken => "time_to_first_token",
            Self::TokensPerSecond => "tokens_per_second",
            Self::ItemsPerSecond => "items_per_second",
            Self::Module => "phase.module",
            Self::Load => "phase.load",
            Self::Device => "phase.device",
            Self::Compile => "phase.compile",
            Self::First => "phase.first",
            Self::Start => "phase.start",
            Self::WeightBytes => "weight_bytes",
            Self::BitsPerWeight => "bits_per_weight",
            Self::Held => "memory.total",
            Self::CachePerToken => "memory.cache_per_token",
            Self::Cosine => "accuracy.cosine",
            Self::Agreement => "accuracy.agreement",
            Self::Divergence => "accuracy.divergence",
            Self::PerplexityRatio => "perplexity.ratio",
        }
    }

    /// What its figures are.
    pub const fn kind(self) -> MetricKind {
        match self {
            Self::WeightBytes | Self::BitsPerWeight | Self::Held | Self::CachePerToken => MetricKind::Size,
            Self::Cosine | Self::Agreement | Self::Divergence | Self::PerplexityRatio => MetricKind::Accuracy,
            _ => MetricKind::Time,
        }
    }
}

/// The ledger that the program carries.
const EMBEDDED: &str = include_str!("../../matrices/claims.toml");

/// A ledger that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("claims {name}: {reason}")]
pub struct ClaimsError {
    name: String,
    reason: String,
}

impl Claims {
    /// The one that the program carries.
    ///
    /// # Errors
    /// Never: a test reads it.
    pub fn embedded() -> Result<Self, ClaimsError> {
        Self::parse("claims.toml", EMBEDDED)
    }

    /// Reads the text of a ledger; `name` is what errors call it.
    ///
    /// # Errors
    /// With the claim, and line and column or what is to be written in place.
    pub fn parse(name: &str, text: &str) -> Result<Self, ClaimsError> {
        let fault = |reason: String| ClaimsError { name: name.to_owned(), reason };
        let read: Self = toml::from_str(text).map_err(|error| {
            let whose = culprit(text).map(|id| format!("claim {id}: ")).unwrap_or_default();
            fault(format!("{whose}{}", error.to_string().trim_end()))
        })?;
        if read.claims.is_empty() {
            return Err(fault("no [[claims]]: write one at least".to_owned()));
        }
        let mut known = BTreeSet::new();
        for claim in &read.claims {
            claim.check().map_err(|reason| fault(format!("claim {}: {reason}", claim.id)))?;
            if !known.insert(&claim.id) {
                return Err(fault(format!("claim {}: there are two of this id: rename one", claim.id)));
            }
        }
        Ok(read)
    }
}

/// The first claim that cannot be read, by its id, else by its place.
fn culprit(text: &str) -> Option<String> {
    let table: toml::Table = text.parse().ok()?;
    let claims = table.get("claims")?.as_array()?;
    let (at, claim) =
        claims.iter().enumerate().find(|(_, claim)| (*claim).clone().try_into::<Claim>().is_err())?;
    let id = claim.get("id").and_then(toml::Value::as_str);
    Some(id.map_or_else(|| format!("{} of the file", at + 1), str::to_owned))
}

impl Claim {
    fn check(&self) -> Result<(), String> {
        if !is_label(&self.id) {
            return Err("id: write small letters, digits and -".to_owned());
        }
        for (key, text) in
            [("promise", Some(&self.promise)), ("whose", Some(&self.whose)), ("reason", self.reason.as_ref())]
        {
            if text.is_some_and(|text| text.trim().is_empty()) {
                return Err(format!("{key}: is empty: write a sentence"));
            }
        }
        match (&self.query, &self.reason) {
            (None, None) => Err("has neither a query nor a reason why there is none: write one".to_owned()),
            (Some(_), Some(_)) => Err("has a query and a reason why there is none: leave one out".to_owned()),
            (Some(query), None) => query.check(),
            (None, Some(_)) => Ok(()),
        }
    }
}

impl Query {
    fn check(&self) -> Result<(), String> {
        self.cells.check()?;
        self.bound.check(self.against.is_some())?;
        let Some(against) = &self.against else {
            return match self.metric.kind() {
                MetricKind::Time => Err(format!(
                    "metric {}: a time alone is of one machine: write what it is held against",
                    self.metric.as_str()
                )),
                MetricKind::Size | MetricKind::Accuracy => Ok(()),
            };
        };
        if self.metric.kind() == MetricKind::Accuracy {
            return Err(format!(
                "metric {}: is told against full precision already: leave `against` out",
                self.metric.as_str()
            ));
        }
        against.check(&self.cells)
    }
}

impl ChosenCells {
    fn check(&self) -> Result<(), String> {
        for name in &self.models {
            name.parse::<ModelClass>().map_err(|error| format!("cells.models: {error}"))?;
        }
        for kind in &self.takes {
            if !ModelClass::all().any(|class| class.info().takes().any(|taken| taken == kind)) {
                return Err(format!("cells.takes: no class takes {kind:?}: use text, image, audio or video"));
            }
        }
        feature("cells.feature", self.feature.as_deref(), "leave it out for none")
    }
}

fn feature(key: &str, name: Option<&str>, none: &str) -> Result<(), String> {
    match name {
        Some(NO_FEATURE) if key == "cells.feature" => Err(format!("{key}: {none}")),
        None | Some(NO_FEATURE) => Ok(()),
        Some(name) => name.parse::<Feature>().map(drop).map_err(|error| format!("{key}: {error}")),
    }
}

impl Against {
    fn check(&self, cells: &ChosenCells) -> Result<(), String> {
        feature("against.feature", self.feature.as_deref(), "")?;
        let named = [
            self.precision.is_some(),
            self.backend.is_some(),
            !self.browsers.is_empty(),
            self.feature.is_some(),
        ];
        if named.into_iter().filter(|named| *named).count() != 1 {
            return Err(
                "against: name one axis that differs: precision, backend, browsers or feature".to_owned()
            );
        }
        // Which cells it is about must be said, or they would be held against themselves.
        let other = |axis: &str, same: bool| {
            let text = format!("against.{axis}: the cells must be of another: write it in cells");
            if same { Err(text) } else { Ok(()) }
        };
        if let Some(precision) = self.precision {
            other("precision", cells.precisions.is_empty() || cells.precisions.contains(&precision))?;
        }
        if let Some(backend) = self.backend {
            other("backend", cells.backends.is_empty() || cells.backends.contains(&backend))?;
        }
        if !self.browsers.is_empty() {
            let same = self.browsers.iter().any(|kind| cells.browsers.contains(kind));
            other("browsers", cells.browsers.is_empty() || same)?;
        }
        if let Some(feature) = &self.feature {
            other("feature", cells.feature.as_deref().unwrap_or(NO_FEATURE) == feature)?;
        }
        Ok(())
    }
}

impl Bound {
    fn check(self, of_ratio: bool) -> Result<(), String> {
        let ends = [("at_most", self.at_most), ("at_least", self.at_least)];
        for (key, end) in ends {
            let Some(end) = end else { continue };
            if !end.is_finite() || of_ratio && end <= 0.0 {
                let must = if of_ratio { "a ratio is above 0" } else { "write a number" };
                return Err(format!("bound.{key}: {must}, not {end}"));
            }
        }
        match (self.at_most, self.at_least) {
            (None, None) => Err("bound: write at_most, at_least or both".to_owned()),
            (Some(most), Some(least)) if least > most => {
                Err(format!("bound: nothing is at least {least} and at most {most}: exchange them"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
