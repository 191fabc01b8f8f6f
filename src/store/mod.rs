//! The database: what runs left behind, in tables.
//!
//! One thread owns the connection and turns journal entries into rows. Writing an entry twice changes
//! nothing, so a journal can be replayed into a database that has some or all of it.

mod apply;
mod bulk;
mod gate;
mod history;
mod memory;
mod parquet;
mod past;
mod query;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod timing;
mod writer;

use std::path::{Path, PathBuf};

use duckdb::{AccessMode, Config, Connection};

pub use gate::{CONFIRMATION, CONFIRMS, FigureRow};
pub use history::HistoryRow;
pub use memory::{CacheRow, MemoryRow};
pub use parquet::{ParquetCell, ParquetError};
pub use past::{JobRow, PastRow};
pub use query::RunSelection;
pub use rows::{
    AnswerRow, AttemptRow, BrowserRow, CapabilityRow, CellRow, EnvironmentRow, LogRow, MetricRow, OpCaseRow,
    OpRow, OutputsRow, RunRow, SampleRow, SessionRow, TraceRow,
};
pub use timing::TimingRow;
pub use writer::Writer;

/// A database that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be opened.
    #[error("database {}: {error}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        error: duckdb::Error,
    },
    /// Its folder cannot be made.
    #[error("database {}: {error}", path.display())]
    Folder {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is not there.
    #[error("no database {}: run `webmatrix run` first, or name one with --db", .0.display())]
    Missing(PathBuf),
    /// Another program made it.
    #[error("database {}: schema version {found} is newer than this program's {known}: update webmatrix", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The latest that this program knows.
        known: u32,
    },
    /// A statement failed.
    #[error("database: {0}")]
    Sql(#[from] duckdb::Error),
    /// A record cannot be written as JSON.
    #[error("database: {0}")]
    Json(#[from] serde_json::Error),
    /// No run matches.
    #[error("the database has no run {0}")]
    NoRun(String),
    /// The writer's thread is gone.
    #[error("database: the writer ended early: {0}")]
    Writer(String),
}

/// An open database.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
}

impl Database {
    /// Opens a database for writing; makes it, and its tables, if need be.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| StoreError::Folder { path: path.to_owned(), error })?;
        }
        let connection =
            Connection::open(path).map_err(|error| StoreError::Open { path: path.to_owned(), error })?;
        schema::migrate(&connection, path)?;
        Ok(Self { connection })
    }

    /// Opens a database that is there, for reading.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        if !path.is_file() {
            return Err(StoreError::Missing(path.to_owned()));
        }
        let open = || Connection::open_with_flags(path, Config::default().access_mode(AccessMode::ReadOnly)?);
        let open = || open().map_err(|error| StoreError::Open { path: path.to_owned(), error });
        let connection = open()?;
        if schema::check(&connection, path)? == schema::known() {
            return Ok(Self { connection });
        }
        // An older program made it: what is read below is in the tables of today.
        drop(connection);
        drop(Self::open(path)?);
        Ok(Self { connection: open()? })
    }

    /// A database in memory, for tests and for reports straight from a journal.
    pub fn in_memory() -> Result<Self, StoreError> {
        let connection = Connection::open_in_memory()?;
        schema::migrate(&connection, Path::new(":memory:"))?;
        Ok(Self { connection })
    }

    /// Another way into the same database, to read what this one has written. The file is held as long as either lives.
    fn beside(&self) -> Result<Self, StoreError> {
        Ok(Self { connection: self.connection.try_clone()? })
    }
}
