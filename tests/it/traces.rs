//! `webmatrix verify` in real browsers, and the traces of what disagrees.

use std::process::{Command, Output};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use webmatrix::analyse::traced;
use webmatrix::collect::Traced;
use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::run::{Loaded, Options, trace};
use webmatrix_engine::tensor::write_safetensors;

use crate::command::{code, stderr};
use crate::fake::{golden, loaded};
use crate::verify::{WEIGHT, change, copy, element, get, lines, token, verify};

/// Whether the harness and the browser are here, as `cargo xtask test` sees to: there what is missing fails
/// the test.
pub(crate) fn is_here(browser: &str) -> bool {
    let required = std::env::var("WEBMATRIX_REQUIRE_BROWSERS").is_ok_and(|value| value == "1");
    let check = Command::new(env!("CARGO_BIN_EXE_webmatrix")).args(["browsers", "check", browser]).output();
    let here = check.is_ok_and(|check| check.status.success()) && webmatrix::serve::has_harness();
    assert!(here || !required, "{browser} or the harness is missing");
    here
}

/// Each backend was traced, and does what the oracle does.
fn not_to_blame(output: &Output, browser: &str, backends: &[&str]) {
    let said = stderr(output);
    for backend in backends {
        let trace = said.lines().find(|line| line.starts_with(&format!("trace: {browser} {backend} ")));
        assert!(trace.is_some_and(|trace| trace.contains("the backend is not at fault")), "{said}");
    }
}

#[test]
fn chromium_agrees_with_a_right_folder_and_not_with_a_wrong_one() {
    if !is_here("chromium") {
        return;
    }
    let model = copy("bert");
    let both = ["--browsers", "chromium", "--backends", "wasm", "webgpu", "--trace"];
    let output = verify(model.path(), &both);
    assert_eq!(code(&output), 0, "{output:?}");
    let of = |line: &Value| {
        let keys = ["backend", "output", "status", "implementation"];
        keys.map(|key| line[key].as_str().unwrap_or("-")).join(" ")
    };
    let right: Vec<String> = lines(&output).iter().map(of).collect();
    insta::assert_snapshot!(right.join("\n"), @r"
    wasm last_hidden_state pass REAL_WASM
    wasm pooler_output pass REAL_WASM
    webgpu last_hidden_state pass REAL_WEBGPU
    webgpu pooler_output pass REAL_WEBGPU
    ");
    change(model.path(), "model.safetensors", |t| element(t, WEIGHT, 77, 3.0));
    let output = verify(model.path(), &both);
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(lines(&output).iter().all(|line| line["status"] == "wrong"), "{output:?}");
    not_to_blame(&output, "chromium", &["wasm", "webgpu"]);
}

/// Generation keeps states, which leave a WebNN graph already.
#[test]
fn webnn_is_traced_through_a_generation() {
    if !is_here("chromium-webnn") {
        return;
    }
    let model = copy("llama");
    change(model.path(), "expected.safetensors", |t| token(t, "generated_ids", 31, 3));
    let output = verify(model.path(), &["--browsers", "chromium-webnn", "--backends", "webnn", "--trace"]);
    assert_eq!(code(&output), 1, "{output:?}");
    not_to_blame(&output, "chromium-webnn", &["webnn"]);
}

/// A backend with a faulty kernel is not to be had, but one with a faulty weight computes the same.
#[test]
fn a_trace_names_the_op_and_the_layer_that_go_wrong() {
    let model = copy("bert");
    change(model.path(), "model.safetensors", |t| element(t, WEIGHT, 77, 3.0));
    let of = |loaded: &Loaded, kernels| {
        let traced = pollster::block_on(trace(loaded, Cpu::new(kernels), Options::default()));
        let tensors = traced.unwrap_or_else(|error| panic!("{error}"));
        Bytes::from(write_safetensors(&tensors).unwrap_or_else(|error| panic!("{error}")))
    };
    let both = Traced {
        backend: Ok(of(&loaded("bert", get(model.path(), "model.safetensors")), Kernels::Simd)),
        oracle: Ok(of(&loaded("bert", golden("bert", "model.safetensors")), Kernels::Oracle)),
        reference: Arc::new(Err("not needed".to_owned())),
    };
    let cell = "native/bert@own/webmatrix/native-cpu/fp32/default".parse();
    let told = traced(&cell.unwrap_or_else(|error| panic!("{error}")), &both);
    let said = &told.says;
    assert!(said.starts_with("first leaves the oracle at op gemm of encoder.layer.1."), "{said}");
    // The layer before it agrees, its own does not, and neither does what is made of it.
    let at = told.layers.iter().position(|layer| layer.first.is_some()).unwrap_or_default();
    assert!(at > 0 && told.layers[..at].iter().all(|layer| layer.agree == layer.ops), "{told:#?}");
    assert!(told.layers[at].scope.starts_with("encoder.layer.1."), "{told:#?}");
    assert!(told.layers[at..].iter().any(|layer| layer.agree == 0), "{told:#?}");
}

#[test]
fn a_trace_of_a_bad_folder_does_not_blame_the_backend() {
    let model = copy("bert");
    change(model.path(), "model.safetensors", |t| element(t, WEIGHT, 77, 3.0));
    let output = verify(model.path(), &["--browsers", "native", "--trace"]);
    assert_eq!(code(&output), 1, "{output:?}");
    not_to_blame(&output, "native", &["native-cpu", "native-gpu"]);
}
