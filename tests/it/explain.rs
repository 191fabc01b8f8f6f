//! `webmatrix explain`: what is stored, what is found by running it again, and what is asked for and is not there.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use webmatrix::analyse::dossier::Dossier;
use webmatrix::analyse::explanation::{Again, Known, explanation};
use webmatrix::analyse::run_view::RunView;
use webmatrix::analyse::traced;
use webmatrix::analyse::view::CellView;
use webmatrix::collect::{self, Journal, Record};
use webmatrix::render::{Reading, page, render_explanation};
use webmatrix::store::{Database, RunSelection};
use webmatrix_wire::{Backend, Status};

use crate::command::{code, folder, stderr, stdout, webmatrix};
use crate::fake::{Act, Script, Stage, context, plan};
use crate::html::behind;
use crate::traces::is_here;
use crate::verify::{change, copy, element};

const CELL: &str = "chromium/bert@tiny/webmatrix/wasm/fp32/default";

/// The run of a journal, with what stands behind its cells.
fn dossier(out: &Path) -> Dossier {
    let (_, entries) = Journal::resume(out, "R1").unwrap_or_else(|error| panic!("{error}"));
    let db = Database::in_memory().unwrap_or_else(|error| panic!("{error}"));
    let read = || {
        db.apply(&entries)?;
        let rows = db.cells("R1")?;
        let view = RunView {
            run: db.runs(&RunSelection::Id("R1".to_owned()))?.remove(0),
            environment: db.environment("R1")?,
            browsers: db.browsers("R1")?,
            cells: CellView::all(&rows, &db.answers("R1")?),
            costs: Vec::new(),
            claims: Vec::new(),
            ops: None,
        };
        let traces = db.traces("R1")?;
        let (attempts, sessions, log) = (db.attempts("R1")?, db.sessions("R1")?, db.log("R1")?);
        Ok::<_, webmatrix::store::StoreError>(Dossier {
            rows,
            attempts,
            sessions,
            log,
            traces,
            ..Dossier::from(view)
        })
    };
    read().unwrap_or_else(|error| panic!("{error}"))
}

/// A page whose `attention` is wrong in one layer: the cell is wrong, and what is said of it names that op and that layer.
#[tokio::test]
async fn an_injected_wrong_kernel_is_named() {
    let out = folder();
    let script: Script = [(CELL.to_owned(), vec![Act::WrongKernel])].into();
    let stage = Arc::new(Stage::new(script));
    let plan = plan(&["bert"], &[Backend::Wasm], 120);
    let ctx = context(out.path(), &plan, &stage, false).await;
    collect::collect(&ctx, &plan, 1).await.unwrap_or_else(|error| panic!("{error}"));
    let cell = CELL.parse().unwrap_or_else(|error| panic!("{error}"));
    let both = collect::trace(&ctx, &cell).await.unwrap_or_else(|error| panic!("{error}"));
    let traced = traced(&cell, &both);
    let first = traced.layers.iter().find(|layer| layer.first.is_some());
    assert!(first.is_some_and(|layer| layer.scope.starts_with("encoder.layer.1")), "{traced:#?}");
    ctx.recorder
        .record(Record::CellTraced(Box::new(traced.clone())))
        .unwrap_or_else(|error| panic!("{error}"));
    let run = dossier(out.path());
    let told = explanation(Known { run: &run, plan: Some(&plan), cell: CELL }, &[], None);
    let mut told = told.unwrap_or_else(|| panic!("no such cell"));
    assert_eq!(told.status, Some(Status::Wrong));
    let again = Again { status: told.status, trace: Some(traced.says.clone()), ..Again::default() };
    told.again = Some(again);
    let text = render_explanation(&told);
    assert!(text.contains("trace: first leaves the oracle at op attention of encoder.layer.1"), "{text}");
    assert!(text.contains("ran to its end and gave a wrong answer"), "{text}");
    assert!(text.contains("driver: the driver's last words"), "{text}");
    // What was recorded is told again, and shown with its layers.
    assert!(text.contains("traced 20") && run.traces.len() == 1, "{text}");
    let page = page(&[run], Reading::File).unwrap_or_else(|error| panic!("{error:?}"));
    let behind = behind(&page);
    assert!(behind.contains("\"first\":\"attention (node"), "{behind}");
}

/// Runs a folder whose expected outputs are not its model's, on the host.
fn wrong(out: &Path) -> tempfile::TempDir {
    let model = copy("bert");
    change(model.path(), "expected.safetensors", |t| element(t, "pooler_output", 5, 3.0));
    let weights = format!("bert={}", model.path().display());
    let run =
        ["run", "--browsers", "native", "--backends", "native-cpu", "--models", "bert", "--retries", "0"];
    let output = webmatrix(out, &[&run[..], &["--weights", &weights]].concat());
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    model
}

fn told(folder: &Path, arguments: &[&str]) -> Value {
    let output = webmatrix(folder, &[&["explain", "--format", "json"], arguments].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn what_is_wrong_is_run_again_from_its_own_command_line_and_traced() {
    let out = folder();
    let good = [
        "run",
        "--browsers",
        "native",
        "--backends",
        "native-cpu",
        "--models",
        "bert",
        "vit",
        "--samples",
        "1",
    ];
    assert_eq!(code(&webmatrix(out.path(), &good)), 0);
    let model = wrong(out.path());
    let id = "native/bert@own/webmatrix/native-cpu/fp32/default";
    let runs = std::fs::read_dir(out.path().join("webmatrix-out/journal")).map(Iterator::count).ok();
    // A part that only one cell has is enough.
    let found = told(out.path(), &["bert@own"]);
    assert_eq!((&found["cell"], &found["status"]), (&id.into(), &"wrong".into()));
    let again = &found["again"];
    assert_eq!(again["status"], "wrong", "{found:#}");
    assert!(
        again["trace"].as_str().is_some_and(|trace| trace.contains("the backend is not at fault")),
        "{again}"
    );
    // The trace lies with the run that it explains, in the journal as in the database, and its cell's page shows it.
    let journals = std::fs::read_dir(out.path().join("webmatrix-out/journal"));
    let journals = journals.into_iter().flatten().flatten().map(|file| std::fs::read_to_string(file.path()));
    let kept = journals.flatten().filter(|journal| journal.contains("\"cell_traced\"")).count();
    assert_eq!(kept, 1);
    assert_eq!(code(&webmatrix(out.path(), &["report", "--run", "all"])), 0);
    let page = std::fs::read_to_string(out.path().join("webmatrix-out/report.html")).unwrap_or_default();
    let shown = behind(&page);
    assert!(shown.contains("the backend is not at fault") && shown.contains("encoder.layer.0"), "{shown}");
    // The database has the two runs that it had.
    assert_eq!(std::fs::read_dir(out.path().join("webmatrix-out/journal")).map(Iterator::count).ok(), runs);
    assert!(out.path().join("webmatrix-out/explain/journal").is_dir());
    let stored = told(out.path(), &[id, "--stored"]);
    assert!(stored["again"].is_null());
    // Without the folder there is nothing to run.
    drop(model);
    let gone = told(out.path(), &[id]);
    assert!(gone["again"]["refused"].as_str().is_some_and(|why| why.contains("is no folder")), "{gone:#}");
    let text = stdout(&webmatrix(out.path(), &["explain", id, "--stored"]));
    assert!(text.contains("What to do") && text.contains("pooler_output: 1 of"), "{text}");
    // What passes is explained too, and not run.
    let passed = told(out.path(), &["native/bert@tiny/webmatrix/native-cpu/fp32/default"]);
    assert_eq!((&passed["status"], &passed["again"]), (&"pass".into(), &Value::Null));
}

#[test]
fn a_cell_that_nobody_has_is_answered_with_those_like_it() {
    let out = folder();
    assert_eq!(code(&webmatrix(out.path(), &["explain", "x"])), 65);
    let run = [
        "run",
        "--browsers",
        "native",
        "--backends",
        "native-cpu",
        "--models",
        "bert",
        "vit",
        "--samples",
        "1",
    ];
    assert_eq!(code(&webmatrix(out.path(), &run)), 0);
    let said = |cell: &str| {
        let output = webmatrix(out.path(), &["explain", cell]);
        assert_eq!(code(&output), 65, "{}", stdout(&output));
        stderr(&output)
    };
    let id = "native/bert@tiny/webmatrix/native-cpu/fp32/default";
    assert!(
        said("native/brt@tiny/webmatrix/native-cpu/fp32/default").contains(&format!("did you mean {id}"))
    );
    assert!(said("native-cpu/fp32").contains("2 cells have \"native-cpu/fp32\" in their ids"));
    assert!(said("netscape").contains("report --format jsonl --run all"));
    let ablated = webmatrix(out.path(), &["explain", id, "--ablate"]);
    assert_eq!(code(&ablated), 69, "{}", stdout(&ablated));
    assert!(stdout(&ablated).contains("the host has no browser's switches"), "{}", stdout(&ablated));
}

/// WebGPU is behind a switch in this Chromium: the one that made the cell pass is found, and others are not blamed.
#[test]
fn the_switch_that_made_it_work_is_found() {
    if !is_here("chromium") {
        return;
    }
    let out = folder();
    let run = ["run", "--browsers", "chromium", "--backends", "webgpu", "--models", "bert", "--samples", "1"];
    let output = webmatrix(out.path(), &run);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let found = told(out.path(), &["chromium/bert", "--ablate=unsafe-webgpu,disable-sync"]);
    let again = &found["again"];
    assert_eq!(again["status"], "pass", "{again:#}");
    let ablated = again["ablation"].as_array().cloned().unwrap_or_default();
    let status = |switch: &str| {
        let found = ablated.iter().find(|ablated| ablated["without"] == switch);
        found.unwrap_or_else(|| panic!("{switch} was not left out: {again:#}"))["status"].clone()
    };
    assert_eq!(status("--disable-sync"), "pass");
    let needed: Vec<&Value> = ablated
        .iter()
        .filter(|ablated| ablated["status"] != "pass")
        .map(|ablated| &ablated["without"])
        .collect();
    assert_eq!(needed, ["--enable-unsafe-webgpu"], "{again:#}");
}
