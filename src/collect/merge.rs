//! Parts of a run, made on several machines or in several shards, put together as one run.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use webmatrix_wire::Status;

use super::journal::{self, Journal, JournalError};
use super::record::{Entry, OutputsReceived, Record, RunStarted};
use crate::plan::{Cell, Decision, Plan};

/// A run under an output folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The output folder.
    pub out: PathBuf,
    /// The run.
    pub run: String,
}

/// Runs that are no parts of one.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file cannot be copied.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A journal without a plan.
    #[error("run {run} under {} has no plan: it has nothing to merge", out.display())]
    NoPlan {
        /// The run.
        run: String,
        /// Where.
        out: PathBuf,
    },
    /// Something is not the same in all parts.
    #[error("{what} differ between run {one} and run {other}: only parts of one run can be merged")]
    Differ {
        /// What.
        what: &'static str,
        /// A run.
        one: String,
        /// Another.
        other: String,
    },
    /// Two parts measured the same.
    #[error(
        "{cell} was run by both {one} and {other}: give the browser of one machine a label of its own \
         (`webmatrix browsers add`), or run shards of one plan (`run --shard`)"
    )]
    Twice {
        /// The cell.
        cell: String,
        /// A run.
        one: String,
        /// Another.
        other: String,
    },
    /// It was done before.
    #[error("these runs are merged under {} already, as run {run}", out.display())]
    Already {
        /// The merged run.
        run: String,
        /// Where.
        out: PathBuf,
    },
}

/// A run that was read.
struct Read<'a> {
    part: &'a Part,
    started: RunStarted,
    entries: Vec<Entry>,
}

impl Read<'_> {
    /// The cells that it could try: what one machine lacks another may have.
    fn tried(&self) -> impl Iterator<Item = &Cell> {
        self.entries.iter().filter_map(|entry| match &entry.record {
            Record::CellDecided(decided) if decided.verdict.status != Status::Unavailable => {
                Some(&decided.cell)
            }
            _ => None,
        })
    }

    /// Whether it found a browser of this label that can be used.
    fn has(&self, label: &str) -> bool {
        self.entries.iter().any(|entry| {
            matches!(&entry.record, Record::BrowserSeen(seen) if seen.label == label && seen.problem.is_none())
        })
    }
}

/// Puts the parts together under `out`; gives the journal of the merged run, which is not ended yet, and what it holds.
///
/// Whatever was said stays as it was said, with its time; attempts keep their ids.
pub fn merge(
    parts: &[Part],
    out: &Path,
    arguments: Vec<String>,
) -> Result<(Journal, Vec<Entry>), MergeError> {
    let read = parts.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let plan = one_plan(&read)?;
    let run = id(parts);
    if journal::runs(out).contains(&run) {
        return Err(MergeError::Already { run, out: out.to_owned() });
    }
    for part in &read {
        copy_outputs(part, out)?;
    }
    let mut journal = Journal::create(out, &run)?;
    let started = RunStarted { plan, environment: environment(&read), arguments, ..read[0].started.clone() };
    let first = read.iter().filter_map(|part| part.entries.first()).map(|entry| entry.at).min();
    let mut entries = vec![Entry {
        version: super::JOURNAL_VERSION,
        run: run.clone(),
        at: first.unwrap_or_default(),
        record: Record::RunStarted(Box::new(started)),
    }];
    let decided_elsewhere = elsewhere(&read);
    for (at, part) in read.iter().enumerate() {
        let kept = part.entries.iter().filter(|entry| match &entry.record {
            Record::RunStarted(_) | Record::RunResumed {} | Record::RunEnded { .. } => false,
            Record::CellDecided(decided) => decided_elsewhere.get(&decided.cell).is_none_or(|by| *by == at),
            Record::BrowserSeen(seen) => {
                seen.problem.is_none() || !read.iter().any(|part| part.has(&seen.label))
            }
            _ => true,
        });
        entries.extend(kept.map(|entry| Entry { run: run.clone(), ..entry.clone() }));
    }
    journal.take(&entries).map_err(|error| MergeError::Io { path: journal.path().to_owned(), error })?;
    Ok((journal, entries))
}

/// The same for the same runs, and as late as the latest of them: ids sort by time.
fn id(parts: &[Part]) -> String {
    let mut runs: Vec<&str> = parts.iter().map(|part| part.run.as_str()).collect();
    runs.sort_unstable();
    let times = runs.iter().filter_map(|run| run.parse::<ulid::Ulid>().ok());
    let latest = times.map(|id| id.timestamp_ms()).max().unwrap_or_default();
    let digest = Sha256::digest(runs.join(" "));
    let random = digest.iter().take(10).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    ulid::Ulid::from_parts(latest, random).to_string()
}

fn read(part: &Part) -> Result<Read<'_>, MergeError> {
    let entries = journal::read(&part.out, &part.run)?;
    let started = entries.iter().find_map(|entry| match &entry.record {
        Record::RunStarted(started) => Some((**started).clone()),
        _ => None,
    });
    let started =
        started.ok_or_else(|| MergeError::NoPlan { run: part.run.clone(), out: part.out.clone() })?;
    Ok(Read { part, started, entries })
}

/// The plan of all parts together. Its order is that of the parts.
fn one_plan(read: &[Read<'_>]) -> Result<Plan, MergeError> {
    let first = &read[0];
    let mut plan =
        Plan { cells: Vec::new(), ops: Vec::new(), missing: Vec::new(), ..first.started.plan.clone() };
    let mut at: HashMap<Cell, usize> = HashMap::new();
    let mut tried_by: HashMap<&Cell, &Part> = HashMap::new();
    for part in read {
        let other = &part.started.plan;
        let differ =
            |what| MergeError::Differ { what, one: first.part.run.clone(), other: part.part.run.clone() };
        if part.started.versions != first.started.versions {
            return Err(differ("versions of webmatrix"));
        }
        let how = |plan: &Plan| (plan.matrix.clone(), plan.run, plan.generation, plan.thresholds.clone());
        if how(other) != how(&plan) || other.deadlines != plan.deadlines {
            return Err(differ("matrices or settings"));
        }
        for (name, features) in &other.profiles {
            if plan.profiles.insert(name.clone(), features.clone()).is_some_and(|known| known != *features) {
                return Err(differ("features of a profile"));
            }
        }
        for (name, file) in &other.files {
            if plan.files.insert(name.clone(), file.clone()).is_some_and(|known| known != *file) {
                return Err(differ("model files of one name"));
            }
        }
        for cell in part.tried() {
            // Of several tries in one part the last counts.
            if let Some(one) = tried_by.insert(cell, part.part).filter(|one| *one != part.part) {
                let (cell, one) = (cell.to_string(), one.run.clone());
                return Err(MergeError::Twice { cell, one, other: part.part.run.clone() });
            }
        }
        for planned in &other.cells {
            match at.get(&planned.cell) {
                // A machine that has the browser knows better than one that has not.
                Some(&known) if plan.cells[known].decision != Decision::Run => {
                    plan.cells[known] = planned.clone()
                }
                Some(_) => {}
                None => {
                    at.insert(planned.cell.clone(), plan.cells.len());
                    plan.cells.push(planned.clone());
                }
            }
        }
        for planned in &other.ops {
            match plan.ops.iter().position(|known| known.target == planned.target) {
                Some(known) if plan.ops[known].decision != Decision::Run => plan.ops[known] = planned.clone(),
                Some(_) if planned.decision == Decision::Run => {
                    return Err(differ("op suites of one browser"));
                }
                Some(_) => {}
                None => plan.ops.push(planned.clone()),
            }
        }
    }
    // Asked for somewhere, and nowhere to be had.
    let missing = read.iter().flat_map(|part| &part.started.plan.missing);
    for label in missing.filter(|label| !read.iter().any(|part| part.has(label))) {
        if !plan.missing.contains(label) {
            plan.missing.push(label.clone());
        }
    }
    Ok(plan)
}

/// Of cells that several parts gave a verdict, which part's counts: that of whoever could try.
fn elsewhere<'a>(read: &'a [Read<'_>]) -> HashMap<&'a Cell, usize> {
    read.iter().enumerate().flat_map(|(at, part)| part.tried().map(move |cell| (cell, at))).collect()
}

/// Facts that all machines share, and each one's own under its part's number.
fn environment(read: &[Read<'_>]) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    for (number, part) in (1..).zip(read) {
        for (name, value) in &part.started.environment {
            let same = |other: &Read<'_>| other.started.environment.get(name) == Some(value);
            let name = if read.iter().all(same) { name.clone() } else { format!("{name} of part {number}") };
            facts.insert(name, value.clone());
        }
    }
    facts
}

fn copy_outputs(part: &Read<'_>, out: &Path) -> Result<(), MergeError> {
    for entry in &part.entries {
        let Record::OutputsReceived(outputs) = &entry.record else { continue };
        // The name is of our making; who edits journals reads and writes nothing outside.
        if outputs.file != OutputsReceived::file_of(&outputs.attempt) {
            continue;
        }
        let (from, to) = (part.part.out.join(&outputs.file), out.join(&outputs.file));
        let fault = |error| MergeError::Io { path: from.clone(), error };
        std::fs::create_dir_all(out.join("outputs")).map_err(fault)?;
        match std::fs::copy(&from, &to) {
            // Outputs may have been deleted to save space: what they were compared with is in the journal.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => drop(done.map_err(fault)?),
        }
    }
    Ok(())
}
