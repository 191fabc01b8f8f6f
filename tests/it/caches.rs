//! Packed caches of keys and values: judged on the bits that they have, their cost told, their memory measured.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::command::{code, folder, stderr, stdout, webmatrix};
use crate::traces::is_here;

const PROFILES: [&str; 6] = ["default", "kv-fp16", "kv-int8", "kv-int4", "kv-int3", "kv-int2"];

/// A matrix of one model with every way to keep its caches.
fn matrix(model: &str, backends: &str) -> String {
    let profile = |name: &&str| format!("[profiles.{name}]\nfeatures = [\"{name}\"]\n");
    let profiles: String = PROFILES[1..].iter().map(profile).collect();
    format!(
        "name = \"caches\"\n[axes]\nbrowsers = [\"all\"]\nmodels = [\"{model}\"]\nbackends = [{backends}]\n\
         precisions = [\"fp32\"]\nprofiles = {PROFILES:?}\n[run]\nsamples = 1\n{profiles}"
    )
}

/// Runs it in a browser, and tells by backend and profile what a token takes of the caches and how like full precision the
/// outputs are.
fn costs(browser: &str, model: &str, backends: &str) -> BTreeMap<(String, String), (f64, f64)> {
    let folder = folder();
    std::fs::write(folder.path().join("caches.toml"), matrix(model, backends))
        .unwrap_or_else(|error| panic!("{error}"));
    let run = ["run", "--quiet", "--matrix", "caches.toml", "--browsers", browser];
    let output = webmatrix(folder.path(), &run);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let told = stdout(&webmatrix(folder.path(), &["memory", "--format", "json"]));
    let memory: Vec<Value> = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
    let report = stdout(&webmatrix(folder.path(), &["report", "--format", "jsonl"]));
    let mut costs = BTreeMap::new();
    for cell in report.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        if cell["status"] == "unavailable" || cell["status"] == "not_applicable" {
            continue;
        }
        assert_eq!(cell["status"], "pass", "{cell}");
        let id = cell["id"].as_str().unwrap_or_default();
        let bytes =
            memory.iter().find(|of| of["cell"] == id).map(|of| of["cache"]["bytes_per_token"].as_f64());
        let cosine = cell["accuracy"]["cosine"].as_f64().unwrap_or(1.0);
        let of = |key: &str| cell[key].as_str().unwrap_or_default().to_owned();
        costs.insert((of("backend"), of("profile")), (bytes.flatten().unwrap_or(f64::NAN), cosine));
    }
    costs
}

/// Bytes that a token takes in two layers of 32 keys and 32 values each, by profile. An odd number of groups has half a word to
/// spare, which such a layer shows more than any other.
const NARROW: [f64; 6] = [512.0, 256.0, 144.0, 80.0, 80.0, 64.0];
/// The same in two layers of 64 keys and 64 values each.
const WIDE: [f64; 6] = [1024.0, 512.0, 272.0, 144.0, 128.0, 96.0];

/// With the least cosine at 4 bits: T5's scores are not divided by the root of a head's width, so that what a key is off by counts
/// that much more.
const T5: ([f64; 6], f64) = (WIDE, 0.97);

/// A token takes what it must, and fewer bits keep less.
fn check(
    costs: &BTreeMap<(String, String), (f64, f64)>,
    backend: &str,
    (want, least): ([f64; 6], f64),
    place: &str,
) {
    let of = |profile: &&str| costs[&(backend.to_owned(), (*profile).to_owned())];
    let bytes: Vec<f64> = PROFILES.iter().map(|profile| of(profile).0).collect();
    assert_eq!(bytes, want, "{place}");
    let cosines: Vec<f64> = PROFILES[1..].iter().map(|profile| of(profile).1).collect();
    assert!(cosines.is_sorted_by(|a, b| a >= b), "{place} {cosines:?}");
    assert!(cosines[0] > 0.99999 && cosines[1] > 0.999 && cosines[2] > least, "{place} {cosines:?}");
}

#[test]
fn the_host_packs_its_caches() {
    let folder = folder();
    let refused = ["plan", "--browsers", "native", "--models", "bert", "--features", "kv-int8"];
    let told = stdout(&webmatrix(folder.path(), &refused));
    assert!(told.contains("no caches of keys and values"), "{told}");
    let told = stdout(&webmatrix(
        folder.path(),
        &["plan", "--browsers", "native", "--models", "llama", "--features", "kv-int5"],
    ));
    assert!(told.contains("no feature \"kv-int5\""), "{told}");
}

/// An encoder-decoder's caches are written by the forward pass and again by generation; what it keeps of the encoder's result
/// grows with no token.
#[test]
fn the_host_packs_an_encoder_decoders_caches() {
    for (model, want) in [("t5", T5), ("whisper", (WIDE, 0.98))] {
        let costs = costs("native", model, "\"native-cpu\", \"native-gpu\"");
        for backend in ["native-cpu", "native-gpu"] {
            check(&costs, backend, want, &format!("{model} {backend}"));
        }
    }
}

#[test]
fn pages_pack_their_caches() {
    for browser in ["chromium", "firefox"].into_iter().filter(|browser| is_here(browser)) {
        // What differs by class is rewritten before any backend sees it: one browser shows the other kind of decoder.
        let models = [("llama", (NARROW, 0.98)), ("t5", T5)];
        for (model, want) in models.into_iter().take(if browser == "chromium" { 2 } else { 1 }) {
            let costs = costs(browser, model, "\"wasm\", \"webgpu\"");
            for backend in ["wasm", "webgpu"] {
                check(&costs, backend, want, &format!("{browser} {model} {backend}"));
            }
        }
    }
}
