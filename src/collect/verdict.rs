//! What is concluded from an attempt, and who concludes it.

use serde::{Deserialize, Serialize};
use webmatrix_engine::ops::cases;
use webmatrix_wire::{
    Backend, BackendFacts, EvidenceGrade, Implementation, Loaded, OpCase, ProbeReport, Status, Variant,
};

use super::end::End;
use super::quantisation::Quantisation;
use crate::plan::{Cell, OpsTarget};

/// What is concluded about a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// The status.
    pub status: Status,
    /// What stands behind it.
    pub evidence: EvidenceGrade,
    /// What kind of implementation answered, if one did.
    pub implementation: Option<Implementation>,
    /// How the outputs compare, if they were compared.
    pub agreement: Option<Agreement>,
    /// What the precision costs; none at full precision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Accuracy>,
    /// How surprised it is by the texts that it was given to be scored by; none where it was given none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<Perplexity>,
    /// Why it is not a pass, or why the evidence is not better: for people.
    pub reason: Option<String>,
}

impl Verdict {
    /// A verdict without anything behind it.
    pub fn nothing_ran(status: Status, reason: impl Into<String>) -> Self {
        Self {
            status,
            evidence: EvidenceGrade::None,
            implementation: None,
            agreement: None,
            accuracy: None,
            perplexity: None,
            reason: Some(reason.into()),
        }
    }

    /// Proven: it passed, and something real stands behind it.
    pub fn is_green(&self) -> bool {
        self.status == Status::Pass && is_real(self.evidence)
    }
}

/// Whether evidence is of something that really ran where it should.
pub const fn is_real(evidence: EvidenceGrade) -> bool {
    !matches!(evidence, EvidenceGrade::Simulated | EvidenceGrade::None)
}

/// Whether a status is a surprise. Of the statuses of cells that ran, only a pass is none.
pub const fn is_unexpected(status: Status) -> bool {
    matches!(
        status,
        Status::Wrong | Status::Error | Status::Timeout | Status::Crash | Status::DeviceLost | Status::Oom
    )
}

/// How a cell's outputs compare with the independent answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Every expected output is there and within tolerance everywhere.
    pub ok: bool,
    /// Where the answer comes from: `pytorch-golden`, `given`, `native-cpu`.
    pub reference: String,
    /// Output by output.
    pub outputs: Vec<OutputAgreement>,
}

impl Agreement {
    /// The largest absolute difference over all outputs.
    pub fn max_abs(&self) -> f64 {
        self.outputs.iter().filter_map(|output| output.max_abs).fold(0.0, f64::max)
    }

    /// The largest relative difference over all outputs.
    pub fn max_rel(&self) -> f64 {
        self.outputs.iter().filter_map(|output| output.max_rel).fold(0.0, f64::max)
    }

    /// The smallest cosine over all outputs, 0 if one has none.
    pub fn cosine(&self) -> f64 {
        self.outputs.iter().map(|output| output.cosine.unwrap_or(0.0)).fold(1.0, f64::min)
    }
}

/// How one output compares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputAgreement {
    /// The output's name.
    pub name: String,
    /// Within tolerance everywhere.
    pub ok: bool,
    /// Its elements.
    pub elements: u64,
    /// Largest `|y-e|` over the elements where both are finite; none if there is no such element.
    pub max_abs: Option<f64>,
    /// Largest `|y-e| / |e|` over the elements where both are finite and `e` is not 0; none if there is
    /// no such element.
    pub max_rel: Option<f64>,
    /// Cosine between the two; none where it has no meaning.
    pub cosine: Option<f64>,
    /// What is wrong with it.
    pub fault: Option<String>,
}

/// How surprised a model is by texts: no part of the verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Perplexity {
    /// e to the mean surprise of a token, in nats.
    pub perplexity: Estimated,
    /// Tokens that it is the mean over.
    pub tokens: u64,
    /// It over that of the answer at full precision, token by token; none where that is the cell's own, or there is none.
    pub ratio: Option<Estimated>,
    /// Where that answer comes from.
    pub reference: Option<String>,
}

/// A measure with its 95 % interval; of too few it has none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimated {
    /// Of the whole sample.
    pub value: f64,
    /// The lower end.
    pub lo: Option<f64>,
    /// The upper end.
    pub hi: Option<f64>,
}

/// How a quantised cell's outputs compare with those at full precision: no part of the verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// What was done to the weights.
    pub quantisation: Quantisation,
    /// Where the answer at full precision comes from: `pytorch-golden`, `given`, `native-cpu`, or `before-quantising`,
    /// where weights came quantised.
    pub reference: String,
    /// Output by output.
    pub outputs: Vec<OutputAccuracy>,
}

impl Accuracy {
    /// The smallest cosine over all outputs that have one.
    pub fn cosine(&self) -> Option<f64> {
        self.outputs.iter().filter_map(|output| output.cosine).min_by(f64::total_cmp)
    }

    /// How much less memory the model's weights take than at half precision: 0.7 is 70 % less.
    pub fn saved(&self) -> f64 {
        1.0 - self.quantisation.model_bits_per_weight / 16.0
    }

    /// The smallest agreement of choices over all outputs that have one.
    pub fn agreement(&self) -> Option<f64> {
        self.outputs.iter().filter_map(|output| output.agreement).min_by(f64::total_cmp)
    }
}

impl std::fmt::Display for Accuracy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let how = &self.quantisation;
        if !how.schemes.is_empty() {
            write!(
                f,
                "{:.2} bits a weight ({:.2} in matrices), {:.1} % less than fp16",
                how.model_bits_per_weight,
                how.bits_per_weight,
                100.0 * self.saved()
            )?;
        }
        if let Some(caches) = &how.caches {
            write!(f, "{}caches as {caches}", if how.schemes.is_empty() { "" } else { ", " })?;
        }
        if let Some(cosine) = self.cosine() {
            write!(f, "; cosine {cosine:.5}")?;
        }
        if let Some(agreement) = self.agreement() {
            write!(f, ", {:.1} % of choices the same", 100.0 * agreement)?;
        }
        write!(f, " (against {} at full precision)", self.reference)
    }
}

/// How one output compares with its like at full precision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputAccuracy {
    /// The output's name.
    pub name: String,
    /// Cosine between the two.
    pub cosine: Option<f64>,
    /// `‖y - e‖ / ‖e‖`.
    pub relative_error: Option<f64>,
    /// Of logits, the part of rows whose likeliest class is the same; of integers, the part that is equal.
    pub agreement: Option<f64>,
    /// Of logits, the mean Kullback–Leibler divergence from full precision, in nats.
    pub divergence: Option<f64>,
}

/// What is concluded about one op case on one backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpVerdict {
    /// The op: WebNN's name, or our extension's.
    pub op: String,
    /// The case: the op's name and what is particular.
    pub case: String,
    /// Element type of the data it works on.
    pub dtype: String,
    /// The status.
    pub status: Status,
    /// Passed only on a retry.
    pub flaky: bool,
    /// What stands behind it.
    pub evidence: EvidenceGrade,
    /// What kind of implementation answered, if one did.
    pub implementation: Option<Implementation>,
    /// Largest `|y - oracle|`; none if it is not finite, or nothing was compared.
    pub max_abs: Option<f64>,
    /// The largest part of its tolerance that an element uses up, at most 1 where it agrees; none if it is
    /// not finite, or nothing was compared.
    pub ratio: Option<f64>,
    /// Why it is not a pass.
    pub error: Option<String>,
}

impl OpVerdict {
    /// A verdict on a case without anything behind it.
    pub fn nothing_ran(case: &cases::Case, status: Status, reason: impl Into<String>) -> Self {
        Self {
            op: case.op.name().to_owned(),
            case: case.name.clone(),
            dtype: case.dtype().to_owned(),
            status,
            flaky: false,
            evidence: EvidenceGrade::None,
            implementation: None,
            max_abs: None,
            ratio: None,
            error: Some(reason.into()),
        }
    }

    /// The same verdict on every case, without anything behind it.
    pub fn on_all(status: Status, reason: &str) -> Vec<Self> {
        cases::all().iter().map(|case| Self::nothing_ran(case, status, reason)).collect()
    }

    /// Proven: it passed, and something real stands behind it.
    pub fn is_green(&self) -> bool {
        self.status == Status::Pass && is_real(self.evidence)
    }
}

/// What a cell cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Milliseconds from navigation to the last message.
    pub wall_ms: f64,
    /// Milliseconds of the page's own work; none if it did not say.
    pub page_ms: Option<f64>,
}

/// The independent answer.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Where it comes from.
    pub source: String,
    /// Named tensors, safetensors.
    pub tensors: bytes::Bytes,
}

/// Everything that a verdict rests on.
#[derive(Debug)]
pub struct Case<'a> {
    /// The cell.
    pub cell: &'a Cell,
    /// The features of its profile.
    pub features: &'a [String],
    /// The number that known-answer computations started from.
    pub nonce: u32,
    /// How the attempt ended.
    pub end: &'a End,
    /// What the page says about its backend.
    pub facts: Option<&'a BackendFacts>,
    /// The harness build that ran, and how its files came, as far as that was told.
    pub harness: (Option<Variant>, Option<Loaded>),
    /// The outputs, as they came.
    pub outputs: Option<&'a [u8]>,
    /// The independent answer, or why there is none.
    pub reference: &'a Result<Reference, String>,
    /// Texts that it was given to be scored by, as tokens; none if it had another task.
    pub texts: Option<&'a [Vec<i64>]>,
    /// What was done to the weights, and the answer at full precision; none where that is the cell's own.
    pub quantised: Option<(&'a Quantisation, &'a Result<Reference, String>)>,
}

/// Everything that the verdicts on op cases rest on.
#[derive(Debug)]
pub struct OpsRun<'a> {
    /// The browser and the backend that was asked for.
    pub target: &'a OpsTarget,
    /// The number that known-answer computations started from.
    pub nonce: u32,
    /// How the attempt ended.
    pub end: &'a End,
    /// What the page says about its backend.
    pub facts: Option<&'a BackendFacts>,
    /// What the page says of each case.
    pub cases: &'a [OpCase],
    /// The results by the cases' names, as they came.
    pub outputs: Option<&'a [u8]>,
}

/// Who concludes. Collecting needs conclusions (to retry, to show progress) but does not make them.
pub trait Judge: Send + Sync {
    /// What is concluded from one attempt.
    fn judge(&self, case: &Case<'_>) -> Verdict;

    /// What is concluded from one attempt at the op cases: a verdict on each, in the engine's order.
    fn judge_ops(&self, run: &OpsRun<'_>) -> Vec<OpVerdict>;

    /// Why the backend cannot be had in this browser, in its own words; none if it can or if the
    /// probe does not tell.
    fn unsupported(&self, backend: Backend, probe: &ProbeReport) -> Option<String>;
}
