//! When a series of times has come to rest, and when it says enough.

/// Inferences that are looked at, and as many before them.
const WINDOW: usize = 4;
/// A step down by less is no warming up, as part of the time.
const STILL: f64 = 0.02;
/// The standard deviation of a normal distribution over its median absolute deviation.
const BY_MAD: f64 = 1.4826;
/// Fewer than these have no interval of 95 %.
const FEWEST: usize = 6;
/// Of the normal distribution, what 95 % lie within.
const Z: f64 = 1.959_963_984_540_054;

/// How far an inference went on before it was believed to be warm, at most.
pub(super) const MOST_WARMUP: u32 = 50;

/// When measuring ends before all samples are taken, and warm-ups go on until times rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Until {
    /// The median's 95 % interval is no wider than this part of it.
    pub width: f64,
    /// So many milliseconds were spent on inferences, warm-ups included.
    pub budget_ms: f64,
}

/// Whether times get no shorter any more: the latest four are not below the four before by more than what they scatter, nor by
/// 2 %. Never of fewer than eight.
pub(super) fn is_steady(ms: &[f64]) -> bool {
    let Some(from) = ms.len().checked_sub(2 * WINDOW) else { return false };
    let (earlier, latest) = ms[from..].split_at(WINDOW);
    let (before, now) = (median(earlier), median(latest));
    let error = |window: &[f64], middle: f64| {
        let distances: Vec<f64> = window.iter().map(|one| (one - middle).abs()).collect();
        BY_MAD * median(&distances) / (WINDOW as f64).sqrt()
    };
    before - now <= (STILL * now).max(2.0 * error(earlier, before).hypot(error(latest, now)))
}

/// How wide the median's 95 % interval is, as part of the median, by the order of the samples; none of fewer than six, or where
/// the median is no time.
pub(super) fn width(ms: &[f64]) -> Option<f64> {
    let n = ms.len();
    if n < FEWEST {
        return None;
    }
    let mut sorted = ms.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = Z * (n as f64).sqrt() / 2.0;
    let lower = (n as f64 / 2.0 - half).floor().max(0.0) as usize;
    let middle = median(&sorted);
    (middle > 0.0).then(|| (sorted[n - 1 - lower] - sorted[lower]) / middle)
}

fn median(ms: &[f64]) -> f64 {
    let mut sorted = ms.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len() / 2, sorted.len() % 2) {
        (0, 0) => 0.0,
        (middle, 1) => sorted[middle],
        (middle, _) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_still_gets_faster_is_not_at_rest() {
        assert!(!is_steady(&[1.0; 7]), "too few to say");
        assert!(is_steady(&[1.0; 8]));
        assert!(!is_steady(&[9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0]));
        assert!(!is_steady(&[2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0]), "a compiler came in between");
        assert!(is_steady(&[9.0, 3.0, 1.0, 1.02, 0.99, 1.0, 1.01, 1.0, 1.0, 1.0]));
        assert!(is_steady(&[1.0, 1.4, 0.8, 1.2, 0.9, 1.3, 0.8, 1.1]), "noise is no warming up");
        assert!(is_steady(&[1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0]), "slower is not colder");
    }

    #[test]
    fn an_interval_gets_narrower_with_samples() {
        let of = |count: usize| {
            let samples: Vec<f64> =
                (0..count).map(|at| 1.0 + 0.1 * ((at * 7919) % 100) as f64 / 100.0).collect();
            width(&samples)
        };
        assert_eq!(of(5), None);
        let widths: Vec<f64> = [10, 40, 160, 640].into_iter().filter_map(of).collect();
        assert!(widths.windows(2).all(|pair| pair[1] < 0.75 * pair[0]), "{widths:?}");
        assert_eq!((width(&[2.0; 9]), width(&[0.0; 9])), (Some(0.0), None));
    }
}
