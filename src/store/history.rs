//! One cell over all runs, as explanations read it.

use duckdb::{Row, params};
use serde::Serialize;

use super::rows::rows;
use super::{Database, StoreError};
use crate::plan::Plan;

rows! {
    /// A cell in one of the runs that had it.
    HistoryRow {
        /// The run.
        run: String,
        /// When that was started, UTC, RFC 3339.
        started_at: String,
        /// None without a verdict.
        status: Option<String>,
        /// Passed only on a retry.
        flaky: Option<bool>,
        /// The grade.
        evidence: Option<String>,
    }
}

impl Database {
    /// What became of a cell in every run that had it, the oldest first.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn history(&self, cell: &str) -> Result<Vec<HistoryRow>, StoreError> {
        let sql =
            "SELECT c.run, strftime(r.started_at, '%Y-%m-%dT%H:%M:%S.%gZ'), c.status, c.flaky, c.evidence
                   FROM cell c JOIN run r USING (run) WHERE c.cell = ? ORDER BY c.run";
        self.rows(sql, params![cell], HistoryRow::read)
    }

    /// The id of every cell of every run, or of one, each once.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn cell_ids(&self, run: Option<&str>) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT cell FROM cell WHERE $1::VARCHAR IS NULL OR run = $1 ORDER BY cell";
        self.rows(sql, params![run], |row: &Row<'_>| row.get(0))
    }

    /// The plan of a run; none if the database has no such run.
    ///
    /// # Errors
    /// If the database cannot be read, or holds a plan that this program cannot.
    pub fn plan(&self, run: &str) -> Result<Option<Plan>, StoreError> {
        let texts: Vec<String> =
            self.rows("SELECT plan FROM run WHERE run = ?", params![run], |row| row.get(0))?;
        Ok(texts.first().map(|text| serde_json::from_str(text)).transpose()?)
    }
}
