//! How long cells take, told no finer than their clocks, and whether they computed where they say.

use serde::Serialize;

use crate::store::TimingRow;

/// How the timed inferences of a cell are spread, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimingView {
    /// Timed inferences.
    pub samples: u64,
    /// Median.
    pub p50: f64,
    /// Three of four are no longer.
    pub p75: f64,
    /// Nine of ten are no longer.
    pub p90: f64,
    /// 95 of 100 are no longer.
    pub p95: f64,
    /// 99 of 100 are no longer.
    pub p99: f64,
    /// Median distance from the median.
    pub mad: f64,
    /// Samples beyond three quartile ranges of the quartiles: they take part in everything.
    pub outliers: u64,
    /// Below the first and above the second a sample is an outlier.
    pub fences: [f64; 2],
    /// Inferences before the timed ones, the first excepted.
    pub warmups: u64,
    /// Whether times had come to rest before the first that counts; none where nobody waited for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rested: Option<bool>,
    /// The step of its clock, in microseconds: no figure is finer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timer_step_us: Option<f64>,
    /// What its processes computed over the whole attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<f64>,
}

/// A time, no finer than the clock that it was taken with.
fn coarse(ms: f64, step_us: Option<f64>) -> f64 {
    match step_us {
        // Such a clock is finer than anybody tells.
        Some(step) if step > 1.0 => {
            // It was measured as the difference of two large numbers.
            let step = (step * 100.0).round() / 100.0;
            let steps = (ms * 1000.0 / step).round();
            // Steps of 5 µs are 200 to the millisecond: dividing keeps figures short.
            steps / (1000.0 / step)
        }
        _ => ms,
    }
}

impl TimingView {
    pub(super) fn of(row: &TimingRow) -> Self {
        let told = |ms: f64| coarse(ms, row.timer_step_us);
        Self {
            samples: row.samples,
            p50: told(row.p50),
            p75: told(row.p75),
            p90: told(row.p90),
            p95: told(row.p95),
            p99: told(row.p99),
            mad: told(row.mad),
            outliers: row.outliers,
            fences: [row.low, row.high],
            warmups: row.warmups,
            rested: row.rested,
            timer_step_us: row.timer_step_us,
            cpu_ms: row.cpu_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_figure_is_finer_than_its_clock() {
        assert_eq!(coarse(1.234_567, Some(100.0)), 1.2);
        assert_eq!(coarse(1.234_567, Some(1000.0)), 1.0);
        assert_eq!(coarse(1.234_567, Some(4.999_995)), 1.235);
        assert_eq!(coarse(1.234_567, None), 1.234_567);
    }
}
