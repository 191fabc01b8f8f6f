//! Why a session did not start, or a command in it failed.

use std::fmt::Write as _;
use std::time::Duration;

/// What can go wrong with a session. The words name the browser, and the remedy where one is known.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Discovery already said why this browser cannot be driven.
    #[error("{label} cannot be driven: {problem}")]
    Unusable {
        /// The browser's label.
        label: String,
        /// The problem and its remedy.
        problem: String,
    },
    /// A folder, a file or a process could not be made.
    #[error("cannot {what}")]
    Io {
        /// What was being done.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The driver (or the display it needs) did not become ready.
    #[error("{program} did not become ready: {why}{}", ending(.log))]
    NotReady {
        /// The program.
        program: String,
        /// What happened instead.
        why: String,
        /// The end of its log.
        log: Vec<String>,
    },
    /// The driver would not start the browser.
    #[error("{label} did not start: {message}{}{}", hint(.remedy), ending(.log))]
    Refused {
        /// The browser's label.
        label: String,
        /// The driver's words.
        message: String,
        /// What to do, where the words are known.
        remedy: Option<&'static str>,
        /// The end of the driver's log.
        log: Vec<String>,
    },
    /// The driver never answered New Session.
    #[error("{label} did not start within {} s{}{}", .after.as_secs(), hint(.remedy), ending(.log))]
    StartHung {
        /// The browser's label.
        label: String,
        /// How long it had.
        after: Duration,
        /// What to do, where the reason is known.
        remedy: Option<&'static str>,
        /// The end of the driver's log.
        log: Vec<String>,
    },
    /// The page's process died.
    #[error("the page crashed in {label} during {during}")]
    TabCrashed {
        /// The browser's label.
        label: String,
        /// The command.
        during: &'static str,
    },
    /// The browser is gone.
    #[error("{label} is gone: it ended during {during}")]
    BrowserGone {
        /// The browser's label.
        label: String,
        /// The command.
        during: &'static str,
    },
    /// The driver is gone, and with it every way to talk to the browser.
    #[error("the driver of {label} is gone: it ended during {during}")]
    DriverGone {
        /// The browser's label.
        label: String,
        /// The command.
        during: &'static str,
    },
    /// No answer in time.
    #[error("{label} did not finish {during} within {} ms", .after.as_millis())]
    Hung {
        /// The browser's label.
        label: String,
        /// The command.
        during: &'static str,
        /// How long it had.
        after: Duration,
    },
    /// The command failed in a browser that is alive.
    #[error("{during} failed in {label}: {message}")]
    Command {
        /// The browser's label.
        label: String,
        /// The command.
        during: &'static str,
        /// The driver's words.
        message: String,
    },
}

impl SessionError {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }
}

/// What to do about a refusal, where its words are known. Drivers say the same for different causes, so
/// the circumstances count too.
pub(super) fn remedy(message: &str, root_in_sandbox: bool) -> Option<&'static str> {
    let says = |text: &str| message.to_ascii_lowercase().contains(text);
    if says("only supports chrome version") || says("only supports microsoft edge version") {
        Some("install the driver of this version, or add --disable-build-check to its driver_args")
    } else if says("remote automation") || says("safaridriver --enable") {
        Some("run `safaridriver --enable` once")
    } else if root_in_sandbox && (says("instance exited") || says("failed to start") || says("crashed")) {
        Some("root cannot have the browser's sandbox: run as another user, or allow --no-sandbox")
    } else if says("user data directory is already in use") || says("instance exited") {
        Some("either the profile is in use, or a library is missing: the log below says which")
    } else if says("cannot find") || says("no such file") || says("not a firefox executable") {
        Some("correct the browser's path")
    } else {
        None
    }
}

fn hint(remedy: &Option<&'static str>) -> String {
    remedy.map_or_else(String::new, |remedy| format!("; {remedy}"))
}

/// How many lines of a log an error shows.
const SHOWN: usize = 12;

fn ending(log: &[String]) -> String {
    let mut text = String::new();
    for line in log.iter().skip(log.len().saturating_sub(SHOWN)) {
        // Writing to a string does not fail.
        let _ = write!(text, "\n  | {line}");
    }
    text
}
