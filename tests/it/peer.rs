//! `webmatrix bench` with the real onnxruntime-web in a real browser: what is right gets a ratio, what is wrong does not.
#![expect(clippy::print_stderr, reason = "says what is missing")]

use std::fs;
use std::path::{Path, PathBuf};

use webmatrix_engine::ops::{Op, cases::Case};
use webmatrix_engine::tensor::{NamedTensors, Tensor, write_safetensors};
use webmatrix_engine::weights::twin::Draw;

use crate::command::{code, folder, stderr, stdout, webmatrix};
use crate::traces::is_here;

/// Where set-up put onnxruntime-web; none if this machine has no browser or no such package, and need not.
fn peer() -> Option<PathBuf> {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/npm/node_modules/onnxruntime-web/dist");
    if !is_here("chromium") {
        return None;
    }
    let required = std::env::var("WEBMATRIX_REQUIRE_BROWSERS").is_ok_and(|value| value == "1");
    assert!(dist.is_dir() || !required, "{} is missing: run `cargo xtask setup`", dist.display());
    if !dist.is_dir() {
        eprintln!("not run: {} is missing", dist.display());
    }
    dist.is_dir().then_some(dist)
}

/// The subject `softmax`, with the ONNX model of that name among the fixtures.
fn subject(onnx: &str, folder: &Path) {
    let folder = folder.join("softmax");
    fs::create_dir_all(&folder).expect("a folder");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/peer").join(onnx);
    fs::copy(&fixture, folder.join("model.onnx")).unwrap_or_else(|error| panic!("{onnx}: {error}"));
    let mut draw = Draw::new(7, "peer");
    let x = Tensor::f32([6144, 512], (0..6144 * 512).map(|_| draw.normal()).collect());
    let case = Case { name: "softmax".into(), op: Op::Softmax { axis: 1 }, inputs: vec![x.clone()] };
    let y = case.expected().expect("the oracle takes it");
    for (file, name, tensor) in
        [("inputs", "x", x), ("expected", "y", y), ("weights", "none", Tensor::f32([1], vec![0.0]))]
    {
        let bytes = write_safetensors(&NamedTensors::from([(name.to_owned(), tensor)])).expect("tensors");
        fs::write(folder.join(format!("{file}.safetensors")), bytes).expect("a file");
    }
}

/// The exit code and the one line that is printed.
fn bench(peer: &Path, onnx: &str, out: &Path) -> (i32, serde_json::Value) {
    subject(onnx, &out.join("subjects"));
    let peer = peer.display().to_string();
    let arguments = [
        "bench",
        "--peer-dir",
        &peer,
        "--subjects",
        "subjects",
        "--filter",
        "softmax",
        "--browsers",
        "chromium",
        "--backends",
        "wasm",
        "--pairs",
        "10",
        "--format",
        "jsonl",
    ];
    let output = webmatrix(out, &arguments);
    let line = serde_json::from_str(&stdout(&output));
    (code(&output), line.unwrap_or_else(|error| panic!("{error}: {} {}", stdout(&output), stderr(&output))))
}

#[test]
fn both_sides_are_right_and_timed_in_turn() {
    let Some(peer) = peer() else { return };
    let out = folder();
    let (code, line) = bench(&peer, "softmax.onnx", out.path());
    assert_eq!(code, 0, "{line}");
    let number = |name: &str| line[name].as_f64().unwrap_or_else(|| panic!("{name}: {line}"));
    assert!(number("ours") > 0.0 && number("peer") > 0.0, "{line}");
    assert!(number("lo") <= number("ratio") && number("ratio") <= number("hi"), "{line}");
    assert_eq!((&line["threads"], &line["pairs"], &line["note"]), (&1.into(), &10.into(), &().into()));

    let db = duckdb::Connection::open(out.path().join("webmatrix-out/webmatrix.duckdb")).expect("a database");
    let one = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
    assert_eq!(one("SELECT count(*) FROM pair WHERE NOT warmup AND ours_ms > 0 AND peer_ms > 0"), 10);
    // Both warm up until they rest.
    let pairs = one("SELECT count(*) FROM pair");
    assert!(pairs >= 10 + 8, "{pairs}");
    assert_eq!(one("SELECT count(*) FROM pair WHERE ours_first = (\"index\" % 2 = 0)"), pairs);
    let placed: String = db.query_row("SELECT placed FROM peer", [], |row| row.get(0)).expect("a peer");
    assert_eq!(placed, r#"[{"provider":"CPUExecutionProvider","nodes":1}]"#);
}

/// Softmax over the other axis takes as long, and is wrong.
#[test]
fn a_wrong_result_is_an_error_and_no_ratio() {
    let Some(peer) = peer() else { return };
    let out = folder();
    let (code, line) = bench(&peer, "softmax-of-columns.onnx", out.path());
    assert_eq!((code, &line["ratio"]), (1, &().into()), "{line}");
    let note = line["note"].as_str().unwrap_or_default();
    assert!(note.starts_with("error: peer/y is wrong"), "{note}");
}

#[test]
fn what_is_missing_is_told_with_its_remedy() {
    let out = folder();
    for (arguments, expected, says) in [
        (["bench", "--peer-dir", "nowhere", "--subjects", "."], 65, "`cargo xtask setup` fetches"),
        (["bench", "--peer-dir", ".", "--subjects", "."], 65, "holds no module of onnxruntime-web"),
    ] {
        let output = webmatrix(out.path(), &arguments);
        assert_eq!(code(&output), expected, "{}", stderr(&output));
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
    }
    fs::write(out.path().join("ort.min.mjs"), "").expect("a file");
    let missing = webmatrix(out.path(), &["bench", "--peer-dir", ".", "--subjects", "."]);
    assert_eq!(code(&missing), 65);
    assert!(stderr(&missing).contains("`cargo xtask bench --peer ort-web` makes"), "{}", stderr(&missing));
    let nothing = webmatrix(out.path(), &["bench", "--peer-dir", ".", "--subjects", ".", "--filter", "fft"]);
    assert_eq!(code(&nothing), 2);
    assert!(stderr(&nothing).contains("there are gemm_f32"), "{}", stderr(&nothing));
}
