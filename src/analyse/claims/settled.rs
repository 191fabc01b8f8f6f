//! What became of promises.

use serde::Serialize;

use crate::analyse::stats::Estimate;

/// What became of a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// What was measured keeps it.
    #[serde(rename = "confirmed")]
    Confirmed,
    /// What was measured excludes it.
    #[serde(rename = "refuted")]
    Refuted,
    /// Neither was shown.
    #[serde(rename = "unmeasurable here")]
    Unmeasurable,
}

impl Verdict {
    /// As people read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Refuted => "refuted",
            Self::Unmeasurable => "unmeasurable here",
        }
    }
}

/// A promise with its verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settled {
    /// The claim's id.
    pub id: String,
    /// What is promised.
    pub promise: String,
    /// Whose words these are.
    pub whose: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub why: String,
    /// What was measured for it, and what that had to keep; none where nothing can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// The mean over models, with its interval from five on.
    pub value: Option<Estimate>,
    /// The models that it rests on.
    pub models: Vec<String>,
    /// What it rests on, in the plan's order.
    pub pairs: Vec<Pair>,
    /// Which of them is furthest from keeping the promise.
    pub worst: Option<usize>,
    /// Cells that the query chose and that do not count, by reason.
    pub left_out: Vec<LeftOut>,
    /// The command that would tell more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decide: Option<String>,
}

/// A cell beside the one that it is held against.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// The cell's id.
    pub cell: String,
    /// Of the other; none where the figure stands for itself.
    pub against: Option<String>,
    /// The ratio, or the figure, with its 95 % interval where there is one.
    pub value: Estimate,
    /// What it says of the promise.
    pub stands: Stand,
    /// Why there is no interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
    /// The model's class, or the file.
    #[serde(skip)]
    pub(super) model: String,
}

/// What an interval says of a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stand {
    /// All of it lies within.
    Keeps,
    /// All of it lies beyond.
    Breaks,
    /// It has both sides, or there is none.
    Open,
}

/// Cells that do not count.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LeftOut {
    /// Why.
    pub why: String,
    /// Their ids.
    pub cells: Vec<String>,
}
