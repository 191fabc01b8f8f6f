//! The journal and the database of one run, opened and closed together.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::config::Places;
use crate::analyse::Tally;
use crate::collect::{Entry, Journal, Record, Recorder, RunStarted, Versions};
use crate::error::{Exit, ExitStatus, Failure};
use crate::plan::Plan;
use crate::store::{Database, StoreError, Writer};
use crate::{collect, serve};

/// A run being recorded.
pub(super) struct Recording {
    pub(super) run: String,
    pub(super) recorder: Arc<Recorder>,
    writer: Arc<Writer>,
}

impl Recording {
    /// Begins the record of a new run.
    pub(super) fn begin(places: &Places, plan: &Plan) -> Result<Self, Failure> {
        Self::begin_with(places, plan, BTreeMap::new())
    }

    /// The same, with these facts beside those of the machine.
    pub(super) fn begin_with(
        places: &Places,
        plan: &Plan,
        facts: BTreeMap<String, String>,
    ) -> Result<Self, Failure> {
        // A database that cannot be had is told before the run leaves any trace.
        let writer = Writer::start(&places.db).exit(ExitStatus::BadData)?;
        let run = ulid::Ulid::generate().to_string();
        let journal = Journal::create(&places.out, &run).exit(ExitStatus::BadData)?;
        let recording = Self::with(places, journal, writer, &[]);
        recording
            .recorder
            .record(Record::RunStarted(Box::new(RunStarted {
                plan: plan.clone(),
                environment: super::machine::facts().into_iter().chain(facts).collect(),
                versions: Versions {
                    webmatrix: env!("CARGO_PKG_VERSION").to_owned(),
                    wire: webmatrix_wire::WIRE_VERSION,
                    harness: serve::harness_hash(),
                },
                arguments: std::env::args().skip(1).collect(),
            })))
            .exit(ExitStatus::BadData)?;
        Ok(recording)
    }

    /// Takes up the record of a run that was interrupted; everything it holds goes to the database.
    pub(super) fn resume(places: &Places, run: &str) -> Result<(Self, Plan), Failure> {
        let run = match run {
            "latest" => latest(&places.out)?,
            id => id.to_owned(),
        };
        let writer = Writer::start(&places.db).exit(ExitStatus::BadData)?;
        let (journal, entries) = Journal::resume(&places.out, &run).exit(ExitStatus::BadData)?;
        let no_plan = || Failure::text(ExitStatus::BadData, format!("the journal of run {run} has no plan"));
        let plan = plan_of(&entries).cloned().ok_or_else(no_plan)?;
        let recording = Self::with(places, journal, writer, &entries);
        recording.writer.write(entries);
        recording.recorder.record(Record::RunResumed {}).exit(ExitStatus::BadData)?;
        Ok((recording, plan))
    }

    /// Takes up a journal that was put together; everything it holds goes to the database.
    pub(super) fn of_entries(
        places: &Places,
        journal: Journal,
        entries: Vec<Entry>,
    ) -> Result<(Self, Plan), Failure> {
        let no_plan = || {
            Failure::text(ExitStatus::BadData, format!("the journal of run {} has no plan", journal.run()))
        };
        let plan = plan_of(&entries).cloned().ok_or_else(no_plan)?;
        let recording =
            Self::with(places, journal, Writer::start(&places.db).exit(ExitStatus::BadData)?, &entries);
        recording.writer.write(entries);
        Ok((recording, plan))
    }

    /// Adds to the record of a run that is over, journal first. Nobody else may be writing.
    pub(super) fn add(places: &Places, run: &str, record: Record) -> Result<(), Failure> {
        // Who holds the database writes the journal too.
        let writer = Writer::start(&places.db).exit(ExitStatus::BadData)?;
        let (mut journal, _) = Journal::resume(&places.out, run).exit(ExitStatus::BadData)?;
        writer.write(journal.append(vec![record]).exit(ExitStatus::BadData)?);
        writer.finish().exit(ExitStatus::BadData)
    }

    /// What of the run is in the database, for reading beside the writer.
    pub(super) fn reader(&self) -> Result<Database, Failure> {
        self.writer.reader().exit(ExitStatus::BadData)
    }

    /// The verdicts of the whole run, from its own journal: what was told is what is counted.
    pub(super) fn tally(&self, plan: &Plan) -> Tally {
        let verdicts = self.recorder.verdicts();
        let mut tally = Tally::default();
        for planned in &plan.cells {
            if let Some(verdict) = verdicts.get(&planned.cell) {
                tally.add(verdict);
            }
        }
        let verdicts = self.recorder.op_verdicts();
        let planned = plan.ops.iter().filter_map(|planned| verdicts.get(&planned.target));
        planned.flatten().for_each(|verdict| tally.add_op(verdict));
        tally
    }

    fn with(places: &Places, journal: Journal, writer: Writer, before: &[Entry]) -> Self {
        let writer = Arc::new(writer);
        let run = journal.run().to_owned();
        let listener = writer.clone();
        let recorder =
            Recorder::new(journal, &places.out, Box::new(move |entries| listener.write(entries)), before);
        Self { run, recorder: Arc::new(recorder), writer }
    }

    /// Ends the run's record and waits for the database.
    pub(super) fn end(self, status: ExitStatus, interrupted: bool) -> Result<(), Failure> {
        let ended = Record::RunEnded { exit_code: status.code(), interrupted };
        self.recorder.record(ended).exit(ExitStatus::BadData)?;
        self.writer.finish().map_err(|error: StoreError| {
            let hint = "the journal has everything: `webmatrix run --resume latest` writes it again";
            Failure::new(ExitStatus::BadData, anyhow::Error::new(error).context(hint))
        })
    }
}

fn plan_of(entries: &[Entry]) -> Option<&Plan> {
    entries.iter().find_map(|entry| match &entry.record {
        Record::RunStarted(started) => Some(&started.plan),
        _ => None,
    })
}

/// The latest run that has cells or op cases: a probe leaves a journal too, and has nothing to complete.
pub(super) fn latest(out: &Path) -> Result<String, Failure> {
    for run in collect::runs(out) {
        let entries = collect::read(out, &run).exit(ExitStatus::BadData)?;
        if plan_of(&entries).is_some_and(|plan| !plan.cells.is_empty() || !plan.ops.is_empty()) {
            return Ok(run);
        }
    }
    let text = format!("no run under {}", out.display());
    Err(Failure::text(ExitStatus::BadData, text))
}
