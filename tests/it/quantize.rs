//! `webmatrix models quantize`: what it writes runs and verifies at its precision, and what it cannot do it says.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::command::{code, folder, stderr, stdout, webmatrix};
use crate::verify::{copy, verify};

fn quantize(place: &Path, model: &Path, further: &[&str]) -> Output {
    let model = model.display().to_string();
    webmatrix(place, &[&["models", "quantize", "--quiet", "--model-dir", &model], further].concat())
}

fn json(output: &Output) -> Value {
    assert_eq!(code(output), 0, "{}", stderr(output));
    serde_json::from_str(&stdout(output)).unwrap_or_else(|error| panic!("{error}"))
}

/// Names of what lies in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{error}"));
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[test]
fn a_quantised_folder_runs_and_verifies_at_its_precision() {
    let (model, place) = (copy("bert"), folder());
    let made = json(&quantize(
        place.path(),
        model.path(),
        &["--out", "q", "--precision", "int4", "--format", "json"],
    ));
    assert_eq!((&made["precision"], &made["class"]), (&"int4".into(), &"bert".into()));
    let told = &made["accuracy"]["quantisation"];
    // What is told is what lies in the file: every matrix, and all that is none.
    let head =
        std::fs::read(place.path().join("q/model.safetensors")).unwrap_or_else(|error| panic!("{error}"));
    let file = safetensors::SafeTensors::deserialize(&head).unwrap_or_else(|error| panic!("{error}"));
    let all: usize = file.iter().map(|(_, tensor)| tensor.data().len()).sum();
    let parts = [".words", ".scales"];
    let of_matrices: usize = file
        .iter()
        .filter(|(name, _)| parts.iter().any(|part| name.ends_with(part)))
        .map(|(_, tensor)| tensor.data().len())
        .sum();
    assert_eq!(told["bytes"].as_u64(), Some(of_matrices as u64));
    let weights = 8.0 * all as f64 / told["model_bits_per_weight"].as_f64().unwrap_or(1.0);
    assert!((weights - weights.round()).abs() < 1e-6, "{weights} weights");

    let lines = crate::verify::lines(&verify(
        &place.path().join("q"),
        &["--browsers", "native", "--backends", "native-cpu"],
    ));
    assert!(lines.len() == 2 && lines.iter().all(|line| line["status"] == "pass"), "{lines:?}");

    let run =
        ["run", "--browsers", "native", "--backends", "native-cpu", "--models", "bert", "--samples", "1"];
    let own = [&run[..], &["--weights", "bert=q"]].concat();
    let wrong = webmatrix(place.path(), &own);
    assert_eq!(code(&wrong), 65);
    assert!(
        stderr(&wrong).contains("holds int4 weights, and fp32 is asked for: run it with --precisions int4")
    );
    let right = webmatrix(place.path(), &[&own[..], &["--precisions", "int4"]].concat());
    assert_eq!(code(&right), 0, "{}", stderr(&right));
    let report = stdout(&webmatrix(place.path(), &["report", "--format", "jsonl"]));
    let mut cells = report.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let cell = cells.rfind(|cell| cell["status"] == "pass").unwrap_or_else(|| panic!("{report}"));
    assert_eq!(cell["accuracy"]["model_bits_per_weight"], told["model_bits_per_weight"]);
    assert_eq!(cell["accuracy"]["reference"], "before-quantising");
    let cosines = made["accuracy"]["outputs"].as_array().into_iter().flatten();
    let cosine = cosines.filter_map(|output| output["cosine"].as_f64()).fold(1.0, f64::min);
    // The page's kernels are not the oracle's, but the weights are the same bits.
    assert!(cell["accuracy"]["cosine"].as_f64().is_some_and(|found| (found - cosine).abs() < 1e-6));
}

#[test]
fn schemes_budgets_and_exceptions_are_kept() {
    let (model, place) = (copy("llama"), folder());
    let made = |out: &str, further: &[&str]| {
        json(&quantize(place.path(), model.path(), &[&["--out", out, "--format", "json"], further].concat()))
    };
    let by_scheme =
        ["--scheme", "int3-g32", "--fit", "hqq", "--no-gptq", "--keep", "*lm_head*=int8-g64", "*embed*=fp16"];
    let uniform = made("a", &by_scheme);
    let told = &uniform["accuracy"]["quantisation"];
    assert_eq!(told["schemes"], serde_json::json!({"fp16": 1, "int3-g32": 14, "int8-g64": 1}));
    assert_eq!(
        (&told["fit"], &told["calibration"], &uniform["precision"]),
        (&"hqq".into(), &Value::Null, &"int3".into())
    );
    let calibrated = made("b", &["--scheme", "int3-g32", "--gptq"]);
    assert_eq!(calibrated["accuracy"]["quantisation"]["calibration"], "4 seeded items");
    let allotted = made("c", &["--budget-bits", "5.5"]);
    let bits = allotted["accuracy"]["quantisation"]["model_bits_per_weight"].as_f64().unwrap_or(99.0);
    assert!((4.0..=5.5).contains(&bits) && allotted["precision"] == "mixed", "{bits}");
    let lines = crate::verify::lines(&verify(
        &place.path().join("c"),
        &["--browsers", "native", "--backends", "native-cpu"],
    ));
    assert!(lines.len() == 2 && lines.iter().all(|line| line["status"] == "pass"), "{lines:?}");
}

#[test]
fn a_folder_is_replaced_only_by_force_and_whole() {
    let (model, place) = (copy("bert"), folder());
    let asked = ["--out", "q", "--precision", "int8"];
    assert_eq!(code(&quantize(place.path(), model.path(), &asked)), 0);
    let again = quantize(place.path(), model.path(), &asked);
    assert_eq!(code(&again), 65);
    assert!(stderr(&again).contains("q: is there already: choose another --out, or replace it with --force"));
    std::fs::write(place.path().join("q/leftover"), "x").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(code(&quantize(place.path(), model.path(), &[&asked[..], &["--force"]].concat())), 0);
    assert_eq!(names(place.path()), ["q"]);
    assert_eq!(
        names(&place.path().join("q")),
        [
            "config.json",
            "expected.safetensors",
            "full_precision.safetensors",
            "inputs.safetensors",
            "model.safetensors",
            "quantisation.json"
        ]
    );
}

#[test]
fn what_cannot_be_quantised_is_told_and_leaves_nothing() {
    let (model, place) = (copy("bert"), folder());
    let dir = model.path().display().to_string();
    std::fs::create_dir(place.path().join("mine")).unwrap_or_else(|error| panic!("{error}"));
    for (further, expected, says) in [
        (&["--out", "q"][..], 2, "required arguments were not provided"),
        (&["--out", "q", "--precision", "fp32"], 2, "fp32 is what the weights are in"),
        (&["--out", "q", "--scheme", "int5-g32"], 2, "write fp16 or such as int4-g32"),
        (&["--out", "q", "--precision", "int8", "--budget-bits", "5"], 2, "allots bits matrix by matrix"),
        (&["--out", "q", "--precision", "int8", "--keep", "lm_head=int8"], 2, "is none: write fp16"),
        (
            &["--out", "q", "--precision", "int8", "--keep", "lm_head*=fp16"],
            65,
            "no matrix of this model is named so",
        ),
        (&["--out", "q", "--budget-bits", "3"], 65, "cannot be met: "),
        (&["--out", "q", "--precision", "int8", "--text", "a"], 65, "tokenizer.json is missing"),
        (&["--out", "mine", "--precision", "int8", "--force"], 65, "--force replaces only such"),
        (&["--out", &dir, "--precision", "int8", "--force"], 65, "holds the model that is to be quantised"),
    ] {
        let output = quantize(place.path(), model.path(), further);
        assert_eq!(code(&output), expected, "{further:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{further:?}: {}", stderr(&output));
    }
    assert_eq!(names(place.path()), ["mine"]);
    let packed = ["--out", "q", "--precision", "int8"];
    assert_eq!(code(&quantize(place.path(), model.path(), &packed)), 0);
    let twice = quantize(place.path(), &place.path().join("q"), &["--out", "r", "--precision", "int4"]);
    assert_eq!(code(&twice), 65);
    assert!(stderr(&twice).contains("holds int8 weights already"), "{}", stderr(&twice));
}

/// Making a base model's weights takes minutes; nobody waits for it.
#[cfg(unix)]
#[test]
fn an_interrupt_is_answered_while_weights_are_made() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    let place = folder();
    let run =
        ["run", "--browsers", "native", "--backends", "native-cpu", "--models", "bert", "--size", "base"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_webmatrix"))
        .args(run)
        .args(["--precisions", "mixed"])
        .current_dir(place.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{error}"));
    let stderr = child.stderr.take().map(BufReader::new);
    let mut lines = stderr.into_iter().flat_map(BufRead::lines).map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("native: ")), "no cell was begun");
    std::thread::sleep(Duration::from_secs(3));
    let since = Instant::now();
    let asked = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(asked.is_ok_and(|status| status.success()));
    lines.for_each(drop);
    let status = child.wait().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(status.code(), Some(130));
    // A second, and room for a machine that has other work.
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
}
