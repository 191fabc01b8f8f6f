//! What analysis and reports read.

use duckdb::{Row, params};

use super::rows::{
    AnswerRow, AttemptRow, BrowserRow, CapabilityRow, CellRow, EnvironmentRow, LogRow, MetricRow, OpCaseRow,
    OpRow, OutputsRow, RunRow, SampleRow, SessionRow, TraceRow,
};
use super::{Database, StoreError};

/// Which runs to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunSelection {
    /// The latest that has cells or op cases.
    Latest,
    /// Every one.
    All,
    /// The one with this id.
    Id(String),
}

impl std::str::FromStr for RunSelection {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "latest" => Self::Latest,
            "all" => Self::All,
            id => Self::Id(id.to_owned()),
        })
    }
}

const TIME: &str = "%Y-%m-%dT%H:%M:%S.%gZ";

/// The latest run that measured something: what a database without any has is none.
const LATEST: &str = "?::VARCHAR IS NULL
    AND run = (SELECT max(run) FROM (SELECT run FROM cell UNION ALL SELECT run FROM op_case))";

impl Database {
    /// The runs that match, oldest first.
    pub fn runs(&self, selection: &RunSelection) -> Result<Vec<RunRow>, StoreError> {
        let (filter, id) = match selection {
            RunSelection::All => ("?::VARCHAR IS NULL", None),
            // A probe is a run too, but one without cells.
            RunSelection::Latest => (LATEST, None),
            RunSelection::Id(id) => ("run = ?", Some(id)),
        };
        let sql = format!(
            "SELECT run, matrix, strftime(started_at, '{TIME}'), strftime(ended_at, '{TIME}'), exit_code, interrupted,
                 arguments, webmatrix_version, harness
             FROM run WHERE {filter} ORDER BY run"
        );
        let runs = self.rows(&sql, params![id], RunRow::read)?;
        match selection {
            RunSelection::Id(id) if runs.is_empty() => Err(StoreError::NoRun(id.clone())),
            RunSelection::Latest if runs.is_empty() => Err(StoreError::NoRun("at all".to_owned())),
            _ => Ok(runs),
        }
    }

    /// How much of a run is there: attempts that ended, cells and op cases with a verdict, and whether it ended; none if it is
    /// not there at all.
    pub fn pulse(&self, run: &str) -> Result<Option<(u64, u64, u64, bool)>, StoreError> {
        let sql = "SELECT (SELECT count(*) FROM attempt a WHERE a.run = r.run AND \"end\" IS NOT NULL),
                       (SELECT count(*) FROM cell c WHERE c.run = r.run AND status IS NOT NULL),
                       (SELECT count(*) FROM op_case o WHERE o.run = r.run), ended_at IS NOT NULL
                   FROM run r WHERE run = ?";
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        Ok(self.rows(sql, params![run], read)?.pop())
    }

    /// The machine of a run.
    pub fn environment(&self, run: &str) -> Result<Vec<EnvironmentRow>, StoreError> {
        let sql = "SELECT name, value FROM environment WHERE run = ? ORDER BY name";
        self.rows(sql, params![run], EnvironmentRow::read)
    }

    /// The browsers of a run.
    pub fn browsers(&self, run: &str) -> Result<Vec<BrowserRow>, StoreError> {
        let sql = "SELECT label, kind, coalesce((SELECT max(s.version) FROM session s
                       WHERE s.run = browser.run AND s.browser = label AND s.version <> ''), version),
                       channel, path, driver, driver_version, problem
                   FROM browser WHERE run = ? ORDER BY label";
        self.rows(sql, params![run], BrowserRow::read)
    }

    /// The cells of a run, in the plan's order.
    pub fn cells(&self, run: &str) -> Result<Vec<CellRow>, StoreError> {
        let sql = "
            WITH told AS (SELECT browser, max(version) AS version FROM session
                              WHERE run = $1 AND version <> '' GROUP BY browser),
                 timed AS (SELECT attempt, median(ms) AS ms FROM sample WHERE NOT warmup GROUP BY attempt)
            SELECT c.run, c.cell, c.browser, coalesce(told.version, b.version, ''), c.model, c.size, c.runtime,
                c.backend, c.\"precision\", c.profile, c.status, c.flaky, c.evidence, c.implementation, c.reason,
                c.agreement, c.accuracy, c.perplexity, c.attempt, c.wall_ms, c.page_ms, timed.ms
            FROM cell c
                LEFT JOIN browser b ON b.run = c.run AND b.label = c.browser
                LEFT JOIN told ON told.browser = c.browser
                LEFT JOIN timed ON timed.attempt = c.attempt
            WHERE c.run = $1 ORDER BY c.ordinal";
        self.rows(sql, params![run], CellRow::read)
    }

    /// For each class that ever ran in a cell, whatever came out, the latest run in which it did.
    pub fn latest_by_model(&self) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT model, max(run) FROM cell
                   WHERE runtime = 'webmatrix'
                       AND status IN ('pass', 'wrong', 'error', 'timeout', 'crash', 'device_lost', 'oom')
                   GROUP BY model ORDER BY model";
        self.rows(sql, params![], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// The op cases of a run: by browser and backend, in the engine's order.
    pub fn op_cases(&self, run: &str) -> Result<Vec<OpCaseRow>, StoreError> {
        let sql = "
            WITH told AS (SELECT browser, max(version) AS version FROM session
                              WHERE run = $1 AND version <> '' GROUP BY browser)
            SELECT o.browser, coalesce(told.version, b.version, ''), o.backend, o.op, o.\"case\", o.dtype, o.status,
                o.flaky, o.evidence, o.implementation, o.max_abs, o.ratio, o.error, o.run
            FROM op_case o
                LEFT JOIN browser b ON b.run = o.run AND b.label = o.browser
                LEFT JOIN told ON told.browser = o.browser
            WHERE o.run = $1 ORDER BY o.browser, o.backend, o.ordinal";
        self.rows(sql, params![run], OpCaseRow::read)
    }

    /// The attempts of a run, in order.
    pub fn attempts(&self, run: &str) -> Result<Vec<AttemptRow>, StoreError> {
        let sql = format!(
            "SELECT attempt, cell, browser, number, session, strftime(started_at, '{TIME}'), wall_ms, page_ms, variant,
                 backend, facts, \"end\", status, evidence, reason
             FROM attempt WHERE run = ? ORDER BY started_at, attempt"
        );
        self.rows(&sql, params![run], AttemptRow::read)
    }

    /// The browser processes of a run.
    pub fn sessions(&self, run: &str) -> Result<Vec<SessionRow>, StoreError> {
        let sql =
            "SELECT session, browser, version, start_ms, facts FROM session WHERE run = ? ORDER BY session";
        self.rows(sql, params![run], SessionRow::read)
    }

    /// The timed inferences of a run's attempts, in order.
    pub fn samples(&self, run: &str) -> Result<Vec<SampleRow>, StoreError> {
        let sql = "SELECT s.attempt, s.\"index\", s.warmup, s.ms FROM sample s JOIN attempt USING (attempt)
                   WHERE run = ? ORDER BY s.attempt, s.\"index\"";
        self.rows(sql, params![run], SampleRow::read)
    }

    /// The metrics of a run's attempts.
    pub fn metrics(&self, run: &str) -> Result<Vec<MetricRow>, StoreError> {
        let sql = "WITH every AS (
                       SELECT attempt, name, value, unit FROM metric
                       UNION ALL SELECT attempt, 'time_to_first_token', time_to_first_token_ms, 'ms' FROM token_rate
                       UNION ALL SELECT attempt, 'tokens_per_second', tokens_per_second, '1/s' FROM token_rate
                       WHERE tokens_per_second IS NOT NULL
                   )
                   SELECT m.attempt, m.name, m.value, m.unit FROM every m JOIN attempt USING (attempt)
                   WHERE run = ? ORDER BY m.attempt, m.name";
        self.rows(sql, params![run], MetricRow::read)
    }

    /// What was uploaded by the attempts that decided a run's cells.
    pub fn outputs(&self, run: &str) -> Result<Vec<OutputsRow>, StoreError> {
        let sql = "SELECT a.attempt, a.outputs, a.outputs_sha256 FROM attempt a JOIN cell c USING (attempt)
                   WHERE c.run = ? AND a.outputs IS NOT NULL AND a.outputs_sha256 IS NOT NULL ORDER BY a.attempt";
        self.rows(sql, params![run], OutputsRow::read)
    }

    /// What executed the ops of a run's attempts.
    pub fn ops(&self, run: &str) -> Result<Vec<OpRow>, StoreError> {
        let sql = "SELECT o.attempt, o.op, o.backend, o.count FROM op_result o JOIN attempt USING (attempt)
                   WHERE run = ? ORDER BY o.attempt, o.op, o.backend";
        self.rows(sql, params![run], OpRow::read)
    }

    /// What the probes of a run found.
    pub fn capabilities(&self, run: &str) -> Result<Vec<CapabilityRow>, StoreError> {
        let sql = "SELECT browser, area, name, present, usable, error, ms, facts FROM capability
                   WHERE run = ? ORDER BY browser, area, name";
        self.rows(sql, params![run], CapabilityRow::read)
    }

    /// What the outputs that decided a run's cells say.
    pub fn answers(&self, run: &str) -> Result<Vec<AnswerRow>, StoreError> {
        let sql = "SELECT a.attempt, a.item, a.rank, a.task, a.text, a.score, a.x0, a.y0, a.x1, a.y1
                   FROM answer a JOIN cell c USING (attempt) WHERE c.run = ? ORDER BY a.attempt, a.item, a.rank";
        self.rows(sql, params![run], AnswerRow::read)
    }

    /// Where traced cells of a run leave the oracle.
    pub fn traces(&self, run: &str) -> Result<Vec<TraceRow>, StoreError> {
        let sql = format!(
            "SELECT cell, strftime(traced_at, '{TIME}'), traced_by, says, layers FROM trace WHERE run = ? ORDER BY cell"
        );
        self.rows(&sql, params![run], TraceRow::read)
    }

    /// What pages and drivers of a run had to say.
    pub fn log(&self, run: &str) -> Result<Vec<LogRow>, StoreError> {
        let sql = "SELECT l.attempt, l.source, l.level, l.text FROM log_line l JOIN attempt USING (attempt)
                   WHERE run = ? ORDER BY l.attempt, l.source DESC, l.line";
        self.rows(sql, params![run], LogRow::read)
    }

    pub(super) fn rows<T>(
        &self,
        sql: &str,
        values: &[&dyn duckdb::ToSql],
        read: fn(&Row<'_>) -> duckdb::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map(values, read)?;
        rows.collect::<Result<_, _>>().map_err(StoreError::from)
    }
}
