//! Ops that the host runs in the place of a WebNN context, in a real browser.

use std::process::Command;

use serde_json::Value;

use crate::command::code;
use crate::traces::is_here;

#[test]
fn what_the_host_ran_is_right_and_graded_as_fallback() {
    if !is_here("chromium-webnn") {
        return;
    }
    let out = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let webmatrix = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_webmatrix"))
            .args(arguments)
            .current_dir(out.path())
            .output()
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(code(&output), 0, "{output:?}");
        output.stdout
    };
    let cells = ["--browsers", "chromium-webnn", "--backends", "webnn", "--models", "bert", "llama"];
    webmatrix(&[&["run", "--quiet", "--features", "webnn-host-softmax"], &cells[..]].concat());
    let report = webmatrix(&["report", "--format", "jsonl"]);
    let report = String::from_utf8_lossy(&report);
    let ran: Vec<String> = report
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .filter(|cell| cell["status"] != "unavailable")
        .map(|cell| {
            ["model", "status", "evidence", "implementation"]
                .map(|key| cell[key].as_str().unwrap_or("-"))
                .join(" ")
        })
        .collect();
    // Right and green, but never as if WebNN had done it all.
    assert_eq!(ran, ["bert pass fallback FALLBACK_WASM", "llama pass fallback FALLBACK_WASM"]);
}
