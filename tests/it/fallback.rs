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
    let ran = |further: &[&str]| {
        webmatrix(&[&["run", "--quiet", "--features", "webnn-host-softmax"], &cells[..], further].concat());
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
        ran
    };
    // Right and green, but never as if WebNN had done it all.
    assert_eq!(ran(&[]), ["bert pass fallback FALLBACK_WASM", "llama pass fallback FALLBACK_WASM"]);
    // What is let pass is data: bert has two softmaxes, and llama many more.
    let file = out.path().join("thresholds.toml");
    std::fs::write(file, "[host_ops]\nmost = 2\n").unwrap_or_else(|error| panic!("{error}"));
    let let_pass = ran(&["--thresholds", "thresholds.toml"]);
    assert_eq!(let_pass, ["bert pass cpu REAL_WEBNN", "llama pass fallback FALLBACK_WASM"]);
    let page =
        String::from_utf8_lossy(&webmatrix(&["report", "--format", "html", "--out", "-"])).into_owned();
    let told = crate::html::behind(&page);
    assert!(told.contains("within the thresholds, not all ran on webnn: softmax x2 on wasm"), "no host ops");
}
