use webmatrix_wire::{EvidenceGrade, Status};

use super::*;
use crate::analyse::view::{AgreementView, CellView};
use crate::store::{BrowserRow, RunRow};

fn cell(backend: &str, status: Option<Status>, evidence: EvidenceGrade) -> CellView {
    CellView {
        id: format!("chromium/bert@tiny/webmatrix/{backend}/fp32/default"),
        browser: "chromium".into(),
        browser_version: "156.0".into(),
        model: "bert".into(),
        size: "tiny".into(),
        runtime: "webmatrix".into(),
        backend: backend.into(),
        precision: "fp32".into(),
        profile: "default".into(),
        status,
        flaky: false,
        evidence,
        implementation: None,
        agreement: None,
        median_ms: None,
        error: None,
        run: "R1".into(),
    }
}

fn runs() -> Vec<RunView> {
    let mut pass = cell("wasm", Some(Status::Pass), EvidenceGrade::Cpu);
    pass.agreement = Some(AgreementView {
        ok: true,
        reference: "pytorch-golden".into(),
        max_abs: 1.5e-6,
        max_rel: 2.5e-4,
        cosine: 1.0,
    });
    pass.median_ms = Some(1.25);
    pass.flaky = true;
    let mut wrong = cell("webgpu", Some(Status::Wrong), EvidenceGrade::Software);
    wrong.error = Some("=1+1 | <script>alert(\"x\")</script>\nsecond line".into());
    let unknown = cell("webnn", None, EvidenceGrade::None);
    vec![RunView {
        run: RunRow {
            run: "R1".into(),
            matrix: "quick".into(),
            started_at: "2026-01-01T00:00:00.000Z".into(),
            ended_at: None,
            exit_code: None,
            interrupted: None,
            arguments: "[]".into(),
            webmatrix_version: "0.1.0".into(),
            harness: "h".into(),
        },
        environment: vec![],
        browsers: vec![BrowserRow {
            label: "chromium".into(),
            kind: "chromium".into(),
            version: "156.0".into(),
            channel: "stable".into(),
            path: "/usr/bin/chromium".into(),
            driver: String::new(),
            driver_version: String::new(),
            problem: None,
        }],
        cells: vec![pass, wrong, unknown],
    }]
}

fn text(format: Format) -> String {
    render(&runs(), format).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn jsonl_is_the_stable_machine_form() {
    insta::assert_snapshot!(text(Format::Jsonl), @"");
}

#[test]
fn csv_is_quoted_and_holds_no_formula() {
    insta::assert_snapshot!(text(Format::Csv), @"");
}

#[test]
fn markdown_shows_the_matrix_and_why_not() {
    insta::assert_snapshot!(text(Format::Markdown), @"");
}

#[test]
fn json_reads_back() {
    let document: serde_json::Value = serde_json::from_str(&text(Format::Json)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(document["runs"][0]["cells"][0]["status"], "pass");
}
