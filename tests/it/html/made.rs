//! A run of as many cells as asked that nobody ran, some of them with names that would do harm.

use serde_json::json;
use webmatrix::analyse::TimingView;
use webmatrix::analyse::dossier::Dossier;
use webmatrix::analyse::run_view::RunView;
use webmatrix::analyse::view::{AccuracyView, CellView};
use webmatrix::store::{CellRow, MetricRow, RunRow, SampleRow};
use webmatrix_wire::{Backend, EvidenceGrade, Precision, Status};

/// A name that would do harm where text is taken for something else: `\u{202e}` turns what follows around.
pub(super) const HOSTILE: &str = "</script><script>document.title='x'</script>\"'&\u{202e}gpj";

/// How the samples of a cell that nobody ran are spread; the last lies beyond the fences.
fn timing(at: usize) -> TimingView {
    let p50 = 1.0 + at as f64 / 100.0;
    TimingView {
        samples: 4,
        p50,
        p75: p50,
        p90: p50,
        p95: p50,
        p99: p50,
        mad: 0.1,
        outliers: 1,
        fences: [0.0, p50 + 0.5],
        warmups: 1,
        rested: Some(false),
        timer_step_us: Some(100.0),
        cpu_ms: Some(1234.0),
    }
}

const fn is_doubted(at: usize, status: Status) -> bool {
    matches!(status, Status::Pass) && at.is_multiple_of(500)
}

/// Two bits keep too little, three too few choices, and eight enough.
fn accuracy(precision: &str, status: Status) -> Option<AccuracyView> {
    let (bits, cosine, agreement) = match precision {
        "int8" => (8.5, 0.9999, None),
        "int3" => (3.5, 0.9995, Some(0.857)),
        "int2" => (2.5, 0.7, None),
        _ => return None,
    };
    matches!(status, Status::Pass).then(|| AccuracyView {
        bits_per_weight: bits,
        model_bits_per_weight: bits,
        saved: 1.0 - bits / 16.0,
        reference: "twin-oracle".into(),
        cosine: Some(cosine),
        agreement,
    })
}

/// So many cells that nobody ran.
pub(super) fn synthetic(cells: usize) -> Dossier {
    let browsers = ["chromium", "firefox", "edge", "safari"];
    let models = ["bert", "t5", "llama", "vit", "clip", HOSTILE];
    let mut views = Vec::with_capacity(cells);
    for at in 0..cells {
        let (browser, rest) = (browsers[at % 4], at / 4);
        let (backend, rest) = (Backend::NAMES[rest % 3], rest / 3);
        let (precision, rest) = (Precision::NAMES[rest % 7], rest / 7);
        let (model, rest) = (models[rest % 6], rest / 6);
        let size = format!("tiny+t{}", rest + 1);
        let (status, evidence) = match (browser, at % 17) {
            ("safari", _) => (Status::Unavailable, EvidenceGrade::None),
            (_, 3) => (Status::Wrong, EvidenceGrade::Cpu),
            (_, 5) => (Status::Unsupported, EvidenceGrade::None),
            _ if backend == "webgpu" => (Status::Pass, EvidenceGrade::Software),
            _ => (Status::Pass, EvidenceGrade::Cpu),
        };
        views.push(CellView {
            id: format!("{browser}/{model}@{size}/webmatrix/{backend}/{precision}/default"),
            browser: browser.into(),
            browser_version: "1.0".into(),
            model: model.into(),
            size,
            runtime: "webmatrix".into(),
            backend: backend.into(),
            precision: precision.into(),
            profile: "default".into(),
            status: Some(status),
            flaky: at % 101 == 7,
            evidence,
            implementation: None,
            agreement: None,
            accuracy: accuracy(precision, status),
            perplexity: None,
            median_ms: (status == Status::Pass).then_some(1.0 + at as f64 / 100.0),
            error: (status != Status::Pass).then(|| format!("reason {} {HOSTILE}", at % 5)),
            answer: Vec::new(),
            timing: (status == Status::Pass).then(|| timing(at)),
            doubt: is_doubted(at, status).then(|| format!("the CPU was busy {HOSTILE}")),
            run: "R1".into(),
        });
    }
    let attempt = |at: usize| format!("attempt-{at}");
    let row = |(at, view): (usize, &CellView)| CellRow {
        run: view.run.clone(),
        cell: view.id.clone(),
        browser: view.browser.clone(),
        browser_version: view.browser_version.clone(),
        model: view.model.clone(),
        size: view.size.clone(),
        runtime: view.runtime.clone(),
        backend: view.backend.clone(),
        precision: view.precision.clone(),
        profile: view.profile.clone(),
        status: view.status.map(|status| status.to_string()),
        flaky: Some(view.flaky),
        evidence: Some(view.evidence.to_string()),
        implementation: None,
        reason: view.error.clone(),
        agreement: None,
        accuracy: None,
        perplexity: None,
        attempt: Some(attempt(at)),
        wall_ms: Some(10.0),
        page_ms: Some(5.0),
        median_ms: view.median_ms,
    };
    let rows: Vec<CellRow> = views.iter().enumerate().map(row).collect();
    let sample = |at: usize| {
        (0..5).map(move |index| SampleRow {
            attempt: attempt(at),
            index,
            warmup: index == 0,
            ms: 1.0 + f64::from(index) / 7.0 + at as f64 / 100.0,
        })
    };
    let metric = |at: usize| MetricRow {
        attempt: attempt(at),
        name: "weight_bytes".into(),
        value: 1000.0 + at as f64,
        unit: "B".into(),
    };
    let view = RunView {
        run: RunRow {
            run: "R1".into(),
            matrix: HOSTILE.into(),
            started_at: "2026-01-01T00:00:00.000Z".into(),
            ended_at: None,
            exit_code: None,
            interrupted: None,
            arguments: json!(["run", HOSTILE]).to_string(),
            webmatrix_version: "0.1.0".into(),
            harness: "h".into(),
        },
        environment: vec![],
        browsers: vec![],
        cells: views,
        costs: Vec::new(),
        claims: Vec::new(),
        ops: None,
    };
    let (samples, metrics) = ((0..cells).flat_map(sample).collect(), (0..cells).map(metric).collect());
    Dossier { rows, samples, metrics, ..Dossier::from(view) }
}
