//! The one thread that writes.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::{Database, StoreError};
use crate::collect::{Entry, Record};

/// At most this many entries wait for the end of an attempt: they are safe in the journal, and what is measured meanwhile is on
/// the same machine.
const MOST: usize = 1 << 14;

/// Hands entries to the thread that owns the connection.
#[derive(Debug)]
pub struct Writer {
    /// `None` once finished.
    thread: Mutex<Option<Running>>,
}

/// The thread, and the way to it.
#[derive(Debug)]
struct Running {
    /// None of them: what waits is to be written.
    entries: Sender<Vec<Entry>>,
    /// For whoever reads beside the writer.
    reader: Database,
    thread: JoinHandle<Result<(), StoreError>>,
}

impl Writer {
    /// Opens the database and starts its thread.
    pub fn start(path: &Path) -> Result<Self, StoreError> {
        let database = Database::open(path)?;
        let reader = database.beside()?;
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || write_all(&database, &receiver))
            .map_err(|error| StoreError::Writer(error.to_string()))?;
        Ok(Self { thread: Mutex::new(Some(Running { entries: sender, reader, thread })) })
    }

    /// Queues entries. They are safe in the journal already: if the writer is gone, that is told by
    /// [`Self::finish`], and the run goes on.
    pub fn write(&self, entries: Vec<Entry>) {
        if let Some(running) = self.running().as_ref() {
            running.entries.send(entries).ok();
        }
    }

    /// What is written, for reading in this process; what waits is written now. Whoever has it holds the file.
    pub fn reader(&self) -> Result<Database, StoreError> {
        match self.running().as_ref() {
            Some(running) => {
                running.entries.send(Vec::new()).ok();
                running.reader.beside()
            }
            None => Err(StoreError::Writer("it has ended".to_owned())),
        }
    }

    /// Waits until everything queued is in the database. Nothing can be written afterwards.
    pub fn finish(&self) -> Result<(), StoreError> {
        let Some(Running { entries, reader, thread }) = self.running().take() else { return Ok(()) };
        drop((entries, reader));
        thread.join().unwrap_or_else(|_| Err(StoreError::Writer("it panicked".to_owned())))
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_all(database: &Database, receiver: &Receiver<Vec<Entry>>) -> Result<(), StoreError> {
    while let Ok(mut entries) = receiver.recv() {
        // Who sends none wants the rest to be written.
        let mut now = entries.is_empty();
        while !now
            && entries.len() < MOST
            && !entries.last().is_some_and(|entry| ends_something(&entry.record))
        {
            match receiver.recv() {
                Ok(more) => {
                    now = more.is_empty();
                    entries.extend(more);
                }
                // Nothing will come any more.
                Err(_) => break,
            }
        }
        database.apply(&entries)?;
    }
    Ok(())
}

/// Whether nothing is measured right after it.
const fn ends_something(record: &Record) -> bool {
    matches!(
        record,
        Record::AttemptEnded(_) | Record::CellDecided(_) | Record::OpsDecided(_) | Record::RunEnded { .. }
    )
}
