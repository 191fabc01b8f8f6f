//! Rows that come by the thousand: gathered over the entries of a transaction and written together, by DuckDB's appender, which
//! knows no conflicts, through a table of their own.

use std::collections::HashMap;

use duckdb::{Connection, params};
use webmatrix_wire::{Message, Sample, Tokens};

use super::StoreError;
use crate::collect::{Entry, Record};

/// Of fewer rows, statements are done sooner than tables are made.
const FEW: usize = 64;

/// Rows that wait for the end of their transaction, by table.
#[derive(Debug, Default)]
pub(super) struct Bulk<'e> {
    samples: Vec<(&'e str, &'e Sample)>,
    tokens: Vec<(&'e str, &'e Tokens)>,
    /// Bytes by attempt, moment and kind: a coarse clock gives several moments the same time, and the last stands for them.
    memory: HashMap<(&'e str, u64, &'static str), u64>,
}

impl<'e> Bulk<'e> {
    /// Takes what the entry says, if it is of such rows.
    pub(super) fn take(&mut self, entry: &'e Entry) -> bool {
        let Record::Received { attempt, envelope } = &entry.record else { return false };
        match &envelope.message {
            Message::Sample(sample) => self.samples.push((&attempt.0, sample)),
            Message::Tokens(tokens) => self.tokens.push((&attempt.0, tokens)),
            Message::Memory(memory) => {
                let at = envelope.at_ms.to_bits();
                let points = memory.bytes.iter();
                self.memory.extend(points.map(|(kind, bytes)| ((&*attempt.0, at, kind.as_str()), *bytes)));
            }
            _ => return false,
        }
        true
    }

    /// Writes all of them. Rows that are there already stay as they are, but for memory, whose last word stands.
    pub(super) fn write(self, db: &Connection) -> Result<(), StoreError> {
        let samples = self.samples.into_iter();
        let samples = samples.map(|(attempt, one)| (attempt, one.index, one.warmup, one.ms));
        let tokens = self.tokens.into_iter().flat_map(|(attempt, tokens)| {
            (0_u32..).zip(&tokens.ms).map(move |(index, ms)| (attempt, tokens.sample, index, *ms))
        });
        let memory = self.memory.into_iter();
        let memory = memory.map(|((attempt, at, kind), bytes)| (attempt, f64::from_bits(at), kind, bytes));
        rows(db, "sample", "INSERT", samples.collect(), |add, (attempt, index, warmup, ms)| {
            add(params![attempt, index, warmup, ms])
        })?;
        rows(db, "token_event", "INSERT", tokens.collect(), |add, (attempt, sample, index, ms)| {
            add(params![attempt, sample, index, ms])
        })?;
        rows(db, "memory_point", "INSERT OR REPLACE", memory.collect(), |add, (attempt, at, kind, bytes)| {
            add(params![attempt, at, kind, bytes])
        })
    }
}

/// What adds the values of one row.
type Add<'a> = &'a mut dyn FnMut(&[&dyn duckdb::ToSql]) -> duckdb::Result<()>;

/// Writes rows of four values to a table.
fn rows<T>(
    db: &Connection,
    table: &str,
    insert: &str,
    rows: Vec<T>,
    row: impl Fn(Add<'_>, T) -> duckdb::Result<()>,
) -> Result<(), StoreError> {
    let rest = if insert == "INSERT" { " ON CONFLICT DO NOTHING" } else { "" };
    if rows.len() < FEW {
        let mut statement = db.prepare_cached(&format!("{insert} INTO {table} VALUES (?, ?, ?, ?){rest}"))?;
        let mut add = |values: &[&dyn duckdb::ToSql]| statement.execute(values).map(drop);
        return Ok(rows.into_iter().try_for_each(|one| row(&mut add, one))?);
    }
    db.execute_batch(&format!("CREATE OR REPLACE TEMP TABLE arrived AS FROM {table} LIMIT 0"))?;
    let mut appender = db.appender_to_catalog_and_db("arrived", "temp", "main")?;
    let mut add = |values: &[&dyn duckdb::ToSql]| appender.append_row(values);
    rows.into_iter().try_for_each(|one| row(&mut add, one))?;
    appender.flush()?;
    drop(appender);
    db.execute_batch(&format!("{insert} INTO {table} FROM arrived{rest}; DROP TABLE temp.arrived"))?;
    Ok(())
}
