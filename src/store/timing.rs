//! How the timed inferences of cells are spread, as analysis reads it.

use duckdb::{Row, params};
use serde::Serialize;

use super::rows::rows;
use super::{Database, StoreError};

rows! {
    /// The times of the attempt that decided a cell.
    TimingRow {
        /// The cell.
        cell: String,
        /// Timed inferences.
        samples: u64,
        /// Median, in milliseconds like all that follows.
        p50: f64,
        /// Three of four are no longer.
        p75: f64,
        /// Nine of ten are no longer.
        p90: f64,
        /// 95 of 100 are no longer.
        p95: f64,
        /// 99 of 100 are no longer.
        p99: f64,
        /// Median distance from the median.
        mad: f64,
        /// Samples beyond three quartile ranges of the quartiles.
        outliers: u64,
        /// Below it a sample is an outlier.
        low: f64,
        /// Above it a sample is an outlier.
        high: f64,
        /// Inferences before the timed ones, the first excepted.
        warmups: u64,
        /// Whether times had come to rest before the first that counts, where that was waited for.
        rested: Option<bool>,
        /// All inferences together, those before the timed ones included.
        inferring_ms: f64,
        /// What its processes computed, where that could be seen.
        cpu_ms: Option<f64>,
        /// The step of its clock in microseconds, where it was measured.
        timer_step_us: Option<f64>,
    }
}

impl Database {
    /// How the times of a run's cells are spread, in the plan's order.
    pub fn timings(&self, run: &str) -> Result<Vec<TimingRow>, StoreError> {
        let sql = "
            WITH wanted AS (SELECT cell, attempt, ordinal FROM cell WHERE run = $1 AND attempt IS NOT NULL),
                 spent AS (SELECT attempt, sum(ms) AS ms, count(*) FILTER (WHERE warmup) AS warmups
                           FROM sample JOIN wanted USING (attempt) GROUP BY attempt)
            SELECT w.cell, t.samples, t.p50, t.p75, t.p90, t.p95, t.p99, t.mad, t.outliers, t.low, t.high,
                spent.warmups, rested.value > 0,
                spent.ms + coalesce(first.value, 0), a.cpu_ms, step.value
            FROM wanted w
                JOIN timing t USING (attempt)
                JOIN attempt a USING (attempt)
                JOIN spent USING (attempt)
                LEFT JOIN metric first ON first.attempt = w.attempt AND first.name = 'phase.first'
                LEFT JOIN metric rested ON rested.attempt = w.attempt AND rested.name = 'warmup_rested'
                LEFT JOIN metric step ON step.attempt = w.attempt AND step.name = 'timer_step'
            ORDER BY w.ordinal";
        self.rows(sql, params![run], TimingRow::read)
    }
}
