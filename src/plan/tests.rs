use webmatrix_wire::{Backend, Precision};

use super::*;

fn found(labels: &[&str]) -> Vec<Found> {
    labels.iter().map(|label| Found { label: (*label).to_owned(), problem: None }).collect()
}

fn quick() -> Matrix {
    let text = matrix::EMBEDDED.iter().find(|(name, _)| *name == "quick").map(|(_, text)| *text);
    parse("quick", text.unwrap_or_default()).unwrap_or_else(|error| panic!("{error}"))
}

fn strings(words: &[&str]) -> Option<Vec<String>> {
    Some(words.iter().map(|word| (*word).to_owned()).collect())
}

/// One line a browser and decision, so that a plan reads at a glance.
fn summary(plan: &Plan) -> String {
    let mut lines: Vec<(String, usize)> = Vec::new();
    for planned in &plan.cells {
        let what = match &planned.decision {
            Decision::Run => "run".to_owned(),
            Decision::Never { status, reason } => format!("{status}: {reason}"),
        };
        let line = format!("{} {what}", planned.cell.browser);
        match lines.iter_mut().find(|(text, _)| *text == line) {
            Some((_, count)) => *count += 1,
            None => lines.push((line, 1)),
        }
    }
    lines.iter().map(|(line, count)| format!("{count} {line}\n")).collect()
}

fn planned(overrides: &Overrides, found: &[Found]) -> Plan {
    plan(&quick(), overrides, found).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_main_job_shows_what_it_does_not_cover() {
    let overrides = Overrides {
        browsers: strings(&["chromium", "firefox"]),
        models: strings(&["bert", "t5"]),
        ..Overrides::default()
    };
    let plan = planned(&overrides, &found(&["chromium", "firefox", "webkitgtk"]));
    insta::assert_snapshot!(summary(&plan), @r"
    6 chromium run
    6 firefox run
    6 chrome unavailable: chrome is not on this machine
    6 edge unavailable: edge is not on this machine
    6 safari unavailable: safari is not on this machine
    ");
    assert!(plan.missing.is_empty());
}

#[test]
fn a_broken_browser_is_unavailable_with_the_remedy() {
    let mut found = found(&["chromium"]);
    found[0].problem = Some("no chromedriver: apt-get install chromium-driver".to_owned());
    let overrides = Overrides {
        browsers: strings(&["chromium", "edge"]),
        models: strings(&["bert"]),
        ..Overrides::default()
    };
    let plan = planned(&overrides, &found);
    insta::assert_snapshot!(summary(&plan), @r"
    3 chromium unavailable: no chromedriver: apt-get install chromium-driver
    3 edge unavailable: edge is not on this machine
    3 chrome unavailable: chrome is not on this machine
    3 firefox unavailable: firefox is not on this machine
    3 safari unavailable: safari is not on this machine
    3 webkitgtk unavailable: webkitgtk is not on this machine
    ");
    assert_eq!(plan.missing, ["chromium", "edge"]);
    assert!(plan.browsers().is_empty());
}

#[test]
fn impossible_cells_say_why() {
    let overrides = Overrides {
        browsers: strings(&["chromium", "native"]),
        models: strings(&["bert"]),
        backends: Some(vec![Backend::Wasm, Backend::NativeCpu]),
        precisions: Some(vec![Precision::Fp32, Precision::Int3]),
        ..Overrides::default()
    };
    let mut matrix = quick();
    matrix.axes.browsers = vec!["chromium".to_owned()];
    matrix.include.clear();
    let plan = plan(&matrix, &overrides, &found(&["chromium"])).unwrap_or_else(|error| panic!("{error}"));
    insta::assert_snapshot!(summary(&plan), @r"
    2 chromium run
    2 chromium not_applicable: native-cpu runs on the host, not in a browser: its browser label is native
    2 native not_applicable: wasm exists in browsers only; the host has native-cpu and native-gpu
    2 native run
    ");
}

#[test]
fn own_weights_replace_the_size_of_their_class() {
    let overrides = Overrides {
        models: strings(&["bert", "vit"]),
        own_weights: [ModelClass::all().next().unwrap_or_else(|| panic!("no class"))].into(),
        ..Overrides::default()
    };
    let plan = planned(&overrides, &found(&["chromium"]));
    for planned in &plan.cells {
        assert_eq!(planned.cell.size == Size::Own, planned.cell.model.as_str() == "bert", "{}", planned.cell);
    }
}

#[test]
fn features_make_their_own_profile_and_are_not_built_yet() {
    let overrides = Overrides {
        browsers: strings(&["chromium"]),
        models: strings(&["bert"]),
        features: strings(&["compute-shaders", "kv-int8"]),
        ..Overrides::default()
    };
    let mut matrix = quick();
    matrix.axes.browsers = vec!["chromium".to_owned()];
    let plan = plan(&matrix, &overrides, &found(&["chromium"])).unwrap_or_else(|error| panic!("{error}"));
    assert!(plan.cells.iter().all(|planned| planned.cell.profile == "compute-shaders-kv-int8"));
    insta::assert_snapshot!(summary(&plan), @r#"3 chromium not_implemented: the harness has no feature "compute-shaders" yet: it has threads, threads-N, webnn-host-OP, dp4a, offload, shader-f16, subgroups, lanes-32 … lanes-256, tile-4x4 … tile-128x2, kv-fp16 … kv-int2, weights-SCHEME, relaxed-simd, relaxed-dot, simd128, shaders-ahead, shaders-lazy, parallel-load"#);
}

#[test]
fn features_are_of_some_backends_and_precisions() {
    let of = |features: &[&str]| {
        let overrides = Overrides {
            browsers: strings(&["chromium"]),
            models: strings(&["bert"]),
            backends: Some(vec![Backend::Wasm, Backend::WebGpu]),
            precisions: Some(vec![Precision::Fp32, Precision::Fp16]),
            features: strings(features),
            ..Overrides::default()
        };
        let mut matrix = quick();
        matrix.axes.browsers = vec!["chromium".to_owned()];
        let plan = plan(&matrix, &overrides, &found(&["chromium"])).unwrap_or_else(|error| panic!("{error}"));
        summary(&plan)
    };
    insta::assert_snapshot!(of(&["threads"]), @r"
    2 chromium run
    2 chromium not_applicable: threads is a feature of wasm and native-cpu
    ");
    insta::assert_snapshot!(of(&["subgroups"]), @r"
    2 chromium not_applicable: subgroups is a feature of webgpu and native-gpu
    2 chromium run
    ");
    insta::assert_snapshot!(of(&["dp4a"]), @"4 chromium not_applicable: dp4a is for quantised weights");
    insta::assert_snapshot!(of(&["offload"]), @r"
    2 chromium not_applicable: offload is a feature of webgpu and native-gpu
    2 chromium not_applicable: offload keeps within a memory limit: say one by --memory-limit
    ");
    insta::assert_snapshot!(of(&["shader-f16"]), @r"
    2 chromium not_applicable: shader-f16 is for weights in fp16
    1 chromium not_applicable: shader-f16 is a feature of webgpu and native-gpu
    1 chromium run
    ");
}

#[test]
fn excluded_cells_are_skipped_with_their_reason() {
    let mut matrix = quick();
    matrix.axes.browsers = vec!["chromium".to_owned()];
    matrix.exclude = vec![Exclude {
        reason: "known to hang".to_owned(),
        backends: Some(vec![Backend::WebGpu]),
        ..Exclude::default()
    }];
    let overrides =
        Overrides { models: strings(&["bert"]), browsers: strings(&["chromium"]), ..Overrides::default() };
    let plan = plan(&matrix, &overrides, &found(&["chromium"])).unwrap_or_else(|error| panic!("{error}"));
    insta::assert_snapshot!(summary(&plan), @r"
    2 chromium run
    1 chromium skipped: known to hang
    ");
}

#[test]
fn names_that_name_nothing_are_refused() {
    let error = |overrides: Overrides| {
        plan(&quick(), &overrides, &found(&["chromium"])).err().map(|e| e.to_string()).unwrap_or_default()
    };
    insta::assert_snapshot!(error(Overrides { browsers: strings(&["netscape"]), ..Overrides::default() }), @r#"unknown browser "netscape": known are chromium, chrome, edge, firefox, safari, webkitgtk; --browser-path netscape=KIND:PATH adds one"#);
    insta::assert_snapshot!(error(Overrides { models: strings(&["bird"]), ..Overrides::default() }), @r#"unknown model "bird": use one of bert, t5, llama, qwen2, qwen3, clip, vit, clap, whisper, wav2vec2, llava, llava_next, xclip, detr"#);
}

#[test]
fn the_hosts_backends_are_its_blocks_business() {
    let overrides = Overrides {
        models: strings(&["bert"]),
        backends: Some(vec![Backend::Wasm, Backend::NativeCpu]),
        ..Overrides::default()
    };
    let mut matrix = quick();
    matrix.axes.browsers = vec!["chromium".to_owned()];
    let plan = plan(&matrix, &overrides, &found(&["chromium"])).unwrap_or_else(|error| panic!("{error}"));
    insta::assert_snapshot!(summary(&plan), @r"
    1 chromium run
    1 native run
    ");
}

#[test]
fn files_are_spanned_over_browsers_and_backends_of_pages() {
    let file = |precision| ModelFile {
        onnx: PinnedFile { path: "m.onnx".into(), sha256: String::new() },
        precision,
        dims: [("batch".to_owned(), 1)].into(),
        inputs: None,
        expected: None,
    };
    let name = |text: &str| FileName::of(std::path::Path::new(text));
    let overrides = Overrides {
        browsers: strings(&["chromium", "native"]),
        files: [(name("a.onnx"), file(Precision::Fp32)), (name("b.onnx"), file(Precision::Int8))].into(),
        ..Overrides::default()
    };
    let plan = planned(&overrides, &found(&["chromium"]));
    let cells: Vec<String> = plan.runnable().map(ToString::to_string).collect();
    insta::assert_snapshot!(cells.join("\n"), @r"
    chromium/a@file/ort-web/wasm/fp32/default
    chromium/a@file/ort-web/webgpu/fp32/default
    chromium/a@file/ort-web/webnn/fp32/default
    chromium/b@file/ort-web/wasm/int8/default
    chromium/b@file/ort-web/webgpu/int8/default
    chromium/b@file/ort-web/webnn/int8/default
    ");
    assert_eq!(plan.files, overrides.files, "a resumed run finds them in its plan");
    let text = serde_json::to_string(&plan).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(serde_json::from_str::<Plan>(&text).ok(), Some(plan));
}

#[test]
fn another_runtime_runs_no_class_and_no_feature_of_ours() {
    let mut matrix = quick();
    matrix.axes.runtimes = vec![Runtime::OrtWeb];
    let overrides = Overrides {
        browsers: strings(&["chromium"]),
        models: strings(&["bert"]),
        backends: Some(vec![Backend::Wasm]),
        ..Overrides::default()
    };
    let plan = plan(&matrix, &overrides, &found(&["chromium"])).unwrap_or_else(|error| panic!("{error}"));
    assert!(
        summary(&plan).starts_with("1 chromium not_applicable: ort-web runs files"),
        "{}",
        summary(&plan)
    );
}

/// What a profile may ask for is what the engine has.
#[test]
fn every_way_to_keep_caches_is_built() {
    assert_eq!(webmatrix_wire::Feature::CACHES, webmatrix_engine::plan::caches::Caches::FEATURES);
    assert_eq!(webmatrix_wire::Feature::LANES, webmatrix_engine::backend::webgpu::Tuning::LANES);
    assert_eq!(webmatrix_wire::Feature::TILES, webmatrix_engine::backend::webgpu::Tuning::TILES);
}
