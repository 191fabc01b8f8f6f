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

fn runs() -> Vec<Dossier> {
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
    vec![Dossier::from(RunView {
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
    })]
}

fn text(format: Format) -> String {
    render(&runs(), format).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn jsonl_is_the_stable_machine_form() {
    insta::assert_snapshot!(text(Format::Jsonl), @r#"
    {"id":"chromium/bert@tiny/webmatrix/wasm/fp32/default","browser":"chromium","browser_version":"156.0","model":"bert","size":"tiny","runtime":"webmatrix","backend":"wasm","precision":"fp32","profile":"default","status":"pass","flaky":true,"evidence":"cpu","implementation":null,"agreement":{"ok":true,"reference":"pytorch-golden","max_abs":1.5e-6,"max_rel":0.00025,"cosine":1.0},"median_ms":1.25,"error":null,"run":"R1"}
    {"id":"chromium/bert@tiny/webmatrix/webgpu/fp32/default","browser":"chromium","browser_version":"156.0","model":"bert","size":"tiny","runtime":"webmatrix","backend":"webgpu","precision":"fp32","profile":"default","status":"wrong","flaky":false,"evidence":"software","implementation":null,"agreement":null,"median_ms":null,"error":"=1+1 | <script>alert(\"x\")</script>\nsecond line","run":"R1"}
    {"id":"chromium/bert@tiny/webmatrix/webnn/fp32/default","browser":"chromium","browser_version":"156.0","model":"bert","size":"tiny","runtime":"webmatrix","backend":"webnn","precision":"fp32","profile":"default","status":null,"flaky":false,"evidence":"none","implementation":null,"agreement":null,"median_ms":null,"error":null,"run":"R1"}
    "#);
}

#[test]
fn csv_is_quoted_and_holds_no_formula() {
    insta::assert_snapshot!(text(Format::Csv), @r#"
    id,browser,browser_version,model,size,runtime,backend,precision,profile,status,flaky,evidence,implementation,agreement,median_ms,error,run
    chromium/bert@tiny/webmatrix/wasm/fp32/default,chromium,156.0,bert,tiny,webmatrix,wasm,fp32,default,pass,true,cpu,,agrees max_abs=1.500e-6 cosine=1.000000000 (pytorch-golden),1.25,,R1
    chromium/bert@tiny/webmatrix/webgpu/fp32/default,chromium,156.0,bert,tiny,webmatrix,webgpu,fp32,default,wrong,false,software,,,,"'=1+1 | <script>alert(""x"")</script>
    second line",R1
    chromium/bert@tiny/webmatrix/webnn/fp32/default,chromium,156.0,bert,tiny,webmatrix,webnn,fp32,default,,false,none,,,,,R1
    "#);
}

#[test]
fn markdown_shows_the_matrix_and_why_not() {
    insta::assert_snapshot!(text(Format::Markdown), @r#"
    # quick: run R1

    Started 2026-01-01T00:00:00.000Z, not ended. webmatrix 0.1.0.

    - chromium: 156.0

    | | bert@tiny |
    |---|---|
    | chromium wasm | PASS (cpu)~ 1.25 ms |
    | chromium webgpu | wrong |
    | chromium webnn | no verdict |

    ## Not green

    | why | cells | first |
    |---|---|---|
    | wrong: =1+1 \| &lt;script&gt;alert("x")&lt;/script&gt; second line | 1 | `chromium/bert@tiny/webmatrix/webgpu/fp32/default` |
    | no verdict:  | 1 | `chromium/bert@tiny/webmatrix/webnn/fp32/default` |

    `PASS` ran on hardware, agrees with the independent answer · `PASS (software)` the same on a GPU interface implemented on the CPU · `PASS (cpu)` on the CPU, as asked · `pass (fallback)` right, but not by the backend asked for · everything else is named by its status. `~` flaky: passed only on a retry.
    "#);
}

#[test]
fn json_reads_back() {
    let document: serde_json::Value =
        serde_json::from_str(&text(Format::Json)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(document["runs"][0]["cells"][0]["status"], "pass");
}
