//! `webmatrix compare`: what is told of cells beside one another is what they uploaded and took.

use std::path::Path;
use std::process::{Command, Output};

use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::command::{code, folder, stderr, stdout, webmatrix};
use crate::traces::is_here;
use crate::verify::copy;

fn document(output: &Output) -> Value {
    assert_eq!(code(output), 0, "{}", stderr(output));
    serde_json::from_str(&stdout(output)).unwrap_or_else(|error| panic!("{error}: {}", stdout(output)))
}

/// The rows of a comparison.
fn rows(document: &Value) -> &[Value] {
    document["rows"].as_array().map_or(&[], Vec::as_slice)
}

fn row<'a>(document: &'a Value, backend: &str, precision: &str) -> &'a Value {
    let found = rows(document).iter().find(|row| row["backend"] == backend && row["precision"] == precision);
    found.unwrap_or_else(|| panic!("no {backend} {precision} in {document:#}"))
}

/// As few times as give an interval.
const HOST: [&str; 9] =
    ["--browsers", "native", "--quiet", "--format", "json", "--samples", "10", "--rounds", "5"];

fn compare(place: &Path, further: &[&str]) -> Output {
    webmatrix(place, &[&["compare"], further, &HOST].concat())
}

/// The value of an estimate that lies within its interval.
fn estimate(value: &Value) -> f64 {
    let of = |key: &str| value[key].as_f64().unwrap_or(f64::NAN);
    assert!(of("lo") <= of("value") && of("value") <= of("hi"), "{value}");
    of("value")
}

#[test]
fn features_stand_beside_none() {
    let place = folder();
    let features =
        ["features", "--models", "llama", "--features", "threads", "kv-int8", "--backends", "native-cpu"];
    let told = document(&compare(place.path(), &features));
    assert_eq!((&told["kind"], &told["interleaved"]), (&"features".into(), &true.into()));
    let profiles: Vec<&str> = rows(&told).iter().filter_map(|row| row["profile"].as_str()).collect();
    assert_eq!(profiles, ["default", "threads", "kv-int8"]);
    let [none, threads, caches] = rows(&told) else { panic!("{told:#}") };
    assert_eq!(none["latency"]["says"], "the baseline");
    for row in [threads, caches] {
        assert_eq!((&row["status"], &row["latency"]["against"]), (&"pass".into(), &none["cell"]), "{row:#}");
        assert!(estimate(&row["latency"]["ratio"]) > 0.0 && row["latency"]["in_turn"] == true);
    }
    // Threads change no bit, packed caches do.
    assert_eq!(threads["accuracy"]["cosine"]["value"], 1.0, "{threads:#}");
    assert!(estimate(&caches["accuracy"]["cosine"]) < 1.0);
    // A feature of no backend here leaves nothing to compare, and is told.
    let nothing = compare(
        place.path(),
        &["features", "--models", "bert", "--features", "subgroups", "--backends", "native-cpu"],
    );
    assert_eq!(code(&nothing), 2, "{}", stderr(&nothing));
}

#[test]
fn precisions_of_a_model_that_continues_text() {
    let place = folder();
    let told = document(&compare(
        place.path(),
        &["precisions", "--models", "llama", "--precisions", "fp16", "int8", "int4", "int2"],
    ));
    assert_eq!((&told["version"], &told["kind"]), (&1.into(), &"precisions".into()));
    assert_eq!(rows(&told).len(), 10, "fp32 takes part unasked");
    assert_eq!(told["interleaved"], true);
    let cpu = |precision: &str| row(&told, "native-cpu", precision);
    let reduction = |precision: &str| cpu(precision)["memory"]["reduction"].as_f64().unwrap_or(f64::NAN);
    assert!(reduction("fp32") < -0.9 && reduction("fp16") == 0.0);
    assert!(
        0.4 < reduction("int8")
            && reduction("int8") < reduction("int4")
            && reduction("int4") < reduction("int2")
    );
    assert_eq!(cpu("fp16")["latency"]["says"], "the baseline");
    assert!(estimate(&cpu("int4")["latency"]["ratio"]) > 0.0 && estimate(&cpu("int4")["efficiency"]) > 0.0);
    assert!(cpu("fp32")["accuracy"].is_null(), "it is what others are held against");
    let measure = |precision: &str, key: &str| estimate(&cpu(precision)["accuracy"][key]);
    assert!(measure("fp16", "cosine") > 0.99999 && measure("int2", "cosine") < measure("int8", "cosine"));
    assert!(measure("int8", "divergence") < measure("int4", "divergence"));
    assert!(measure("int8", "agreement") > measure("int2", "agreement"));
    assert_eq!(cpu("int4")["accuracy"]["against"], cpu("fp32")["cell"]);
    // Here, a GPU is software: right answers, and no statement about speed.
    let gpu = row(&told, "native-gpu", "int4");
    if gpu["evidence"] == "software" {
        let nothing = json!({"median_ms": null, "against": null, "ratio": null, "in_turn": false,
            "says": "not measured on hardware"});
        assert_eq!(gpu["latency"], nothing);
        assert!(gpu["efficiency"].is_null() && gpu["accuracy"]["cosine"]["value"].is_number());
    }

    // What is stored is compared as well, and without running anything.
    let again = ["compare", "precisions", "--run", "latest", "--format", "json"];
    let stored = document(&webmatrix(
        place.path(),
        &[&again[..], &["--precisions", "int4", "--backends", "native-cpu"]].concat(),
    ));
    assert_eq!(rows(&stored).len(), 3, "with fp32 and fp16, which it is held against");
    assert_eq!(row(&stored, "native-cpu", "int4"), cpu("int4"));
    assert_eq!(
        std::fs::read_dir(place.path().join("webmatrix-out/journal")).map(Iterator::count).ok(),
        Some(1)
    );
    // What somebody changed is not what the page uploaded.
    for file in std::fs::read_dir(place.path().join("webmatrix-out/outputs")).into_iter().flatten().flatten()
    {
        std::fs::write(file.path(), "x").unwrap_or_else(|error| panic!("{error}"));
    }
    let spoilt = webmatrix(place.path(), &again);
    assert!(stderr(&spoilt).contains("gone or were changed"), "{}", stderr(&spoilt));
    let accuracy = row(&document(&spoilt), "native-cpu", "int4")["accuracy"].clone();
    assert_eq!((&accuracy["against"], &accuracy["cosine"]["lo"]), (&"pytorch-golden".into(), &Value::Null));

    // The 4-bit matrix of the same run.
    let report = ["report", "--view", "matrix", "--precisions", "int4", "--format", "markdown"];
    let markdown = stdout(&webmatrix(place.path(), &report));
    assert!(markdown.contains("| llama@tiny | native native-cpu | int4 | pass (cpu) |"), "{markdown}");
    assert!(!markdown.contains("| int8 |") && markdown.contains("% less"), "{markdown}");
}

/// As the definition has it, of the outputs that lie in the output folder.
fn perplexity(logits: &[f32], words: usize, text: &[usize], window: usize) -> f64 {
    let mut nats = Vec::new();
    for (at, logits) in logits.chunks_exact(words).enumerate() {
        if at % window + 1 == window {
            continue;
        }
        let all: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
        nats.push(-(f64::from(logits[text[at + 1]]).exp() / all).ln());
    }
    (nats.iter().sum::<f64>() / nats.len() as f64).exp()
}

#[test]
fn perplexity_is_that_of_the_uploaded_logits() {
    let (place, model) = (folder(), copy("llama"));
    let words: serde_json::Map<String, Value> =
        (0..512).map(|word| (format!("w{word}"), word.into())).collect();
    let tokenizer = json!({
        "version": "1.0", "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "w0"},
    });
    std::fs::write(model.path().join("tokenizer.json"), tokenizer.to_string())
        .unwrap_or_else(|e| panic!("{e}"));
    let text: Vec<usize> = (0..90).map(|at| (at * at * 7 + 3 * at) % 512).collect();
    let file = place.path().join("text.txt");
    let written: Vec<String> = text.iter().map(|word| format!("w{word}")).collect();
    std::fs::write(&file, written.join(" ")).unwrap_or_else(|error| panic!("{error}"));
    let weights = format!("llama={}", model.path().display());
    let asked = [
        "precisions",
        "--models",
        "llama",
        "--weights",
        &weights,
        "--text",
        "text.txt",
        "--backends",
        "native-cpu",
    ];
    let told = document(&compare(place.path(), &[&asked[..], &["--precisions", "int4"]].concat()));
    let outputs = place.path().join("webmatrix-out/outputs");
    let mut uploaded: Vec<_> =
        std::fs::read_dir(outputs).into_iter().flatten().flatten().map(|file| file.path()).collect();
    uploaded.sort();
    assert_eq!(uploaded.len(), 10, "two cells, five times in turn");
    for (precision, file) in ["fp32", "int4"].iter().zip(uploaded.into_iter().skip(8)) {
        let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{error}"));
        let tensors = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{error}"));
        let logits = tensors.tensor("logits").unwrap_or_else(|error| panic!("{error}"));
        let &[rows, window, words] = logits.shape() else { panic!("{:?}", logits.shape()) };
        assert!(rows * window <= 90 && rows * window > 45 && words == 512, "{:?}", logits.shape());
        assert!(tensors.tensor("generated_ids").is_err(), "a text that is scored is not continued");
        let values: Vec<f32> =
            logits.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let scored = &row(&told, "native-cpu", precision)["perplexity"];
        let expected = perplexity(&values, words, &text, window);
        assert!(
            (estimate(&scored["perplexity"]) / expected - 1.0).abs() < 1e-6,
            "{precision} {scored} {expected}"
        );
        assert_eq!(scored["perplexity"]["count"].as_u64(), Some((rows * (window - 1)) as u64));
    }
    let ratio = estimate(&row(&told, "native-cpu", "int4")["perplexity"]["ratio"]);
    assert!(ratio > 0.5);

    // A plain run keeps the same of each cell, beside the oracle's answer at full precision.
    let given = ["run", "--quiet", "--models", "llama", "--weights", &weights, "--corpus", "text.txt"];
    let cells = ["--browsers", "native", "--backends", "native-cpu", "--precisions", "fp32", "int4"];
    let ran = webmatrix(place.path(), &[&given[..], &cells, &["--samples", "1"]].concat());
    assert_eq!(code(&ran), 0, "{}", stderr(&ran));
    let lines = stdout(&webmatrix(place.path(), &["report", "--format", "jsonl"]));
    let lines: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let kept = |precision: &str| {
        let found = lines.iter().find(|line| line["precision"] == precision && line["status"] == "pass");
        found.unwrap_or_else(|| panic!("no {precision}: {lines:?}"))["perplexity"].clone()
    };
    for precision in ["fp32", "int4"] {
        let compared = &row(&told, "native-cpu", precision)["perplexity"]["perplexity"];
        for key in ["value", "lo", "hi"] {
            assert_eq!(kept(precision)["perplexity"][key], compared[key], "{precision} {key}");
        }
        assert_eq!(kept(precision)["tokens"], compared["count"], "{precision}");
    }
    assert!(kept("fp32")["ratio"].is_null(), "nothing is told of itself");
    assert_eq!(kept("int4")["reference"], "native-cpu");
    // Kernels and oracle differ in the last digits.
    assert!((estimate(&kept("int4")["ratio"]) / ratio - 1.0).abs() < 1e-4, "{} {ratio}", kept("int4"));
    let twin = ["run", "--models", "llama", "--browsers", "native", "--corpus", "text.txt"];
    let refused = webmatrix(place.path(), &twin);
    assert!(code(&refused) == 2 && stderr(&refused).contains("--corpus are for the models of --weights"));
}

#[test]
fn platforms_are_held_against_the_first() {
    let place = folder();
    let asked =
        ["platforms", "--models", "bert", "--platforms", "native-cpu", "native-gpu", "--precisions", "int8"];
    let told = document(&compare(place.path(), &asked));
    let cells: Vec<&Value> = rows(&told).iter().map(|row| &row["backend"]).collect();
    assert_eq!(cells, ["native-cpu", "native-cpu", "native-gpu", "native-gpu"]);
    assert_eq!(row(&told, "native-cpu", "fp32")["latency"]["says"], "the baseline");
    assert_eq!(row(&told, "native-cpu", "int8")["latency"]["says"], "the baseline", "at each precision");
    let gpu = row(&told, "native-gpu", "int8");
    assert_eq!(gpu["accuracy"]["against"], row(&told, "native-cpu", "fp32")["cell"]);
    assert_eq!(gpu["memory"]["against"], row(&told, "native-gpu", "fp32")["cell"], "fp16 did not run");
    assert!(gpu["memory"]["reduction"].as_f64().is_some_and(|less| less > 0.6));
}

#[test]
fn a_page_is_written_where_the_results_are() {
    let place = folder();
    let page = [
        "compare",
        "precisions",
        "--models",
        "bert",
        "--precisions",
        "int8",
        "--backends",
        "native-cpu",
        "--quiet",
    ];
    let output = webmatrix(
        place.path(),
        &[&page[..], &["--format", "html", "--samples", "1", "--rounds", "1"]].concat(),
    );
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output).trim(), "webmatrix-out/comparison.html");
    let text = std::fs::read_to_string(place.path().join("webmatrix-out/comparison.html"));
    let text = text.unwrap_or_else(|error| panic!("{error}"));
    assert!(text.contains("native native-cpu") && text.contains("too few samples"), "{text}");
}

#[test]
fn mistakes_in_comparisons_are_told() {
    let place = folder();
    std::fs::write(place.path().join("t.txt"), "some text").unwrap_or_else(|error| panic!("{error}"));
    let model = copy("bert");
    let weights = format!("bert={}", model.path().display());
    for (arguments, expected, says) in [
        (&["precisions"][..], 2, "--models"),
        (&["precisions", "--run", "latest"], 65, "run `webmatrix run` first"),
        (&["precisions", "--run", "all"], 2, "name one"),
        (&["precisions", "--run", "latest", "--text", "t.txt"], 2, "cannot be used with"),
        (&["precisions", "--models", "bird"], 2, "unknown model \"bird\""),
        (&["platforms", "--models", "bert", "--platforms", "npu"], 2, "use one of wasm"),
        (
            &["precisions", "--models", "llama", "--browsers", "native", "--text", "t.txt"],
            2,
            "scores the models of --weights",
        ),
        (
            &[
                "precisions",
                "--models",
                "bert",
                "--browsers",
                "native",
                "--weights",
                &weights,
                "--text",
                "t.txt",
            ],
            65,
            "bert continues no text",
        ),
    ] {
        let output = webmatrix(place.path(), &[&["compare"], arguments].concat());
        assert_eq!(code(&output), expected, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn pages_are_compared_by_what_they_uploaded() {
    if !is_here("chromium") {
        return;
    }
    let place = folder();
    let mut command = Command::new(env!("CARGO_BIN_EXE_webmatrix"));
    let asked = [
        "compare",
        "precisions",
        "--models",
        "qwen2",
        "--precisions",
        "fp16",
        "int4",
        "--backends",
        "wasm",
        "webgpu",
    ];
    command.args(asked).args([
        "--browsers",
        "chromium",
        "--quiet",
        "--format",
        "json",
        "--samples",
        "8",
        "--rounds",
        "1",
    ]);
    let output = command.current_dir(place.path()).output().unwrap_or_else(|error| panic!("{error}"));
    let told = document(&output);
    assert_eq!(rows(&told).len(), 6);
    for backend in ["wasm", "webgpu"] {
        let int4 = row(&told, backend, "int4");
        assert!(int4["memory"]["reduction"].as_f64().is_some_and(|less| less > 0.6), "{int4:#}");
        let accuracy = &int4["accuracy"];
        assert!((0.5..0.99999).contains(&estimate(&accuracy["cosine"])), "{int4:#}");
        assert!(
            estimate(&accuracy["agreement"]) > 0.0 && estimate(&accuracy["divergence"]) > 0.0,
            "{int4:#}"
        );
    }
    assert!(estimate(&row(&told, "wasm", "int4")["latency"]["ratio"]) > 0.0);
}
