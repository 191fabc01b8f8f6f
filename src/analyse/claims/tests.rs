mod counting;

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
