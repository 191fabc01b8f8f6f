//! Cells as a Parquet file, by DuckDB itself: a row a cell, numbers as numbers, its timed inferences as a list.

use std::path::{Path, PathBuf};

use duckdb::params;

use super::{Database, StoreError};

/// A cell to be written, with what of it is not a column of the database.
#[derive(Clone, Debug, PartialEq)]
pub struct ParquetCell {
    /// The run.
    pub run: String,
    /// The cell's id.
    pub cell: String,
    /// Whether the outputs agreed; none if nothing was compared.
    pub agrees: Option<bool>,
    /// Largest absolute difference.
    pub max_abs: Option<f64>,
    /// Largest relative difference.
    pub max_rel: Option<f64>,
    /// Smallest cosine.
    pub cosine: Option<f64>,
}

/// A Parquet file that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ParquetError {
    /// DuckDB has its Parquet as an extension, which is not a part of every build of it.
    #[error(
        "this program's DuckDB was built without Parquet: link the library that `cargo xtask setup` brings, or take \
         --format csv or jsonl"
    )]
    NotBuiltIn,
    /// The file's folder cannot be made.
    #[error("{}: {error}", path.display())]
    Folder {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A path that DuckDB cannot be told.
    #[error("{}: a path for DuckDB has to be Unicode", .0.display())]
    Path(PathBuf),
    /// DuckDB refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<duckdb::Error> for ParquetError {
    fn from(error: duckdb::Error) -> Self {
        Self::Store(error.into())
    }
}

const CHOSEN: &str = "CREATE OR REPLACE TEMP TABLE chosen (
    run VARCHAR, cell VARCHAR, agrees BOOLEAN, max_abs DOUBLE, max_rel DOUBLE, cosine DOUBLE
)";

/// What is written, in this order.
const ROWS: &str = "
    WITH told AS (SELECT run, browser, max(version) AS version FROM session WHERE version <> '' GROUP BY run, browser),
         timed AS (SELECT attempt, median(ms) AS median_ms, list(ms ORDER BY \"index\") AS samples_ms
                   FROM sample WHERE NOT warmup GROUP BY attempt)
    SELECT r.run, r.matrix, r.started_at, r.webmatrix_version, r.harness, c.cell, c.browser,
        coalesce(told.version, b.version, '') AS browser_version, c.model, c.size, c.runtime, c.backend, c.\"precision\",
        c.profile, c.status, c.flaky, c.evidence, c.implementation, c.reason, c.reference, chosen.agrees,
        chosen.max_abs, chosen.max_rel, chosen.cosine, timed.median_ms, timed.samples_ms, c.wall_ms, c.page_ms,
        a.facts, c.agreement, c.accuracy
    FROM chosen
        JOIN cell c ON c.run = chosen.run AND c.cell = chosen.cell
        JOIN run r ON r.run = c.run
        LEFT JOIN browser b ON b.run = c.run AND b.label = c.browser
        LEFT JOIN told ON told.run = c.run AND told.browser = c.browser
        LEFT JOIN attempt a ON a.attempt = c.attempt
        LEFT JOIN timed ON timed.attempt = c.attempt
    ORDER BY c.run, c.ordinal";

impl Database {
    /// Writes cells as a Parquet file, in the order of their runs and plans.
    ///
    /// # Errors
    /// If this DuckDB has no Parquet, or the file cannot be written.
    pub fn write_parquet(&self, cells: &[ParquetCell], file: &Path) -> Result<(), ParquetError> {
        // Nothing is downloaded to make up for what is not there.
        self.connection.execute_batch(
            "SET autoinstall_known_extensions = false; SET autoload_known_extensions = false",
        )?;
        let functions = "SELECT count(*) FROM duckdb_functions() WHERE function_name = 'read_parquet'";
        if self.connection.query_row(functions, [], |row| row.get::<_, i64>(0))? == 0 {
            return Err(ParquetError::NotBuiltIn);
        }
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| ParquetError::Folder { path: file.to_owned(), error })?;
        }
        let path = file.to_str().ok_or_else(|| ParquetError::Path(file.to_owned()))?;
        self.connection.execute_batch(CHOSEN)?;
        // An appender refuses a database that is open for reading, whatever it appends to.
        let mut insert = self.connection.prepare("INSERT INTO chosen VALUES (?, ?, ?, ?, ?, ?)")?;
        for cell in cells {
            let ParquetCell { run, cell, agrees, max_abs, max_rel, cosine } = cell;
            insert.execute(params![run, cell, agrees, max_abs, max_rel, cosine])?;
        }
        let quoted = path.replace('\'', "''");
        self.connection.execute_batch(&format!("COPY ({ROWS}) TO '{quoted}' (FORMAT parquet)"))?;
        Ok(self.connection.execute_batch("DROP TABLE chosen")?)
    }
}
