//! A database of one's own that keeps up with journals which others write.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::collect::{self, JournalError};
use crate::store::{Database, RunRow, RunSelection, StoreError};

/// What is there cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// There is no room for a copy.
    #[error("a copy of the database: {0}")]
    Copy(#[from] std::io::Error),
}

/// A copy of a database, and how far each journal was read into it.
#[derive(Debug)]
pub struct Follower {
    database: Database,
    out: PathBuf,
    /// Bytes read, by run; a run that had ended in the copied database is not read at all.
    read: HashMap<String, u64>,
    /// Why a journal is not read.
    broken: HashMap<String, String>,
    /// Holds the copy.
    _folder: TempDir,
}

impl Follower {
    /// Copies the database, if there is one that can be read, and reads the journals beside it. What a run is writing
    /// into meanwhile may give a copy that is torn; then everything is taken from the journals.
    pub fn open(db: &Path) -> Result<Self, FollowError> {
        let folder = tempfile::tempdir()?;
        let out = db.parent().filter(|out| !out.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        let (database, ended) = match copied(db, folder.path()) {
            Ok(Some(found)) => found,
            Ok(None) => (Database::in_memory()?, Vec::new()),
            // Another program's database is not made better by leaving it out.
            Err(FollowError::Store(error @ StoreError::Newer { .. })) => return Err(error.into()),
            Err(error) => {
                tracing::info!(%error, "the database is being written: its journals are read instead");
                (Database::in_memory()?, Vec::new())
            }
        };
        let read = ended.into_iter().map(|run| (run, u64::MAX)).collect();
        let mut follower = Self { database, out, read, broken: HashMap::new(), _folder: folder };
        follower.follow()?;
        Ok(follower)
    }

    /// Reads what was written since the last time; returns whether there was anything.
    pub fn follow(&mut self) -> Result<bool, FollowError> {
        let mut any = false;
        let mut runs = collect::runs(&self.out);
        runs.reverse();
        for run in runs {
            let from = self.read.get(&run).copied().unwrap_or(0);
            if from == u64::MAX || self.broken.contains_key(&run) {
                continue;
            }
            match collect::read_on(&self.out, &run, from) {
                Ok((entries, next)) if next > from => {
                    self.database.apply(&entries)?;
                    self.read.insert(run, next);
                    any = true;
                }
                Ok(_) => {}
                // One journal that is not as it should be keeps nobody from the others.
                Err(error) => {
                    tracing::warn!(%error, "a journal is left out");
                    self.broken.insert(run, error.to_string());
                }
            }
        }
        Ok(any)
    }

    /// Everything up to now.
    pub const fn database(&self) -> &Database {
        &self.database
    }
}

/// A copy of the database and the runs that had ended in it; none where there is no database.
fn copied(db: &Path, folder: &Path) -> Result<Option<(Database, Vec<String>)>, FollowError> {
    if !db.is_file() {
        return Ok(None);
    }
    let copy = folder.join("copy.duckdb");
    // The log first: what is in it and in the file as well is the same twice.
    let log = |path: &Path| PathBuf::from(format!("{}.wal", path.display()));
    if log(db).is_file() {
        std::fs::copy(log(db), log(&copy))?;
    }
    std::fs::copy(db, &copy)?;
    let database = Database::open(&copy)?;
    let runs = database.runs(&RunSelection::All)?;
    // One that was interrupted may be resumed.
    let is_over = |run: &RunRow| run.ended_at.is_some() && run.interrupted != Some(true);
    let ended = runs.into_iter().filter(is_over).map(|run| run.run).collect();
    Ok(Some((database, ended)))
}
