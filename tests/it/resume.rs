//! A run that was interrupted anywhere is completed from its journal.

use std::sync::Arc;

use webmatrix::collect;
use webmatrix_wire::Backend;

use crate::fake::{Script, Stage, context, lines, plan, play, rows};

#[tokio::test]
async fn a_stopped_run_is_completed() {
    let plan = plan(&["bert", "vit", "llama"], &[Backend::Wasm], 20);
    let whole = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let expected = play(whole.path(), &plan, &Arc::new(Stage::new(Script::new()))).await;

    let out = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let mut stopping = Stage::new(Script::new());
    stopping.stop_at = Some("chromium/vit@tiny/webmatrix/wasm/fp32/default".to_owned());
    let part = play(out.path(), &plan, &Arc::new(stopping)).await;
    insta::assert_snapshot!(part, @r"
    bert wasm pass cpu REAL_WASM
    vit wasm - - -
    llama wasm - - -
    ");

    let stage = Arc::new(Stage::new(Script::new()));
    let ctx = context(out.path(), &plan, &stage, true).await;
    collect::collect(&ctx, &plan, 1).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(lines(&rows(out.path())), expected);
}

#[tokio::test]
async fn a_killed_controller_loses_nothing_that_was_acknowledged() {
    let plan = plan(&["bert", "vit"], &[Backend::Wasm], 20);
    let out = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let expected = play(out.path(), &plan, &Arc::new(Stage::new(Script::new()))).await;
    let journal = out.path().join("journal/R1.jsonl");
    let text = std::fs::read(&journal).unwrap_or_else(|error| panic!("{error}"));
    let lines_at: Vec<usize> =
        text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    // Cut after every line but the plan's, and once more inside the next line.
    for cut in lines_at.iter().flat_map(|at| [*at, (*at + 7).min(text.len())]) {
        std::fs::write(&journal, &text[..cut]).unwrap_or_else(|error| panic!("{error}"));
        let ctx = context(out.path(), &plan, &Arc::new(Stage::new(Script::new())), true).await;
        collect::collect(&ctx, &plan, 1).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(lines(&rows(out.path())), expected, "cut at {cut}");
    }
}
