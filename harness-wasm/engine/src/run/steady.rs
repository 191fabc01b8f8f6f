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

/// Warm-ups that are enough in any case, once they lasted long enough.
const MOST_WARMUP: usize = 50;
/// How long warming up lasts at least, in milliseconds. Engines run what they have translated in haste, and translate it
/// better beside that: until then times rest, at a level that does not last.
const LEAST_MS: f64 = 300.0;

/// When measuring ends before all samples are taken, and warm-ups go on until times rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Until {
    /// The median's 95 % interval is no wider than this part of it; 0 for all samples that are asked for.
    pub width: f64,
    /// So many milliseconds were spent on inferences, warm-ups included.
    pub budget_ms: f64,
}

/// A series of inferences before those that count.
#[derive(Debug, Default)]
pub struct WarmUp {
    ms: Vec<f64>,
    lasted_ms: f64,
}

impl WarmUp {
    /// One more took `ms`, and ended `lasted_ms` after the first one began.
    pub fn took(&mut self, ms: f64, lasted_ms: f64) {
        self.ms.push(ms);
        self.lasted_ms = lasted_ms;
    }

    /// How many there were.
    pub fn count(&self) -> usize {
        self.ms.len()
    }

    /// Whether times rest, and did not only just begin to.
    pub fn has_rested(&self) -> bool {
        self.lasted_ms >= LEAST_MS && is_steady(&self.ms)
    }

    /// Whether it need not go on: times rest, or never will.
    pub fn is_over(&self) -> bool {
        self.has_rested() || self.lasted_ms >= LEAST_MS && self.count() >= MOST_WARMUP
    }
}

/// Whether times get no shorter any more: the latest four are not below the four before by more than what they scatter, nor by
/// 2 %. Never of fewer than eight.
fn is_steady(ms: &[f64]) -> bool {
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
    fn what_rests_too_early_is_not_warm() {
        let mut warm = WarmUp::default();
        (1..=20).for_each(|i| warm.took(1.0, f64::from(i)));
        assert!(!warm.has_rested() && !warm.is_over(), "a compiler may be at work");
        warm.took(1.0, 300.0);
        assert!(warm.has_rested() && warm.is_over());
        // Always faster: it is no rest, but an end.
        let mut warm = WarmUp::default();
        (1..=50).for_each(|i| warm.took(100.0 - f64::from(i), 10.0 * f64::from(i)));
        assert!(!warm.has_rested() && warm.is_over());
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
