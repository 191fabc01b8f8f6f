//! What became of the cells' numbers since the baseline.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Confirmed;
use super::noise::{Level, Noise, adjusted, supposed};
use super::snapshot::{Figure, Snapshot, TakenCell};
use crate::analyse::stats::Estimate;
use crate::plan::{GateRules, KnownFailures, MetricRule, Worse};

/// How often a change of the told size would be seen.
pub const POWER: f64 = 0.8;

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

/// What a number is judged by.
#[derive(Clone, Debug, PartialEq)]
struct Test {
    rule: MetricRule,
    noise: Noise,
    level: Level,
    /// Logarithm of the baseline's own value.
    base: f64,
    /// Logarithm of the run's value.
    value: f64,
    /// Its standard error within its run.
    own: f64,
}

impl Test {
    /// Distance from a level, positive for the worse.
    fn worse_by(&self, value: f64, level: &Level) -> f64 {
        let distance = value - level.centre;
        if self.rule.worse == Worse::Up { distance } else { -distance }
    }

    fn probability(&self, value: f64, error: f64) -> f64 {
        let distance = value - self.level.centre;
        if error > 0.0 {
            self.noise.two_sided(distance / error)
        } else {
            // Nothing varies: what differs has changed.
            f64::from(u8::from(distance.abs() < f64::EPSILON))
        }
    }

    fn error(&self) -> f64 {
        self.level.error(self.noise, self.own)
    }

    /// The least distance that matters, on the side for the worse or the better.
    fn least(&self, worse: bool) -> f64 {
        let up = (self.rule.worse == Worse::Up) == worse;
        if up { self.rule.change.ln_1p() } else { -(-self.rule.change.min(0.99)).ln_1p() }
    }

    /// Whether a value lies outside of what runs of a level keep within, on its side.
    fn is_outside(value: f64, level: &Level) -> bool {
        level.fence.is_none_or(|(lo, hi)| value < lo || value > hi)
    }

    /// Worse (`true`) or better by enough and outside of the fence; none for neither.
    fn side(&self, value: f64) -> Option<bool> {
        let off = |level: &Level| {
            let distance = self.worse_by(value, level);
            let worse = distance > 0.0;
            (distance.abs() >= self.least(worse) && Self::is_outside(value, level)).then_some(worse)
        };
        let side = off(&self.level)?;
        // A level may not have followed yet: what the baseline shows already is not told again.
        let from_base = if self.rule.worse == Worse::Up { value - self.base } else { self.base - value };
        if (from_base > 0.0) != side || from_base.abs() < self.least(side) / 2.0 {
            return None;
        }
        // The latest run alone stands elsewhere, as an outlier does: both must agree.
        let before = self.level.before.as_deref();
        before.is_none_or(|before| off(before) == Some(side)).then_some(side)
    }

    /// The least change for the worse that would be seen four times of five, among so many numbers.
    fn visible(&self, false_share: f64, among: usize) -> f64 {
        let error = self.error();
        let least = self.least(true);
        if error <= 0.0 {
            return self.rule.change;
        }
        let critical = self.noise.quantile(1.0 - false_share / (2.0 * among.max(1) as f64)) * error;
        let fence = self.level.fence.map_or(0.0, |(lo, hi)| {
            if self.rule.worse == Worse::Up { hi - self.level.centre } else { self.level.centre - lo }
        });
        let distance = least.max(critical).max(fence) + self.noise.quantile(POWER) * error;
        if self.rule.worse == Worse::Up { distance.exp_m1() } else { -(-distance).exp_m1() }
    }
}

/// A number that both runs have.
struct Met<'a> {
    cell: &'a TakenCell,
    metric: &'a str,
    rule: MetricRule,
    after: Figure,
    /// Logarithms of earlier runs, the baseline's last.
    earlier: Vec<f64>,
}

/// The lines of all numbers that both runs have, and that may be compared.
pub(super) fn lines(
    candidate: &Snapshot,
    baseline: &Snapshot,
    history: &[Snapshot],
    rules: &GateRules,
    known: &KnownFailures,
) -> Vec<FigureLine> {
    let from = history.len().saturating_sub(rules.history as usize);
    let mut met: Vec<Met<'_>> = Vec::new();
    for cell in &candidate.cells {
        let Some(before) = baseline.cell(&cell.cell).filter(|before| before.is_green()) else { continue };
        for (metric, rule) in &rules.metrics {
            let comparable = if rule.portable {
                cell.is_green()
            } else {
                cell.is_timed() && before.is_timed() && candidate.machine == baseline.machine
            };
            let (true, Some(&after)) = (comparable, cell.figures.get(metric)) else { continue };
            let Some(&base) = before.figures.get(metric) else { continue };
            let mut earlier: Vec<f64> = history[from..]
                .iter()
                .filter(|run| rule.portable || run.machine == candidate.machine)
                .filter_map(|run| run.cell(&cell.cell).filter(|cell| cell.is_timed() || rule.portable))
                .filter_map(|cell| Some(cell.figures.get(metric)?.value.ln()))
                .collect();
            earlier.push(base.value.ln());
            met.push(Met { cell, metric, rule: *rule, after, earlier });
        }
    }
    let supposed: BTreeMap<&str, f64> = rules
        .metrics
        .iter()
        .map(|(metric, rule)| {
            let histories = met.iter().filter(|met| met.metric == metric).map(|met| met.earlier.as_slice());
            (metric.as_str(), supposed(histories, rule.run_noise))
        })
        .collect();
    let mut found: Vec<(&TakenCell, &str, Figure, Test)> = Vec::new();
    for Met { cell, metric, rule, after, earlier } in met {
        let noise = Noise::of(&earlier, supposed.get(metric).copied().unwrap_or(rule.run_noise));
        let (Some(level), Some(&base)) = (Level::at_end(&earlier, noise), earlier.last()) else { continue };
        let test = Test { rule, noise, level, base, value: after.value.ln(), own: after.error };
        found.push((cell, metric, after, test));
    }
    let probabilities: Vec<f64> =
        found.iter().map(|(.., test)| test.probability(test.value, test.error())).collect();
    let adjusted = adjusted(&probabilities);
    let among = found.len();
    let line = |((cell, metric, after, test), adjusted_p): ((&TakenCell, &str, Figure, Test), f64)| {
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
    let mut lines: Vec<FigureLine> = found.into_iter().zip(adjusted).map(line).collect();
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
    match test.side(test.value) {
        Some(true) if significant => {
            match known.failures.iter().find(|entry| entry.is_of_metric(cell, metric)) {
                Some(entry) => {
                    (Conclusion::Known, Some(format!("known until {}: {}", entry.until, entry.reason)))
                }
                None => (Conclusion::Regression, None),
            }
        }
        Some(false) if significant => (Conclusion::Improvement, None),
        None if matters && significant && test.level.before.is_some() => {
            let note = "the baseline itself stands apart from the runs before it: a run more will tell";
            (Conclusion::WithinNoise, Some(note.to_owned()))
        }
        _ if matters => (Conclusion::WithinNoise, None),
        _ => (Conclusion::Unchanged, None),
    }
}

impl FigureLine {
    /// Takes in what fresh browsers gave: an alarm stands if both runs together pass the same test, and the fresh one alone is
    /// off by most of what matters and by more than noise.
    pub(super) fn confirm(&mut self, again: &Figure, false_share: f64) {
        let test = &self.test;
        let fresh = again.value.ln();
        let both = f64::midpoint(test.value, fresh);
        let probability = test.probability(both, test.error());
        let distance = test.worse_by(fresh, &test.level);
        let alone = test.error() <= 0.0 || test.noise.one_sided(distance / test.error()) <= false_share;
        let most = distance >= 0.75 * test.least(true);
        let agrees = most && alone && test.side(both) == Some(true) && probability <= false_share;
        self.confirmed = if agrees { Confirmed::Yes } else { Confirmed::No };
        let ratio = (fresh - test.level.centre).exp();
        self.note = Some(format!("in fresh browsers {ratio:.3}"));
    }
}
