//! Statistics over samples.

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

/// How often pairs are drawn anew for an interval.
const RESAMPLES: usize = 4000;

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
    // SplitMix64 (Steele, Lea & Flood 2014): any fixed generator would do.
    let mut state = 0x5eed_u64;
    let mut draw = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * pairs.len() as u128) >> 64) as usize
    };
    let mut resample = vec![(0.0, 0.0); pairs.len()];
    let mut ratios = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        resample.fill_with(|| pairs[draw()]);
        ratios.push(of(&resample)?);
    }
    ratios.sort_by(f64::total_cmp);
    let at = |share: f64| ratios[((RESAMPLES - 1) as f64 * share).round() as usize];
    Some(Ratio { ratio, lo: at(0.025), hi: at(0.975) })
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
