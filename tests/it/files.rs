//! `webmatrix run --runtime ort-web`: a person's ONNX files in real browsers, judged as our own cells are.
#![expect(clippy::print_stderr, reason = "says what is missing")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::{Dtype, tensor::TensorView};
use serde_json::Value;

use crate::command::{code, folder, stderr, stdout, webmatrix};
use crate::traces::is_here;

const DIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.tools/npm/node_modules/onnxruntime-web/dist");

/// Whether this machine has the browser and the other runtime; where both are required, both must be.
fn have(browser: &str) -> bool {
    if !is_here(browser) {
        return false;
    }
    let required = std::env::var("WEBMATRIX_REQUIRE_BROWSERS").is_ok_and(|value| value == "1");
    let dist = Path::new(DIST).is_dir();
    assert!(dist || !required, "{DIST} is missing: run `cargo xtask setup`");
    if !dist {
        eprintln!("not run: {DIST} is missing");
    }
    dist
}

fn fixture(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/peer").join(file);
    path.display().to_string()
}

/// Runs the program as the person of this machine does: with the browsers of the configuration.
fn here(out: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_webmatrix")).args(arguments).current_dir(out).output();
    output.unwrap_or_else(|error| panic!("{error}"))
}

/// Runs `arguments` with the other runtime, and gives what came of each cell of the browser.
fn run(out: &Path, browser: &str, arguments: &[&str]) -> (Output, Vec<Value>) {
    let all = ["run", "--runtime", "ort-web", "--browsers", browser, "--retries", "0", "--peer-dir", DIST];
    let output = here(out, &[&all[..], arguments].concat());
    let report = stdout(&here(out, &["report", "--format", "jsonl"]));
    let cells = report.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    (output, cells.filter(|cell| cell["browser"] == browser).collect())
}

/// A cell in a line: what it is, and what came of it.
fn told(cells: &[Value]) -> String {
    const COLUMNS: [&str; 8] =
        ["model", "size", "runtime", "backend", "precision", "status", "evidence", "implementation"];
    let line = |cell: &Value| COLUMNS.map(|name| cell[name].as_str().unwrap_or("-").to_owned()).join(" ");
    cells.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn chromium_runs_files_on_wasm_and_webgpu() {
    if !have("chromium") {
        return;
    }
    let out = folder();
    let (mlp, tagger) = (fixture("mlp.onnx"), fixture("tagger.onnx"));
    let (inputs, expected) = (fixture("mlp.inputs.safetensors"), fixture("mlp.expected.safetensors"));
    let (output, cells) = run(
        out.path(),
        "chromium",
        &[
            &["--backends", "wasm", "webgpu", "--model-file", &mlp, &format!("bert={tagger}")],
            &["--inputs", &format!("mlp={inputs}"), "--expected", &format!("mlp={expected}")][..],
            &["--dim", "sequence=12"],
        ]
        .concat(),
    );
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("bert: run with batch=1, sequence=12"), "{}", stderr(&output));
    insta::assert_snapshot!(told(&cells), @r"
    bert file ort-web wasm fp32 pass cpu REAL_WASM
    bert file ort-web webgpu fp32 pass fallback FALLBACK_WASM
    mlp file ort-web wasm fp32 pass cpu REAL_WASM
    mlp file ort-web webgpu fp32 pass software REAL_WEBGPU
    ");

    let db = duckdb::Connection::open(out.path().join("webmatrix-out/webmatrix.duckdb")).expect("a database");
    let one = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
    assert_eq!(one("SELECT count(*) FROM sample WHERE NOT warmup AND ms > 0"), 4 * 5);
    assert_eq!(one("SELECT count(*) FROM peer WHERE runtime = 'onnxruntime-web' AND threads = 1"), 4);
    // Every node of it, in each of seven inferences, and the page saw them.
    assert_eq!(
        one("SELECT count(*) FROM attempt WHERE cell LIKE '%/mlp@file/ort-web/webgpu/%'
                 AND (facts->>'dispatches')::BIGINT = 7 * 4"),
        1
    );
    let references: String = db
        .query_row("SELECT string_agg(DISTINCT reference, ' ' ORDER BY reference) FROM cell", [], |row| {
            row.get(0)
        })
        .expect("references");
    assert_eq!(references, "given rten");
    drop(db);

    // A file that is called like a class says nothing of the class.
    let models = here(out.path(), &["models", "--size", "tiny", "--format", "json"]);
    let models: Value = serde_json::from_str(&stdout(&models)).expect("a list");
    let measured =
        models["models"].as_array().into_iter().flatten().filter(|model| !model["measured"].is_null());
    assert_eq!(measured.count(), 0, "{models}");
}

#[test]
fn firefox_runs_files_on_webgpu() {
    if !have("firefox") {
        return;
    }
    let out = folder();
    let (output, cells) =
        run(out.path(), "firefox", &["--backends", "webgpu", "--model-file", &fixture("mlp.onnx")]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    insta::assert_snapshot!(told(&cells), @"mlp file ort-web webgpu fp32 pass software REAL_WEBGPU");
}

#[test]
fn webnn_runs_files_whose_dimensions_are_bound() {
    if !have("chromium-webnn") {
        return;
    }
    let out = folder();
    let (output, cells) =
        run(out.path(), "chromium-webnn", &["--backends", "webnn", "--model-file", &fixture("mlp.onnx")]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    insta::assert_snapshot!(told(&cells), @"mlp file ort-web webnn fp32 pass cpu REAL_WEBNN");
}

/// The expected outputs with one number changed.
fn spoilt(folder: &Path) -> PathBuf {
    let bytes = fs::read(fixture("mlp.expected.safetensors")).expect("a fixture");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("tensors");
    let y = tensors.tensor("y").expect("an output");
    let mut data = y.data().to_vec();
    let value = f32::from_le_bytes([data[8], data[9], data[10], data[11]]) + 0.01;
    data[8..12].copy_from_slice(&value.to_le_bytes());
    let view = TensorView::new(Dtype::F32, y.shape().to_vec(), &data).expect("a tensor");
    let path = folder.join("spoilt.safetensors");
    fs::write(&path, safetensors::serialize([("y", view)], None).expect("a file")).expect("a file");
    path
}

#[test]
fn a_wrong_answer_is_red_and_no_answer_is_not_green() {
    if !have("chromium") {
        return;
    }
    let out = folder();
    let wrong = spoilt(out.path()).display().to_string();
    let inputs = fixture("mlp.inputs.safetensors");
    let mlp = fixture("mlp.onnx");
    let only = ["--backends", "wasm", "--model-file"];
    let with = [&only[..], &[&mlp, "--inputs", &inputs, "--expected", &wrong]].concat();
    let (output, cells) = run(out.path(), "chromium", &with);
    assert_eq!((code(&output), cells[0]["status"].as_str()), (1, Some("wrong")), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("output y: 1 of 24 elements out of tolerance, first 2"),
        "{}",
        stderr(&output)
    );

    // The host's runtime has no Selu: what the page computed is compared with nothing.
    let (output, cells) = run(out.path(), "chromium", &[&only[..], &[&fixture("selu.onnx")]].concat());
    assert_eq!((code(&output), cells[0]["status"].as_str()), (1, Some("error")), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("there is no answer to compare with: rten, which answers on the host:"), "{said}");
    assert!(said.contains("Selu") && said.contains("give the outputs with --expected"), "{said}");
}

#[test]
fn an_interrupted_run_reads_the_same_files() {
    if !have("chromium") {
        return;
    }
    let out = folder();
    let model = out.path().join("m.onnx");
    fs::copy(fixture("mlp.onnx"), &model).expect("a model");
    let (first, _) = run(out.path(), "chromium", &["--backends", "wasm", "--model-file", "m.onnx"]);
    assert_eq!(code(&first), 0, "{}", stderr(&first));
    // As after a kill: the journal ends before the cell is decided.
    let journal = fs::read_dir(out.path().join("webmatrix-out/journal")).expect("journals");
    let journal = journal.filter_map(Result::ok).map(|entry| entry.path()).next().expect("a journal");
    let text = fs::read_to_string(&journal).expect("a journal");
    let kept: Vec<&str> = text.lines().take_while(|line| !line.contains("cell_decided")).collect();
    let cut = || fs::write(&journal, format!("{}\n", kept.join("\n"))).expect("a journal");
    cut();
    let again = ["run", "--resume", "latest", "--peer-dir", DIST];
    let resumed = here(out.path(), &again);
    assert_eq!(code(&resumed), 0, "{}", stderr(&resumed));
    assert!(stderr(&resumed).contains("1 pass"), "{}", stderr(&resumed));

    cut();
    fs::copy(fixture("selu.onnx"), &model).expect("another model");
    let other = here(out.path(), &again);
    assert!(stderr(&other).contains("is another file than when the run was planned"), "{}", stderr(&other));
    assert_ne!(code(&other), 0);
}

#[test]
fn what_is_asked_wrongly_is_told_with_its_remedy() {
    let out = folder();
    let (mlp, selu) = (fixture("mlp.onnx"), fixture("selu.onnx"));
    fs::write(out.path().join("bad.onnx"), "no model").expect("a file");
    fs::write(out.path().join("mlp.onnx"), "no model").expect("a file");
    let cases: [(&[&str], i32, &str); 12] = [
        (&["--model-file", &mlp], 2, "--model-file is for another runtime: add --runtime ort-web"),
        (&["--runtime", "ort-web"], 2, "give it one with --model-file"),
        (&["--runtime", "ort-web", "--model-file", &mlp], 2, "needs --peer-dir"),
        (
            &["--runtime", "ort-web", "--model-file", &mlp, "--peer-dir", "nowhere"],
            65,
            "`cargo xtask setup` fetches",
        ),
        (&["--runtime", "ort-web", "--model-file", &mlp, "--models", "bert"], 2, "leave --models out"),
        (&["--runtime", "ort-web", "--model-file", &mlp, "--browsers", "native"], 2, "leave native out"),
        (&["--runtime", "ort-web", "--model-file", &mlp, "mlp.onnx"], 2, "two model files are called mlp"),
        (&["--runtime", "ort-web", "--model-file", &mlp, &selu, "--inputs", &mlp], 2, "say of which model"),
        (&["--runtime", "ort-web", "--model-file", &mlp, "--dim", "tokens=4"], 2, "there are batch"),
        (&["--runtime", "ort-web", "--model-file", &mlp, "--dim", "batch=0"], 2, "is no size"),
        (&["--runtime", "ort-web", "--model-file", "bad.onnx"], 65, "bad.onnx: is no ONNX model"),
        (&["--runtime", "tvm", "--model-file", &mlp], 2, "use one of webmatrix, ort-web"),
    ];
    for (arguments, expected, says) in cases {
        let output = webmatrix(out.path(), &[&["run"], arguments].concat());
        assert_eq!(code(&output), expected, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{arguments:?}: {}", stderr(&output));
    }
}
