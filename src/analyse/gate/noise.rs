//! What runs of one cell differ by, though nothing changed: learned from earlier runs, in logarithms, so that differences are
//! parts of the value.
//!
//! The machine drifts and its levels step. So noise is taken from the moving ranges of runs that follow one another, and by
//! their median (Wheeler & Chambers, *Understanding Statistical Process Control*, XmR charts): a drift adds the same little to
//! each, a step spoils one of them. The level is that of the latest runs only, back to the last step.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::analyse::stats::median;

/// Of two draws of a normal distribution, the median of |a − b|, as part of its standard deviation.
const MEDIAN_RANGE: f64 = 0.954;
/// Standard deviations that the noise of a process keeps within.
const FENCE: f64 = 3.0;
/// Degrees of freedom that what is supposed of noise counts as: as much as some runs would tell.
const PRIOR: f64 = 4.0;
/// Degrees of freedom that a moving range adds to the estimate by their median; simulated.
const EACH: f64 = 0.35;
/// The variance of a median over that of a mean.
const MEDIAN_VARIANCE: f64 = std::f64::consts::FRAC_PI_2;
/// Runs that tell a level, at most: the latest.
const LEVEL: usize = 10;
/// So many cells tell what is usual.
const MANY: usize = 8;
/// Of fewer runs, nothing is said about what they keep within.
const FEWEST: usize = 5;

/// What is known of the noise of a cell's metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Noise {
    /// Standard deviation of a run's logarithm.
    pub(super) deviation: f64,
    /// How well that is known.
    pub(super) freedom: f64,
    /// As earlier runs alone tell it; none without.
    seen: Option<f64>,
}

impl Noise {
    /// The noise that values of earlier runs show, together with what is supposed of it (Smyth 2004: a variance of few
    /// degrees of freedom is moderated by a common one).
    pub(super) fn of(earlier: &[f64], supposed: f64) -> Self {
        let ranges = ranges(earlier);
        let Some(seen) = seen(&ranges) else {
            return Self { deviation: supposed, freedom: PRIOR, seen: None };
        };
        let freedom = EACH * ranges.len() as f64;
        let variance = (PRIOR * supposed * supposed + freedom * seen * seen) / (PRIOR + freedom);
        Self { deviation: variance.sqrt(), freedom: PRIOR + freedom, seen: Some(seen) }
    }

    /// Student's quantile for this much freedom.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        self.student().map_or(f64::INFINITY, |student| student.inverse_cdf(share))
    }

    /// How often noise alone is at least so many standard errors off, on one side.
    pub(super) fn one_sided(&self, errors: f64) -> f64 {
        self.student().map_or(1.0, |student| student.sf(errors))
    }

    /// How often noise alone is at least so many standard errors off, on either side.
    pub(super) fn two_sided(&self, errors: f64) -> f64 {
        self.student().map_or(1.0, |student| 2.0 * student.sf(errors.abs()))
    }

    fn student(&self) -> Option<StudentsT> {
        StudentsT::new(0.0, 1.0, self.freedom).ok()
    }
}

/// What to suppose of a cell's noise: where many cells have a history, what is in the middle of what they show; else what the
/// rules say, of which it is a fifth at least.
pub(super) fn supposed<'a>(histories: impl Iterator<Item = &'a [f64]>, rule: f64) -> f64 {
    let told: Vec<f64> = histories
        .map(ranges)
        .filter(|ranges| ranges.len() >= FEWEST)
        .filter_map(|ranges| seen(&ranges))
        .collect();
    match median(&told) {
        Some(middle) if told.len() >= MANY => middle.max(rule / 5.0),
        _ => rule,
    }
}

fn ranges(earlier: &[f64]) -> Vec<f64> {
    earlier.windows(2).map(|pair| (pair[1] - pair[0]).abs()).filter(|range| range.is_finite()).collect()
}

fn seen(ranges: &[f64]) -> Option<f64> {
    Some(median(ranges)? / MEDIAN_RANGE)
}

/// Where a cell's metric stood before.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Level {
    /// Its logarithm: the median of the runs that tell it.
    pub(super) centre: f64,
    /// How many do.
    pub(super) runs: usize,
    /// What runs keep within, where enough are known.
    pub(super) fence: Option<(f64, f64)>,
    /// Where it stood before the latest run, if that one alone stands elsewhere: nobody knows yet whether it is a step.
    pub(super) before: Option<Box<Level>>,
}

impl Level {
    /// The level at the end of earlier runs' logarithms, of which there is one at least.
    pub(super) fn at_end(earlier: &[f64], noise: Noise) -> Option<Self> {
        let (&last, before) = earlier.split_last()?;
        let mut members = vec![last];
        let is_off = |members: &[f64], value: f64| {
            let centre = median(members).unwrap_or(value);
            let spread = noise.deviation * (1.0 + MEDIAN_VARIANCE / members.len() as f64).sqrt();
            (value - centre).abs() > FENCE * spread
        };
        let mut off = 0;
        for &value in before.iter().rev() {
            if members.len() == LEVEL || off == 2 {
                break;
            }
            if is_off(&members, value) {
                // One alone is an outlier, two in a row are another level.
                off += 1;
            } else {
                off = 0;
                members.push(value);
            }
        }
        let is_alone = members.len() == 1 && off == 2;
        let before = if is_alone { Self::at_end(before, noise).map(Box::new) } else { None };
        let centre = median(&members)?;
        Some(Self { centre, runs: members.len(), fence: fence(&members, centre, noise), before })
    }

    /// Where it stood before the latest runs, if each of these alone stands elsewhere; else the level itself.
    pub(super) fn origin(&self) -> &Self {
        self.before.as_deref().map_or(self, Self::origin)
    }

    /// The standard error of a run's distance from the level, of a run that knows its own value to `own`.
    pub(super) fn error(&self, noise: Noise, own: f64) -> f64 {
        let level =
            noise.deviation * noise.deviation * MEDIAN_VARIANCE.min(self.runs as f64) / self.runs as f64;
        (noise.deviation.max(own).powi(2) + level).sqrt()
    }
}

/// What runs of a level keep within: three deviations, and whatever was seen.
fn fence(members: &[f64], centre: f64, noise: Noise) -> Option<(f64, f64)> {
    let half = FENCE * noise.seen?;
    (members.len() >= FEWEST).then(|| {
        members.iter().fold((centre - half, centre + half), |(lo, hi), &value| (lo.min(value), hi.max(value)))
    })
}

/// Benjamini and Hochberg's adjusted probabilities (1995), in the order given: verdicts with at most `q` have a false share of at
/// most `q`.
pub(super) fn adjusted(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    let mut adjusted = vec![1.0; probabilities.len()];
    let mut least: f64 = 1.0;
    for (from_last, &at) in order.iter().enumerate() {
        let rank = (probabilities.len() - from_last) as f64;
        least = least.min(probabilities[at] * probabilities.len() as f64 / rank);
        adjusted[at] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjusted_probabilities_are_those_of_the_paper() {
        // The example of Benjamini and Hochberg's section 4: four are found at 5 %.
        let paper = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
            0.6528, 0.7590, 1.0,
        ];
        let found = adjusted(&paper).iter().filter(|q| **q <= 0.05).count();
        assert_eq!(found, 4);
        let turned: Vec<f64> = paper.iter().rev().copied().collect();
        let mut back = adjusted(&turned);
        back.reverse();
        assert_eq!(back, adjusted(&paper));
        assert!(adjusted(&[]).is_empty());
    }

    #[test]
    fn noise_is_seen_through_drift_and_steps() {
        // ±1 % around a level that drifts and steps once.
        let wave = [0.01, -0.01, 0.0, 0.01, -0.005, -0.01, 0.008, 0.0];
        let of = |drift: f64, step: f64| {
            let values: Vec<f64> = (0..24)
                .map(|run| wave[run % 8] + drift * run as f64 + if run >= 12 { step } else { 0.0 })
                .collect();
            Noise::of(&values, 0.01).deviation
        };
        let plain = of(0.0, 0.0);
        assert!((of(0.002, 0.0) / plain - 1.0).abs() < 0.3 && (of(0.0, 0.5) / plain - 1.0).abs() < 0.1);
        assert_eq!(Noise::of(&[1.0], 0.05).deviation, 0.05, "one run tells nothing");
    }

    #[test]
    fn a_level_goes_back_to_the_last_step_and_past_an_outlier() {
        let noise = Noise::of(&[], 0.01);
        let level = |values: &[f64]| {
            let level = Level::at_end(values, noise).unwrap_or_else(|| panic!("a level"));
            (level.centre, level.runs, level.before.map(|before| before.runs))
        };
        assert_eq!(level(&[0.0, 0.0, 0.0, 0.3, 0.3, 0.3]), (0.3, 3, None));
        assert_eq!(level(&[0.0, 0.0, 0.3, 0.0, 0.0]), (0.0, 4, None));
        assert_eq!(level(&[0.0, 0.0, 0.0, 0.3]), (0.3, 1, Some(3)), "a step, or an outlier");
        assert_eq!(level(&[0.0; 30]), (0.0, LEVEL, None));
        assert_eq!(Level::at_end(&[], noise), None);
    }
}
