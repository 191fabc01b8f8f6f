//! Versioned migrations: each file is applied once, in order, and never changed afterwards.

use std::path::Path;

use duckdb::{Connection, params};

use super::StoreError;

/// The migrations; the version of a database is how many it has.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_init.sql"),
    include_str!("migrations/0002_tokens.sql"),
    include_str!("migrations/0003_op_case.sql"),
    include_str!("migrations/0004_answer.sql"),
    include_str!("migrations/0005_peer.sql"),
    include_str!("migrations/0006_accuracy.sql"),
    include_str!("migrations/0007_measurement.sql"),
    include_str!("migrations/0008_fences.sql"),
    include_str!("migrations/0009_trace.sql"),
    include_str!("migrations/0010_perplexity.sql"),
];

const VERSION_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_version (
    version    UINTEGER PRIMARY KEY,
    applied_at TIMESTAMP NOT NULL DEFAULT current_timestamp::TIMESTAMP
)";

/// Applies what is missing, each migration whole or not at all.
pub(super) fn migrate(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    connection.execute_batch(VERSION_TABLE)?;
    let has = check(connection, path)?;
    for (version, migration) in (1..).zip(MIGRATIONS).skip(has as usize) {
        connection.execute_batch("BEGIN TRANSACTION")?;
        let applied = connection.execute_batch(migration).and_then(|()| {
            connection.execute("INSERT INTO schema_version (version) VALUES (?)", params![version])
        });
        if let Err(error) = applied {
            connection.execute_batch("ROLLBACK")?;
            return Err(error.into());
        }
        connection.execute_batch("COMMIT")?;
    }
    Ok(())
}

/// The version that this program makes.
pub(super) const fn known() -> u32 {
    MIGRATIONS.len() as u32
}

/// The database's version, if this program knows it.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<u32, StoreError> {
    let found: u32 =
        connection.query_row("SELECT coalesce(max(version), 0) FROM schema_version", [], |row| row.get(0))?;
    let known = known();
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    Ok(found)
}
