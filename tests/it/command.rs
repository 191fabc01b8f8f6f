//! The program as a shell sees it: what it prints and how it exits.

use std::path::Path;
use std::process::{Command, Output};

/// Runs the program in a folder of its own, with no browser but those named, and no configuration.
pub(crate) fn webmatrix(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webmatrix"));
    command.args(arguments).current_dir(folder).env("WEBMATRIX_CONFIG_DIR", folder.join("config"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WEBMATRIX_")) {
        command.env_remove(name);
    }
    command
        .env("WEBMATRIX_CONFIG_DIR", folder.join("config"))
        .output()
        .unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn mistakes_are_told_apart_by_exit_code() {
    let folder = folder();
    std::fs::write(folder.path().join("bad.toml"), "name = 3\n").unwrap_or_else(|error| panic!("{error}"));
    for (arguments, expected, says) in [
        (&["run", "--no-such-flag"][..], 2, "unexpected argument"),
        (&["run", "--backends", "gpu"], 2, "use one of wasm"),
        (&["plan", "--browsers", "netscape"], 2, "unknown browser \"netscape\""),
        (&["plan", "--models", "bird"], 2, "unknown model \"bird\""),
        (&["plan", "--matrix", "nowhere.toml"], 65, "the built-in ones are quick, nightly, full"),
        (&["plan", "--matrix", "bad.toml"], 65, "line 1, column 8"),
        (&["run", "--browsers", "native", "--weights", "bert=nowhere"], 65, "nowhere is no folder"),
        (&["report", "--format", "jsonl"], 65, "run `webmatrix run` first"),
        (&["run", "--resume", "latest"], 65, "no run to resume"),
        (&["browsers", "--browser-path", "edge=edge:/nowhere", "check", "edge"], 69, ""),
    ] {
        let output = webmatrix(folder.path(), arguments);
        assert_eq!(code(&output), expected, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn an_absent_browser_is_recorded_and_exits_69() {
    let folder = folder();
    let edge = ["run", "--browsers", "edge", "--browser-path", "edge=edge:/nowhere", "--models", "bert"];
    let output = webmatrix(folder.path(), &edge);
    assert_eq!(code(&output), 69, "{}", stderr(&output));
    let report = webmatrix(folder.path(), &["report", "--format", "jsonl"]);
    assert_eq!(code(&report), 0, "{}", stderr(&report));
    let lines = stdout(&report);
    let edge: Vec<&str> = lines.lines().filter(|line| line.contains("\"browser\":\"edge\"")).collect();
    assert_eq!(edge.len(), 3, "{lines}");
    assert!(edge.iter().all(|line| line.contains("\"status\":\"unavailable\"")), "{lines}");
}

#[test]
fn a_dry_run_touches_nothing() {
    let folder = folder();
    let output = webmatrix(folder.path(), &["run", "--dry-run", "--browsers", "native", "--format", "json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let plan: serde_json::Value =
        serde_json::from_str(&stdout(&output)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(plan["matrix"], "quick");
    assert!(!folder.path().join("webmatrix-out").exists());
}

#[test]
fn a_browser_of_ones_own_is_kept_and_forgotten() {
    let folder = folder();
    let add = webmatrix(folder.path(), &["browsers", "add", "mine", "chromium", "/nowhere/chromium"]);
    assert_eq!(code(&add), 0, "{}", stderr(&add));
    let listed = stdout(&webmatrix(folder.path(), &["browsers", "--format", "json"]));
    assert!(listed.contains("\"mine\""), "{listed}");
    assert_eq!(code(&webmatrix(folder.path(), &["browsers", "remove", "mine"])), 0);
    assert_eq!(code(&webmatrix(folder.path(), &["browsers", "remove", "mine"])), 65);
}
