//! The ledger of claims, judged by what a run on the host measured: its figures are those that other commands tell.

use std::path::Path;

use serde_json::Value;

use crate::command::{code, folder, stderr, stdout, webmatrix};

fn json(place: &Path, arguments: &[&str]) -> Value {
    let output = webmatrix(place, arguments);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap_or_else(|error| panic!("{error}: {}", stdout(&output)))
}

/// A claim of the only run.
fn claim<'a>(report: &'a Value, id: &str) -> &'a Value {
    let claims = report["runs"][0]["claims"].as_array().map_or(&[][..], Vec::as_slice);
    claims.iter().find(|claim| claim["id"] == id).unwrap_or_else(|| panic!("no {id} in {report:#}"))
}

fn pairs(claim: &Value) -> &[Value] {
    claim["pairs"].as_array().map_or(&[], Vec::as_slice)
}

fn id(model: &str, precision: &str) -> String {
    format!("native/{model}@tiny/webmatrix/native-cpu/{precision}/default")
}

#[test]
fn verdicts_rest_on_what_was_measured() {
    let folder = folder();
    let place = folder.path();
    let run = [
        "compare",
        "precisions",
        "--models",
        "bert",
        "llama",
        "qwen2",
        "--precisions",
        "fp16",
        "int8",
        "int4",
    ];
    let host =
        ["--backends", "native-cpu", "--browsers", "native", "--quiet", "--samples", "10", "--rounds", "5"];
    let compared = json(place, &[&run[..], &host, &["--format", "json"]].concat());
    let row = |cell: &str| {
        let rows = compared["rows"].as_array().map_or(&[][..], Vec::as_slice);
        rows.iter().find(|row| row["cell"] == cell).unwrap_or_else(|| panic!("no {cell}"))
    };
    let bytes = |model: &str, precision: &str| {
        row(&id(model, precision))["memory"]["bytes"].as_f64().unwrap_or(f64::NAN)
    };
    let report = json(place, &["report", "--format", "json"]);
    let models = ["bert", "llama", "qwen2"];

    // Memory: the bytes that the run told of, exactly; a quarter is not what scales leave.
    let weights = claim(&report, "int4-weights-75");
    assert_eq!((&weights["verdict"], &weights["models"]), (&"refuted".into(), &serde_json::json!(models)));
    assert_eq!(pairs(weights).len(), models.len());
    for (pair, model) in pairs(weights).iter().zip(models) {
        let ratio = bytes(model, "int4") / bytes(model, "fp16");
        assert!(ratio > 0.25 && ratio < 0.5, "{model} {ratio}");
        assert_eq!((&pair["cell"], &pair["against"]), (&id(model, "int4").into(), &id(model, "fp16").into()));
        assert_eq!(
            (&pair["value"]["value"], &pair["value"]["lo"], &pair["value"]["hi"]),
            (&ratio.into(), &ratio.into(), &ratio.into())
        );
    }
    let product: f64 = models.iter().map(|model| bytes(model, "int4") / bytes(model, "fp16")).product();
    let mean = product.cbrt();
    assert!((weights["value"]["value"].as_f64().unwrap_or(0.0) - mean).abs() < 1e-12, "{weights:#}");

    // Times: the ratio of the comparison, whose cells were run in turn.
    let times = claim(&report, "int4-latency-60-fp16");
    assert_eq!(pairs(times).len(), models.len(), "{times:#}");
    for pair in pairs(times) {
        let told = row(pair["cell"].as_str().unwrap_or_default());
        assert_eq!(pair["value"], told["latency"]["ratio"], "{pair:#}");
        assert!(pair["value"]["lo"].is_number(), "{pair:#}");
    }
    // Accuracy: the cosine of the comparison; bert's worst output has too few rows for an interval, and is told.
    let outputs = claim(&report, "fp16-keeps-outputs");
    assert_eq!(outputs["verdict"], "confirmed", "{outputs:#}");
    assert!(outputs["why"].as_str().is_some_and(|why| why.contains("1 without an interval say the same")));
    for pair in pairs(outputs) {
        let told = row(pair["cell"].as_str().unwrap_or_default());
        assert_eq!(pair["value"], told["accuracy"]["cosine"], "{pair:#}");
    }

    // What is not in the run is not confirmed, and the command that would tell is understood.
    let webgpu = claim(&report, "webgpu-10");
    assert_eq!(
        (&webgpu["verdict"], &webgpu["why"]),
        (&"unmeasurable here".into(), &"this run has no cell on webgpu".into())
    );
    assert_eq!(claim(&report, "safari-share")["verdict"], "unmeasurable here");
    let mut commands = 0;
    for claim in report["runs"][0]["claims"].as_array().map_or(&[][..], Vec::as_slice) {
        let Some(command) = claim["decide"].as_str() else { continue };
        let understood = webmatrix::cli::arguments().try_get_matches_from(command.split(' '));
        assert!(
            understood.is_ok(),
            "{command}: {}",
            understood.err().map(|e| e.to_string()).unwrap_or_default()
        );
        commands += 1;
    }
    assert!(commands > 10, "{commands}");

    // Every way to read it tells it.
    let markdown = stdout(&webmatrix(place, &["report", "--format", "markdown"]));
    assert!(
        markdown.contains("| Weights at 4 bit take 75 % less memory than at fp16. | refuted |"),
        "{markdown}"
    );
    let page = stdout(&webmatrix(place, &["report", "--format", "html", "--out", "-"]));
    assert!(page.contains(r#""id":"int4-weights-75","says":"#) && page.contains(r#""verdict":"refuted""#));
    // A report of the matrix alone, or of a precision alone, does not know the other side.
    let alone = json(place, &["report", "--format", "json", "--precisions", "int4"]);
    assert_eq!(claim(&alone, "int4-weights-75")["verdict"], "unmeasurable here");
}

#[test]
fn a_run_without_turns_has_no_times_to_judge() {
    let folder = folder();
    let place = folder.path();
    let run =
        ["run", "--quiet", "--browsers", "native", "--backends", "native-cpu", "--models", "bert", "llama"];
    let output = webmatrix(place, &[&run[..], &["--precisions", "int8", "int4", "--samples", "20"]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report = json(place, &["report", "--format", "json"]);
    let times = claim(&report, "int4-latency-int8");
    let why = times["why"].as_str().unwrap_or_default();
    assert!(times["verdict"] == "unmeasurable here" && why.contains("not run in turn"), "{times:#}");
    assert!(pairs(times).iter().all(|pair| pair["value"]["lo"].is_null()), "{times:#}");
}

#[test]
fn a_ledger_of_ones_own_is_read_or_refused_by_name() {
    let folder = folder();
    let place = folder.path();
    let run = [
        "run",
        "--quiet",
        "--browsers",
        "native",
        "--backends",
        "native-cpu",
        "--models",
        "bert",
        "--samples",
        "1",
    ];
    let output = webmatrix(place, &run);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let claims = |metric: &str| {
        let text = format!(
            "[[claims]]\nid = \"own\"\npromise = \"p\"\nwhose = \"w\"\n[claims.query]\nmetric = \"{metric}\"\nbound = {{ at_least = 33 }}\n"
        );
        std::fs::write(place.join("own.toml"), text).unwrap_or_else(|error| panic!("{error}"));
        webmatrix(place, &["report", "--format", "json", "--claims", "own.toml"])
    };
    let report: Value =
        serde_json::from_str(&stdout(&claims("bits_per_weight"))).unwrap_or_else(|error| panic!("{error}"));
    // At full precision a weight takes 32 bits, and one model is not enough to say that it does not take more.
    let own = claim(&report, "own");
    assert_eq!(
        (&own["verdict"], &own["pairs"][0]["value"]["value"]),
        (&"unmeasurable here".into(), &32.0.into()),
        "{own:#}"
    );
    assert_eq!(own["pairs"][0]["stands"], "breaks");
    let misspelt = claims("bits_a_weight");
    let said = stderr(&misspelt);
    assert!(
        code(&misspelt) == 65 && said.contains("claim own") && said.contains("`bits_per_weight`"),
        "{said}"
    );
    let nowhere = webmatrix(place, &["report", "--claims", "nowhere.toml"]);
    assert!(code(&nowhere) == 65 && stderr(&nowhere).contains("nowhere.toml"), "{}", stderr(&nowhere));
}
