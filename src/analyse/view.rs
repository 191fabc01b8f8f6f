//! What reports show: rows, put into the words and numbers that people and machines read.

use std::collections::HashMap;

use serde::Serialize;
use webmatrix_wire::{EvidenceGrade, Status};

use super::timing::TimingView;
use crate::collect::{Accuracy, Agreement, Perplexity, Statement, Task, is_real};
use crate::store::{AnswerRow, CellRow};

/// One cell of one run. Its fields, in this order, are the stable machine form (`jsonl`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellView {
    /// The cell's id: `browser/model@size/runtime/backend/precision/profile`.
    pub id: String,
    /// The browser's label.
    pub browser: String,
    /// Its version, empty if not known.
    pub browser_version: String,
    /// The model's class.
    pub model: String,
    /// The model's size.
    pub size: String,
    /// What drives the page.
    pub runtime: String,
    /// The backend asked for.
    pub backend: String,
    /// Precision of the weights.
    pub precision: String,
    /// The profile.
    pub profile: String,
    /// The status; none while the cell has no verdict.
    pub status: Option<Status>,
    /// Passed only on a retry.
    pub flaky: bool,
    /// The grade.
    pub evidence: EvidenceGrade,
    /// What kind of implementation answered.
    pub implementation: Option<String>,
    /// How the outputs compare; none if nothing was compared.
    pub agreement: Option<AgreementView>,
    /// What the precision costs; none at full precision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<AccuracyView>,
    /// How surprised it is by the texts that it was given to be scored by; none where it was given none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<Perplexity>,
    /// Median of the timed inferences.
    pub median_ms: Option<f64>,
    /// How they are spread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timing: Option<TimingView>,
    /// What speaks against its having computed where it says: CPU time like that of the cell that computes on the CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
    /// Why it is not a pass.
    pub error: Option<String>,
    /// What the outputs say, for people to check; no part of the verdict.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answer: Vec<Statement>,
    /// The run.
    pub run: String,
}

/// An agreement in a line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AgreementView {
    /// Every output within tolerance everywhere.
    pub ok: bool,
    /// Where the answer comes from.
    pub reference: String,
    /// Largest absolute difference.
    pub max_abs: f64,
    /// Largest relative difference.
    pub max_rel: f64,
    /// Smallest cosine.
    pub cosine: f64,
}

/// The cost of a precision in a line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccuracyView {
    /// Bits that a weight of the quantised matrices takes, scales included.
    pub bits_per_weight: f64,
    /// Bits that a weight takes on average over the whole model, with what is not quantised.
    pub model_bits_per_weight: f64,
    /// How much less memory the model takes than at half precision: 0.7 is 70 % less.
    pub saved: f64,
    /// Where the answer at full precision comes from.
    pub reference: String,
    /// Smallest cosine with it over all outputs.
    pub cosine: Option<f64>,
    /// Smallest part of choices (the likeliest class, a generated token) that are the same.
    pub agreement: Option<f64>,
}

impl CellView {
    /// The view of a row. Names that this program does not know count as nothing: not as a pass.
    pub fn of(row: CellRow) -> Self {
        let agreement: Option<Agreement> = row.agreement.and_then(|text| serde_json::from_str(&text).ok());
        let accuracy: Option<Accuracy> = row.accuracy.and_then(|text| serde_json::from_str(&text).ok());
        let status: Option<Status> = row.status.and_then(|status| status.parse().ok());
        Self {
            id: row.cell,
            browser: row.browser,
            browser_version: row.browser_version,
            model: row.model,
            size: row.size,
            runtime: row.runtime,
            backend: row.backend,
            precision: row.precision,
            profile: row.profile,
            flaky: row.flaky.unwrap_or(false),
            evidence: row.evidence.and_then(|grade| grade.parse().ok()).unwrap_or(EvidenceGrade::None),
            implementation: row.implementation,
            agreement: agreement.map(|agreement| AgreementView {
                ok: agreement.ok,
                max_abs: agreement.max_abs(),
                max_rel: agreement.max_rel(),
                cosine: agreement.cosine(),
                reference: agreement.reference,
            }),
            accuracy: accuracy.map(|accuracy| AccuracyView {
                bits_per_weight: accuracy.quantisation.bits_per_weight,
                model_bits_per_weight: accuracy.quantisation.model_bits_per_weight,
                saved: accuracy.saved(),
                cosine: accuracy.cosine(),
                agreement: accuracy.agreement(),
                reference: accuracy.reference,
            }),
            perplexity: row.perplexity.and_then(|text| serde_json::from_str(&text).ok()),
            median_ms: row.median_ms,
            timing: None,
            doubt: None,
            error: row.reason.filter(|_| status != Some(Status::Pass)),
            answer: Vec::new(),
            status,
            run: row.run,
        }
    }

    /// The views of rows, with what the outputs of the attempts that decided them say.
    pub fn all(rows: &[CellRow], answers: &[AnswerRow]) -> Vec<Self> {
        let mut by_attempt: HashMap<&str, Vec<&AnswerRow>> = HashMap::new();
        for said in answers {
            by_attempt.entry(&said.attempt).or_default().push(said);
        }
        let view = |row: &CellRow| {
            let own = row.attempt.as_deref().and_then(|attempt| by_attempt.get(attempt));
            let answer = own.into_iter().flatten().filter_map(|said| statement(said)).collect();
            Self { answer, ..Self::of(row.clone()) }
        };
        rows.iter().map(view).collect()
    }

    /// Proven: it passed, and something real stands behind it.
    pub fn is_green(&self) -> bool {
        self.status == Some(Status::Pass) && is_real(self.evidence)
    }
}

/// What a row says; none of a kind that this program does not know.
fn statement(row: &AnswerRow) -> Option<Statement> {
    Some(Statement {
        task: Task::ALL.into_iter().find(|task| task.as_str() == row.task)?,
        item: row.item,
        rank: row.rank,
        text: row.text.clone(),
        score: row.score,
        corners: (|| Some([row.x0?, row.y0?, row.x1?, row.y1?]))(),
    })
}
