//! What was told of memory, as analysis and reports read it.

use duckdb::{Row, params};
use serde::Serialize;

use super::rows::rows;
use super::{Database, StoreError};

rows! {
    /// Memory in use at a moment of the attempt that decided a cell.
    MemoryRow {
        /// The cell.
        cell: String,
        /// Milliseconds on the page's clock.
        at_ms: f64,
        /// What it is for, as the wire's `MemoryKind` spells it.
        kind: String,
        /// Bytes.
        bytes: u64,
    }
}

rows! {
    /// How many positions the caches of a cell's model stand for, and what of them goes round.
    CacheRow {
        /// The cell.
        cell: String,
        /// In all sequences of the batch together.
        positions: f64,
        /// Rows of the widest cache that is a ring, of all sequences together; 0 where none is.
        ring_positions: f64,
        /// Bytes of all rings.
        ring_bytes: f64,
        /// Bytes of what an encoder's result is kept as.
        encoded_bytes: f64,
    }
}

impl Database {
    /// What the attempts that decided a run's cells told of their memory, in the order of the plan and of time.
    pub fn memory(&self, run: &str) -> Result<Vec<MemoryRow>, StoreError> {
        let sql = "SELECT c.cell, m.at_ms, m.kind, m.bytes FROM cell c JOIN memory_point m USING (attempt)
                   WHERE c.run = ? ORDER BY c.ordinal, m.at_ms, m.kind";
        self.rows(sql, params![run], MemoryRow::read)
    }

    /// The positions of a run's caches.
    pub fn caches(&self, run: &str) -> Result<Vec<CacheRow>, StoreError> {
        let sql = "SELECT c.cell, max(m.value) FILTER (m.name = 'cache_positions') AS positions,
                     coalesce(max(m.value) FILTER (m.name = 'cache_ring_positions'), 0),
                     coalesce(max(m.value) FILTER (m.name = 'cache_ring_bytes'), 0),
                     coalesce(max(m.value) FILTER (m.name = 'cache_encoded_bytes'), 0)
                   FROM cell c JOIN metric m USING (attempt)
                   WHERE c.run = ? GROUP BY c.cell, c.ordinal HAVING positions IS NOT NULL ORDER BY c.ordinal";
        self.rows(sql, params![run], CacheRow::read)
    }
}
