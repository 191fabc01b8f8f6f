use serde_json::json;

use super::*;
use crate::analyse::run_view::RunView;
use crate::store::{BrowserRow, CapabilityRow, EnvironmentRow, RunRow, SessionRow};

const CELL: &str = "firefox/bert@tiny/webmatrix/webgpu/fp32/default";

/// A run of one cell.
fn run(id: &str, status: &str, version: &str, flags: &[&str], reason: Option<&str>) -> Dossier {
    let row = CellRow {
        run: id.into(),
        cell: CELL.into(),
        browser: "firefox".into(),
        browser_version: version.into(),
        model: "bert".into(),
        size: "tiny".into(),
        runtime: "webmatrix".into(),
        backend: "webgpu".into(),
        precision: "fp32".into(),
        profile: "default".into(),
        status: Some(status.into()),
        flaky: Some(false),
        evidence: Some(if status == "unsupported" { "none" } else { "software" }.into()),
        implementation: None,
        reason: reason.map(str::to_owned),
        agreement: None,
        accuracy: None,
        perplexity: None,
        attempt: Some(format!("{id}-A")),
        wall_ms: None,
        page_ms: None,
        median_ms: None,
    };
    let view = RunView {
        run: RunRow {
            run: id.into(),
            matrix: "quick".into(),
            started_at: format!("2026-01-0{}T00:00:00.000Z", &id[1..]),
            ended_at: None,
            exit_code: None,
            interrupted: None,
            arguments: json!(["run"]).to_string(),
            webmatrix_version: "0.1.0".into(),
            harness: "h".into(),
        },
        environment: vec![EnvironmentRow { name: "kernel".into(), value: "6".into() }],
        browsers: vec![BrowserRow {
            label: "firefox".into(),
            kind: "firefox".into(),
            version: version.into(),
            channel: "release".into(),
            path: "/usr/bin/firefox".into(),
            driver: String::new(),
            driver_version: "0.36".into(),
            problem: None,
        }],
        cells: vec![CellView::of(row.clone())],
        costs: Vec::new(),
        claims: Vec::new(),
        ops: None,
    };
    let adapter = json!({ "vendor": "mesa", "architecture": "llvmpipe", "device": "", "description": "",
                          "is_fallback": true, "subgroup_min_size": 0, "subgroup_max_size": 0 });
    let facts = json!({ "backend": "webgpu", "steps_down": [], "adapter": adapter, "webnn_device_type": null,
                        "challenge": { "answer": [] }, "dispatches": 9,
                        "ops": [{ "op": "gemm", "backend": "webgpu", "count": 3 }, { "op": "gelu", "backend": "wasm", "count": 2 }] });
    let attempt = AttemptRow {
        attempt: format!("{id}-A"),
        cell: Some(CELL.into()),
        browser: "firefox".into(),
        number: 1,
        session: Some(format!("{id}-S")),
        started_at: String::new(),
        wall_ms: Some(5.0),
        page_ms: None,
        variant: Some("simd".into()),
        backend: None,
        facts: Some(facts.to_string()),
        end: Some("done".into()),
        status: Some(status.into()),
        evidence: None,
        reason: reason.map(str::to_owned),
    };
    let asked = json!({ "moz:firefoxOptions": { "prefs": { "dom.webgpu.enabled": true } } });
    let session =
        json!({ "flags": { "requested": flags, "effective": null, "missing": [] }, "asked": asked });
    let line = |level: &str, text: &str| LogRow {
        attempt: format!("{id}-A"),
        source: "driver".into(),
        level: level.into(),
        text: text.into(),
    };
    Dossier {
        rows: vec![row],
        attempts: vec![attempt],
        sessions: vec![SessionRow {
            session: format!("{id}-S"),
            browser: "firefox".into(),
            version: version.into(),
            start_ms: 1.0,
            facts: session.to_string(),
        }],
        capabilities: vec![CapabilityRow {
            browser: "firefox".into(),
            area: "webgpu".into(),
            name: "high-performance".into(),
            present: true,
            usable: false,
            error: Some("adapter is null".into()),
            ms: None,
            facts: None,
        }],
        log: vec![line("info", "all is well"), line("info", "the GPU process CRASHED"), line("warn", "odd")],
        ..Dossier::from(view)
    }
}

fn past(run: &Dossier) -> HistoryRow {
    HistoryRow {
        run: run.view.run.run.clone(),
        started_at: run.view.run.started_at.clone(),
        status: run.rows[0].status.clone(),
        flaky: Some(false),
        evidence: None,
    }
}

fn known(run: &Dossier) -> Known<'_> {
    Known { run, plan: None, cell: CELL }
}

/// What is told of the last of these runs.
fn told(runs: &[Dossier]) -> Explanation {
    let history: Vec<HistoryRow> = runs.iter().map(past).collect();
    let here = runs.last().unwrap_or_else(|| panic!("no run"));
    let there = otherwise(&history, &here.view.run.run);
    let there = there.and_then(|past| runs.iter().find(|run| run.view.run.run == past.run));
    explanation(known(here), &history, there.map(known)).unwrap_or_else(|| panic!("no cell"))
}

#[test]
fn what_is_stored_is_told_with_what_was_different_when_it_was_otherwise() {
    let runs = [
        run("R1", "pass", "140.0", &["-headless"], None),
        run("R2", "pass", "141.0", &["-headless", "--enable-features=A,B"], None),
        run(
            "R3",
            "wrong",
            "142.0",
            &["-headless", "--enable-features=B,C"],
            Some("output y: 1 of 2 elements out of tolerance"),
        ),
    ];
    let told = told(&runs);
    let differences = told.otherwise.iter().flat_map(|otherwise| &otherwise.differences);
    let differences = differences.map(|found| format!("{}: {:?} {:?}", found.what, found.there, found.here));
    let lines =
        [vec![told.means.clone()], told.behind.clone(), told.log.clone(), differences.collect()].concat();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    bert@tiny at fp32 on webgpu in firefox ran to its end and gave a wrong answer.
    evidence software: the GPU's interface is a program on the CPU, or not proven to be anything else; that shows what is computed, not how fast
    webgpu was asked for, and webgpu computed
    adapter: mesa llvmpipe, which the browser calls a fallback
    its known-answer computation was right
    5 ops an inference, 9 dispatches in all
    gelu ran 2 times on wasm
    driver: the GPU process CRASHED
    driver: odd
    browser version: Some("141.0") Some("142.0")
    browser switch: Some("--enable-features=A") None
    browser switch: None Some("--enable-features=C")
    "#);
    assert_eq!(told.otherwise.map(|otherwise| otherwise.run.run), Some("R2".to_owned()));
    assert!(
        told.remedies[0].contains("--suite ops --browsers firefox --backends webgpu"),
        "{:?}",
        told.remedies
    );
}

#[test]
fn what_is_lacking_is_told_in_the_probes_words() {
    let told = told(&[run("R1", "unsupported", "140.0", &[], Some("WebGPU: adapter is null"))]);
    assert!(
        told.behind.contains(&"its probe tried webgpu high-performance: adapter is null".to_owned()),
        "{told:?}"
    );
    assert_eq!((told.otherwise, told.history.len()), (None, 1));
}

#[test]
fn the_last_run_that_was_otherwise_comes_before_one_that_came_after() {
    let at = |run: &str, status: Option<&str>| HistoryRow {
        run: run.into(),
        started_at: String::new(),
        status: status.map(str::to_owned),
        flaky: None,
        evidence: None,
    };
    let history = [
        at("1", Some("pass")),
        at("2", Some("wrong")),
        at("3", None),
        at("4", Some("wrong")),
        at("5", Some("pass")),
    ];
    let found = |run: &str| otherwise(&history, run).map(|past| past.run.as_str());
    assert_eq!((found("4"), found("1"), found("5")), (Some("1"), Some("4"), Some("4")));
    assert_eq!(otherwise(&history[..1], "1"), None);
}
