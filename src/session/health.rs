//! Whether a browser still lives, told from processes first and from the driver's words second.

use serde::Serialize;

use crate::session::wire::WireError;

/// How a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It answers. A page that computes may still be stuck: only its own heartbeats tell.
    Alive,
    /// The page's process died; the browser lives.
    TabCrashed,
    /// The browser's process is gone.
    BrowserGone,
    /// The driver's process is gone.
    DriverGone,
    /// Everything runs, and nothing answers.
    Hung,
}

/// What the driver's answer to a harmless question says; `browser_runs` is `None` where processes
/// cannot be seen.
pub(super) fn judge(answer: Result<(), WireError>, browser_runs: Option<bool>) -> Health {
    // What the process table says beats any words: drivers differ in how they report a dead browser.
    if browser_runs == Some(false) {
        return Health::BrowserGone;
    }
    match answer {
        Ok(()) => Health::Alive,
        Err(WireError::Late(_)) => Health::Hung,
        Err(WireError::Unreachable(_)) => Health::DriverGone,
        Err(WireError::Remote { error, message }) => by_words(&error, &message, browser_runs),
        Err(WireError::Malformed(_)) => Health::Alive,
    }
}

fn by_words(error: &str, message: &str, browser_runs: Option<bool>) -> Health {
    let says = |text: &str| error.contains(text) || message.contains(text);
    let session_deleted = error == "invalid session id";
    if says("tab crashed")
        || says("page crash")
        // Firefox drops the window of a content process that died.
        || error == "no such window"
        // WebKit drops the session, says why once, and keeps the browser running.
        || session_deleted && browser_runs == Some(true)
    {
        Health::TabCrashed
    } else if session_deleted
        || says("disconnected")
        || says("not reachable")
        || says("Failed to decode response from marionette")
        || says("tried to run command without establishing a connection")
    {
        Health::BrowserGone
    } else {
        Health::Alive
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn remote(error: &str, message: &str) -> Result<(), WireError> {
        Err(WireError::Remote { error: error.to_owned(), message: message.to_owned() })
    }

    #[test]
    fn words_and_processes_tell_what_died() {
        for (answer, browser_runs, expected) in [
            (Ok(()), Some(true), Health::Alive),
            (Ok(()), None, Health::Alive),
            (Ok(()), Some(false), Health::BrowserGone),
            (remote("tab crashed", "tab crashed\n(Session info)"), Some(true), Health::TabCrashed),
            (
                remote("unknown error", "session deleted because of page crash\nfrom tab crashed"),
                None,
                Health::TabCrashed,
            ),
            (remote("no such window", "Browsing context has been discarded"), Some(true), Health::TabCrashed),
            (remote("invalid session id", "session deleted because of page crash"), None, Health::TabCrashed),
            (remote("invalid session id", ""), Some(true), Health::TabCrashed),
            (remote("invalid session id", "invalid session id"), None, Health::BrowserGone),
            (remote("unknown error", "disconnected: not connected to DevTools"), None, Health::BrowserGone),
            (remote("unknown error", "Failed to decode response from marionette"), None, Health::BrowserGone),
            (remote("unexpected alert open", "{Alert text : hi}"), Some(true), Health::Alive),
            (Err(WireError::Late(Duration::ZERO)), Some(true), Health::Hung),
            (Err(WireError::Late(Duration::ZERO)), Some(false), Health::BrowserGone),
            (Err(WireError::Unreachable("refused".to_owned())), Some(true), Health::DriverGone),
        ] {
            let text = format!("{answer:?} {browser_runs:?}");
            assert_eq!(judge(answer, browser_runs), expected, "{text}");
        }
    }
}
