use proptest::prelude::*;
use safetensors::{Dtype, tensor::TensorView};
use webmatrix_wire::{EvidenceGrade, Precision, Status};

use super::settled::Stand;
use super::*;
use crate::analyse::Estimate;
use crate::analyse::comparison::tests::view;
use crate::analyse::run_view::RunView;
use crate::analyse::view::{AccuracyView, CellView};
use crate::collect::{Estimated, Perplexity};
use crate::plan::{Bound, Cell};
use crate::store::{AttemptRow, BrowserRow, CellRow, JobRow, MetricRow, RunRow, SampleRow};

/// A run that is put together cell by cell.
struct Made {
    dossier: Dossier,
    uploaded: Uploaded,
}

impl Made {
    fn new() -> Self {
        let text = String::new;
        let browser = |label: &str, kind: &str| BrowserRow {
            label: label.into(),
            kind: kind.into(),
            version: text(),
            channel: text(),
            path: text(),
            driver: text(),
            driver_version: text(),
            problem: None,
        };
        let run = RunRow {
            run: "r".into(),
            matrix: "m".into(),
            started_at: text(),
            ended_at: None,
            exit_code: None,
            interrupted: None,
            arguments: "[]".into(),
            webmatrix_version: text(),
            harness: text(),
        };
        let browsers = vec![browser("chromium", "chromium"), browser("nightly", "firefox")];
        let view = RunView {
            run,
            environment: vec![],
            browsers,
            cells: vec![],
            costs: vec![],
            claims: vec![],
            ops: None,
        };
        Self { dossier: Dossier::from(view), uploaded: Uploaded::new() }
    }

    /// A cell that passed once for each of its rounds.
    fn add(&mut self, id: &str, evidence: EvidenceGrade, rounds: &[&[f64]]) -> &mut CellView {
        let cell: Cell = id.parse().unwrap_or_else(|error| panic!("{error}"));
        for (round, samples) in rounds.iter().enumerate() {
            let attempt = format!("{id}#{round}");
            self.dossier.attempts.push(AttemptRow {
                attempt: attempt.clone(),
                cell: Some(id.into()),
                browser: cell.browser.clone(),
                number: 1,
                session: None,
                started_at: String::new(),
                wall_ms: None,
                page_ms: None,
                variant: None,
                backend: None,
                facts: None,
                end: None,
                status: Some("pass".into()),
                evidence: None,
                reason: None,
            });
            let sample = |(index, ms): (u32, &f64)| SampleRow {
                attempt: attempt.clone(),
                index,
                warmup: false,
                ms: *ms,
            };
            self.dossier.samples.extend((0..).zip(*samples).map(sample));
        }
        self.dossier.rows.push(CellRow {
            run: "r".into(),
            cell: id.into(),
            browser: cell.browser.clone(),
            browser_version: String::new(),
            model: cell.model.to_string(),
            size: cell.size.to_string(),
            runtime: cell.runtime.to_string(),
            backend: cell.backend.to_string(),
            precision: cell.precision.to_string(),
            profile: cell.profile,
            status: Some("pass".into()),
            flaky: None,
            evidence: None,
            implementation: None,
            reason: None,
            agreement: None,
            accuracy: None,
            perplexity: None,
            attempt: Some(format!("{id}#0")),
            wall_ms: None,
            page_ms: None,
            median_ms: None,
        });
        self.dossier.view.cells.push(view(id, evidence));
        self.dossier.view.cells.last_mut().unwrap_or_else(|| panic!("just added"))
    }

    fn metric(&mut self, id: &str, name: &str, value: f64) {
        let (attempt, unit) = (format!("{id}#0"), String::new());
        self.dossier.metrics.push(MetricRow { attempt, name: name.into(), value, unit });
    }

    /// Weights at int4 and at fp16, on the CPU of a page.
    fn weights(mut self, model: &str, int4: f64, fp16: f64) -> Self {
        for (precision, bytes) in [("int4", int4), ("fp16", fp16)] {
            let id = id(model, "wasm", precision);
            self.add(&id, EvidenceGrade::Cpu, &[&[1.0]]);
            self.metric(&id, "weight_bytes", bytes);
        }
        self
    }

    /// Times at fp32 on WebGPU, with this evidence, and on WASM.
    fn times(mut self, model: &str, evidence: EvidenceGrade, webgpu: &[&[f64]], wasm: &[&[f64]]) -> Self {
        self.add(&id(model, "webgpu", "fp32"), evidence, webgpu);
        self.add(&id(model, "wasm", "fp32"), EvidenceGrade::Cpu, wasm);
        self
    }

    fn judged(&self, query: &str) -> Settled {
        let text =
            format!("[[claims]]\nid = \"c\"\npromise = \"p\"\nwhose = \"w\"\n[claims.query]\n{query}\n");
        let ledger = Claims::parse("c.toml", &text).unwrap_or_else(|error| panic!("{error}"));
        settle(&ledger, &self.dossier, &self.uploaded).remove(0)
    }

    fn told(&self, query: &str) -> String {
        let Settled { verdict, why, .. } = self.judged(query);
        format!("{}: {why}", verdict.as_str())
    }
}

fn id(model: &str, backend: &str, precision: &str) -> String {
    format!("chromium/{model}@tiny/webmatrix/{backend}/{precision}/default")
}

const BYTES: &str = "metric = \"weight_bytes\"\ncells = { precisions = [\"int4\"] }\nagainst = { precision = \"fp16\" }\nbound = { at_most = 0.25 }";
const TIMES: &str = "metric = \"latency\"\ncells = { backends = [\"webgpu\"] }\nagainst = { backend = \"wasm\" }\nbound = { at_most = 0.5 }";

/// Six rounds of four inferences near so many milliseconds.
fn near(ms: f64) -> [[f64; 4]; 6] {
    [0.98, 1.01, 1.0, 0.99, 1.02, 1.0].map(|round| [1.0, 1.01, 0.99, 1.0].map(|sample| ms * round * sample))
}

fn rounds(times: &[[f64; 4]; 6]) -> Vec<&[f64]> {
    times.iter().map(<[f64; 4]>::as_slice).collect()
}

#[test]
fn what_every_pair_keeps_is_confirmed() {
    let made = Made::new().weights("bert", 25.0, 100.0).weights("llama", 48.0, 200.0);
    insta::assert_snapshot!(made.told(BYTES), @"confirmed: kept by all 2 pairs of 2 models; the worst is 0.2500 at chromium/bert@tiny/webmatrix/wasm/int4/default");
    let settled = made.judged(BYTES);
    assert_eq!(settled.models, ["bert", "llama"]);
    assert_eq!(settled.value.map(|value| (value.value * 1000.0).round()), Some(245.0), "the geometric mean");
    assert_eq!(settled.worst.map(|at| settled.pairs[at].cell.clone()), Some(id("bert", "wasm", "int4")));
    assert_eq!(settled.pairs[0].against, Some(id("bert", "wasm", "fp16")));
    assert_eq!(settled.decide, None);
}

#[test]
fn what_no_pair_keeps_is_refuted() {
    let made = Made::new().weights("bert", 33.0, 100.0).weights("llama", 60.0, 200.0);
    insta::assert_snapshot!(made.told(BYTES), @"refuted: kept by none of 2 pairs of 2 models; the worst is 0.3300 at chromium/bert@tiny/webmatrix/wasm/int4/default");
}

#[test]
fn a_bound_has_a_direction() {
    let (low, high) = (
        Made::new().weights("bert", 20.0, 100.0).weights("llama", 20.0, 100.0),
        Made::new().weights("bert", 30.0, 100.0).weights("llama", 30.0, 100.0),
    );
    let least = BYTES.replace("at_most", "at_least");
    let both = BYTES.replace("at_most = 0.25", "at_most = 0.31, at_least = 0.29");
    let of = |made: &Made, query: &str| made.judged(query).verdict;
    assert_eq!((of(&low, BYTES), of(&high, BYTES)), (Verdict::Confirmed, Verdict::Refuted));
    assert_eq!((of(&low, &least), of(&high, &least)), (Verdict::Refuted, Verdict::Confirmed));
    assert_eq!((of(&low, &both), of(&high, &both)), (Verdict::Refuted, Verdict::Confirmed));
    // What is asked is this over that, and not that over this.
    let other = BYTES.replace("int4", "x").replace("fp16", "int4").replace('x', "fp16");
    let settled = low.judged(&other);
    assert_eq!(
        (settled.verdict, settled.value.map(|value| value.value.round())),
        (Verdict::Refuted, Some(5.0))
    );
    // A value on the bound keeps it.
    let even = Made::new().weights("bert", 25.0, 100.0).weights("llama", 25.0, 100.0);
    assert_eq!((of(&even, BYTES), of(&even, &least)), (Verdict::Confirmed, Verdict::Confirmed));
    // The worst is on the side of the bound.
    let apart = Made::new().weights("bert", 10.0, 100.0).weights("llama", 20.0, 100.0);
    let worst = |query: &str| apart.judged(query).worst;
    assert_eq!((worst(BYTES), worst(&least)), (Some(1), Some(0)));
}

#[test]
fn only_a_whole_interval_keeps_or_breaks() {
    let of = |at_most, at_least, lo, hi| {
        let value = Estimate { value: f64::midpoint(lo, hi), lo: Some(lo), hi: Some(hi), count: 9 };
        rule::stand(Bound { at_most, at_least }, value)
    };
    let places = [(0.1, 0.4), (0.4, 0.6), (0.6, 0.9)];
    let most = places.map(|(lo, hi)| of(Some(0.5), None, lo, hi));
    let least = places.map(|(lo, hi)| of(None, Some(0.5), lo, hi));
    let both = places.map(|(lo, hi)| of(Some(0.7), Some(0.3), lo, hi));
    assert_eq!(most, [Stand::Keeps, Stand::Open, Stand::Breaks]);
    assert_eq!(least, [Stand::Breaks, Stand::Open, Stand::Keeps]);
    assert_eq!(both, [Stand::Open, Stand::Keeps, Stand::Open]);
    assert_eq!(of(Some(0.5), None, f64::NEG_INFINITY, 0.4), Stand::Open);
    let bare = Estimate { value: 0.1, lo: None, hi: None, count: 1 };
    assert_eq!(rule::stand(Bound { at_most: Some(0.5), at_least: None }, bare), Stand::Open);
}

#[test]
fn one_model_decides_nothing() {
    let made = Made::new().weights("bert", 25.0, 100.0);
    insta::assert_snapshot!(made.told(BYTES), @"unmeasurable here: 1 pair of 1 model: a verdict rests on 2 models at least, since one may be luck");
    // In however many places.
    let mut made = made;
    for precision in ["int4", "fp16"] {
        let id = format!("nightly/bert@tiny/webmatrix/wasm/{precision}/default");
        made.add(&id, EvidenceGrade::Cpu, &[]);
        made.metric(&id, "weight_bytes", if precision == "int4" { 25.0 } else { 100.0 });
    }
    insta::assert_snapshot!(made.told(BYTES), @"unmeasurable here: 2 pairs of 1 model: a verdict rests on 2 models at least, since one may be luck; the worst is 0.2500 at nightly/bert@tiny/webmatrix/wasm/int4/default");
}

#[test]
fn a_pair_that_contradicts_is_not_outvoted() {
    let mut made = Made::new().weights("t5", 26.0, 100.0);
    for model in ["bert", "llama", "vit", "clip", "detr", "whisper"] {
        made = made.weights(model, 10.0, 100.0);
    }
    insta::assert_snapshot!(made.told(BYTES), @"unmeasurable here: 7 pairs of 7 models contradict one another: 1 break it, 6 keep it, 0 leave it open; the worst is 0.2600 at chromium/t5@tiny/webmatrix/wasm/int4/default");
}

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
fn an_interval_that_is_too_wide_leaves_it_open() {
    // Twice as fast in half of the rounds, as fast as WASM in the others.
    let both = [[1.0; 4], [9.0; 4], [1.0; 4], [9.0; 4], [1.0; 4], [9.0; 4]];
    let slow = near(9.0);
    let made = Made::new().times("bert", EvidenceGrade::Hardware, &rounds(&both), &rounds(&slow)).times(
        "llama",
        EvidenceGrade::Hardware,
        &rounds(&both),
        &rounds(&slow),
    );
    insta::assert_snapshot!(made.told(TIMES), @"unmeasurable here: 2 pairs of 2 models: 0 keep it, and the intervals of 2 are too wide to tell; more inferences narrow them; the worst is 0.5556 (0.1100–1.0101) at chromium/llama@tiny/webmatrix/webgpu/fp32/default");
}

#[test]
fn the_mean_of_many_models_decides_what_single_ones_leave_open() {
    let both = [[1.0; 4], [9.0; 4], [1.0; 4], [9.0; 4], [1.0; 4], [1.2; 4]];
    let (fast, slow) = (near(1.0), near(9.0));
    let mut made = Made::new().times("t5", EvidenceGrade::Hardware, &rounds(&both), &rounds(&slow));
    for model in ["bert", "llama", "vit", "clip", "detr", "whisper"] {
        made = made.times(model, EvidenceGrade::Hardware, &rounds(&fast), &rounds(&slow));
    }
    insta::assert_snapshot!(made.told(TIMES), @"confirmed: kept by the mean of 7 pairs of 7 models, and contradicted by none: 6 keep it, 1 leave it open; the worst is 0.1222 (0.1100–1.0001) at chromium/t5@tiny/webmatrix/webgpu/fp32/default");
    // What has no interval may not speak against it either.
    made = made.times("qwen2", EvidenceGrade::Hardware, &[&[9.0; 4]], &[&[9.0; 4]]);
    insta::assert_snapshot!(made.told(TIMES), @"unmeasurable here: kept by the mean of 7 pairs of 7 models, and contradicted by none: 6 keep it, 1 leave it open, but 1 without an interval say otherwise; the worst is 1.0000 at chromium/qwen2@tiny/webmatrix/webgpu/fp32/default");
}

#[test]
fn browsers_are_held_against_one_another_by_their_kind() {
    let (fast, slow) = (near(1.0), near(2.0));
    let mut made = Made::new();
    for model in ["whisper", "clap", "bert"] {
        for (label, times) in [("nightly", &fast), ("chromium", &slow)] {
            let id = format!("{label}/{model}@tiny/webmatrix/webgpu/fp32/default");
            made.add(&id, EvidenceGrade::Hardware, &rounds(times));
        }
    }
    let query = "metric = \"latency\"\ncells = { takes = [\"audio\"], browsers = [\"firefox\"] }\nagainst = { browsers = [\"chrome\", \"chromium\"] }\nbound = { at_most = 0.8 }";
    insta::assert_snapshot!(made.told(query), @"confirmed: kept by all 2 pairs of 2 models; the worst is 0.5000 (0.4901–0.5101) at nightly/clap@tiny/webmatrix/webgpu/fp32/default");
    assert_eq!(made.judged(query).models, ["clap", "whisper"]);
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

#[test]
fn what_cannot_be_asked_says_so_in_its_own_words() {
    let text = "[[claims]]\nid = \"c\"\npromise = \"p\"\nwhose = \"w\"\nreason = \"nobody knows\"\n";
    let ledger = Claims::parse("c.toml", text).unwrap_or_else(|error| panic!("{error}"));
    let settled = settle(&ledger, &Made::new().dossier, &Uploaded::new()).remove(0);
    assert_eq!(
        (settled.verdict, settled.why.as_str(), settled.decide),
        (Verdict::Unmeasurable, "nobody knows", None)
    );
}

#[test]
fn the_whole_ledger_is_judged_of_any_run() {
    let ledger = Claims::embedded().unwrap_or_else(|error| panic!("{error}"));
    let made = Made::new().weights("bert", 33.0, 100.0).weights("llama", 60.0, 200.0);
    let settled = settle(&ledger, &made.dossier, &made.uploaded);
    assert_eq!(settled.len(), ledger.claims.len());
    let refuted: Vec<&str> = settled
        .iter()
        .filter(|one| one.verdict != Verdict::Unmeasurable)
        .map(|one| one.id.as_str())
        .collect();
    assert_eq!(refuted, ["int4-weights-75"]);
    assert!(settled.iter().all(|one| !one.why.is_empty()));
}

proptest! {
    #[test]
    fn no_verdict_contradicts_a_pair(ratios in proptest::collection::vec(0.01_f64..1.0, 0..9), bound in 0.01_f64..1.0) {
        const MODELS: [&str; 4] = ["bert", "llama", "vit", "t5"];
        let mut made = Made::new();
        for (at, ratio) in ratios.iter().enumerate() {
            // Of four models, in a few places each.
            let place = format!("b{at}/{}@tiny/webmatrix/wasm", MODELS[at % 4]);
            for (precision, bytes) in [("int4", ratio * 1000.0), ("fp16", 1000.0)] {
                let id = format!("{place}/{precision}/default");
                made.add(&id, EvidenceGrade::Cpu, &[]);
                made.metric(&id, "weight_bytes", bytes);
            }
        }
        let at_most = made.judged(&BYTES.replace("0.25", &format!("{bound:?}")));
        let at_least = made.judged(&BYTES.replace("at_most = 0.25", &format!("at_least = {bound:?}")));
        let keeps = ratios.iter().filter(|ratio| **ratio <= bound).count();
        match at_most.verdict {
            Verdict::Confirmed => prop_assert!(keeps == ratios.len() && ratios.len() >= 2),
            Verdict::Refuted => prop_assert!(keeps < ratios.len() && ratios.len() >= 2),
            Verdict::Unmeasurable => prop_assert!(ratios.len() < 2 || keeps > 0 && keeps < ratios.len()),
        }
        prop_assert!(at_most.verdict == Verdict::Unmeasurable || at_most.verdict != at_least.verdict);
    }
}
