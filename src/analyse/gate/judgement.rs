//! By what one number of a run is judged: the level it is held against, and what earlier gates told already.

use super::noise::{Level, Noise};
use crate::plan::{MetricRule, Worse};

/// How often a change of the told size would be seen.
pub const POWER: f64 = 0.8;

/// What a number is judged by. All values are logarithms.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Test {
    pub(super) rule: MetricRule,
    pub(super) noise: Noise,
    /// What it is held against.
    pub(super) level: Level,
    /// The baseline's value.
    pub(super) base: f64,
    /// The run's value.
    pub(super) value: f64,
    /// Its standard error within its run.
    own: f64,
    /// Whether an earlier gate told what the baseline shows: that it is worse, that it is better.
    told: (bool, bool),
}

/// A run before the one that is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Earlier {
    /// Where it stood.
    pub(super) value: f64,
    /// What the gate over it told: worse (`true`), better, or nothing.
    pub(super) told: Option<bool>,
}

impl Test {
    /// The test of a value that is known to `own` within its run; none without earlier runs, of which the baseline is last.
    pub(super) fn new(
        rule: MetricRule,
        noise: Noise,
        earlier: &[Earlier],
        value: f64,
        own: f64,
    ) -> Option<Self> {
        let values: Vec<f64> = earlier.iter().map(|run| run.value).collect();
        let base = *values.last()?;
        let latest = Level::at_end(&values, noise)?;
        let mut test =
            Self { rule, noise, level: latest.origin().clone(), base, value, own, told: (false, false) };
        test.told = (test.is_told(earlier, true), test.is_told(earlier, false));
        // The baseline alone stands elsewhere. A gate that told so made that a level; if none did, a step may begin there that
        // nobody could tell from what came before it, and is told now.
        if latest.before.is_some() && test.is_shown(test.worse_by(base, &test.level) > 0.0) {
            test.level = latest;
        }
        Some(test)
    }

    /// Whether a gate told one of the latest runs, up to the baseline, that stand off the level on that side.
    fn is_told(&self, earlier: &[Earlier], worse: bool) -> bool {
        let stands = |run: &&Earlier| {
            let distance = self.worse_by(run.value, &self.level);
            (distance > 0.0) == worse && distance.abs() >= self.least(worse) / 2.0
        };
        earlier.iter().rev().take_while(stands).any(|run| run.told == Some(worse))
    }

    /// Whether it was told before that the baseline is worse, or better.
    fn is_shown(&self, worse: bool) -> bool {
        if worse { self.told.0 } else { self.told.1 }
    }

    /// Distance from a level, positive for the worse.
    pub(super) fn worse_by(&self, value: f64, level: &Level) -> f64 {
        self.signed(value - level.centre)
    }

    fn signed(&self, distance: f64) -> f64 {
        if self.rule.worse == Worse::Up { distance } else { -distance }
    }

    /// How often noise alone is so far off the level.
    pub(super) fn probability(&self, value: f64) -> f64 {
        let (distance, error) = (value - self.level.centre, self.error());
        if error > 0.0 {
            self.noise.two_sided(distance / error)
        } else {
            // Nothing varies: what differs has changed.
            f64::from(u8::from(distance.abs() < f64::EPSILON))
        }
    }

    pub(super) fn error(&self) -> f64 {
        self.level.error(self.noise, self.own)
    }

    /// The least distance that matters, on the side for the worse or the better.
    pub(super) fn least(&self, worse: bool) -> f64 {
        let up = (self.rule.worse == Worse::Up) == worse;
        if up { self.rule.change.ln_1p() } else { -(-self.rule.change.min(0.99)).ln_1p() }
    }

    /// Whether a value lies outside of what runs of a level keep within, on its side.
    fn is_outside(value: f64, level: &Level) -> bool {
        level.fence.is_none_or(|(lo, hi)| value < lo || value > hi)
    }

    /// Worse (`true`) or better by enough and outside of the fence; none for neither, and for what was told before.
    pub(super) fn side(&self, value: f64) -> Option<bool> {
        let off = |level: &Level| {
            let distance = self.worse_by(value, level);
            let worse = distance > 0.0;
            (distance.abs() >= self.least(worse) && Self::is_outside(value, level)).then_some(worse)
        };
        let side = off(&self.level)?;
        if self.is_shown(side) && self.beyond_base(value, side) < self.least(side) {
            return None;
        }
        // The latest run alone stands elsewhere, as an outlier does: both must agree.
        let before = self.level.before.as_deref();
        before.is_none_or(|before| off(before) == Some(side)).then_some(side)
    }

    /// How far a value lies beyond the baseline, to the worse or the better.
    fn beyond_base(&self, value: f64, worse: bool) -> f64 {
        let from_base = self.signed(value - self.base);
        if worse { from_base } else { -from_base }
    }

    /// Whether a run that is off stands about where the baseline stood already.
    pub(super) fn is_late(&self, worse: bool) -> bool {
        self.beyond_base(self.value, worse) < self.least(worse) / 2.0
    }

    /// Whether a fresh browser's value shows what the run shows: both together pass the same test, and the fresh one alone is
    /// off by most of what matters and by more than noise.
    pub(super) fn is_seen_again(&self, fresh: f64, false_share: f64) -> bool {
        let both = f64::midpoint(self.value, fresh);
        let distance = self.worse_by(fresh, &self.level);
        let error = self.error();
        let alone = error <= 0.0 || self.noise.one_sided(distance / error) <= false_share;
        let most = distance >= 0.75 * self.least(true);
        most && alone && self.side(both) == Some(true) && self.probability(both) <= false_share
    }

    /// The least change for the worse that would be seen four times of five, among so many numbers.
    pub(super) fn visible(&self, false_share: f64, among: usize) -> f64 {
        let error = self.error();
        let least = self.least(true);
        if error <= 0.0 {
            return self.rule.change;
        }
        let critical = self.noise.quantile(1.0 - false_share / (2.0 * among.max(1) as f64)) * error;
        let outer = |level: &Level| {
            level.fence.map_or(f64::NEG_INFINITY, |(lo, hi)| {
                self.worse_by(if self.rule.worse == Worse::Up { hi } else { lo }, &self.level)
            })
        };
        let mut distance = least.max(critical).max(outer(&self.level));
        if let Some(before) = &self.level.before {
            distance = distance.max(self.worse_by(before.centre, &self.level) + least).max(outer(before));
        }
        if self.is_shown(true) {
            distance = distance.max(self.worse_by(self.base, &self.level) + least);
        }
        distance += self.noise.quantile(POWER) * error;
        if self.rule.worse == Worse::Up { distance.exp_m1() } else { -(-distance).exp_m1() }
    }
}
