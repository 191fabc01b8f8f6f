//! The program as a shell sees it: what it prints and how it exits.

use std::path::Path;
use std::process::{Command, Output};

/// Runs the program in a folder of its own, with no browser but those named, and no configuration.
pub(crate) fn webmatrix(folder: &Path, arguments: &[&str]) -> Output {
    webmatrix_with(folder, arguments, &[])
}

/// The same, with flags set in the environment.
pub(crate) fn webmatrix_with(folder: &Path, arguments: &[&str], flags: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webmatrix"));
    command.args(arguments).current_dir(folder).env("WEBMATRIX_CONFIG_DIR", folder.join("config"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WEBMATRIX_")) {
        command.env_remove(name);
    }
    command
        .env("WEBMATRIX_CONFIG_DIR", folder.join("config"))
        .envs(flags.iter().copied())
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
        (&["run", "--suite", "ops", "--browsers", "native", "--models", "bert"], 2, "leave --models out"),
        (
            &["run", "--suite", "ops", "--browsers", "native", "--backends", "wasm"],
            2,
            "\"ops\" has no cell left",
        ),
        (&["report", "--format", "jsonl"], 65, "run `webmatrix run` first"),
        (&["run", "--resume", "latest"], 65, "no run under webmatrix-out"),
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
fn the_op_suite_is_stored_and_shown() {
    let folder = folder();
    let ops =
        ["run", "--suite", "ops", "--browsers", "native", "--backends", "native-cpu", "--format", "json"];
    let output = webmatrix(folder.path(), &ops);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("\"event\":\"ops_decided\""), "{}", stdout(&output));
    let cases = webmatrix_engine::ops::cases::all();
    let lines = stdout(&webmatrix(folder.path(), &["report", "--format", "jsonl"]));
    assert_eq!(lines.lines().count(), cases.len());
    for (line, case) in lines.lines().zip(&cases) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}"));
        let said = [&line["case"], &line["status"], &line["evidence"], &line["implementation"]];
        assert_eq!(said, [case.name.as_str(), "pass", "cpu", "NATIVE"]);
    }
    let markdown = stdout(&webmatrix(folder.path(), &["report", "--format", "markdown"]));
    assert!(markdown.contains("| attention | float32 | PASS (cpu)"), "{markdown}");
    // Everything is decided: there is nothing left to run, and the verdicts count again.
    let again = webmatrix(folder.path(), &["run", "--resume", "latest"]);
    assert_eq!(code(&again), 0, "{}", stderr(&again));
    assert!(stderr(&again).contains(": 0 of 1 cells"), "{}", stderr(&again));
    // To the last bit: the database is nothing but the journal's consequence.
    let replayed = stdout(&webmatrix(folder.path(), &["report", "--format", "jsonl"]));
    assert!(replayed == lines, "{replayed}");
}

#[test]
fn models_are_listed_with_and_without_a_database() {
    let folder = folder();
    let bare = webmatrix(folder.path(), &["models"]);
    assert_eq!(code(&bare), 0, "{}", stderr(&bare));
    let text = stdout(&bare);
    assert!(text.contains("there is no database webmatrix-out/webmatrix.duckdb"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("llama ") && line.contains("1100 M")), "{text}");
    let json = |arguments: &[&str]| -> serde_json::Value {
        let output = webmatrix(folder.path(), arguments);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        serde_json::from_str(&stdout(&output)).unwrap_or_else(|error| panic!("{error}"))
    };
    let list = json(&["models", "list", "--size", "tiny", "--format", "json"]);
    assert_eq!(
        (&list["database"], list["models"].as_array().map(Vec::len)),
        (&serde_json::Value::Null, Some(14))
    );

    let run =
        ["run", "--browsers", "native", "--models", "bert", "--backends", "native-cpu", "--samples", "1"];
    assert_eq!(code(&webmatrix(folder.path(), &run)), 0);
    let list = json(&["models", "--format", "json"]);
    let bert = &list["models"][0]["measured"];
    let place =
        [&bert["passes"][0]["browser"], &bert["passes"][0]["backend"], &bert["passes"][0]["evidence"]];
    assert_eq!(place, ["native", "native-cpu", "cpu"]);
    // A time of the host says nothing about a browser.
    assert_eq!(
        (&bert["recommended"], &bert["reason"]),
        (&serde_json::Value::Null, &"it was measured on the host only".into())
    );
    assert!(list["models"][1]["measured"].is_null());
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

#[test]
fn shells_and_man_are_told_of_every_command() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = webmatrix(folder.path(), &["completions", shell]);
        assert_eq!(code(&output), 0, "{shell}: {}", stderr(&output));
        assert!(stdout(&output).contains("explain"), "{shell}");
    }
    let page = stdout(&webmatrix(folder.path(), &["man", "models", "pull"]));
    assert!(page.contains(".TH webmatrix-models-pull 1") && page.contains("REVISION"), "{page}");
    let unknown = webmatrix(folder.path(), &["man", "pull"]);
    assert_eq!(code(&unknown), 2, "{}", stderr(&unknown));
    assert!(stderr(&unknown).contains("use one of run, plan"), "{}", stderr(&unknown));
    assert_eq!(code(&webmatrix(folder.path(), &["man", "--out", "pages"])), 0);
    let pages = std::fs::read_dir(folder.path().join("pages")).map(Iterator::count);
    assert!(pages.is_ok_and(|pages| pages > webmatrix::cli::arguments().get_subcommands().count()));
}
