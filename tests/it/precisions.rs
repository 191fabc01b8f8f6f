//! Every precision: judged on the bits that it has, and its cost told.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::command::{code, folder, stderr, stdout, webmatrix};
use crate::traces::is_here;

/// The report's cells of a run of these models, in a browser of this machine, without those that are impossible here.
fn cells(browser: &str, backends: &[&str], models: &[&str], precisions: &[&str]) -> Vec<Value> {
    let folder = folder();
    let webmatrix = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_webmatrix"));
        let output = command.args(arguments).current_dir(folder.path()).output();
        output.unwrap_or_else(|error| panic!("{error}"))
    };
    let asked = [
        &["run", "--quiet", "--samples", "1", "--browsers", browser, "--backends"],
        backends,
        &["--models"],
        models,
        &["--precisions"],
        precisions,
    ];
    let output = webmatrix(&asked.concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report = stdout(&webmatrix(&["report", "--format", "jsonl"]));
    let cells = report.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    cells.filter(|cell| cell["status"] != "unavailable").collect()
}

/// Passes, costs as many bits as its precision may, and knows less with fewer.
fn check(cells: &[Value], expected: usize) {
    assert_eq!(cells.len(), expected);
    let mut known: BTreeMap<String, BTreeMap<String, (f64, f64)>> = BTreeMap::new();
    for cell in cells {
        let text = |key: &str| cell[key].as_str().unwrap_or_default().to_owned();
        assert_eq!(text("status"), "pass", "{} {}", text("id"), text("error"));
        let number = |key: &str| cell["accuracy"][key].as_f64().unwrap_or(f64::NAN);
        let place = format!("{} {} {}", text("browser"), text("model"), text("backend"));
        let cost = (number("bits_per_weight"), number("cosine"));
        known.entry(place).or_default().insert(text("precision"), cost);
    }
    for (place, costs) in known {
        let [fp16, int8, int2] = ["fp16", "int8", "int2"].map(|precision| costs[precision]);
        assert!(fp16.0 == 16.0 && int8.0 < 11.0 && int2.0 < int8.0, "{place} {costs:?}");
        assert!(fp16.1 > 0.99999 && int8.1 > 0.99 && int2.1 < int8.1, "{place} {costs:?}");
        if let Some(mixed) = costs.get("mixed") {
            assert!(mixed.1 > int2.1, "{place} {costs:?}");
        }
    }
}

#[test]
fn the_host_runs_every_precision() {
    let models = ["bert", "t5", "whisper", "vit", "detr"];
    let precisions = ["fp16", "int8", "int4", "int3", "int2", "mixed"];
    check(&cells("native", &["native-cpu", "native-gpu"], &models, &precisions), 60);
}

#[test]
fn pages_run_every_precision() {
    let precisions = ["fp16", "int8", "int4", "int3", "int2"];
    if is_here("chromium") {
        check(&cells("chromium", &["wasm", "webgpu"], &["qwen2", "clip"], &precisions), 20);
    }
    if is_here("chromium-webnn") {
        check(&cells("chromium-webnn", &["webnn"], &["qwen2", "clip"], &precisions), 10);
    }
    if is_here("firefox") {
        check(&cells("firefox", &["wasm", "webgpu"], &["wav2vec2"], &precisions), 10);
    }
}

#[test]
fn own_weights_are_quantised_with_regard_to_other_inputs_than_those_that_are_judged() {
    let folder = folder();
    for file in ["config.json", "model.safetensors", "inputs.safetensors", "expected.safetensors"] {
        std::fs::write(folder.path().join(file), crate::fake::golden("bert", file))
            .unwrap_or_else(|error| panic!("{error}"));
    }
    let run =
        ["run", "--browsers", "native", "--backends", "native-cpu", "--models", "bert", "--samples", "1"];
    let own = ["--weights", "bert=.", "--precisions", "int4"];
    let output = webmatrix(folder.path(), &[&run[..], &own].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("(against given at full precision)"), "{said}");
    let report = stdout(&webmatrix(folder.path(), &["report", "--format", "html", "--out", "-"]));
    assert!(crate::html::behind(&report).contains("4 seeded items"), "how it was calibrated is told");
}
