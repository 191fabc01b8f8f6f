//! `webmatrix merge`: the parts of a run are the run.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::command::{code, folder, stderr, stdout, webmatrix};

fn run(place: &Path, out: &str, further: &[&str]) -> Output {
    let usual = ["run", "--quiet", "--samples", "1", "--browsers", "native", "--backends", "native-cpu"];
    webmatrix(place, &[&usual[..], &["--models", "bert", "vit", "clap", "--out", out], further].concat())
}

fn merge(place: &Path, parts: &[&str], out: &str) -> Output {
    webmatrix(place, &[&["merge"], parts, &["--out", out]].concat())
}

/// Each cell with its status, its largest difference, and how many runs there are.
fn report(place: &Path, out: &str) -> Vec<(String, String, String)> {
    let told = webmatrix(
        place,
        &["report", "--format", "jsonl", "--run", "all", "--db", &format!("{out}/webmatrix.duckdb")],
    );
    let text = stdout(&told);
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let cells =
        lines.map(|cell| (text(&cell["id"]), text(&cell["status"]), text(&cell["agreement"]["max_abs"])));
    let mut cells: Vec<_> = cells.collect();
    cells.sort();
    cells
}

#[test]
fn parts_make_the_whole() {
    let place = folder();
    let place = place.path();
    for (out, shard) in [("one", "1/2"), ("two", "2/2")] {
        assert_eq!(code(&run(place, out, &["--shard", shard])), 0);
    }
    assert_eq!(code(&run(place, "whole", &[])), 0);
    let merged = merge(place, &["one", "two"], "merged");
    assert_eq!(code(&merged), 0, "{}", stderr(&merged));
    let whole = report(place, "whole");
    assert_eq!((whole.len(), report(place, "merged")), (3, whole));
    // Outputs came along: what was measured can be compared further.
    let outputs = |out: &str| std::fs::read_dir(place.join(out).join("outputs")).map_or(0, Iterator::count);
    assert_eq!((outputs("merged"), outputs("one") + outputs("two")), (3, 3));

    let again = merge(place, &["two", "one"], "merged");
    assert_eq!(code(&again), 65);
    assert!(stderr(&again).contains("are merged under merged already"), "{}", stderr(&again));
}

/// A browser that was asked for, and that no part had, is missing in the whole too.
#[cfg(target_os = "linux")]
#[test]
fn what_no_machine_has_is_missing() {
    let place = folder();
    let place = place.path();
    let asked = ["run", "--quiet", "--samples", "1", "--models", "bert", "--backends", "native-cpu", "wasm"];
    for (out, browsers) in [("one", &["native"][..]), ("two", &["native", "safari"])] {
        let shard = if out == "one" { "1/2" } else { "2/2" };
        let further = [&["--out", out, "--shard", shard, "--browsers"][..], browsers].concat();
        let exit = code(&webmatrix(place, &[&asked[..], &further].concat()));
        assert!([0, 3, 69].contains(&exit), "{exit}");
    }
    let merged = merge(place, &["one", "two"], "merged");
    assert_eq!(code(&merged), 69, "{}", stderr(&merged));
}

#[test]
fn what_are_no_parts_of_one_run_is_refused() {
    let place = folder();
    let place = place.path();
    assert_eq!(code(&run(place, "one", &["--shard", "1/3"])), 0);
    assert_eq!(code(&run(place, "same", &["--shard", "1/3"])), 0);
    assert_eq!(code(&run(place, "other", &["--shard", "2/3", "--seed", "5"])), 0);
    let told = |parts: &[&str], out: &str| {
        let merged = merge(place, parts, out);
        (code(&merged), stderr(&merged))
    };
    let (exit, text) = told(&["one", "same"], "merged");
    assert!(exit == 65 && text.contains("was run by both") && text.contains("browsers add"), "{exit} {text}");
    let (exit, text) = told(&["one", "other"], "merged");
    assert!(exit == 65 && text.contains("settings differ"), "{exit} {text}");
    let (exit, text) = told(&["one", "nowhere"], "merged");
    assert!(exit == 65 && text.contains("no run under nowhere"), "{exit} {text}");
    let (exit, text) = told(&["one"], "one");
    assert!(exit == 2 && text.contains("where the parts go to"), "{exit} {text}");
    assert!(!place.join("merged/journal").exists(), "nothing is left of what failed");
}
