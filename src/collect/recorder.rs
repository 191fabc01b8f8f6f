//! The one door through which a run's records pass: to the journal first, then to whoever listens.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;
use webmatrix_wire::{AttemptId, Envelope};

use super::journal::Journal;
use super::record::{Entry, OutputsReceived, Record};
use super::verdict::{OpVerdict, Verdict};
use crate::plan::{Cell, OpsTarget};
use crate::serve::Inbox;

/// What a page said, as its attempt hears it: after it is in the journal.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// New messages, in order.
    Messages(Vec<Envelope>),
    /// The model's outputs.
    Outputs(Bytes),
    /// A heartbeat.
    Heartbeat,
}

/// Who is told of entries that are safe in the journal.
pub type Listener = Box<dyn Fn(Vec<Entry>) + Send + Sync>;

/// Writes records to the journal and passes them on.
pub struct Recorder {
    journal: Mutex<Journal>,
    out: PathBuf,
    listener: Listener,
    attempts: Mutex<HashMap<AttemptId, mpsc::UnboundedSender<Said>>>,
    verdicts: Mutex<HashMap<Cell, Verdict>>,
    ops: Mutex<HashMap<OpsTarget, Vec<OpVerdict>>>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("journal", &self.journal).finish_non_exhaustive()
    }
}

impl Recorder {
    /// Records into `journal`, keeps outputs under `out`, and tells `listener` of every entry, in
    /// the journal's order. `before` is what the journal holds already.
    pub fn new(journal: Journal, out: &Path, listener: Listener, before: &[Entry]) -> Self {
        let recorder = Self {
            journal: Mutex::new(journal),
            out: out.to_owned(),
            listener,
            attempts: Mutex::default(),
            verdicts: Mutex::default(),
            ops: Mutex::default(),
        };
        recorder.note_verdicts(before);
        recorder
    }

    /// The verdicts so far, those from before the run was resumed included.
    pub fn verdicts(&self) -> HashMap<Cell, Verdict> {
        lock(&self.verdicts).clone()
    }

    /// The verdict on one cell, if it has one so far.
    pub(super) fn verdict(&self, cell: &Cell) -> Option<Verdict> {
        lock(&self.verdicts).get(cell).cloned()
    }

    /// The verdicts on op cases so far, those from before the run was resumed included.
    pub fn op_verdicts(&self) -> HashMap<OpsTarget, Vec<OpVerdict>> {
        lock(&self.ops).clone()
    }

    fn note_verdicts(&self, entries: &[Entry]) {
        for entry in entries {
            match &entry.record {
                Record::CellDecided(decided) => {
                    lock(&self.verdicts).insert(decided.cell.clone(), decided.verdict.clone());
                }
                Record::OpsDecided(decided) => {
                    lock(&self.ops).insert(decided.target.clone(), decided.cases.clone());
                }
                _ => {}
            }
        }
    }

    /// Appends one record.
    pub fn record(&self, record: Record) -> io::Result<()> {
        self.record_all(vec![record])
    }

    fn record_all(&self, records: Vec<Record>) -> io::Result<()> {
        let mut journal = lock(&self.journal);
        let entries = journal.append(records)?;
        self.note_verdicts(&entries);
        // Still under the lock, so that the listener hears the journal's order.
        (self.listener)(entries);
        Ok(())
    }

    /// What the attempt's page says from now on.
    pub(super) fn listen(&self, attempt: &AttemptId) -> mpsc::UnboundedReceiver<Said> {
        let (sender, receiver) = mpsc::unbounded_channel();
        lock(&self.attempts).insert(attempt.clone(), sender);
        receiver
    }

    /// The attempt is over.
    pub(super) fn forget(&self, attempt: &AttemptId) {
        lock(&self.attempts).remove(attempt);
    }

    fn tell(&self, attempt: &AttemptId, said: Said) {
        if let Some(sender) = lock(&self.attempts).get(attempt) {
            // The attempt may have ended this instant: then nobody needs to know.
            sender.send(said).ok();
        }
    }
}

impl Inbox for Recorder {
    fn messages(&self, attempt: &AttemptId, messages: Vec<Envelope>) -> io::Result<()> {
        let received =
            |envelope: &Envelope| Record::Received { attempt: attempt.clone(), envelope: envelope.clone() };
        self.record_all(messages.iter().map(received).collect())?;
        self.tell(attempt, Said::Messages(messages));
        Ok(())
    }

    fn outputs(&self, attempt: &AttemptId, outputs: Bytes, sha256: &str) -> io::Result<()> {
        let file = OutputsReceived::file_of(attempt);
        std::fs::create_dir_all(self.out.join("outputs"))?;
        std::fs::write(self.out.join(&file), &outputs)?;
        self.record(Record::OutputsReceived(OutputsReceived {
            attempt: attempt.clone(),
            sha256: sha256.to_owned(),
            bytes: outputs.len() as u64,
            file,
        }))?;
        self.tell(attempt, Said::Outputs(outputs));
        Ok(())
    }

    fn heartbeat(&self, attempt: &AttemptId) {
        self.tell(attempt, Said::Heartbeat);
    }
}

/// What these locks guard is valid after every statement, so a panicking holder does no harm.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
