//! What is known about a session, kept beside every result that comes out of it.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::discover::Installed;

/// A session's identity: who really runs, how it was asked to, and how it does.
#[derive(Clone, Debug, Serialize)]
pub struct SessionFacts {
    /// The browser as it was discovered, with its driver.
    pub browser: Installed,
    /// The name it reports.
    pub browser_name: String,
    /// The version it reports.
    pub browser_version: String,
    /// The platform it reports.
    pub platform: String,
    /// Its user agent, where the driver tells it; otherwise the page does.
    pub user_agent: Option<String>,
    /// The driver's version as it reports it itself.
    pub driver_version: Option<String>,
    /// The driver's process; `None` for a remote end that is not ours.
    pub driver_pid: Option<u32>,
    /// The arguments the driver was started with.
    pub driver_args: Vec<String>,
    /// The browser's process, where it is told or seen.
    pub browser_pid: Option<u32>,
    /// The capabilities asked for.
    pub asked: Value,
    /// The capabilities returned.
    pub returned: Value,
    /// The switches asked for, and those in effect.
    pub flags: Flags,
    /// The environment set for driver and browser.
    pub environment: Vec<(String, String)>,
    /// Whether Chromium's sandbox was switched off.
    pub no_sandbox: bool,
    /// The driver's log.
    pub log: Option<PathBuf>,
    /// From nothing to a ready driver.
    pub driver_time: Duration,
    /// From New Session to a session.
    pub session_time: Duration,
}

/// Switches asked for beside those that the browser runs with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flags {
    /// What the capabilities asked for.
    pub requested: Vec<String>,
    /// The browser's command line, without the program; `None` where it cannot be seen.
    pub effective: Option<Vec<String>>,
    /// Requested switches that are not in effect.
    pub missing: Vec<String>,
}

impl Flags {
    pub(super) fn compare(requested: Vec<String>, effective: Option<Vec<String>>) -> Self {
        let missing = match &effective {
            Some(effective) => requested.iter().filter(|flag| !in_effect(flag, effective)).cloned().collect(),
            None => Vec::new(),
        };
        Self { requested, effective, missing }
    }
}

/// Whether a switch is on the command line. Features count one by one, because a driver adds its own to
/// the list; other switches with a value must stand last with exactly that value.
fn in_effect(flag: &str, effective: &[String]) -> bool {
    let Some((name, value)) = flag.split_once('=') else {
        // Drivers rewrite `-headless` to `--headless`.
        let bare = flag.trim_start_matches('-');
        return effective.iter().any(|arg| arg.trim_start_matches('-') == bare);
    };
    let last = effective.iter().rev().find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='));
    match last {
        Some(list) if name.ends_with("-features") => {
            value.split(',').all(|feature| list.split(',').any(|given| given == feature))
        }
        Some(given) => given == value,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(requested: &[&str], effective: &[&str]) -> Vec<String> {
        let own = |args: &[&str]| args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>();
        Flags::compare(own(requested), Some(own(effective))).missing
    }

    #[test]
    fn what_the_browser_does_not_run_with_is_named() {
        assert_eq!(missing(&["--a", "-headless", "--b=1"], &["--headless", "--a", "--b=1"]), [""; 0]);
        assert_eq!(missing(&["--b=1", "--c"], &["--b=1", "--b=2"]), ["--b=1", "--c"]);
    }

    #[test]
    fn features_count_one_by_one_and_only_in_the_last_list() {
        assert_eq!(missing(&["--enable-features=A"], &["--enable-features=Z,A"]), [""; 0]);
        assert_eq!(
            missing(&["--enable-features=A"], &["--enable-features=A", "--enable-features=Z"]),
            ["--enable-features=A"]
        );
    }
}
