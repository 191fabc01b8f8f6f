//! `--memory-limit`: precisions are stepped down until what the backend holds keeps within it.

use serde_json::Value;

use crate::command::{code, folder, stderr, stdout, webmatrix};
use crate::traces::is_here;

/// Runs LLaMA in three precisions within a limit: the exit code, and each cell's precision, status and reason.
fn run(browser: &str, backend: &str, limit: &str) -> (i32, Vec<[String; 3]>) {
    let folder = folder();
    let run =
        ["run", "--quiet", "--samples", "1", "--models", "llama", "--precisions", "fp32", "int8", "int4"];
    let place = ["--browsers", browser, "--backends", backend, "--memory-limit", limit];
    let output = webmatrix(folder.path(), &[&run[..], &place].concat());
    let report = stdout(&webmatrix(folder.path(), &["report", "--format", "jsonl"]));
    let cells = report.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let text = |cell: &Value, key: &str| cell[key].as_str().unwrap_or_default().to_owned();
    let told = cells
        .filter(|cell| cell["status"] != "unavailable")
        .map(|cell| ["precision", "status", "error"].map(|key| text(&cell, key)));
    let code = code(&output);
    assert!(code != 2 && code != 65, "{}", stderr(&output));
    (code, told.collect())
}

fn steps_down(browser: &str, backend: &str) {
    let (code, cells) = run(browser, backend, "300KiB");
    let at = |at: usize| [cells[at][0].as_str(), cells[at][1].as_str()];
    assert_eq!((code, cells.len()), (0, 3), "{cells:?}");
    assert_eq!([at(0), at(1), at(2)], [["fp32", "skipped"], ["int8", "pass"], ["int4", "skipped"]]);
    assert!(
        cells[0][2].contains("memory limit: the backend holds") && cells[0][2].contains("307200"),
        "{cells:?}"
    );
    assert_eq!(cells[2][2], "int8 keeps within the memory limit");
}

#[test]
fn the_host_steps_down() {
    steps_down("native", "native-cpu");
    steps_down("native", "native-gpu");
    let (code, cells) = run("native", "native-cpu", "10KiB");
    assert!(cells.iter().all(|[_, status, _]| status == "skipped"), "{cells:?}");
    assert_eq!(code, 3, "nothing ran to its end, so nothing is shown");
}

#[test]
fn a_page_steps_down() {
    if is_here("chromium") {
        steps_down("chromium", "wasm");
    }
}
