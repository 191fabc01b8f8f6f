//! What a driver and its browser print: kept whole in a file, the end of it in memory.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// How many lines are kept in memory.
const TAIL: usize = 500;
/// The longest line kept there: drivers print whole screenshots.
const LONGEST: usize = 2_000;

/// A log that several streams write to.
#[derive(Clone, Debug)]
pub(super) struct Log {
    path: PathBuf,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    tail: VecDeque<String>,
}

impl Log {
    /// Makes the file, and the folders above it.
    pub(super) fn create(path: &Path) -> std::io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let inner = Inner { file: File::create(path)?, tail: VecDeque::with_capacity(TAIL) };
        Ok(Self { path: path.to_owned(), inner: Arc::new(Mutex::new(inner)) })
    }

    /// Where the whole log is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The last `lines` lines.
    pub(super) fn tail(&self, lines: usize) -> Vec<String> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.tail.iter().skip(inner.tail.len().saturating_sub(lines)).cloned().collect()
    }

    /// Reads a stream to its end beside everything else, so that its writer never blocks on a full
    /// pipe. `watch` sees each line.
    pub(super) fn drain<R>(&self, stream: R, mut watch: impl FnMut(&str) + Send + 'static)
    where
        R: AsyncRead + Unpin + Send + 'static,
    {
        let log = self.clone();
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            // A stream that cannot be read any more is one that ended.
            while stream.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end();
                watch(text);
                log.push(text);
                line.clear();
            }
        });
    }

    fn push(&self, line: &str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.tail.len() == TAIL {
            inner.tail.pop_front();
        }
        inner.tail.push_back(line.chars().take(LONGEST).collect());
        // A full disk must not end the run; the tail is still there.
        if let Err(error) = writeln!(inner.file, "{line}") {
            tracing::debug!(%error, "the driver's log cannot be written");
        }
    }
}
