//! Whatever is killed under a run of a real browser, its cell says so, and nothing is left or lost.
//!
//! These need the harness in the program and browsers on the machine, as `cargo xtask test` sees to:
//! there what is missing fails the test (`WEBMATRIX_REQUIRE_BROWSERS=1`), elsewhere it ends early.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A run of one cell that takes some seconds: long enough to die in.
struct Run {
    child: Child,
    events: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
}

impl Run {
    /// Starts it; none where browser or harness are missing and not required.
    fn start(browser: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let required = std::env::var("WEBMATRIX_REQUIRE_BROWSERS").is_ok_and(|value| value == "1");
        let usable =
            command(folder.path(), &["browsers", "check", browser]).status().is_ok_and(|s| s.success());
        if !usable || !webmatrix::serve::has_harness() {
            assert!(!required, "{browser} or the harness is missing");
            return None;
        }
        let arguments = ["run", "--browsers", browser, "--models", "llama", "--backends", "webgpu"];
        let further = ["--retries", "0", "--samples", "12", "--format", "json"];
        let mut child = command(folder.path(), &[&arguments[..], &further].concat())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{error}"));
        let events = BufReader::new(child.stdout.take().unwrap_or_else(|| panic!("no output")));
        Some(Self { child, events, folder })
    }

    /// Waits until the cell's page measures; the probe's comes first, and does not count.
    fn until_measuring(&mut self) {
        let mut in_cell = false;
        for line in (&mut self.events).lines() {
            let line = line.unwrap_or_else(|error| panic!("{error}"));
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            in_cell |= event["event"] == "attempt_started" && !event["cell"].is_null();
            if in_cell
                && event["event"] == "attempt_progress"
                && event["fraction"].as_f64().is_some_and(|f| f >= 0.6)
            {
                return;
            }
        }
        panic!("the run ended before its page measured anything");
    }

    /// Processes that this run started, by a word of their command line.
    fn processes(&self, word: &str) -> Vec<u32> {
        let mut descendants = vec![self.child.id()];
        let mut all = Vec::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
            let (state, parent) = (fields.next().unwrap_or_default().to_owned(), fields.next());
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if state != "Z" {
                all.push((pid, parent.and_then(|parent| parent.parse::<u32>().ok()), line));
            }
        }
        let mut found = Vec::new();
        loop {
            let next = all.iter().position(|(pid, parent, _)| {
                !descendants.contains(pid) && parent.is_some_and(|parent| descendants.contains(&parent))
            });
            let Some(at) = next else { break };
            let (pid, _, line) = all.swap_remove(at);
            descendants.push(pid);
            if line.contains(word) {
                found.push(pid);
            }
        }
        found
    }

    fn kill(&self, word: &str) {
        let victims = self.processes(word);
        assert!(!victims.is_empty(), "nothing to kill that says {word}");
        victims.into_iter().for_each(|pid| signal("KILL", pid));
    }

    /// Waits for the end; the exit status, and the one cell.
    fn end(mut self) -> (ExitStatus, Value) {
        // The rest is read so that the program does not block on a full pipe.
        for line in (&mut self.events).lines() {
            drop(line);
        }
        let status = self.child.wait().unwrap_or_else(|error| panic!("{error}"));
        (status, cell(self.folder.path()))
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webmatrix"));
    command.args(arguments).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn signal(name: &str, pid: u32) {
    let killed = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(killed.is_ok(), "{killed:?}");
}

/// The cell that was to run, as the report tells it.
fn cell(folder: &Path) -> Value {
    let report = command(folder, &["report", "--format", "jsonl"]).stdout(Stdio::piped()).output();
    let report = report.unwrap_or_else(|error| panic!("{error}"));
    let lines = String::from_utf8_lossy(&report.stdout).into_owned();
    let cells = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    let mut ran = cells.filter(|cell: &Value| cell["status"] != "unavailable");
    ran.next().unwrap_or_else(|| panic!("no cell: {lines}"))
}

/// Waits until nothing is left that mentions the run's folder of temporary profiles.
fn nothing_left(pids: &[u32]) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left: Vec<&u32> = pids.iter().filter(|pid| alive(**pid)).collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "still there: {left:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z'))
}

/// Kills what `word` names under a run, and gives the status and reason of its cell.
fn killed(browser: &str, word: &str) -> Option<(String, String)> {
    let mut run = Run::start(browser)?;
    run.until_measuring();
    let everything = run.processes("");
    run.kill(word);
    let (status, cell) = run.end();
    nothing_left(&everything);
    assert_eq!(status.code(), Some(1), "{cell}");
    let text = |key: &str| cell[key].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("error")))
}

#[test]
fn a_killed_browser_is_a_crash() {
    if let Some((status, reason)) = killed("chromium", "--user-data-dir") {
        assert_eq!(status, "crash", "{reason}");
    }
}

#[test]
fn a_killed_page_is_a_crash() {
    if let Some((status, reason)) = killed("chromium", "--type=renderer") {
        assert_eq!(status, "crash", "{reason}");
        assert!(reason.contains("the page died"), "{reason}");
    }
}

#[test]
fn a_killed_driver_is_a_crash() {
    for (browser, driver) in [("chromium", "chromedriver"), ("firefox", "geckodriver")] {
        if let Some((status, reason)) = killed(browser, driver) {
            assert_eq!(status, "crash", "{browser}: {reason}");
        }
    }
}

#[test]
fn a_killed_gpu_process_is_a_lost_device() {
    if let Some((status, reason)) = killed("chromium", "--type=gpu-process") {
        assert_eq!(status, "device_lost", "{reason}");
    }
}

#[test]
fn a_killed_controller_leaves_nothing_and_is_resumed() {
    let Some(mut run) = Run::start("chromium") else { return };
    run.until_measuring();
    let everything = run.processes("");
    signal("KILL", run.child.id());
    run.child.wait().unwrap_or_else(|error| panic!("{error}"));
    nothing_left(&everything);
    assert_eq!(cell(run.folder.path())["status"], Value::Null, "no verdict was lost, none invented");
    let resumed = command(run.folder.path(), &["run", "--resume", "latest"]).status();
    assert_eq!(resumed.ok().and_then(|status| status.code()), Some(0));
    assert_eq!(cell(run.folder.path())["status"], "pass");
}

#[test]
fn the_first_interrupt_ends_in_order_and_the_second_at_once() {
    for (signals, name) in [(1, "INT"), (1, "TERM"), (2, "INT")] {
        let Some(mut run) = Run::start("chromium") else { return };
        run.until_measuring();
        let everything = run.processes("");
        for _ in 0..signals {
            signal(name, run.child.id());
            std::thread::sleep(Duration::from_millis(20));
        }
        let (status, cell) = run.end();
        nothing_left(&everything);
        assert_eq!(status.code(), Some(130), "{signals} {name}");
        assert_eq!(cell["status"], Value::Null, "{signals} {name}: {cell}");
    }
}
