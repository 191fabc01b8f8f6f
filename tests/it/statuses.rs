//! Every way in which a page can end, and the status that comes of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use webmatrix_wire::{Backend, FailureKind};

use crate::fake::{Act, Script, Stage, plan, play};

fn script(acts: &[(&str, &[Act])]) -> Script {
    let id = |cell: &str| {
        let (model, backend) = cell.split_once(' ').unwrap_or((cell, "wasm"));
        format!("chromium/{model}@tiny/webmatrix/{backend}/fp32/default")
    };
    acts.iter().map(|(cell, acts)| (id(cell), acts.to_vec())).collect()
}

async fn run(
    acts: &[(&str, &[Act])],
    models: &[&str],
    backends: &[Backend],
    deadline_s: u32,
) -> (String, u32) {
    let out = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let stage = Arc::new(Stage::new(script(acts)));
    let lines = play(out.path(), &plan(models, backends, deadline_s), &stage).await;
    (lines, stage.sessions.load(Ordering::Relaxed))
}

#[tokio::test]
async fn good_pages_pass_and_the_probe_decides_what_is_unsupported() {
    let backends = [Backend::Wasm, Backend::WebGpu, Backend::WebNn];
    let (lines, sessions) = run(&[], &["bert", "vit", "llama"], &backends, 20).await;
    insta::assert_snapshot!(lines, @r"
    bert wasm pass cpu REAL_WASM
    bert webgpu pass software REAL_WEBGPU: the adapter is not known
    bert webnn unsupported none -: WebNN: NotSupportedError: WebNN is off
    vit wasm pass cpu REAL_WASM
    vit webgpu pass software REAL_WEBGPU: the adapter is not known
    vit webnn unsupported none -: WebNN: NotSupportedError: WebNN is off
    llama wasm pass cpu REAL_WASM
    llama webgpu pass software REAL_WEBGPU: the adapter is not known
    llama webnn unsupported none -: WebNN: NotSupportedError: WebNN is off
    ");
    assert_eq!(sessions, 1, "one browser serves every cell");
}

#[tokio::test]
async fn lies_and_mistakes_are_not_green() {
    let acts: &[(&str, &[Act])] = &[
        ("bert wasm", &[Act::WrongOutput]),
        ("vit wasm", &[Act::NoOutput]),
        ("llama wasm", &[Act::CannedChallenge]),
        ("bert webgpu", &[Act::Fallback]),
    ];
    let (lines, _) = run(acts, &["bert", "vit", "llama"], &[Backend::Wasm, Backend::WebGpu], 20).await;
    insta::assert_snapshot!(lines, @r"
    bert wasm wrong cpu REAL_WASM: output pooler_output: 1 of 128 elements out of tolerance, first 127: 0.8397044539451599, expected 0.5897044539451599
    bert webgpu pass fallback FALLBACK_WASM: wasm ran in place of webgpu (no reason was given)
    vit wasm wrong cpu REAL_WASM: no outputs came (promised: logits)
    vit webgpu pass software REAL_WEBGPU: the adapter is not known
    llama wasm error none -: right outputs, but nothing proves what made them: wasm gave a wrong answer to the known-answer computation
    llama webgpu pass software REAL_WEBGPU: the adapter is not known
    ");
}

#[tokio::test]
async fn failures_keep_their_kind_and_their_words() {
    let acts: &[(&str, &[Act])] = &[
        ("bert wasm", &[Act::Fail(FailureKind::Oom)]),
        ("bert webgpu", &[Act::Fail(FailureKind::DeviceLost)]),
        ("vit wasm", &[Act::Fail(FailureKind::Unsupported)]),
        ("vit webgpu", &[Act::Fail(FailureKind::NotImplemented)]),
        ("llama wasm", &[Act::Fail(FailureKind::Error)]),
    ];
    let (lines, _) = run(acts, &["bert", "vit", "llama"], &[Backend::Wasm, Backend::WebGpu], 20).await;
    insta::assert_snapshot!(lines, @r"
    bert wasm oom cpu REAL_WASM: compile: in the page's words
    bert webgpu device_lost software REAL_WEBGPU: compile: in the page's words
    vit wasm unsupported none -: compile: in the page's words
    vit webgpu not_implemented none -: compile: in the page's words
    llama wasm error cpu REAL_WASM: compile: in the page's words
    llama webgpu pass software REAL_WEBGPU: the adapter is not known
    ");
}

#[tokio::test]
async fn a_crash_and_a_hang_get_a_fresh_browser_and_spoil_nothing_else() {
    let acts: &[(&str, &[Act])] = &[("bert", &[Act::Crash]), ("vit", &[Act::Hang])];
    let (lines, sessions) = run(acts, &["bert", "vit", "llama"], &[Backend::Wasm], 5).await;
    insta::assert_snapshot!(lines, @r"
    bert wasm crash cpu REAL_WASM: load the page: the page died: its process crashed
    vit wasm timeout cpu REAL_WASM: load the page: not done by the deadline, still alive
    llama wasm pass cpu REAL_WASM
    ");
    assert_eq!(sessions, 5, "one, and a fresh one after each of two crashes and two hangs");
}

#[tokio::test]
async fn passing_on_a_retry_only_is_flaky() {
    let (lines, sessions) =
        run(&[("bert", &[Act::WrongOutput, Act::Good])], &["bert"], &[Backend::Wasm], 20).await;
    insta::assert_snapshot!(lines, @"bert wasm pass cpu REAL_WASM flaky");
    assert_eq!(sessions, 2);
}
