//! `webmatrix tune`: what it tries is proven, what it keeps is what `run --tuned` uses.

use std::path::Path;

use serde_json::{Value, json};

use crate::command::{code, folder, stderr, stdout, webmatrix};
use crate::traces::is_here;

/// A tuning of BERT with few rounds; the document.
fn tune(place: &Path, further: &[&str]) -> Value {
    let usual = ["tune", "--models", "bert", "--quiet", "--samples", "2", "--rounds", "5"];
    let output = webmatrix(place, &[&usual[..], further].concat());
    assert!([0, 3].contains(&code(&output)), "{}", stderr(&output));
    let file =
        std::fs::read(place.join("webmatrix-out/tuned.json")).unwrap_or_else(|error| panic!("{error}"));
    serde_json::from_slice(&file).unwrap_or_else(|error| panic!("{error}"))
}

/// The cells of all runs so far: profile, status.
fn cells(place: &Path) -> Vec<(String, String)> {
    let report = stdout(&webmatrix(place, &["report", "--format", "jsonl", "--run", "all"]));
    let cells = report.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let text = |cell: &Value, key: &str| cell[key].as_str().unwrap_or_default().to_owned();
    cells.map(|cell| (text(&cell, "profile"), text(&cell, "status"))).collect()
}

const KEPT: [&str; 2] = ["--keep-layers", "*embeddings*=int8-g64"];

#[test]
fn the_host_is_tuned() {
    let place = folder();
    let asked = ["--browsers", "native", "--backends", "native-cpu", "--precisions", "int4"];
    let choices = ["--features", "threads-2", "weights-int4-g64", "weights-int4-g128", "weights-int8-g64"];
    let kept = tune(place.path(), &[&asked[..], &choices, &KEPT, &["--min-cosine", "0.9"]].concat());
    let [entry] = kept["entries"].as_array().map_or(&[][..], Vec::as_slice) else { panic!("{kept:#}") };
    let choice = &entry["choice"];
    assert_eq!(choice["cell"], "native/bert@tiny/webmatrix/native-cpu/int4/default");
    let end = |key: &str| choice[key].as_f64().unwrap_or(f64::NAN);
    assert!(end("lo") <= end("ratio") && end("ratio") <= end("hi") && end("default_ms") > 0.0, "{choice:#}");
    // Whether it is faster is the machine's matter; that nothing else is chosen is ours.
    let faster = end("hi") < 1.0;
    assert_eq!(faster, choice["features"].as_array().is_some_and(|chosen| !chosen.is_empty()), "{choice:#}");
    let tried = cells(place.path());
    assert!(tried.iter().all(|(_, status)| status == "pass"), "{tried:?}");
    assert!(tried.iter().any(|(profile, _)| profile == "weights-int4-g128"), "{tried:?}");
    assert!(!tried.iter().any(|(profile, _)| profile.contains("int8")), "of another precision: {tried:?}");
}

/// What is kept holds here, and is run beside the default; of another machine nothing is taken.
#[test]
fn what_was_kept_is_run_beside_the_default() {
    let place = folder();
    let asked = ["--browsers", "native", "--backends", "native-cpu", "--features", "threads-2"];
    let mut kept = tune(place.path(), &asked);
    let file = place.path().join("webmatrix-out/tuned.json");
    let tuned = |kept: &Value| {
        std::fs::write(&file, kept.to_string()).unwrap_or_else(|error| panic!("{error}"));
        let run = ["run", "--models", "bert", "--browsers", "native", "--backends", "native-cpu", "--tuned"];
        let output = webmatrix(place.path(), &[&run[..], &["--samples", "1"]].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let report = stdout(&webmatrix(place.path(), &["report", "--format", "jsonl"]));
        let lines = report.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.map(|cell| cell["profile"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    kept["entries"][0]["choice"]["features"] = json!(["threads-2"]);
    assert_eq!(tuned(&kept), ["default", "threads-2"]);
    kept["entries"][0]["place"]["machine"] = json!("another");
    assert_eq!(tuned(&kept), ["default"]);
    std::fs::write(&file, "{}").unwrap_or_else(|error| panic!("{error}"));
    let output = webmatrix(place.path(), &["run", "--models", "bert", "--browsers", "native", "--tuned"]);
    assert_eq!(code(&output), 65);
    assert!(stderr(&output).contains("tuned.json: tune again after deleting it"), "{}", stderr(&output));
}

/// Layouts of workgroups are right in pages too. A software GPU's time chooses nothing.
#[test]
fn pages_run_every_layout() {
    if !is_here("chromium") {
        return;
    }
    let place = folder();
    let usual = ["tune", "--models", "bert", "--quiet", "--samples", "1", "--rounds", "5"];
    let asked = ["--browsers", "chromium", "--backends", "webgpu", "--format", "json"];
    let asked = [&asked[..], &["--features", "lanes-32", "lanes-256", "tile-16x16", "tile-128x2"]].concat();
    let usual: Vec<&str> = usual.into_iter().filter(|flag| *flag != "--quiet").collect();
    let output = webmatrix(place.path(), &[&usual[..], &asked].concat());
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    let told: Value = serde_json::from_str(stdout(&output).lines().last().unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}: {}", stdout(&output)));
    assert_eq!(told["choices"][0]["says"], "not measured on hardware", "{told:#}");
    let tried = cells(place.path());
    assert_eq!(tried.len(), 5);
    assert!(tried.iter().all(|(_, status)| status == "pass"), "{tried:?}");
}
