//! Speeds for services that track them from run to run: of proven cells that were timed on what they claim, and of no
//! others. A software GPU's time, a fallback's and a flaky cell's are in neither document.

use std::collections::BTreeMap;

use serde::Serialize;

use super::RenderError;
use super::text::{address, visible};
use crate::analyse::Estimate;
use crate::analyse::dossier::Dossier;
use crate::analyse::exported::{ExportCase, Outcome, adapter_name, suites};

/// Nanoseconds of a millisecond.
const NANOSECONDS: f64 = 1e6;

/// A figure with the interval that it lies in, in Bencher's words.
#[derive(Serialize)]
struct Metric {
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lower_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upper_value: Option<f64>,
}

impl From<Estimate> for Metric {
    fn from(estimate: Estimate) -> Self {
        Self { value: estimate.value, lower_value: estimate.lo, upper_value: estimate.hi }
    }
}

/// Bencher Metric Format: of each cell `latency` in nanoseconds, as Bencher's own measure of that name is, and what does not
/// depend on the machine: `cosine` with the independent answer, `memory` in bytes.
pub(super) fn bmf(runs: &[Dossier]) -> Result<String, RenderError> {
    let mut benchmarks: BTreeMap<String, BTreeMap<&str, Metric>> = BTreeMap::new();
    let alone = |value: f64| Metric { value, lower_value: None, upper_value: None };
    for run in runs {
        for case in suites(run).iter().flat_map(|suite| &suite.cases).filter(|case| is_steady(case)) {
            let mut measures = BTreeMap::new();
            if let Ok(median) = case.speed {
                measures.insert("latency", median.scaled(NANOSECONDS).into());
            }
            let agreement = case.view.and_then(|view| view.agreement.as_ref());
            if let Some(cosine) =
                agreement.map(|agreement| agreement.cosine).filter(|cosine| cosine.is_finite())
            {
                measures.insert("cosine", alone(cosine));
            }
            let memory = run.memory.iter().find(|memory| memory.cell == case.id && !memory.partial);
            if let Some(memory) = memory {
                measures.insert("memory", alone(memory.total as f64));
            }
            if !measures.is_empty() {
                benchmarks.insert(address(&case.id), measures);
            }
        }
    }
    Ok(serde_json::to_string_pretty(&benchmarks)? + "\n")
}

/// An entry of github-action-benchmark's `customSmallerIsBetter`.
#[derive(Serialize)]
struct Entry {
    name: String,
    unit: &'static str,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<String>,
    extra: String,
}

/// Medians in milliseconds. The service shows names in Markdown, where an address means nothing.
pub(super) fn gha(runs: &[Dossier]) -> Result<String, RenderError> {
    let suites: Vec<_> = runs.iter().flat_map(suites).collect();
    let cases = suites.iter().flat_map(|suite| suite.cases.iter().map(move |case| (suite.version, case)));
    let entries: Vec<Entry> = cases
        .filter(|(_, case)| is_steady(case))
        .filter_map(|(version, case)| {
            let median = case.speed.ok()?;
            let range = median.lo.zip(median.hi).map(|(lo, hi)| format!("{lo:.3} to {hi:.3}"));
            Some(Entry {
                name: address(&case.id),
                unit: "ms",
                value: median.value,
                range,
                extra: extra(version, case, median),
            })
        })
        .collect();
    Ok(serde_json::to_string_pretty(&entries)? + "\n")
}

fn extra(version: &str, case: &ExportCase<'_>, median: Estimate) -> String {
    let range = if median.lo.is_some() { ", range: 95 % interval" } else { "" };
    let mut lines = vec![
        format!("median of {}{range}", median.count),
        format!("evidence: {}", case.evidence),
        format!("browser version: {version}"),
    ];
    lines.extend(case.adapter.as_ref().map(|adapter| format!("adapter: {}", adapter_name(adapter))));
    // Lines stay apart, and nothing of them is markup where a service shows them as it.
    lines.iter().map(|line| visible(line).replace(['\n', '<', '>', '`'], " ")).collect::<Vec<_>>().join("\n")
}

/// Whether a case passed at once, so that its figures are of what it does every time.
fn is_steady(case: &ExportCase<'_>) -> bool {
    case.outcome == Outcome::Proven && !case.flaky
}
