//! Earlier runs, and what pages were given: what a report holds a run against, and how it is repeated.

use duckdb::{Row, params};
use serde::Serialize;

use super::rows::rows;
use super::{Database, StoreError};

rows! {
    /// A cell of an earlier run.
    PastRow {
        /// The run.
        run: String,
        /// The cell.
        cell: String,
        /// None without a verdict.
        status: Option<String>,
        /// The grade.
        evidence: Option<String>,
        /// Median of the timed inferences of the deciding attempt.
        median_ms: Option<f64>,
        /// The attempt that decided.
        attempt: Option<String>,
    }
}

rows! {
    /// What the page of an attempt that decided a cell was given.
    JobRow {
        /// The attempt.
        attempt: String,
        /// The job, JSON.
        job: String,
        /// Hash of what it uploaded.
        outputs_sha256: Option<String>,
    }
}

impl Database {
    /// The cells of the latest runs before this one that had a cell of its, oldest run first, each in its plan's order.
    pub fn past(&self, run: &str, runs: u32) -> Result<Vec<PastRow>, StoreError> {
        let sql = "
            WITH own AS (SELECT cell FROM cell WHERE run = $1),
                 alike AS (SELECT DISTINCT run FROM cell
                               WHERE run < $1 AND cell IN (SELECT cell FROM own) ORDER BY run DESC LIMIT $2),
                 past AS (SELECT * FROM cell WHERE run IN (SELECT run FROM alike)),
                 timed AS (SELECT attempt, median(ms) AS ms FROM sample
                               WHERE NOT warmup AND attempt IN (SELECT attempt FROM past) GROUP BY attempt)
            SELECT p.run, p.cell, p.status, p.evidence, timed.ms, p.attempt
            FROM past p LEFT JOIN timed USING (attempt)
            ORDER BY p.run, p.ordinal";
        self.rows(sql, params![run, runs], PastRow::read)
    }

    /// What the pages that decided a run's cells were given.
    pub fn jobs(&self, run: &str) -> Result<Vec<JobRow>, StoreError> {
        let sql = "SELECT a.attempt, a.job, a.outputs_sha256 FROM attempt a JOIN cell c USING (attempt)
                   WHERE c.run = ? ORDER BY a.attempt";
        self.rows(sql, params![run], JobRow::read)
    }
}
