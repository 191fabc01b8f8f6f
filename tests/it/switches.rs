//! Features that change how a model starts, and the build that it runs in: what is switched on is what happened.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::command::{code, folder, stderr, stdout, webmatrix};
use crate::traces::is_here;

const PROFILES: [&str; 6] =
    ["default", "relaxed-simd", "simd128", "shaders-ahead", "shaders-lazy", "parallel-load"];

/// A matrix of one model with each of them.
fn matrix() -> String {
    let profile = |name: &&str| format!("[profiles.{name}]\nfeatures = [\"{name}\"]\n");
    let profiles: String = PROFILES[1..].iter().map(profile).collect();
    format!(
        "name = \"switches\"\n[axes]\nbrowsers = [\"all\"]\nmodels = [\"vit\"]\nbackends = [\"wasm\", \"webgpu\"]\n\
         profiles = {PROFILES:?}\n[run]\nsamples = 1\n{profiles}"
    )
}

/// What is stored of the cells of the only run: build, status, and metrics by name.
type Stored = BTreeMap<(String, String), (Option<String>, String, BTreeMap<String, f64>)>;

fn stored(place: &Path) -> Stored {
    let db = duckdb::Connection::open(place.join("webmatrix-out/webmatrix.duckdb")).expect("a database");
    let mut rows = db
        .prepare(
            "SELECT c.backend, c.profile, a.variant, c.status, m.name, m.value
             FROM cell c LEFT JOIN attempt a USING (attempt) LEFT JOIN metric m USING (attempt)
             WHERE c.status NOT IN ('unavailable', 'not_applicable')",
        )
        .expect("the tables");
    let mut stored = Stored::new();
    let read = |row: &duckdb::Row<'_>| {
        let text = |at| row.get::<_, Option<String>>(at);
        Ok((text(0)?, text(1)?, text(2)?, text(3)?, text(4)?, row.get::<_, Option<f64>>(5)?))
    };
    for row in rows.query_map([], read).expect("rows") {
        let (backend, profile, variant, status, name, value) = row.expect("a row");
        let key = (backend.unwrap_or_default(), profile.unwrap_or_default());
        let (_, _, metrics) =
            stored.entry(key).or_insert((variant, status.unwrap_or_default(), BTreeMap::new()));
        metrics.extend(name.zip(value));
    }
    stored
}

/// Runs it in a browser, and holds what is stored against what was asked for.
fn check(browser: &str) {
    let place = folder();
    std::fs::write(place.path().join("switches.toml"), matrix()).unwrap_or_else(|error| panic!("{error}"));
    let run = ["run", "--quiet", "--matrix", "switches.toml", "--browsers", browser];
    let output = webmatrix(place.path(), &run);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let stored = stored(place.path());
    let of = |backend: &str, profile: &str| {
        let found = stored.get(&(backend.to_owned(), profile.to_owned()));
        let (variant, status, metrics) = found.unwrap_or_else(|| panic!("{browser}: no {backend} {profile}"));
        assert_eq!(status, "pass", "{browser} {backend} {profile}");
        // Every cell tells when its first result was there, which no part of that can have come after.
        assert!(metrics["phase.start"] >= metrics["phase.first"], "{metrics:?}");
        (variant.clone().unwrap_or_default(), metrics)
    };
    assert_eq!(of("wasm", "simd128").0, "simd", "{browser}");
    assert_eq!(of("wasm", "relaxed-simd").0, "relaxed", "{browser}");
    let (_, usual) = of("webgpu", "default");
    let made = |profile: &str| {
        ["pipelines.ahead", "pipelines.within", "pipelines.together"]
            .map(|name| of("webgpu", profile).1[name])
    };
    let [all, ..] = made("default");
    assert!(all > 1.0, "{usual:?}");
    // The same pipelines, whenever they are made.
    assert_eq!(made("default"), [all, 0.0, 1.0], "{browser}");
    assert_eq!(made("shaders-ahead"), [all, 0.0, all], "{browser}");
    assert_eq!(made("shaders-lazy"), [0.0, all, 1.0], "{browser}");
    for backend in ["wasm", "webgpu"] {
        let loaded = |profile: &str| of(backend, profile).1.clone();
        let (usual, at_once) = (loaded("default"), loaded("parallel-load"));
        assert_eq!((usual["load.together"], usual["load.beside_device"]), (1.0, 0.0), "{browser} {backend}");
        assert_eq!(at_once["load.together"], at_once["load.requests"], "{browser} {backend}");
        assert_eq!(at_once["load.beside_device"], f64::from(u8::from(backend == "webgpu")), "{browser}");
        // The same bytes, however they came.
        assert_eq!(usual["load.bytes"], at_once["load.bytes"], "{browser} {backend}");
    }
}

#[test]
fn chromium_does_what_is_switched_on() {
    if is_here("chromium") {
        check("chromium");
    }
}

#[test]
fn firefox_does_what_is_switched_on() {
    if is_here("firefox") {
        check("firefox");
    }
}

/// Rounds of each, in turn: a feature that a page has by itself stands beside its absence, and the start is judged as a whole.
#[test]
fn a_start_is_held_against_another() {
    if !is_here("chromium") {
        return;
    }
    let place = folder();
    let asked = ["compare", "features", "--models", "vit", "--backends", "wasm", "--browsers", "chromium"];
    let how = ["--features", "relaxed-simd", "parallel-load", "--rounds", "5", "--samples", "auto"];
    let much = ["--interval-width", "20%", "--time-budget", "2", "--format", "json", "--quiet"];
    let output = webmatrix(place.path(), &[&asked[..], &how, &much].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap_or_else(|error| panic!("{error}"));
    let row = |profile: &str| {
        let rows = told["rows"].as_array().map_or(&[][..], Vec::as_slice);
        let found = rows.iter().find(|row| row["profile"] == profile);
        found.unwrap_or_else(|| panic!("no {profile}: {told:#}")).clone()
    };
    for (profile, against) in
        [("relaxed-simd", "simd128"), ("simd128", "default"), ("parallel-load", "default")]
    {
        let row = row(profile);
        for time in [&row["latency"], &row["starting"]["load"], &row["starting"]["start"]] {
            assert_eq!(
                time["against"],
                format!("chromium/vit@tiny/webmatrix/wasm/fp32/{against}"),
                "{row:#}"
            );
            let number = |key: &str| time["ratio"][key].as_f64().unwrap_or(f64::NAN);
            assert!(number("lo") <= number("value") && number("value") <= number("hi"), "{row:#}");
            assert_eq!(time["in_turn"], true, "{row:#}");
        }
    }
}
