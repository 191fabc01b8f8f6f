//! The report in real browsers: no error, no request, nothing that is not accessible, and everything where a link says.
#![expect(clippy::print_stderr, reason = "tells what was measured, and what is missing")]

mod made;
mod reader;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use webmatrix::analyse::frontier::loses;
use webmatrix::analyse::view::CellView;
use webmatrix::plan::Claims;
use webmatrix::render::{Reading, page};

use crate::command::{code, folder, stderr, stdout, webmatrix};
use made::{HOSTILE, synthetic};
use reader::{Reader, axe, browser, listened};

const BROWSERS: [&str; 2] = ["chromium", "firefox"];
const VIEWS: [&str; 9] =
    ["overview", "matrix", "capabilities", "ops", "performance", "precision", "memory", "claims", "history"];

/// What stands behind the cells of a page, as JSON.
pub(crate) fn behind(page: &str) -> String {
    use base64::Engine;
    use std::io::Read;
    let mut text = String::new();
    for block in page.split("class=\"behind\">").skip(1) {
        let packed = block.split('<').next().unwrap_or_default();
        let packed = base64::engine::general_purpose::STANDARD.decode(packed);
        let packed = packed.unwrap_or_else(|error| panic!("{error}"));
        let unpacked = flate2::read::DeflateDecoder::new(&packed[..]).read_to_string(&mut text);
        unpacked.unwrap_or_else(|error| panic!("{error}"));
    }
    text
}

/// A run of models and precisions on the host, one before it, and one of op cases; the report of all three.
fn stored(folder: &Path) -> PathBuf {
    let run = ["run", "--quiet", "--browsers", "native", "--backends", "native-cpu"];
    for further in [
        &["--models", "bert", "--precisions", "fp32", "--samples", "6"][..],
        &["--models", "bert", "llama", "--precisions", "fp32", "int8", "int4", "--samples", "6"],
        &["--models", "bert", "--batch", "1", "--sequence-length", "8", "16", "32", "--samples", "6"],
        &["--suite", "ops"],
    ] {
        let output = webmatrix(folder, &[&run[..], further].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
    }
    let output = webmatrix(folder, &["report", "--run", "all"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    folder.join(stdout(&output).trim())
}

fn put(folder: &Path, html: &str) -> String {
    let file = folder.join("page.html");
    std::fs::write(&file, html).unwrap_or_else(|error| panic!("{error}"));
    format!("file://{}", file.display())
}

#[tokio::test]
async fn a_stored_run_is_read_in_every_view() {
    let (folder, logs) = (folder(), folder());
    let html = std::fs::read_to_string(stored(folder.path())).unwrap_or_else(|error| panic!("{error}"));
    let url = put(folder.path(), &listened(&html));
    let axe = axe();
    for label in BROWSERS {
        let Some(session) = browser(label, logs.path()).await else { continue };
        let mut reader = Reader { label, session, url: url.clone() };
        reader.open("view=overview").await;
        let runs = reader
            .ask("return [...document.querySelectorAll('[name=run] option')].map((one) => one.value)")
            .await;
        let runs: Vec<String> = serde_json::from_value(runs).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(runs.len(), 4, "{runs:?}");
        // The latest is that of the ops, and the one before has lengths.
        let [_, lengths, precisions, _] = &runs[..] else { panic!("{runs:?}") };
        for view in VIEWS {
            let run = match view {
                "ops" => &runs[0],
                "performance" => lengths,
                _ => precisions,
            };
            reader.open(&format!("view={view}&run={run}")).await;
            assert_ne!(reader.text("main h1").await, "(none)", "{label} {view}");
            reader.is_quiet(view).await;
            if let Some(axe) = &axe {
                reader.is_accessible(axe, view).await;
            }
            if ["performance", "precision", "memory", "history"].contains(&view) {
                assert!(
                    reader.count("figure svg path, figure svg rect, figure svg circle").await > 0,
                    "{label} {view}"
                );
                assert_eq!(reader.count(".nothing").await, 0, "{label} {view}");
            }
        }
        // A cell's own page, from its link; what is in it was measured.
        let cell = "native/bert@tiny/webmatrix/native-cpu/int8/default";
        reader.open(&format!("cell={cell}&run={precisions}")).await;
        let page = reader.text("main").await;
        for told in [
            "Agreement with native-cpu",
            "What the precision costs",
            "Every inference, in order",
            "Run it again",
            "webmatrix run --browsers native --models bert --size tiny --backends native-cpu --precisions int8 --samples 6",
        ] {
            assert!(page.contains(told), "{label}: {told}: {page}");
        }
        reader.is_quiet(cell).await;
        if let Some(axe) = &axe {
            reader.is_accessible(axe, cell).await;
        }
        // What changed since the first run is told in words: bert at fp32 was in it, the others were not.
        reader.open(&format!("view=overview&run={precisions}")).await;
        let told = reader.text(".changes").await;
        assert!(told.contains("5 cells are new: that run did not have them."), "{label}: {told}");
        // Promises, with the cells that each rests on, and the way to them.
        reader.go(&format!("view=claims&run={precisions}")).await;
        let claims = Claims::embedded().unwrap_or_else(|error| panic!("{error}")).claims.len();
        assert_eq!(reader.count("table.reasons > tbody > tr").await, claims as u64, "{label}");
        let told = reader.text("main").await;
        assert!(
            told.contains("4 bit is no slower than 8 bit.") && told.contains("not run in turn"),
            "{label}: {told}"
        );
        let link = "a[href*='view=cell'][href*='int4']";
        assert!(reader.count(&format!("details {link}")).await >= 4, "{label}");
        reader
            .ask(&format!(
                "performance.clearMarks('shown'); document.querySelector(\"ul.cells {link}\").click()"
            ))
            .await;
        reader.wait().await;
        assert!(reader.text("h1.id").await.contains("/int4/default"), "{label}");
        // The way through the page and back.
        reader.go(&format!("view=matrix&run={precisions}")).await;
        assert_eq!(reader.count("a.cell").await, 6, "{label}");
        reader.go(&format!("view=matrix&run={precisions}&model=llama&precision=int4")).await;
        assert_eq!(
            (reader.count("a.cell").await, reader.text("output").await.as_str()),
            (1, "1 of 6 cells"),
            "{label}"
        );
        reader.ask("performance.clearMarks('shown'); document.querySelector('a.cell').click()").await;
        reader.wait().await;
        assert!(
            reader.text("h1.id").await.contains("native/llama@tiny/webmatrix/native-cpu/int4/default"),
            "{label}"
        );
        reader.ask("performance.clearMarks('shown'); history.back()").await;
        reader.wait().await;
        assert_eq!(reader.text("output").await, "1 of 6 cells", "{label}: back");
        reader.is_quiet("on the way").await;
        reader.session.close().await;
    }
}

#[tokio::test]
async fn ten_thousand_cells_are_shown_at_once() {
    let (folder, logs) = (folder(), folder());
    let dossiers = [synthetic(10_000)];
    let begun = Instant::now();
    let html = page(&dossiers, Reading::File).unwrap_or_else(|error| panic!("{error:?}"));
    eprintln!("made in {:.2} s", begun.elapsed().as_secs_f64());
    let url = put(folder.path(), &listened(&html));
    let axe = axe();
    for label in BROWSERS {
        let Some(session) = browser(label, logs.path()).await else { continue };
        let mut reader = Reader { label, session, url: url.clone() };
        for view in VIEWS {
            reader.open(&format!("view={view}")).await;
            let paint = "return new Promise((done) => setTimeout(() => done([performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null, \
                         performance.getEntriesByName('shown')[0]?.startTime ?? null]), 200))";
            let times = reader.ask(paint).await;
            eprintln!(
                "{label} {view}: {} KiB, first paint and view shown after (ms) {times}",
                html.len() / 1024
            );
            // Loosely: a machine that is busy with other tests is no worse page.
            assert!(times[1].as_f64().is_some_and(|ms| ms < 10_000.0), "{label} {view}: {times}");
            reader.is_quiet(view).await;
            let turned = "return /[\\u202a-\\u202e\\u2066-\\u2069]/.test(document.body.querySelector('main').textContent + document.title)";
            assert_eq!(
                reader.ask(turned).await,
                json!(false),
                "{label} {view}: what stands around is turned"
            );
            if let Some(axe) = &axe {
                let begun = Instant::now();
                reader.is_accessible(axe, view).await;
                eprintln!("{label} {view}: axe-core took {:.1} s", begun.elapsed().as_secs_f64());
            }
        }
        reader.open("view=matrix").await;
        // Only what is seen is made, and the end can be seen.
        let made = reader.count("a.cell").await;
        assert!((20..2000).contains(&made), "{label}: {made} cells were made");
        let scrolled = "const box = document.querySelector('.scroll.tall'); box.scrollTop = box.scrollHeight; \
                        return new Promise((done) => setTimeout(() => done([...document.querySelectorAll('tr[aria-rowindex]')].pop().getAttribute('aria-rowindex') \
                        === document.querySelector('table.matrix').getAttribute('aria-rowcount')), 300))";
        assert_eq!(reader.ask(scrolled).await, json!(true), "{label}: the last row is there");
        for (narrowed, expected) in [
            ("backend=wasm&browser=edge&precision=int4", 119),
            ("status=wrong&browser=firefox&text=clip", 25),
            ("status=pass&evidence=software", 2205),
            ("text=no+such+thing", 0),
        ] {
            reader.open(&format!("view=matrix&{narrowed}")).await;
            let shown = reader.text("output").await;
            let shown: u64 =
                shown.split(' ').next().unwrap_or_default().replace(',', "").parse().unwrap_or(u64::MAX);
            assert_eq!(shown, expected, "{label}: {narrowed}");
        }
        // What is doubted is marked in words, found by one link, and has its reason and its times on its own page.
        reader.open("view=matrix&among=doubted").await;
        let doubted: Vec<&CellView> =
            dossiers[0].view.cells.iter().filter(|cell| cell.doubt.is_some()).collect();
        let marked = reader
            .ask("return [...document.querySelectorAll('a.cell.doubted')].map((one) => one.textContent.includes('⚠ doubted'))")
            .await;
        assert_eq!(marked, json!(vec![true; doubted.len()]), "{label}");
        assert!(doubted.len() > 5, "{}", doubted.len());
        reader.ask("performance.clearMarks('shown'); document.querySelector('a.cell.doubted').click()").await;
        reader.wait().await;
        let page = reader.text("main").await;
        for told in
            ["the CPU was busy", "100 µs", "times did not rest", "outlier (×) lies", "computed 1234 ms"]
        {
            assert!(page.contains(told), "{label}: {told}: {page}");
        }
        if let Some(axe) = &axe {
            reader.is_accessible(axe, "a doubted cell").await;
        }
        // What is right and keeps too little is amber, and not marked as what keeps enough is.
        reader.open("view=matrix&among=lossy").await;
        let lossy = dossiers[0].view.cells.iter().filter(|cell| loses(cell)).count();
        let shown = reader.text("output").await.split(' ').next().unwrap_or_default().replace(',', "");
        assert_eq!(shown, lossy.to_string(), "{label}");
        assert!(lossy > 100, "{lossy}");
        let signs = "return [...new Set([...document.querySelectorAll('a.cell')].map((one) => one.textContent[0] + one.classList.contains('lossy')))]";
        assert_eq!(reader.ask(signs).await, json!(["≈true"]), "{label}");
        reader.open("view=matrix&precision=int8&status=pass").await;
        assert_eq!(reader.ask(signs).await, json!(["✓false"]), "{label}");
        // Where outputs lie close and choices differ, it is these that were lost.
        reader.open("view=matrix&precision=int3&status=pass").await;
        let figures = "return [...new Set([...document.querySelectorAll('a.cell')].map((one) => one.textContent.match(/≈.*85.7 % same/) !== null))]";
        assert_eq!(reader.ask(figures).await, json!([true]), "{label}");
        // Arrows go from cell to cell.
        reader.open("view=matrix").await;
        let moved = "const focused = () => document.activeElement.getAttribute('aria-label'); \
                     const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true })); \
                     return new Promise((done) => setTimeout(() => { document.querySelector('a.cell').focus(); const first = focused(); \
                     press('ArrowDown'); press('ArrowRight'); const there = focused(); press('ArrowLeft'); press('ArrowUp'); \
                     done([first !== there, first === focused()]); }, 300))";
        assert_eq!(reader.ask(moved).await, json!([true, true]), "{label}");
        // Text that would do harm is text, and what would turn the text around it is written out.
        let hostile = json!(HOSTILE.replace('\u{202e}', "\\u{202e}"));
        reader.open("view=matrix").await;
        let shown = reader
            .ask(&format!("return [document.querySelector('[name=model]').textContent.includes({hostile}), document.title, document.querySelectorAll('script').length]"))
            .await;
        assert_eq!(shown[0], json!(true), "{label}");
        assert_eq!(shown[1], json!("Matrix · WebMatrix"), "{label}");
        let scripts = 10_000_usize.div_ceil(64) + 4;
        assert_eq!(shown[2], json!(scripts), "{label}: data, blocks, charts, script, listeners");
        // Rows and columns change places.
        reader.open("view=matrix&rows=precision&cols=model&within=none").await;
        assert_eq!(reader.count("thead th").await, 7, "{label}");
        reader.is_quiet("narrowed").await;
        // Had there been a complaint or a request, it would have been heard; and no script but the page's own runs.
        let heard = reader
            .ask(
                "console.error('heard'); document.createElement('img').src = 'https://example.invalid/x.png'; \
                 const script = document.createElement('script'); script.textContent = 'window.ran = true'; \
                 document.body.append(script); \
                 return new Promise((done) => setTimeout(() => done([window.ran ?? false, ...window.complaints]), 300))",
            )
            .await;
        let heard: Vec<String> = heard.as_array().into_iter().flatten().map(ToString::to_string).collect();
        assert_eq!(heard.first().map(String::as_str), Some("false"), "{label}: {heard:?}");
        for complaint in ["error: heard", "policy: img-src", "policy: script-src"] {
            assert!(heard.iter().any(|heard| heard.contains(complaint)), "{label}: {complaint}: {heard:?}");
        }
        reader.session.close().await;
    }
}

#[tokio::test]
async fn a_dashboard_shows_a_run_as_it_goes_on() {
    let (folder, logs) = (folder(), folder());
    let serving = crate::serve::serve(folder.path());
    for label in BROWSERS {
        let Some(session) = browser(label, logs.path()).await else { continue };
        let mut reader = Reader { label, session, url: serving.url.clone() };
        reader.open("view=matrix").await;
        let before = reader.count("main a.cell").await;
        reader.ask("window.stayed = true").await;
        let models: &[&str] = if before == 0 { &["bert"] } else { &["bert", "vit"] };
        let run = [
            "run",
            "--quiet",
            "--browsers",
            "native",
            "--backends",
            "native-cpu",
            "--samples",
            "1",
            "--models",
        ];
        let output = webmatrix(folder.path(), &[&run[..], models].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        // It is told, asks for the page, and shows it, where the reader is: nobody loads anything anew.
        let cells = json!(models.len());
        let waits = format!(
            "return new Promise((done) => {{ const look = (times) => {{ \
               const seen = document.querySelectorAll('main a.cell.pass').length === {cells} && document.getElementById('live').textContent === 'live'; \
               if (seen || times === 0) done([seen, window.stayed, document.querySelector('main').textContent]); else setTimeout(() => look(times - 1), 100); }}; look(150); }})"
        );
        let shown = reader.ask(&waits).await;
        assert_eq!((&shown[0], &shown[1]), (&json!(true), &json!(true)), "{label}: {shown}");
        reader.session.close().await;
    }
}

#[test]
fn every_command_to_run_a_cell_again_plans_that_cell() {
    let folder = folder();
    let job = |features: Vec<String>| -> webmatrix_wire::Job {
        let job = json!({"wire_version": 1, "attempt": "a", "title": "t", "deadline_ms": 1, "nonce": 1, "variant": null,
            "kind": {"cell": {"class": "x", "backends": ["wasm"], "precision": "fp32", "features": features,
                "model": {"twin": {"size": "tiny", "seed": 7, "batch": 1, "tokens": null}}, "warmup": 1, "samples": 12,
                "memory_limit": null, "generation": {"max_new_tokens": 0, "stops": false, "sampling": null}}}});
        serde_json::from_value(job).unwrap_or_else(|error| panic!("{error}"))
    };
    for (id, features) in [
        ("native/bert@tiny/webmatrix/native-cpu/fp32/default", vec![]),
        ("native/llama@small+b4+t64/webmatrix/native-cpu/int4/kv-int8", vec!["kv-int8".to_owned()]),
        ("native/vit@base/webmatrix/native-gpu/fp16/default", vec![]),
    ] {
        let cell = id.parse().unwrap_or_else(|error| panic!("{error}"));
        let mut words = webmatrix::analyse::repro::command(&cell, Some(&job(features)));
        words[1] = "plan".to_owned();
        let words: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        let output = webmatrix(folder.path(), &[&words[..], &["--format", "json"]].concat());
        assert_eq!(code(&output), 0, "{id}: {}", stderr(&output));
        let plan: Value = serde_json::from_str(&stdout(&output)).unwrap_or_else(|error| panic!("{error}"));
        let cells: Vec<&Value> =
            plan["cells"].as_array().into_iter().flatten().map(|planned| &planned["cell"]).collect();
        assert_eq!(
            cells.iter().filter(|cell| cell.as_str().is_some_and(|cell| cell.starts_with("native/"))).count(),
            1,
            "{cells:?}"
        );
        assert!(cells.contains(&&json!(id)), "{id}: {cells:?}");
    }
}
