//! Statistics over samples.

use serde::Serialize;

/// The median, `None` of nothing.
pub fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => sorted.get(middle).copied(),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// A ratio with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The ratio.
    pub ratio: f64,
    /// The lower end.
    pub lo: f64,
    /// The upper end.
    pub hi: f64,
}

/// A measure of a sample with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Of the whole sample.
    pub value: f64,
    /// The lower end; none of fewer than five.
    pub lo: Option<f64>,
    /// The upper end.
    pub hi: Option<f64>,
    /// How many were measured.
    pub count: usize,
}

impl Estimate {
    /// The estimate by which this is so many times as large; a negative factor has no meaning here.
    pub fn scaled(self, factor: f64) -> Self {
        let scaled = |end: Option<f64>| end.map(|end| end * factor);
        Self { value: self.value * factor, lo: scaled(self.lo), hi: scaled(self.hi), count: self.count }
    }

    /// One over it.
    pub fn inverse(self) -> Self {
        let one_over = |end: Option<f64>| end.map(|end| 1.0 / end);
        Self { value: 1.0 / self.value, lo: one_over(self.hi), hi: one_over(self.lo), count: self.count }
    }
}

/// Of fewer, a bootstrap knows too little of how they vary to tell an interval.
pub(super) const FEWEST: usize = 5;

/// How often samples are drawn anew for an interval.
const RESAMPLES: usize = 4000;

/// A fixed generator, SplitMix64 (Steele, Lea & Flood 2014): the same samples give the same interval.
struct Draws(u64);

impl Draws {
    const fn new() -> Self {
        Self(0x5eed)
    }

    /// A number below `count`.
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * count as u128) >> 64) as usize
    }
}

/// The ends of the percentile interval of what `draw` gives.
fn percentiles(mut draw: impl FnMut() -> Option<f64>) -> Option<(f64, f64)> {
    let mut drawn = (0..RESAMPLES).map(|_| draw()).collect::<Option<Vec<f64>>>()?;
    drawn.sort_by(f64::total_cmp);
    let at = |share: f64| drawn[((RESAMPLES - 1) as f64 * share).round() as usize];
    Some((at(0.025), at(0.975)))
}

/// The median of the second of each pair over the median of the first, with the percentile interval of a bootstrap
/// that draws whole pairs, so that what disturbed both sides stays with both. Always draws the same: the same samples
/// give the same interval. `None` of nothing, and where a median of the first is not above 0.
pub fn ratio_of_medians(pairs: &[(f64, f64)]) -> Option<Ratio> {
    let of = |pairs: &[(f64, f64)]| {
        let first = median(&pairs.iter().map(|pair| pair.0).collect::<Vec<_>>())?;
        let second = median(&pairs.iter().map(|pair| pair.1).collect::<Vec<_>>())?;
        (first > 0.0).then(|| second / first)
    };
    let ratio = of(pairs)?;
    let mut draws = Draws::new();
    let mut resample = vec![(0.0, 0.0); pairs.len()];
    let (lo, hi) = percentiles(|| {
        resample.fill_with(|| pairs[draws.below(pairs.len())]);
        of(&resample)
    })?;
    Some(Ratio { ratio, lo, hi })
}

/// The median of `second` over that of `first`, which were not measured in turn: each is drawn anew by itself. `None` of
/// nothing, and where a median of the first is not above 0.
pub(super) fn ratio_of_medians_apart(first: &[f64], second: &[f64]) -> Option<Estimate> {
    let of = |first: &[f64], second: &[f64]| {
        let (first, second) = (median(first)?, median(second)?);
        (first > 0.0).then(|| second / first)
    };
    let (value, count) = (of(first, second)?, first.len().min(second.len()));
    let none = Estimate { value, lo: None, hi: None, count };
    if count < FEWEST {
        return Some(none);
    }
    let mut draws = Draws::new();
    let mut one = vec![0.0; first.len()];
    let mut other = vec![0.0; second.len()];
    let (lo, hi) = percentiles(|| {
        one.fill_with(|| first[draws.below(first.len())]);
        other.fill_with(|| second[draws.below(second.len())]);
        of(&one, &other)
    })?;
    Some(Estimate { lo: Some(lo), hi: Some(hi), ..none })
}

/// The median of `second` over that of `first`, which were measured in turn, round by round: rounds are drawn anew, the same
/// for both, and in each round its samples. `None` of nothing, and where a median of the first is not above 0.
pub(super) fn ratio_in_turn(first: &[Vec<f64>], second: &[Vec<f64>]) -> Option<Estimate> {
    let of = |first: &[f64], second: &[f64]| {
        let (first, second) = (median(first)?, median(second)?);
        (first > 0.0).then(|| second / first)
    };
    let (value, count) = (of(&first.concat(), &second.concat())?, first.len().min(second.len()));
    let none = Estimate { value, lo: None, hi: None, count };
    if count < FEWEST || first.len() != second.len() || first.iter().chain(second).any(Vec::is_empty) {
        return Some(none);
    }
    let mut draws = Draws::new();
    let (mut one, mut other) = (Vec::new(), Vec::new());
    let (lo, hi) = percentiles(|| {
        one.clear();
        other.clear();
        for _ in 0..count {
            let round = draws.below(count);
            one.extend((0..first[round].len()).map(|_| first[round][draws.below(first[round].len())]));
            other.extend((0..second[round].len()).map(|_| second[round][draws.below(second[round].len())]));
        }
        of(&one, &other)
    })?;
    Some(Estimate { lo: Some(lo), hi: Some(hi), ..none })
}

/// What `of` makes of the sums over rows of numbers, with the percentile interval of a bootstrap that draws whole rows; `of`
/// is given the sums and how many rows they are of. `None` of nothing, and where `of` has no number.
pub(super) fn of_sums<const N: usize>(
    rows: &[[f64; N]],
    of: impl Fn([f64; N], usize) -> Option<f64>,
) -> Option<Estimate> {
    let count = rows.len();
    let sum = |picked: &mut dyn Iterator<Item = usize>| {
        let mut sums = [0.0; N];
        for row in picked {
            sums.iter_mut().zip(&rows[row]).for_each(|(sum, x)| *sum += x);
        }
        of(sums, count).filter(|value| value.is_finite())
    };
    if count == 0 {
        return None;
    }
    let none = Estimate { value: sum(&mut (0..count))?, lo: None, hi: None, count };
    if count < FEWEST {
        return Some(none);
    }
    let mut draws = Draws::new();
    let ends = percentiles(|| sum(&mut (0..count).map(|_| draws.below(count))));
    Some(Estimate { lo: ends.map(|ends| ends.0), hi: ends.map(|ends| ends.1), ..none })
}

/// Which part of all holds, with Wilson's interval (1927): a bootstrap of what always or never holds would claim to be
/// certain.
pub(super) fn part(holds: &[bool]) -> Option<Estimate> {
    /// Of the normal distribution, what 95 % lie within.
    const Z: f64 = 1.959_963_984_540_054;
    let (count, n) = (holds.len(), holds.len() as f64);
    let value = holds.iter().filter(|holds| **holds).count() as f64 / n;
    let middle = value + Z * Z / (2.0 * n);
    let half = Z * (value * (1.0 - value) / n + Z * Z / (4.0 * n * n)).sqrt();
    let ends = [middle - half, middle + half].map(|end| (end / (1.0 + Z * Z / n)).clamp(0.0, 1.0));
    (count > 0).then_some(Estimate {
        value,
        lo: Some(ends[0].min(value)),
        hi: Some(ends[1].max(value)),
        count,
    })
}

/// The mean, with the interval of [`of_sums`].
pub(super) fn mean(values: &[f64]) -> Option<Estimate> {
    let rows: Vec<[f64; 1]> = values.iter().map(|value| [*value]).collect();
    of_sums(&rows, |[sum], count| Some(sum / count as f64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_middle_is_found() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }

    #[test]
    fn a_ratio_needs_times() {
        assert_eq!(ratio_of_medians(&[]), None);
        assert_eq!(ratio_of_medians(&[(0.0, 1.0)]), None);
        assert_eq!(ratio_of_medians(&[(2.0, 3.0); 5]), Some(Ratio { ratio: 1.5, lo: 1.5, hi: 1.5 }));
    }

    #[test]
    fn what_was_not_measured_in_turn_is_drawn_apart() {
        assert_eq!(ratio_of_medians_apart(&[], &[1.0]), None);
        assert_eq!(ratio_of_medians_apart(&[0.0; 6], &[1.0; 6]), None);
        let few =
            ratio_of_medians_apart(&[2.0; 9], &[3.0; 4]).map(|found| (found.value, found.lo, found.count));
        assert_eq!(few, Some((1.5, None, 4)));
        let found = ratio_of_medians_apart(&[2.0; 5], &[3.0; 9]);
        assert_eq!(found, Some(Estimate { value: 1.5, lo: Some(1.5), hi: Some(1.5), count: 5 }));
        let inverse = found.map(|found| (found.inverse().value, found.scaled(2.0).hi));
        assert_eq!(inverse, Some((1.0 / 1.5, Some(3.0))));
    }

    #[test]
    fn a_mean_lies_in_its_interval() {
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[1.0, f64::NAN]), None);
        assert_eq!(mean(&[2.0, 4.0]).map(|found| (found.value, found.lo)), Some((3.0, None)));
        let found =
            mean(&[0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0]).map(|found| (found.lo, found.value, found.hi));
        let (Some(lo), value, Some(hi)) = found.unwrap_or_default() else { panic!("no interval") };
        assert!(value == 0.75 && (0.25..0.75).contains(&lo) && hi == 1.0, "{lo} {value} {hi}");
    }

    #[test]
    fn what_was_measured_in_turn_is_drawn_by_rounds() {
        let rounds = |count: usize, ms: f64| vec![vec![ms; 3]; count];
        assert_eq!(ratio_in_turn(&[], &[]), None);
        let few = ratio_in_turn(&rounds(4, 2.0), &rounds(4, 3.0)).map(|found| (found.value, found.lo));
        assert_eq!(few, Some((1.5, None)));
        let found = ratio_in_turn(&rounds(5, 2.0), &rounds(5, 3.0));
        assert_eq!(found, Some(Estimate { value: 1.5, lo: Some(1.5), hi: Some(1.5), count: 5 }));
        let uneven = ratio_in_turn(&rounds(5, 2.0), &rounds(6, 3.0)).map(|found| found.lo);
        assert_eq!(uneven, Some(None));
    }

    /// A machine that drifts from round to round, and makes all slower alike: the interval holds the truth about so often.
    #[test]
    fn drift_that_falls_on_both_alike_is_no_difference() {
        let mut draws = Draws(7);
        let mut uniform = || draws.below(1 << 52) as f64 / (1_u64 << 52) as f64;
        let covered = (0..120).filter(|_| {
            let (mut first, mut second) = (Vec::new(), Vec::new());
            for _ in 0..8 {
                let slow = 1.0 + uniform();
                first.push((0..4).map(|_| slow * (1.0 + 0.1 * uniform())).collect::<Vec<f64>>());
                second.push((0..4).map(|_| slow * (1.0 + 0.1 * uniform())).collect::<Vec<f64>>());
            }
            let found = ratio_in_turn(&first, &second);
            found.is_some_and(|found| found.lo <= Some(1.0) && Some(1.0) <= found.hi)
        });
        let covered = covered.count();
        assert!((105..=120).contains(&covered), "{covered} of 120");
    }

    #[test]
    fn what_always_holds_is_not_certain() {
        assert_eq!(part(&[]), None);
        let ends = |holds: &[bool]| part(holds).and_then(|found| Some((found.value, found.lo?, found.hi?)));
        let Some((value, lo, hi)) = ends(&[true; 10]) else { panic!("no interval") };
        // As the formula's author has it: n / (n + z²).
        assert!(
            value == 1.0 && hi == 1.0 && (lo - 10.0 / (10.0 + 3.841_458_820_694_124)).abs() < 1e-9,
            "{lo}"
        );
        let Some((value, lo, hi)) = ends(&[[true; 5], [false; 5]].concat()) else { panic!("no interval") };
        assert!(value == 0.5 && (lo + hi - 1.0).abs() < 1e-12 && (lo - 0.236_593).abs() < 1e-6, "{lo} {hi}");
    }

    /// An interval of nominally 95 % holds the truth about so often.
    #[test]
    fn intervals_of_means_and_of_samples_apart_cover() {
        let mut draws = Draws(1);
        let mut uniform = || draws.below(1 << 52) as f64 / (1_u64 << 52) as f64;
        let (mut of_mean, mut apart) = (0, 0);
        let holds = |found: Option<Estimate>, truth: f64| {
            found.is_some_and(|found| found.lo <= Some(truth) && Some(truth) <= found.hi)
        };
        for _ in 0..200 {
            let values: Vec<f64> = (0..20).map(|_| uniform()).collect();
            of_mean += usize::from(holds(mean(&values), 0.5));
            let first: Vec<f64> = (0..20).map(|_| 1.0 + uniform()).collect();
            let second: Vec<f64> = (0..20).map(|_| 2.0 + 2.0 * uniform()).collect();
            apart += usize::from(holds(ratio_of_medians_apart(&first, &second), 2.0));
        }
        assert!((176..=200).contains(&of_mean) && (176..=200).contains(&apart), "{of_mean} {apart} of 200");
    }

    /// An interval of nominally 95 % holds the truth about so often.
    #[test]
    fn the_interval_covers() {
        let mut state = 1_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let covered = (0..200).filter(|_| {
            // The true medians are 1.5 and 3.
            let pairs: Vec<(f64, f64)> = (0..20).map(|_| (1.0 + uniform(), 2.0 + 2.0 * uniform())).collect();
            ratio_of_medians(&pairs).is_some_and(|found| found.lo <= 2.0 && 2.0 <= found.hi)
        });
        let covered = covered.count();
        assert!((176..=200).contains(&covered), "{covered} of 200");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

        #[test]
        fn the_interval_lies_about_the_ratio_and_scales_with_it(
            pairs in prop::collection::vec((0.5_f64..2.0, 0.5_f64..2.0), 1..30),
        ) {
            let found = ratio_of_medians(&pairs).expect("times above 0");
            prop_assert!(found.lo <= found.hi && found.lo >= 0.25 && found.hi <= 4.0);
            let doubled: Vec<_> = pairs.iter().map(|(a, b)| (*a, 2.0 * b)).collect();
            let doubled = ratio_of_medians(&doubled).expect("times above 0");
            prop_assert_eq!(doubled, Ratio { ratio: 2.0 * found.ratio, lo: 2.0 * found.lo, hi: 2.0 * found.hi });
        }
    }
}
