//! What the gate reads.

use duckdb::{Row, params};
use serde::Serialize;

use super::rows::rows;
use super::{Database, StoreError};

rows! {
    /// A number of an attempt that passed.
    FigureRow {
        /// The cell.
        cell: String,
        /// `latency`, or the metric's name.
        metric: String,
        /// Of several samples their median.
        value: f64,
        /// The median distance of samples from their median.
        scatter: f64,
        /// How many samples.
        count: u64,
    }
}

/// Runs of which a gate made its own: they are no part of what was normal before, and tell which alarms were none.
pub const CONFIRMATION: &str = "gate-confirmation";

/// The fact of such a run that names the one whose alarms it tried again.
pub const CONFIRMS: &str = "confirms";

impl Database {
    /// The numbers of a run's cells, an attempt that passed a row.
    pub fn figures(&self, run: &str) -> Result<Vec<FigureRow>, StoreError> {
        let sql = "
            WITH passed AS (SELECT attempt, cell FROM attempt WHERE run = $1 AND cell IS NOT NULL AND status = 'pass')
            SELECT cell, 'latency', median(ms), mad(ms), count(*) FROM sample JOIN passed USING (attempt)
                WHERE NOT warmup GROUP BY cell, attempt
            UNION ALL SELECT cell, name, value, 0, 1 FROM metric JOIN passed USING (attempt)
            UNION ALL SELECT cell, 'time_to_first_token', time_to_first_token_ms, 0, 1
                FROM token_rate JOIN passed USING (attempt)
            UNION ALL SELECT cell, 'tokens_per_second', tokens_per_second, 0, 1
                FROM token_rate JOIN passed USING (attempt) WHERE tokens_per_second IS NOT NULL";
        self.rows(sql, params![run], FigureRow::read)
    }

    /// Runs that have cells and reached their ends, oldest first: those up to one of them, of one branch where one is named.
    pub fn complete_runs(
        &self,
        up_to: Option<&str>,
        branch: Option<&str>,
    ) -> Result<Vec<String>, StoreError> {
        let sql = format!(
            "SELECT run FROM run WHERE ended_at IS NOT NULL AND NOT interrupted AND matrix <> '{CONFIRMATION}'
                AND run IN (SELECT run FROM cell) AND ($1::VARCHAR IS NULL OR run <= $1)
                AND ($2::VARCHAR IS NULL OR run IN
                    (SELECT run FROM environment WHERE name = 'branch' AND value = $2))
             ORDER BY run"
        );
        self.rows(&sql, params![up_to, branch], |row| row.get(0))
    }

    /// The complete runs that tried another one's alarms again, oldest first.
    pub fn confirmations(&self, of: &str) -> Result<Vec<String>, StoreError> {
        let sql = format!(
            "SELECT run FROM run JOIN environment USING (run)
             WHERE matrix = '{CONFIRMATION}' AND ended_at IS NOT NULL AND NOT interrupted
                AND name = '{CONFIRMS}' AND value = $1
             ORDER BY run"
        );
        self.rows(&sql, params![of], |row| row.get(0))
    }

    /// The branches of which there are runs.
    pub fn branches(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT value FROM environment WHERE name = 'branch' ORDER BY value";
        self.rows(sql, params![], |row| row.get(0))
    }
}
