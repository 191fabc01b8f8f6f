//! The op cases of a run as a matrix: a row for each op and element type, a column for each browser and backend.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use webmatrix_wire::{Backend, EvidenceGrade, OpSupport, Status, WebNnFacts};

use crate::collect::{is_real, is_unexpected};
use crate::plan::NATIVE;
use crate::store::{CapabilityRow, OpCaseRow};

/// The op cases of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct OpMatrix {
    /// Browsers and backends, in order.
    pub columns: Vec<OpColumn>,
    /// Ops, in the engine's order.
    pub rows: Vec<OpRow>,
    /// Browsers that have a WebNN context, and what it takes of each row's op.
    pub limits: Vec<OpLimits>,
    /// Every case on every backend, as stored.
    pub cases: Vec<OpCaseRow>,
}

/// A backend of a browser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpColumn {
    /// The browser's label.
    pub browser: String,
    /// Its version, empty if not known.
    pub browser_version: String,
    /// The backend.
    pub backend: String,
}

/// An op on data of one type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpRow {
    /// The op.
    pub op: String,
    /// Of the data it works on.
    pub dtype: String,
    /// What became of it in each column; none where it was not run.
    pub cells: Vec<Option<OpCell>>,
}

/// An op's cases on one backend, together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpCell {
    /// Of its cases' statuses, the worst; none if it is one that this program does not know.
    pub status: Option<Status>,
    /// Cases that are proven.
    pub proven: usize,
    /// Its cases.
    pub cases: usize,
    /// A case passed only on a retry.
    pub flaky: bool,
    /// Of the passes' evidence, the weakest.
    pub evidence: EvidenceGrade,
    /// The largest `|y - oracle|`; none if one is not finite, or nothing was compared.
    pub max_abs: Option<f64>,
    /// The largest part of its tolerance that an element uses; none as above.
    pub ratio: Option<f64>,
    /// The worst case, where it is no pass, and what is wrong with it.
    pub error: Option<String>,
}

/// What a browser's `MLContext.opSupportLimits()` says of the ops.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpLimits {
    /// The browser's label.
    pub browser: String,
    /// For each row: the element types that every data operand of its op takes; none where WebNN has no such
    /// op, so that it is made of others.
    pub ops: Vec<Option<Vec<String>>>,
}

impl OpCell {
    /// Proven, all of it.
    pub fn is_green(&self) -> bool {
        self.status == Some(Status::Pass) && self.proven == self.cases && is_real(self.evidence)
    }
}

/// The matrix of these cases; none if there are none.
pub fn op_matrix(cases: Vec<OpCaseRow>, capabilities: &[CapabilityRow]) -> Option<OpMatrix> {
    if cases.is_empty() {
        return None;
    }
    let mut columns: Vec<OpColumn> = Vec::new();
    let mut names: Vec<(String, String)> = Vec::new();
    let mut groups: BTreeMap<(&str, &str, &str, &str), Vec<&OpCaseRow>> = BTreeMap::new();
    for case in &cases {
        let column = OpColumn {
            browser: case.browser.clone(),
            browser_version: case.browser_version.clone(),
            backend: case.backend.clone(),
        };
        if !columns.contains(&column) {
            columns.push(column);
        }
        let name = (case.op.clone(), case.dtype.clone());
        if !names.contains(&name) {
            names.push(name);
        }
        groups.entry((&case.browser, &case.backend, &case.op, &case.dtype)).or_default().push(case);
    }
    // Browsers that are not here stand last: what was measured is read first. The host closes each part.
    let here: BTreeSet<&str> = cases
        .iter()
        .filter(|case| case.status != Status::Unavailable.as_str())
        .map(|case| case.browser.as_str())
        .collect();
    let place = |backend: &str| Backend::NAMES.iter().position(|name| *name == backend);
    columns.sort_by_key(|column| {
        let browser = column.browser.as_str();
        (!here.contains(browser), browser == NATIVE, browser.to_owned(), place(&column.backend))
    });
    let row = |(op, dtype): &(String, String)| OpRow {
        op: op.clone(),
        dtype: dtype.clone(),
        cells: columns
            .iter()
            .map(|column| groups.get(&(&column.browser, &column.backend, op, dtype)).map(|cases| cell(cases)))
            .collect(),
    };
    let rows: Vec<OpRow> = names.iter().map(row).collect();
    let limits = limits(&rows, capabilities);
    Some(OpMatrix { columns, rows, limits, cases })
}

/// An op's cases together.
fn cell(cases: &[&OpCaseRow]) -> OpCell {
    let status = |case: &OpCaseRow| case.status.parse::<Status>().ok();
    let grade = |case: &OpCaseRow| case.evidence.parse().unwrap_or(EvidenceGrade::None);
    let proven = |case: &&&OpCaseRow| status(case) == Some(Status::Pass) && is_real(grade(case));
    let rank = |case: &OpCaseRow| match status(case) {
        Some(Status::Pass) => 0,
        Some(status) if is_unexpected(status) => 2,
        Some(_) => 1,
        // A name that this program does not know counts as nothing: not as a pass.
        None => 3,
    };
    // Of several that are equally bad, the first.
    let worst = cases.iter().rev().max_by_key(|case| rank(case));
    let passes = cases.iter().filter(|case| status(case) == Some(Status::Pass));
    let largest = |of: fn(&OpCaseRow) -> Option<f64>| {
        cases.iter().map(|case| of(case)).try_fold(0.0, |most: f64, value| Some(most.max(value?)))
    };
    let error = worst.filter(|case| rank(case) > 0).map(|case| {
        let why = case.error.as_deref().unwrap_or("no reason was kept");
        if cases.len() > 1 && rank(case) > 1 { format!("{}: {why}", case.case) } else { why.to_owned() }
    });
    OpCell {
        status: worst.and_then(|case| status(case)),
        proven: cases.iter().filter(proven).count(),
        cases: cases.len(),
        flaky: cases.iter().any(|case| case.flaky),
        evidence: passes.map(|case| grade(case)).max().unwrap_or(EvidenceGrade::None),
        max_abs: largest(|case| case.max_abs),
        ratio: largest(|case| case.ratio),
        error,
    }
}

/// What the browsers' WebNN contexts say, from what their probes kept.
fn limits(rows: &[OpRow], capabilities: &[CapabilityRow]) -> Vec<OpLimits> {
    let mut limits: Vec<OpLimits> = Vec::new();
    for tried in capabilities.iter().filter(|row| row.area == "webnn" && row.usable) {
        // Contexts of one browser differ by a wish only; the first that answers speaks for it.
        if limits.iter().any(|known| known.browser == tried.browser) {
            continue;
        }
        let facts = tried.facts.as_deref().and_then(|text| serde_json::from_str::<WebNnFacts>(text).ok());
        if let Some(facts) = facts.filter(|facts| !facts.ops.is_empty()) {
            let ops = rows.iter().map(|row| facts.ops.get(&row.op).map(taken)).collect();
            limits.push(OpLimits { browser: tried.browser.clone(), ops });
        }
    }
    limits
}

/// Element types that the op takes for its data: what its data operands have in common. Its output is left
/// out, since a comparison's has a type of its own.
fn taken(support: &OpSupport) -> Vec<String> {
    let data = ["input", "inputs", "a", "b", "trueValue", "falseValue"];
    let mut operands = data.iter().filter_map(|name| support.0.get(*name));
    // Where a browser does not name operands, it tells one list for all.
    let first = operands.next().or_else(|| support.0.get("")).cloned().unwrap_or_default();
    operands.fold(first, |common, types| common.into_iter().filter(|name| types.contains(name)).collect())
}
