//! Packed caches of keys and values: judged on the bits that they have, their cost told, their memory measured.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::command::{code, folder, stderr, stdout, webmatrix};
use crate::traces::is_here;

const PROFILES: [&str; 6] = ["default", "kv-fp16", "kv-int8", "kv-int4", "kv-int3", "kv-int2"];

/// A matrix of one model with every way to keep its caches.
fn matrix() -> String {
    let profile = |name: &&str| format!("[profiles.{name}]\nfeatures = [\"{name}\"]\n");
    let profiles: String = PROFILES[1..].iter().map(profile).collect();
    format!(
        "name = \"caches\"\n[axes]\nbrowsers = [\"all\"]\nmodels = [\"llama\"]\nbackends = [\"wasm\", \"webgpu\"]\n\
         precisions = [\"fp32\"]\nprofiles = {PROFILES:?}\n[run]\nsamples = 1\n{profiles}"
    )
}

/// Runs it in a browser, and tells by backend and profile what a token takes of the caches and how like full precision the
/// outputs are.
fn costs(browser: &str) -> BTreeMap<(String, String), (f64, f64)> {
    let folder = folder();
    std::fs::write(folder.path().join("caches.toml"), matrix()).unwrap_or_else(|error| panic!("{error}"));
    let run = ["run", "--quiet", "--matrix", "caches.toml", "--browsers", browser];
    let output = webmatrix(folder.path(), &run);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let told = stdout(&webmatrix(folder.path(), &["memory", "--format", "json"]));
    let memory: Vec<Value> = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
    let report = stdout(&webmatrix(folder.path(), &["report", "--format", "jsonl"]));
    let mut costs = BTreeMap::new();
    for cell in report.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        if cell["status"] == "unavailable" {
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

/// Two layers of keys and values, 32 numbers each.
fn check(costs: &BTreeMap<(String, String), (f64, f64)>, backend: &str, place: &str) {
    let of = |profile: &&str| costs[&(backend.to_owned(), (*profile).to_owned())];
    let bytes: Vec<f64> = PROFILES.iter().map(|profile| of(profile).0).collect();
    // An odd number of groups has half a word to spare, which a layer of 32 numbers shows more than any other.
    assert_eq!(bytes, [512.0, 256.0, 144.0, 80.0, 80.0, 64.0], "{place}");
    let cosines: Vec<f64> = PROFILES[1..].iter().map(|profile| of(profile).1).collect();
    assert!(cosines.is_sorted_by(|a, b| a >= b), "{place} {cosines:?}");
    assert!(cosines[0] > 0.99999 && cosines[1] > 0.999 && cosines[2] > 0.98, "{place} {cosines:?}");
}

#[test]
fn the_host_packs_its_caches() {
    let folder = folder();
    let refused = ["run", "--browsers", "native", "--models", "bert", "t5", "--features", "kv-int8"];
    let told = stdout(&webmatrix(folder.path(), &[&["plan"], &refused[1..]].concat()));
    assert!(told.contains("no caches of keys and values") && told.contains("encoder-decoder"), "{told}");
    let told = stdout(&webmatrix(
        folder.path(),
        &["plan", "--browsers", "native", "--models", "llama", "--features", "kv-int5"],
    ));
    assert!(told.contains("no feature \"kv-int5\""), "{told}");
}

#[test]
fn pages_pack_their_caches() {
    for browser in ["chromium", "firefox"].into_iter().filter(|browser| is_here(browser)) {
        let costs = costs(browser);
        for backend in ["wasm", "webgpu"] {
            check(&costs, backend, &format!("{browser} {backend}"));
        }
    }
}
