//! Every op case in real browsers, on every backend that they have, against the oracle.
#![expect(clippy::print_stderr, reason = "says what is missing and what a backend refused")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use webmatrix::discover::{ThisMachine, UserBrowsers, discover, select};
use webmatrix::serve::{Attempts, Files, Inbox, Server, has_harness};
use webmatrix::session::{LaunchSpec, start};
use webmatrix_engine::ops::cases::{Case, all};
use webmatrix_engine::ops::{Attention, Op};
use webmatrix_engine::tensor::read_safetensors;
use webmatrix_wire::{AttemptId, Backend, Challenge, Envelope, Job, JobKind, Message, WIRE_VERSION};

/// Keeps what one page says.
#[derive(Debug)]
struct Kept {
    messages: mpsc::UnboundedSender<Message>,
    outputs: Mutex<Bytes>,
}

impl Inbox for Kept {
    fn messages(&self, _: &AttemptId, messages: Vec<Envelope>) -> std::io::Result<()> {
        for envelope in messages {
            self.messages.send(envelope.message).expect("the test listens to the end");
        }
        Ok(())
    }

    fn outputs(&self, _: &AttemptId, outputs: Bytes, _: &str) -> std::io::Result<()> {
        *self.outputs.lock().expect("nobody panics with it") = outputs;
        Ok(())
    }

    fn heartbeat(&self, _: &AttemptId) {}
}

/// Runs the cases; what is wrong, by case, and what the backend refused, in its words.
async fn run(label: &str, backend: Backend, features: &[&str]) -> Option<(Vec<String>, Vec<String>)> {
    let file = UserBrowsers::file(&ThisMachine).expect("a configuration folder");
    let user = UserBrowsers::load(&file).expect("a readable configuration");
    let installed = discover(&ThisMachine, &user, &[]);
    let selection = select(&[label], &installed);
    let Some(found) = selection.found.first().filter(|_| has_harness()) else {
        let required = std::env::var("WEBMATRIX_REQUIRE_BROWSERS").is_ok_and(|value| value == "1");
        assert!(!required, "{label} or the harness is missing");
        eprintln!("not run: {label} or the harness is missing");
        return None;
    };
    let (sender, mut messages) = mpsc::unbounded_channel();
    let kept = Arc::new(Kept { messages: sender, outputs: Mutex::default() });
    let attempts = Attempts::default();
    let server = Server::start(attempts.clone(), kept.clone()).await.expect("a free port");
    let attempt = AttemptId(format!("ops-{label}-{backend}"));
    let names = features.iter().map(|feature| (*feature).to_owned()).collect();
    let kind = JobKind::Ops { backend, features: names };
    let nonce = 0x5eed_0001;
    let job = Job {
        wire_version: WIRE_VERSION,
        attempt: attempt.clone(),
        title: format!("op cases on {backend}"),
        deadline_ms: 240_000,
        nonce,
        variant: kind.variant(),
        relaxed: kind.relaxed(),
        kind,
    };
    let token = attempts.open(job, Files::new()).expect("randomness");
    let logs = tempfile::tempdir().expect("a temporary folder");
    let spec = LaunchSpec::new(found.browser.clone(), logs.path().to_owned());
    let mut session = start(&spec).await.unwrap_or_else(|error| panic!("{label}: {error}"));
    let url = server.page_url(&attempt, &token);
    session.open(&url).await.unwrap_or_else(|error| panic!("{label}: {error}"));
    let mut said = BTreeMap::new();
    let heard = tokio::time::timeout(Duration::from_secs(240), async {
        loop {
            match messages.recv().await.expect("the inbox lives") {
                Message::OpCase(case) => {
                    let words = case.failed.map(|failed| format!("{:?}: {}", failed.kind, failed.text));
                    said.insert(case.case, words);
                }
                Message::Backend(facts) => {
                    assert_eq!(facts.backend, backend);
                    for feature in features {
                        let of_kernel = facts.kernels.keys().any(|kernel| kernel.ends_with(feature));
                        let of_threads = *feature == "threads-2" && facts.threads == Some(2);
                        assert!(of_kernel || of_threads, "{feature}: {facts:?}");
                    }
                    if backend != Backend::Wasm {
                        let answer = facts.challenge.map(|challenge| challenge.answer);
                        assert_eq!(answer, Some(Challenge::expected(nonce)), "the known answer");
                        assert!(facts.dispatches > 0);
                    }
                }
                Message::Done(_) => return,
                Message::Failed(failed) => panic!("{label} {backend}: {}: {}", failed.stage, failed.text),
                _ => {}
            }
        }
    });
    heard.await.unwrap_or_else(|_| panic!("{label} {backend}: not done in time"));
    session.close().await;
    let outputs = kept.outputs.lock().expect("nobody panics with it").clone();
    let results = read_safetensors("outputs", &outputs).expect("safetensors");
    let (mut wrong, mut refused) = (Vec::new(), Vec::new());
    for case in all() {
        match (results.get(&case.name), said.get(&case.name)) {
            (Some(result), Some(None)) => {
                wrong.extend(case.check(result).err().map(|fault| format!("{}: {fault}", case.name)))
            }
            (None, Some(Some(words))) => refused.push(format!("{}: {words}", case.name)),
            _ => wrong.push(format!("{}: neither computed nor refused", case.name)),
        }
    }
    Some((wrong, refused))
}

/// Every case right, none refused.
async fn all_right(label: &str, backend: Backend, features: &[&str]) {
    if let Some((wrong, refused)) = run(label, backend, features).await {
        assert!(wrong.is_empty() && refused.is_empty(), "{label} {backend}: {wrong:#?} {refused:#?}");
    }
}

#[tokio::test]
async fn wasm_in_chromium() {
    all_right("chromium", Backend::Wasm, &[]).await;
}

#[tokio::test]
async fn wasm_in_firefox() {
    all_right("firefox", Backend::Wasm, &[]).await;
}

#[tokio::test]
async fn wasm_in_webkitgtk() {
    all_right("webkitgtk", Backend::Wasm, &[]).await;
}

#[tokio::test]
async fn webgpu_in_chromium() {
    all_right("chromium", Backend::WebGpu, &[]).await;
}

#[tokio::test]
async fn webgpu_in_firefox() {
    all_right("firefox", Backend::WebGpu, &[]).await;
}

/// WebNN has no ops on bits, and rings mean nothing in its ops: what packs bits, what reads
/// rows packed meanwhile and what goes round is refused, and nothing else.
#[tokio::test]
async fn webnn_in_chromium() {
    let Some((wrong, refused)) = run("chromium-webnn", Backend::WebNn, &[]).await else { return };
    let packs = |case: &str| {
        let is_packed = case.starts_with("quantize ") || case.starts_with("attention ");
        is_packed && case.contains("WebNN has no ops on bits")
    };
    let rings = |case: &str| case.contains(" ring") && case.contains("rings of keys and values");
    let others: Vec<&String> = refused.iter().filter(|case| !packs(case) && !rings(case)).collect();
    assert!(wrong.is_empty() && others.is_empty(), "{wrong:#?} {others:#?}");
    let must = |case: &Case| {
        let packed = matches!(case.op, Op::Quantize(_) | Op::Attention(Attention { packed: Some(_), .. }));
        packed || case.name.contains(" ring")
    };
    assert_eq!(refused.len(), all().iter().filter(|case| must(case)).count());
}

#[tokio::test]
async fn threads_in_chromium() {
    all_right("chromium", Backend::Wasm, &["threads-2"]).await;
}

#[tokio::test]
async fn threads_in_firefox() {
    all_right("firefox", Backend::Wasm, &["threads-2"]).await;
}

#[tokio::test]
async fn threads_in_webkitgtk() {
    all_right("webkitgtk", Backend::Wasm, &["threads-2"]).await;
}

#[tokio::test]
async fn relaxed_dot_in_chromium() {
    all_right("chromium", Backend::Wasm, &["relaxed-dot"]).await;
}

#[tokio::test]
async fn relaxed_dot_in_firefox() {
    all_right("firefox", Backend::Wasm, &["relaxed-dot"]).await;
}

/// Where a browser's language has no dot products of bytes, it is refused in so many words.
#[tokio::test]
async fn bytes_in_chromium() {
    all_right("chromium", Backend::WebGpu, &["dp4a"]).await;
}

/// Firefox's adapter has no subgroups, Chromium's software one no half precision.
#[tokio::test]
async fn subgroups_in_chromium() {
    all_right("chromium", Backend::WebGpu, &["subgroups"]).await;
}

#[tokio::test]
async fn half_precision_in_firefox() {
    all_right("firefox", Backend::WebGpu, &["shader-f16"]).await;
}
