//! What counts for a claim, and what does not.

use super::*;

#[test]
fn absence_confirms_nothing() {
    let nothing = Made::new();
    insta::assert_snapshot!(nothing.told(BYTES), @"unmeasurable here: this run has no cell at int4");
    let mut alone = Made::new();
    alone.add(&id("bert", "wasm", "int4"), EvidenceGrade::Cpu, &[]);
    insta::assert_snapshot!(alone.told(BYTES), @"unmeasurable here: 1 such cell, and none counts: nothing at fp16 to hold it against");
    let mut failed = Made::new().weights("bert", 25.0, 100.0).weights("llama", 25.0, 100.0);
    for cell in &mut failed.dossier.view.cells {
        cell.status = Some(if cell.precision == "fp16" { Status::Wrong } else { Status::Pass });
    }
    insta::assert_snapshot!(failed.told(BYTES), @"unmeasurable here: 2 such cells, and none counts: what it is held against: did not pass: wrong");
    for cell in &mut failed.dossier.view.cells {
        cell.status = Some(Status::Crash);
    }
    insta::assert_snapshot!(failed.told(BYTES), @"unmeasurable here: 2 such cells, and none counts: did not pass: crash");
    let mut untold = Made::new();
    for precision in ["int4", "fp16"] {
        untold.add(&id("bert", "wasm", precision), EvidenceGrade::Cpu, &[]);
    }
    insta::assert_snapshot!(untold.told(BYTES), @"unmeasurable here: 1 such cell, and none counts: weight_bytes was not told");
    let settled = untold.judged(BYTES);
    insta::assert_snapshot!(settled.asked.unwrap_or_default(), @"weight_bytes of cells at int4, over the same at fp16: at most 0.25");
    insta::assert_snapshot!(settled.decide.unwrap_or_default(), @"webmatrix compare precisions --precisions int4 fp16 --models bert llama");
}

#[test]
fn software_has_no_times_and_has_bytes() {
    let (fast, slow) = (near(1.0), near(9.0));
    let software = Made::new().times("bert", EvidenceGrade::Software, &rounds(&fast), &rounds(&slow)).times(
        "llama",
        EvidenceGrade::Software,
        &rounds(&fast),
        &rounds(&slow),
    );
    insta::assert_snapshot!(software.told(TIMES), @"unmeasurable here: 2 such cells, and none counts: not measured on hardware");
    let hardware = Made::new().times("bert", EvidenceGrade::Hardware, &rounds(&fast), &rounds(&slow)).times(
        "llama",
        EvidenceGrade::Hardware,
        &rounds(&fast),
        &rounds(&slow),
    );
    insta::assert_snapshot!(hardware.told(TIMES), @"confirmed: kept by all 2 pairs of 2 models; the worst is 0.1111 (0.1100–0.1122) at chromium/llama@tiny/webmatrix/webgpu/fp32/default");
    let mut bytes = Made::new().weights("bert", 25.0, 100.0).weights("llama", 25.0, 100.0);
    bytes.dossier.view.cells.iter_mut().for_each(|cell| cell.evidence = EvidenceGrade::Software);
    assert_eq!(bytes.judged(BYTES).verdict, Verdict::Confirmed);
    for nothing_real in [EvidenceGrade::Simulated, EvidenceGrade::None, EvidenceGrade::Fallback] {
        bytes.dossier.view.cells.iter_mut().for_each(|cell| cell.evidence = nothing_real);
        assert_eq!(bytes.judged(BYTES).verdict, Verdict::Unmeasurable, "{nothing_real:?}");
    }
}

#[test]
fn what_is_doubted_or_flaky_has_no_times() {
    let (fast, slow) = (near(1.0), near(9.0));
    let mut made = Made::new().times("bert", EvidenceGrade::Hardware, &rounds(&fast), &rounds(&slow)).times(
        "llama",
        EvidenceGrade::Hardware,
        &rounds(&fast),
        &rounds(&slow),
    );
    made.dossier.view.cells[0].doubt = Some("the CPU was as busy".into());
    made.dossier.view.cells[2].flaky = true;
    insta::assert_snapshot!(made.told(TIMES), @"unmeasurable here: 2 such cells, and none counts: most of all, the CPU was as busy");
    let left = made.judged(TIMES).left_out;
    assert_eq!(
        left.iter().map(|left| left.why.as_str()).collect::<Vec<_>>(),
        ["passed only on a retry", "the CPU was as busy"]
    );
}

#[test]
fn what_did_not_run_in_turn_has_no_interval() {
    let made = |wasm: &[&[f64]]| {
        Made::new().times("bert", EvidenceGrade::Hardware, &[&[1.0; 24]], wasm).times(
            "llama",
            EvidenceGrade::Hardware,
            &[&[1.0; 24]],
            wasm,
        )
    };
    insta::assert_snapshot!(made(&[&[9.0; 24]]).told(TIMES), @"unmeasurable here: 2 pairs of 2 models, 2 without an interval: not run in turn: what changed meanwhile is a part of it; the worst is 0.1111 at chromium/llama@tiny/webmatrix/webgpu/fp32/default");
    insta::assert_snapshot!(made(&[]).told(TIMES), @"unmeasurable here: 2 such cells, and none counts: latency was not timed");
}

#[test]
fn a_feature_is_what_pages_were_told_and_not_what_a_profile_is_called() {
    let (fast, slow) = (near(1.0), near(3.0));
    let mut made = Made::new();
    for model in ["bert", "llama"] {
        for (profile, features, times) in
            [("fast", "\"threads\"", &fast), ("threads", "", &fast), ("default", "", &slow)]
        {
            let id = format!("chromium/{model}@tiny/webmatrix/wasm/fp32/{profile}");
            made.add(&id, EvidenceGrade::Cpu, &rounds(times));
            let job = format!(
                r#"{{"wire_version":1,"attempt":"a","title":"t","deadline_ms":1,"nonce":1,"variant":null,"kind":{{"cell":{{
                "class":"{model}","backends":["wasm"],"precision":"fp32","features":[{features}],
                "model":{{"twin":{{"size":"tiny","seed":7,"batch":1,"tokens":null}}}},"warmup":1,"samples":1,"memory_limit":null,
                "generation":{{"max_new_tokens":8,"stops":true,"sampling":null}}}}}}}}"#
            );
            made.dossier.jobs.push(JobRow { attempt: format!("{id}#0"), job, outputs_sha256: None });
        }
    }
    let query = "metric = \"latency\"\ncells = { feature = \"threads\" }\nagainst = { feature = \"none\" }\nbound = { at_most = 0.5 }";
    let settled = made.judged(query);
    // Both cells without a feature stand beside it; only one is slower.
    assert!(
        settled.pairs.len() == 4 && settled.pairs.iter().all(|pair| pair.cell.ends_with("/fast")),
        "{settled:?}"
    );
    insta::assert_snapshot!(settled.why, @"4 pairs of 2 models contradict one another: 2 break it, 2 keep it, 0 leave it open; the worst is 1.0000 (0.9901–1.0100) at chromium/llama@tiny/webmatrix/wasm/fp32/fast");
}

/// Logits that are these in every row but so many, whose first and second are exchanged.
fn logits(rows: usize, otherwise: usize) -> Vec<u8> {
    let row = |at: usize| if at < otherwise { [1.0_f32, 2.0, 0.5] } else { [2.0, 1.0, 0.5] };
    let bytes: Vec<u8> = (0..rows).flat_map(row).flat_map(f32::to_le_bytes).collect();
    let view = TensorView::new(Dtype::F32, vec![rows, 3], &bytes).unwrap_or_else(|error| panic!("{error}"));
    safetensors::serialize([("logits", view)], None).unwrap_or_else(|error| panic!("{error}"))
}

const ACCURACY: &str =
    "metric = \"accuracy.agreement\"\ncells = { precisions = [\"int8\"] }\nbound = { at_least = 0.9 }";

#[test]
fn accuracy_is_of_what_pages_uploaded() {
    let made = |otherwise: usize| {
        let mut made = Made::new();
        for model in ["bert", "llama"] {
            for (precision, otherwise) in [("int8", otherwise), ("fp32", 0)] {
                let id = id(model, "wasm", precision);
                let cell = made.add(&id, EvidenceGrade::Software, &[]);
                let part = 1.0 - otherwise as f64 / 200.0;
                cell.accuracy = (precision != Precision::Fp32.as_str()).then(|| AccuracyView {
                    bits_per_weight: 8.5,
                    model_bits_per_weight: 8.5,
                    saved: 0.4,
                    reference: "pytorch-golden".into(),
                    cosine: Some(0.999),
                    agreement: Some(part),
                });
                made.uploaded.insert(format!("{id}#0"), logits(200, otherwise));
            }
        }
        made
    };
    insta::assert_snapshot!(made(2).told(ACCURACY), @"confirmed: kept by all 2 cells of 2 models; the worst is 0.9900 (0.9643–0.9973) at chromium/llama@tiny/webmatrix/wasm/int8/default");
    insta::assert_snapshot!(made(60).told(ACCURACY), @"refuted: kept by none of 2 cells of 2 models; the worst is 0.7000 (0.6332–0.7593) at chromium/llama@tiny/webmatrix/wasm/int8/default");
    let mut alone = made(2);
    alone.uploaded.clear();
    insta::assert_snapshot!(alone.told(ACCURACY), @"unmeasurable here: 2 cells of 2 models, 2 without an interval: no uploaded outputs at full precision beside it, and so no interval; the worst is 0.9900 at chromium/llama@tiny/webmatrix/wasm/int8/default");
}

#[test]
fn perplexity_is_of_the_text_that_was_given() {
    const QUERY: &str =
        "metric = \"perplexity.ratio\"\ncells = { precisions = [\"int4\"] }\nbound = { at_most = 1.04 }";
    let made = |ratios: [f64; 2]| {
        let mut made = Made::new();
        for (model, value) in ["qwen2", "llama"].into_iter().zip(ratios) {
            let cell = made.add(&id(model, "wasm", "int4"), EvidenceGrade::Cpu, &[]);
            let told = |value: f64| Estimated { value, lo: Some(value - 0.01), hi: Some(value + 0.01) };
            cell.perplexity = Some(Perplexity {
                perplexity: told(20.0),
                tokens: 900,
                ratio: Some(told(value)),
                reference: Some("native-cpu".into()),
            });
        }
        made
    };
    insta::assert_snapshot!(made([1.02, 1.03]).told(QUERY), @"confirmed: kept by all 2 cells of 2 models; the worst is 1.0300 (1.0200–1.0400) at chromium/llama@tiny/webmatrix/wasm/int4/default");
    insta::assert_snapshot!(made([1.30, 1.20]).told(QUERY), @"refuted: kept by none of 2 cells of 2 models; the worst is 1.3000 (1.2900–1.3100) at chromium/qwen2@tiny/webmatrix/wasm/int4/default");
    let mut silent = made([1.02, 1.03]);
    silent.dossier.view.cells.iter_mut().for_each(|cell| cell.perplexity = None);
    let told = silent.told(QUERY);
    assert!(
        told.starts_with("unmeasurable here") && told.contains("was given no text to be scored by"),
        "{told}"
    );
}
