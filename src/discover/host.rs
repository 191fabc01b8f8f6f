//! The machine as discovery sees it: the only door through which this stage touches the world.
//!
//! Everything else in [`discover`](super) is a pure function of a [`Host`], so that the layouts of
//! all three systems are tested on one.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// An operating system with its own places for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Os {
    /// Linux and the other Unixes that lay programs out like it.
    Linux,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
}

impl Os {
    /// The system this program was built for.
    pub const fn here() -> Self {
        if cfg!(target_os = "windows") {
            Self::Windows
        } else if cfg!(target_os = "macos") {
            Self::MacOs
        } else {
            Self::Linux
        }
    }

    /// What separates folders in a path: the tables are written for the host, not for the builder.
    pub const fn separator(self) -> char {
        match self {
            Self::Windows => '\\',
            Self::Linux | Self::MacOs => '/',
        }
    }
}

/// What discovery asks of a machine.
pub trait Host: Sync {
    /// The operating system whose tables apply.
    fn os(&self) -> Os;
    /// An environment variable, if it is set and not empty.
    fn env(&self, name: &str) -> Option<String>;
    /// The user's home directory.
    fn home(&self) -> Option<PathBuf>;
    /// Whether a file (or a link to one) is there.
    fn is_file(&self, path: &Path) -> bool;
    /// The path with every link resolved; the path itself where that fails.
    fn canonical(&self, path: &Path) -> PathBuf;
    /// A file's first bytes, at most `limit` of them.
    fn read(&self, path: &Path, limit: u64) -> Option<Vec<u8>>;
    /// The first program of this name on the search path.
    fn which(&self, program: &str) -> Option<PathBuf>;
    /// What `program --version` prints on its standard output, or why it printed nothing.
    fn version_output(&self, program: &Path) -> Result<String, String>;
}

/// How long a program may take to say its version. Debian's Chromium needs 0.1 s warm, some seconds
/// on a cold disk.
const VERSION_DEADLINE: Duration = Duration::from_secs(10);

/// The machine this program runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisMachine;

impl Host for ThisMachine {
    fn os(&self) -> Os {
        Os::here()
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    fn home(&self) -> Option<PathBuf> {
        directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned())
    }

    fn is_file(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn canonical(&self, path: &Path) -> PathBuf {
        // Windows' canonical form is the `\\?\` one, which browsers do not take as an argument.
        if cfg!(windows) {
            return path.to_owned();
        }
        path.canonicalize().unwrap_or_else(|_| path.to_owned())
    }

    fn read(&self, path: &Path, limit: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    fn which(&self, program: &str) -> Option<PathBuf> {
        which::which(program).ok()
    }

    fn version_output(&self, program: &Path) -> Result<String, String> {
        run_with_deadline(Command::new(program).arg("--version"), VERSION_DEADLINE)
    }
}

/// Runs a short-lived program and returns its standard output, killing it when it is late.
fn run_with_deadline(command: &mut Command, deadline: Duration) -> Result<String, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot be started: {error}"))?;
    let stdout = child.stdout.take();
    // The pipe is read beside the wait: a program that fills it would otherwise never end.
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(stdout) = stdout {
            // A partial answer is still an answer; the exit decides.
            drop(stdout.take(64 << 10).read_to_end(&mut text));
        }
        String::from_utf8_lossy(&text).into_owned()
    });
    let started = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if started.elapsed() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) => {
                let killed = child.kill().and_then(|()| child.wait());
                return Err(match killed {
                    Ok(_) => format!("did not answer within {} s", deadline.as_secs()),
                    Err(error) => format!("did not answer, and could not be killed: {error}"),
                });
            }
            Err(error) => return Err(format!("cannot be waited for: {error}")),
        }
    };
    let text = reader.join().unwrap_or_default();
    if status.success() { Ok(text) } else { Err(format!("ended with {status}")) }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_killed_at_the_deadline() {
        let started = Instant::now();
        let answer = run_with_deadline(Command::new("sleep").arg("30"), Duration::from_millis(50));
        assert!(answer.is_err_and(|why| why.starts_with("did not answer within")));
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn output_larger_than_a_pipe_does_not_block() {
        let answer = run_with_deadline(
            Command::new("sh").args(["-c", "head -c 60000 /dev/zero | tr '\\0' x"]),
            Duration::from_secs(10),
        );
        assert_eq!(answer.map(|text| text.len()), Ok(60_000));
    }
}
