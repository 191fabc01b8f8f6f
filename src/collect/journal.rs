//! The journal: the run, one record a line, appended before anything that depends on it happens.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::record::{Entry, JOURNAL_VERSION, Record};

/// A journal that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system says no.
    #[error("journal {}: {error}", path.display())]
    Io {
        /// The journal.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A line that is not the last cannot be read: the file was changed by something else.
    #[error("journal {}: line {line}: {reason}", path.display())]
    Line {
        /// The journal.
        path: PathBuf,
        /// Counts from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// No such run.
    #[error("no journal of run {run} under {}", folder.display())]
    NoRun {
        /// What was asked for.
        run: String,
        /// Where it should be.
        folder: PathBuf,
    },
}

/// The open journal of one run.
#[derive(Debug)]
pub struct Journal {
    file: File,
    run: String,
    path: PathBuf,
}

/// The folder of journals under an output folder.
fn folder(out: &Path) -> PathBuf {
    out.join("journal")
}

fn file_of(out: &Path, run: &str) -> PathBuf {
    folder(out).join(format!("{run}.jsonl"))
}

impl Journal {
    /// Begins the journal of a new run.
    pub fn create(out: &Path, run: &str) -> Result<Self, JournalError> {
        let path = file_of(out, run);
        let fault = |error| JournalError::Io { path: path.clone(), error };
        std::fs::create_dir_all(folder(out)).map_err(fault)?;
        let file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(fault)?;
        Ok(Self { file, run: run.to_owned(), path })
    }

    /// Opens the journal of a run that was interrupted; gives what it holds. A last line that was
    /// torn by the interruption was never acknowledged, and is cut off.
    pub fn resume(out: &Path, run: &str) -> Result<(Self, Vec<Entry>), JournalError> {
        let path = file_of(out, run);
        let open = OpenOptions::new().read(true).append(true).open(&path);
        let mut file = open.map_err(|error| cannot_read(out, run, error))?;
        let fault = |error| JournalError::Io { path: path.clone(), error };
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(fault)?;
        let (entries, whole) = parse(&path, &text)?;
        file.set_len(whole as u64).map_err(fault)?;
        file.seek(SeekFrom::End(0)).map_err(fault)?;
        Ok((Self { file, run: run.to_owned(), path }, entries))
    }

    /// The run's id.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends records, all in one write, and gives them back as entries. When this returns, they
    /// have left the process; a run's milestones are also forced to the disk.
    pub fn append(&mut self, records: Vec<Record>) -> io::Result<Vec<Entry>> {
        let at = jiff::Timestamp::now();
        let milestone = records.iter().any(|record| {
            matches!(record, Record::RunStarted(_) | Record::CellDecided(_) | Record::RunEnded { .. })
        });
        let entries: Vec<Entry> = records
            .into_iter()
            .map(|record| Entry { version: JOURNAL_VERSION, run: self.run.clone(), at, record })
            .collect();
        self.write(&entries)?;
        if milestone {
            self.file.sync_data()?;
        }
        Ok(entries)
    }

    /// Appends entries of another journal as they are, and forces them to the disk.
    pub fn take(&mut self, entries: &[Entry]) -> io::Result<()> {
        self.write(entries)?;
        self.file.sync_data()
    }

    fn write(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut lines = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut lines, entry)?;
            lines.push(b'\n');
        }
        self.file.write_all(&lines)
    }
}

/// The ids of the runs under an output folder, the latest first. Ids sort by time.
pub fn runs(out: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder(out)).into_iter().flatten();
    let id = |file: io::Result<std::fs::DirEntry>| {
        file.ok()?.file_name().into_string().ok()?.strip_suffix(".jsonl").map(str::to_owned)
    };
    let mut runs: Vec<String> = files.filter_map(id).collect();
    runs.sort_unstable_by(|a, b| b.cmp(a));
    runs
}

/// What the journal of a run holds, without touching it.
pub fn read(out: &Path, run: &str) -> Result<Vec<Entry>, JournalError> {
    let path = file_of(out, run);
    let text = std::fs::read(&path).map_err(|error| cannot_read(out, run, error))?;
    parse(&path, &text).map(|(entries, _)| entries)
}

/// What the journal of a run holds from this byte on, without touching it, and the byte to go on from: a last line that is
/// being written is left for the next time.
pub fn read_on(out: &Path, run: &str, from: u64) -> Result<(Vec<Entry>, u64), JournalError> {
    let path = file_of(out, run);
    let mut text = Vec::new();
    let read = File::open(&path).and_then(|mut file| {
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut text)
    });
    read.map_err(|error| cannot_read(out, run, error))?;
    // A torn last line is an accident elsewhere; here it is somebody who writes.
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (entries, whole) = parse(&path, &text[..whole])?;
    Ok((entries, from + whole as u64))
}

fn cannot_read(out: &Path, run: &str, error: io::Error) -> JournalError {
    if error.kind() == io::ErrorKind::NotFound {
        JournalError::NoRun { run: run.to_owned(), folder: folder(out) }
    } else {
        JournalError::Io { path: file_of(out, run), error }
    }
}

/// The entries of a journal, and how many bytes of it are whole lines.
fn parse(path: &Path, text: &[u8]) -> Result<(Vec<Entry>, usize), JournalError> {
    let mut entries = Vec::new();
    let mut whole = 0;
    for (at, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let last = whole + line.len() == text.len();
        if last && !line.ends_with(b"\n") {
            tracing::warn!(path = %path.display(), bytes = line.len(), "cut off a torn last line");
            break;
        }
        let fault = |reason: String| JournalError::Line { path: path.to_owned(), line: at + 1, reason };
        let entry: Entry = serde_json::from_slice(line).map_err(|error| fault(error.to_string()))?;
        if entry.version != JOURNAL_VERSION {
            return Err(fault(format!("version {} is not {JOURNAL_VERSION}", entry.version)));
        }
        whole += line.len();
        entries.push(entry);
    }
    Ok((entries, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(exit_code: u8) -> Record {
        Record::RunEnded { exit_code, interrupted: false }
    }

    fn journal() -> (tempfile::TempDir, Journal) {
        let out = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let journal = Journal::create(out.path(), "r1").unwrap_or_else(|error| panic!("{error}"));
        (out, journal)
    }

    #[test]
    fn a_torn_last_line_is_cut_off_at_every_byte() {
        let (out, mut journal) = journal();
        journal.append(vec![ended(0), ended(1)]).unwrap_or_else(|error| panic!("{error}"));
        let whole = std::fs::read(journal.path()).unwrap_or_else(|error| panic!("{error}"));
        let first = whole.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for cut in first..whole.len() {
            std::fs::write(journal.path(), &whole[..cut]).unwrap_or_else(|error| panic!("{error}"));
            let (mut again, entries) =
                Journal::resume(out.path(), "r1").unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(entries.len(), 1, "cut at {cut}");
            again.append(vec![ended(7)]).unwrap_or_else(|error| panic!("{error}"));
            let (_, entries) = Journal::resume(out.path(), "r1").unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(entries.last().map(|entry| entry.record.clone()), Some(ended(7)), "cut at {cut}");
        }
    }

    #[test]
    fn a_journal_is_read_on_from_where_it_ended() {
        let (out, mut journal) = journal();
        let read_on = |from| read_on(out.path(), "r1", from).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read_on(0), (Vec::new(), 0));
        journal.append(vec![ended(0)]).unwrap_or_else(|error| panic!("{error}"));
        let (entries, next) = read_on(0);
        assert_eq!(entries.len(), 1);
        journal.append(vec![ended(1)]).unwrap_or_else(|error| panic!("{error}"));
        let whole = std::fs::read(journal.path()).unwrap_or_else(|error| panic!("{error}"));
        // Somebody is half way through a line.
        std::fs::write(journal.path(), &whole[..whole.len() - 3]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read_on(next), (Vec::new(), next));
        std::fs::write(journal.path(), &whole).unwrap_or_else(|error| panic!("{error}"));
        let (entries, end) = read_on(next);
        assert_eq!((entries[0].record.clone(), end), (ended(1), whole.len() as u64));
    }

    #[test]
    fn a_line_spoilt_in_the_middle_is_an_error() {
        let (out, mut journal) = journal();
        journal.append(vec![ended(0), ended(1)]).unwrap_or_else(|error| panic!("{error}"));
        let text = std::fs::read_to_string(journal.path()).unwrap_or_else(|error| panic!("{error}"));
        std::fs::write(journal.path(), text.replacen("run_ended", "run_upended", 1))
            .unwrap_or_else(|e| panic!("{e}"));
        assert!(matches!(Journal::resume(out.path(), "r1"), Err(JournalError::Line { line: 1, .. })));
    }

    #[test]
    fn a_run_is_never_overwritten_and_the_latest_is_found() {
        let (out, _journal) = journal();
        assert!(Journal::create(out.path(), "r1").is_err());
        assert!(Journal::create(out.path(), "r2").is_ok());
        assert_eq!(runs(out.path()), ["r2", "r1"]);
        assert!(matches!(Journal::resume(out.path(), "r3"), Err(JournalError::NoRun { .. })));
    }
}
