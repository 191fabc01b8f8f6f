use webmatrix_wire::{EvidenceGrade, Status};

use super::*;
use crate::analyse::comparison::{Comparison, Kind, Measured, comparison};
use crate::analyse::op_matrix::op_matrix;
use crate::analyse::view::{AccuracyView, AgreementView, CellView};
use crate::store::{BrowserRow, CapabilityRow, OpCaseRow, RunRow};

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
        accuracy: None,
        perplexity: None,
        median_ms: None,
        timing: None,
        doubt: None,
        error: None,
        answer: Vec::new(),
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
        costs: Vec::new(),
        claims: Vec::new(),
        ops: None,
    })]
}

/// A run of op cases, with a browser that has a WebNN context and one that is away.
fn ops() -> Vec<Dossier> {
    let case = |browser: &str, backend: &str, case: &str, status: &str, ratio| OpCaseRow {
        browser: browser.into(),
        browser_version: String::new(),
        backend: backend.into(),
        op: case.split(' ').next().unwrap_or_default().into(),
        case: case.into(),
        dtype: "float32".into(),
        status: status.into(),
        flaky: false,
        evidence: if status == "pass" { "cpu" } else { "none" }.into(),
        implementation: None,
        max_abs: ratio,
        ratio,
        error: (status != "pass").then(|| format!("{browser} <says> no|")),
        run: "R1".into(),
    };
    let mut cases = Vec::new();
    for name in ["gemm 2x2", "gemm 3x3", "swiglu"] {
        cases.push(case("chromium", "webnn", name, "pass", Some(0.25)));
        cases.push(case("chromium", "wasm", name, if name == "gemm 3x3" { "wrong" } else { "pass" }, None));
        cases.push(case("edge", "wasm", name, "unavailable", None));
        cases.push(case("native", "native-cpu", name, "unsupported", None));
    }
    let limits = CapabilityRow {
        browser: "chromium".into(),
        area: "webnn".into(),
        name: "cpu".into(),
        present: true,
        usable: true,
        error: None,
        ms: None,
        facts: Some(
            r#"{"ops":{"gemm":{"a":["float32","float16"],"b":["float32"],"output":["int8"]}},
                "preferred_input_layout":"nchw","max_tensor_byte_length":0,"challenge":null}"#
                .into(),
        ),
    };
    let mut dossiers = runs();
    dossiers[0].view.cells.clear();
    dossiers[0].view.ops = op_matrix(cases, &[limits]);
    dossiers
}

#[test]
fn the_op_matrix_in_markdown() {
    let text = render(&ops(), Format::Markdown).unwrap_or_else(|error| panic!("{error}"));
    let table = text.split("`PASS` ran").next().unwrap_or_default();
    insta::assert_snapshot!(table, @r"
    # quick: run R1

    Started 2026-01-01T00:00:00.000Z, not ended. webmatrix 0.1.0.

    - chromium: 156.0

    | op | type | chromium wasm | chromium webnn | native native-cpu | edge wasm | opSupportLimits of chromium |
    |---|---|---|---|---|---|---|
    | gemm | float32 | wrong, 1 of 2 pass | PASS (cpu) 25 % | unsupported | unavailable | float32 |
    | swiglu | float32 | PASS (cpu) | PASS (cpu) 25 % | unsupported | unavailable | made of others |

    A number is the part of its tolerance that the worst element of the op's cases uses, against the scalar oracle.

    ## Ops that are not green

    | where | why | ops |
    |---|---|---|
    | chromium wasm | wrong: gemm 3x3: chromium &lt;says&gt; no\| | gemm |
    | native native-cpu | unsupported: native &lt;says&gt; no\| | every op |
    | edge wasm | unavailable: edge &lt;says&gt; no\| | every op |
    ");
}

/// What a page knows, as its script reads it.
fn data(page: &str) -> serde_json::Value {
    let block = page.split("<script type=\"application/json\" id=\"data\">").nth(1).unwrap_or_default();
    let block = block.split("</script>").next().unwrap_or_default();
    serde_json::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}"))
}

#[test]
fn the_op_matrix_in_the_page() {
    let page = render(&ops(), Format::Html).unwrap_or_else(|error| panic!("{error}"));
    assert!(page.contains("5 of 12 op cases agree with the scalar oracle; 1 ran and failed."), "{page}");
    assert!(page.contains("chromium \\u003csays> no|") && !page.contains("<says>"));
    let ops = data(&page)["runs"][0]["ops"].take();
    let mut shown = Vec::new();
    for row in ops["rows"].as_array().into_iter().flatten() {
        for slot in ["cells", "limits"].iter().flat_map(|part| row[part].as_array().into_iter().flatten()) {
            let text = |key: &str| slot[key].as_str().unwrap_or_default().to_owned();
            let op = row["op"].as_str().unwrap_or_default();
            shown.push(format!("{op}: {}: {}: {}", text("class"), text("label"), text("title")));
        }
    }
    insta::assert_snapshot!(shown.join("\n"), @r"
    gemm: bad: ✗ wrong: 1 of 2 cases proven, evidence cpu; gemm 3x3: chromium <says> no|
    gemm: pass cpu: ✓ 25 %: 2 of 2 cases proven, evidence cpu, max abs 2.50e-1
    gemm: lack: – lacks: 0 of 2 cases proven; native <says> no|
    gemm: absent: … away: 0 of 2 cases proven; edge <says> no|
    gemm: lack: takes it: float32
    swiglu: pass cpu: ✓ right: 1 of 1 cases proven, evidence cpu
    swiglu: pass cpu: ✓ 25 %: 1 of 1 cases proven, evidence cpu, max abs 2.50e-1
    swiglu: lack: – lacks: 0 of 1 cases proven; native <says> no|
    swiglu: absent: … away: 0 of 1 cases proven; edge <says> no|
    swiglu: none: made of others: 
    ");
}

#[test]
fn the_page_holds_cells_in_columns_and_what_is_behind_them_in_blocks() {
    let page = text(Format::Html);
    let run = data(&page)["runs"][0].take();
    let cells = &run["cells"];
    assert_eq!(cells["look"], serde_json::json!({"names": ["cpu", "bad", "open"], "of": [0, 1, 2]}));
    assert_eq!(
        (&cells["median"], &cells["flaky"]),
        (&serde_json::json!([1.25, null, null]), &serde_json::json!([0]))
    );
    assert_eq!(page.matches("class=\"behind\"").count(), 1);
    // Markup in a reason is none.
    assert!(page.contains("alert(\\\"x\\\")\\u003c/script>") && !page.contains("<script>alert"));
    // Nothing but the two scripts whose hashes the policy names may run, and nothing may be asked for.
    assert!(page.contains("default-src 'none'") && page.contains("connect-src 'none'"));
    assert_eq!(page.matches("'sha256-").count(), 2);
    let live = page_live();
    assert!(live.contains("connect-src 'self'") && live.contains("<body data-live>"));
    let nothing = super::page(&[], Reading::Live).unwrap_or_else(|error| panic!("{error}"));
    assert!(nothing.contains("No run yet"));
}

fn page_live() -> String {
    super::page(&runs(), Reading::Live).unwrap_or_else(|error| panic!("{error}"))
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
    id,browser,browser_version,model,size,runtime,backend,precision,profile,status,flaky,evidence,implementation,agreement,accuracy,median_ms,error,run
    chromium/bert@tiny/webmatrix/wasm/fp32/default,chromium,156.0,bert,tiny,webmatrix,wasm,fp32,default,pass,true,cpu,,agrees max_abs=1.500e-6 cosine=1.000000000 (pytorch-golden),,1.25,,R1
    chromium/bert@tiny/webmatrix/webgpu/fp32/default,chromium,156.0,bert,tiny,webmatrix,webgpu,fp32,default,wrong,false,software,,,,,"'=1+1 | <script>alert(""x"")</script>
    second line",R1
    chromium/bert@tiny/webmatrix/webnn/fp32/default,chromium,156.0,bert,tiny,webmatrix,webnn,fp32,default,,false,none,,,,,,R1
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

    `PASS` ran on hardware, agrees with the independent answer · `PASS (software)` the same on a GPU interface implemented on the CPU · `PASS (cpu)` on the CPU, as asked · `pass (fallback)` right, but not by the backend asked for · everything else is named by its status. `~` flaky: passed only on a retry. `≈ lossy`: computed right, and weights of this precision keep less than 0.99 of what full precision gives (cosine, or choices that are the same). `⚠ doubted`: the CPU was as busy as for the cell that computes on it.
    "#);
}

#[test]
fn times_and_doubts_are_told_in_words() {
    let mut dossiers = runs();
    let timing = crate::analyse::TimingView {
        samples: 20,
        p50: 12.4,
        p75: 12.6,
        p90: 13.0,
        p95: 14.1,
        p99: 99.123_456,
        mad: 0.2,
        outliers: 1,
        fences: [10.0, 15.0],
        warmups: 3,
        rested: Some(true),
        timer_step_us: Some(100.0),
        cpu_ms: Some(812.3),
    };
    let mut device = cell("webnn", Some(Status::Pass), EvidenceGrade::Hardware);
    (device.timing, device.doubt) = (Some(timing.clone()), Some("the CPU was | busy".into()));
    // What software in a device's place takes is no time of that device.
    let mut software = cell("webgpu", Some(Status::Pass), EvidenceGrade::Software);
    software.timing = Some(timing);
    dossiers[0].view.cells = vec![device, software];
    let markdown = render(&dossiers, Format::Markdown).unwrap_or_else(|error| panic!("{error}"));
    let told =
        markdown.split("`PASS` ran").next().and_then(|text| text.split_once("| | ")).map(|(_, told)| told);
    insta::assert_snapshot!(told.unwrap_or_default(), @r"
    bert@tiny |
    |---|---|
    | chromium webnn | PASS ⚠ doubted |
    | chromium webgpu | PASS (software) |

    ## Doubted

    | cell | why |
    |---|---|
    | `chromium/bert@tiny/webmatrix/webnn/fp32/default` | the CPU was \| busy |

    They passed, and a doubt takes nothing from that: a device's driver may well be busy.

    ## Times

    | cell | timed | p50 ms | p75 | p90 | p95 | p99 | MAD | outliers | clock's step µs | before them | CPU ms |
    |---|---|---|---|---|---|---|---|---|---|---|---|
    | `chromium/bert@tiny/webmatrix/webnn/fp32/default` | 20 | 12.4 | 12.6 | 13 | 14.1 | 99.12 | 0.2 | 1 | 100 | 3 warm-ups, until times rested | 812.3 |

    Milliseconds of the timed inferences, none finer than the clock's step. Outliers lie beyond three quartile ranges of the quartiles and take part in everything. CPU is what the cell's processes computed over the whole attempt.
    ");
    let summary = render(&dossiers, Format::Summary).unwrap_or_else(|error| panic!("{error}"));
    assert!(summary.contains("## Doubted") && !summary.contains("## Times"), "{summary}");
    let page = render(&dossiers, Format::Html).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(data(&page)["runs"][0]["cells"]["doubted"], serde_json::json!([0]));
}

/// Right is not the same as useful: what a precision loses stands beside the verdict, where anybody looks first.
#[test]
fn a_pass_that_keeps_too_little_says_so() {
    let mut dossiers = runs();
    let at = |backend, cosine, agreement| {
        let mut cell = cell(backend, Some(Status::Pass), EvidenceGrade::Cpu);
        cell.accuracy = Some(AccuracyView {
            bits_per_weight: 4.5,
            model_bits_per_weight: 4.78,
            saved: 0.7,
            reference: "pytorch-golden".into(),
            cosine,
            agreement,
        });
        cell
    };
    let mut wrong = at("native-gpu", Some(0.5), None);
    wrong.status = Some(Status::Wrong);
    dossiers[0].view.cells = vec![
        at("wasm", Some(0.99), Some(1.0)),
        at("webnn", Some(0.9899), None),
        at("native-cpu", Some(0.999), Some(0.9)),
        wrong,
    ];
    let markdown = render(&dossiers, Format::Markdown).unwrap_or_else(|error| panic!("{error}"));
    let lines: Vec<&str> = markdown.lines().filter(|line| line.starts_with("| chromium ")).take(4).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    | chromium wasm | PASS (cpu), cos 0.9900 |
    | chromium webnn | PASS (cpu), cos 0.9899 ≈ lossy |
    | chromium native-cpu | PASS (cpu), cos 0.9990 ≈ lossy |
    | chromium native-gpu | wrong, cos 0.5000 |
    ");
    let page = render(&dossiers, Format::Html).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(data(&page)["runs"][0]["cells"]["lossy"], serde_json::json!([1, 2]));
}

#[test]
fn json_reads_back() {
    let document: serde_json::Value =
        serde_json::from_str(&text(Format::Json)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(document["runs"][0]["cells"][0]["status"], "pass");
}

/// Two precisions in one place, and a cell that is wrong.
fn compared() -> Comparison {
    let at = |precision: &str, mut view: CellView| {
        view.id = view.id.replace("/fp32/", &format!("/{precision}/"));
        view.precision = precision.to_owned();
        view
    };
    let mut wrong = at("int2", cell("wasm", Some(Status::Wrong), EvidenceGrade::Cpu));
    wrong.error = Some("<b> | 1".into());
    let views = [
        at("fp16", cell("wasm", Some(Status::Pass), EvidenceGrade::Cpu)),
        at("int4", cell("wasm", Some(Status::Pass), EvidenceGrade::Cpu)),
        wrong,
    ];
    let rounds = [[2.0; 5], [1.0, 1.0, 1.0, 1.1, 1.1], [1.0; 5]].map(|samples| vec![samples.to_vec()]);
    let cells: Vec<Measured<'_>> = views
        .iter()
        .zip(&rounds)
        .zip([16.0, 4.5, 2.5])
        .map(|((view, rounds), bits)| Measured {
            weights: Some((100.0 * bits, bits)),
            ..Measured::timed(view, rounds)
        })
        .collect();
    comparison(Kind::Precisions, "R1", &cells)
}

#[test]
fn a_comparison_in_markdown() {
    let text = render_comparison(&compared(), ComparisonFormat::Markdown).unwrap_or_else(|e| panic!("{e}"));
    insta::assert_snapshot!(text, @r"
    # Precisions beside one another: run R1

    | model | place | precision | verdict | bits | memory | median ms | latency | cosine | efficiency |  |
    |---|---|---|---|---|---|---|---|---|---|---|
    | bert@tiny | chromium wasm | fp16 | pass (cpu) | 16.00 | 0.0 % less | 2.00 | the baseline | - | - |  |
    | bert@tiny | chromium wasm | int4 | pass (cpu) | 4.50 | 71.9 % less | 1.00 | 0.50 (0.50–0.55), faster | - | 7.11 (6.46–7.11) |  |
    | bert@tiny | chromium wasm | int2 | wrong | - | - | - | not measured | - | - | &lt;b&gt; \| 1 |

    - Bits and memory: weights as the page holds them, scales included, beside fp16 in the same place, where that passed, else fp32.
    - Latency: medians beside the same cell at fp16, where that passed, else at fp32; below 1 is faster. Not all cells were run in turn: what changed on the machine meanwhile is a part of such ratios.
    - Accuracy: what pages uploaded, beside what was uploaded at fp32 in the same place; of cells without one, what was recorded with them. Logits are of the same given tokens.
    - In brackets: 95 % intervals, by bootstrap and of fewer than five none; of top-1 Wilson's. Efficiency: how many times smaller, times how many times as fast.
    ");
}

#[test]
fn a_comparison_as_a_document_and_as_a_page() {
    let json = render_comparison(&compared(), ComparisonFormat::Json).unwrap_or_else(|e| panic!("{e}"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        (&json["version"], &json["kind"], &json["interleaved"]),
        (&1.into(), &"precisions".into(), &false.into())
    );
    let int4 = &json["rows"][1];
    assert_eq!(
        (&int4["memory"]["reduction"], &int4["latency"]["ratio"]["value"]),
        (&0.71875.into(), &0.5.into())
    );
    assert_eq!(int4["latency"]["says"], "faster");
    let page = render_comparison(&compared(), ComparisonFormat::Html).unwrap_or_else(|e| panic!("{e:?}"));
    assert!(
        page.contains("2 of 3 cells are proven; of those timed beside another, 1 shown faster"),
        "{page}"
    );
    assert!(
        page.contains("71.9 % less")
            && page.contains("class=\"cell pass cpu\"")
            && page.contains("class=\"cell bad\"")
    );
    assert!(page.contains("&lt;b&gt;") && !page.contains("<b> |") && !page.contains("<script"), "{page}");
}

#[test]
fn a_report_shows_what_cells_cost_where_that_is_asked() {
    let mut dossiers = runs();
    dossiers[0].view.costs = compared().rows;
    let text = |format| render(&dossiers, format).unwrap_or_else(|error| panic!("{error:?}"));
    let markdown = text(Format::Markdown);
    let line = markdown.lines().find(|line| line.contains("| int4 |")).unwrap_or_default();
    insta::assert_snapshot!(line, @"| bert@tiny | chromium wasm | int4 | pass (cpu) | 71.9 % less | - | 0.50 (0.50–0.55), faster |");
    let page = text(Format::Html);
    assert!(data(&page)["runs"][0]["costs"]["lines"][1]["cells"][4] == "71.9 % less");
    assert!(data(&self::text(Format::Html))["runs"][0]["costs"].is_null());
}
