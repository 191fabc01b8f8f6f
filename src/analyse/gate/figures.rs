//! What became of the cells' numbers since the baseline.

use serde::Serialize;

use super::Confirmed;
use super::judgement::Test;
use super::series::{Found, found};
use super::snapshot::{Figure, Snapshot};
use crate::analyse::stats::Estimate;
use crate::plan::{GateRules, KnownFailures};

/// Of a change that the baseline shows already.
const LATE: &str = "the baseline stood there already, and its own gate could not tell";

/// What is concluded of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// Worse: an alarm.
    Regression,
    /// Worse, and known.
    Known,
    /// Better.
    Improvement,
    /// Large enough to matter, and no more than what runs differ by: nothing is shown.
    WithinNoise,
    /// No change that matters was shown.
    Unchanged,
}

/// One number of a cell, beside the baseline's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FigureLine {
    /// The cell's id.
    pub cell: String,
    /// The metric.
    pub metric: String,
    /// Where it stood: the median of `runs` runs at the baseline's level.
    pub before: f64,
    /// In the run.
    pub after: f64,
    /// This over that, with its 95 % interval, which knows of the differences between runs.
    pub ratio: Estimate,
    /// Runs that tell the baseline's level.
    pub runs: usize,
    /// What earlier runs kept within, as ratio to the level; none where too few are known.
    pub fence: Option<(f64, f64)>,
    /// How likely noise alone is so far off, adjusted for all numbers that were looked at.
    pub adjusted_p: f64,
    /// The least change for the worse, as part of the value, that would have been seen four times of five.
    pub visible: f64,
    /// What is concluded.
    pub conclusion: Conclusion,
    /// Why, where that is not plain.
    pub note: Option<String>,
    /// Whether it was seen again.
    pub confirmed: Confirmed,
    /// What it was judged by.
    #[serde(skip)]
    test: Test,
}

/// The lines of all numbers that both runs have, and that may be compared.
pub(super) fn lines(
    candidate: &Snapshot,
    baseline: &Snapshot,
    history: &[Snapshot],
    rules: &GateRules,
    known: &KnownFailures,
) -> Vec<FigureLine> {
    let found = found(candidate, baseline, history, rules);
    let among = found.len();
    let line = |Found { cell, metric, after, test, adjusted_p }: Found<'_>| {
        let (conclusion, note) = conclude(&test, &cell.cell, metric, adjusted_p, rules, known);
        let to_level = |value: f64| (value - test.level.centre).exp();
        let half = test.noise.quantile(0.975) * test.error();
        FigureLine {
            cell: cell.cell.clone(),
            metric: metric.to_owned(),
            before: test.level.centre.exp(),
            after: after.value,
            ratio: Estimate {
                value: to_level(test.value),
                lo: Some(to_level(test.value - half)),
                hi: Some(to_level(test.value + half)),
                count: usize::try_from(after.count).unwrap_or(usize::MAX),
            },
            runs: test.level.runs,
            fence: test.level.fence.map(|(lo, hi)| (to_level(lo), to_level(hi))),
            adjusted_p,
            visible: test.visible(rules.false_share, among),
            conclusion,
            note,
            confirmed: Confirmed::NotTried,
            test,
        }
    };
    let mut lines: Vec<FigureLine> = found.into_iter().map(line).collect();
    lines.sort_by_key(|line| line.conclusion);
    lines
}

fn conclude(
    test: &Test,
    cell: &str,
    metric: &str,
    adjusted_p: f64,
    rules: &GateRules,
    known: &KnownFailures,
) -> (Conclusion, Option<String>) {
    let distance = test.worse_by(test.value, &test.level);
    let matters = distance.abs() >= test.least(distance > 0.0);
    let significant = adjusted_p <= rules.false_share;
    let late = |worse: bool| test.is_late(worse).then(|| LATE.to_owned());
    match test.side(test.value) {
        Some(true) if significant => {
            match known.failures.iter().find(|entry| entry.is_of_metric(cell, metric)) {
                Some(entry) => {
                    (Conclusion::Known, Some(format!("known until {}: {}", entry.until, entry.reason)))
                }
                None => (Conclusion::Regression, late(true)),
            }
        }
        Some(false) if significant => (Conclusion::Improvement, late(false)),
        None if matters && significant && test.level.before.is_some() => {
            let note = "the baseline stands apart from the runs before it, as was told of it, and this run is nearer to them";
            (Conclusion::WithinNoise, Some(note.to_owned()))
        }
        _ if matters => (Conclusion::WithinNoise, None),
        _ => (Conclusion::Unchanged, None),
    }
}

impl FigureLine {
    /// Takes in what a fresh browser gave.
    pub(super) fn confirm(&mut self, again: &Figure, false_share: f64) {
        let test = &self.test;
        let fresh = again.value.ln();
        self.confirmed = if test.is_seen_again(fresh, false_share) { Confirmed::Yes } else { Confirmed::No };
        let ratio = (fresh - test.level.centre).exp();
        let again = format!("in fresh browsers {ratio:.3}");
        self.note = Some(if test.is_late(true) { format!("{LATE}; {again}") } else { again });
    }
}
