//! The protocol's edges, request by request.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use tower::ServiceExt;
use webmatrix_wire::{Envelope, Job, JobKind, WIRE_VERSION};

use super::*;

const PORT: u16 = 4711;

#[derive(Default)]
struct Kept {
    messages: Mutex<Vec<u64>>,
    outputs: Mutex<Vec<Vec<u8>>>,
    beats: Mutex<u32>,
}

impl Inbox for Kept {
    fn messages(&self, _: &AttemptId, messages: Vec<Envelope>) -> std::io::Result<()> {
        let seqs = messages.iter().map(|envelope| envelope.seq);
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).extend(seqs);
        Ok(())
    }

    fn outputs(&self, _: &AttemptId, outputs: bytes::Bytes, _: &str) -> std::io::Result<()> {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner).push(outputs.to_vec());
        Ok(())
    }

    fn heartbeat(&self, _: &AttemptId) {
        *self.beats.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }
}

struct Bench {
    app: Router,
    attempts: Attempts,
    kept: Arc<Kept>,
    token: String,
}

fn bench() -> Bench {
    with(Attempts::default())
}

fn with(attempts: Attempts) -> Bench {
    let kept = Arc::new(Kept::default());
    let job = Job {
        wire_version: WIRE_VERSION,
        attempt: AttemptId("a1".to_owned()),
        title: "probe".to_owned(),
        deadline_ms: 1000,
        nonce: 5,
        variant: None,
        relaxed: None,
        kind: JobKind::Probe {},
    };
    let files = Files::from([
        ("config.json".to_owned(), FileSource::Bytes(bytes::Bytes::from_static(b"{}"))),
        (
            "model.safetensors".to_owned(),
            FileSource::Disk(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into()),
        ),
    ]);
    let token = attempts.open(job, files).unwrap_or_else(|error| panic!("{error}")).to_hex();
    let app = app(AppState { attempts: attempts.clone(), inbox: kept.clone(), port: PORT });
    Bench { app, attempts, kept, token }
}

impl Bench {
    async fn send(&self, request: Request<Body>) -> (StatusCode, header::HeaderMap, String) {
        let response = self.app.clone().oneshot(request).await.unwrap_or_else(|error| match error {});
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap_or_else(|error| panic!("{error}")).to_bytes();
        (parts.status, parts.headers, String::from_utf8_lossy(&bytes).into_owned())
    }

    fn request(&self, method: &str, path: &str, token: &str, body: impl Into<Body>) -> Request<Body> {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, format!("127.0.0.1:{PORT}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(body.into())
            .unwrap_or_else(|error| panic!("{error}"))
    }

    async fn call(&self, method: &str, path: &str, body: impl Into<Body>) -> (StatusCode, String) {
        let request = self.request(method, path, &self.token, body);
        let (status, _, text) = self.send(request).await;
        (status, text)
    }

    async fn post(&self, body: impl Into<Body>) -> (StatusCode, String) {
        self.call("POST", "/api/attempts/a1/messages", body).await
    }
}

fn batch(seqs: &[u64]) -> String {
    let messages: Vec<_> = seqs
        .iter()
        .map(|seq| {
            serde_json::json!({"seq": seq, "at_ms": 1.0, "message": {"sample": {"index": seq, "warmup": false, "ms": 2.0}}})
        })
        .collect();
    serde_json::json!({"wire_version": WIRE_VERSION, "attempt": "a1", "messages": messages}).to_string()
}

#[tokio::test]
async fn a_page_gets_its_job_and_files_and_nothing_else() {
    let bench = bench();
    let (status, job) = bench.call("GET", "/api/attempts/a1/job", "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(job.contains("\"nonce\":5"), "{job}");
    assert_eq!(
        bench.call("GET", "/api/attempts/a1/files/config.json", "").await,
        (StatusCode::OK, "{}".to_owned())
    );
    let (status, text) = bench.call("GET", "/api/attempts/a1/files/model.safetensors", "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.starts_with("[workspace]"));
    // Parts of either kind, and nothing that is no part of it.
    for (file, range, content_range, body) in [
        ("config.json", "bytes=0-0", "bytes 0-0/2", "{"),
        ("config.json", "bytes=1-99", "bytes 1-1/2", "}"),
        ("model.safetensors", "bytes=1-9", "", "workspace"),
    ] {
        let mut request = bench.request("GET", &format!("/api/attempts/a1/files/{file}"), &bench.token, "");
        request.headers_mut().insert(header::RANGE, header::HeaderValue::from_static(range));
        let (status, headers, text) = bench.send(request).await;
        assert_eq!((status, text.as_str()), (StatusCode::PARTIAL_CONTENT, body), "{file} {range}");
        let told =
            headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert!(told.starts_with("bytes ") && told.contains(content_range), "{told}");
    }
    for range in ["bytes=2-3", "bytes=1-0", "bytes=-1", "lines=0-0", "bytes=x-1"] {
        let mut request = bench.request("GET", "/api/attempts/a1/files/config.json", &bench.token, "");
        request.headers_mut().insert(header::RANGE, header::HeaderValue::from_static(range));
        let (status, _, text) = bench.send(request).await;
        assert_eq!((status, text.as_str()), (StatusCode::OK, "{}"), "{range}");
    }
    for path in ["..%2f..%2fetc%2fpasswd", "Cargo.toml", "%00"] {
        let (status, _) = bench.call("GET", &format!("/api/attempts/a1/files/{path}"), "").await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn repeats_are_acknowledged_and_kept_once() {
    let bench = bench();
    for seqs in [&[0, 1][..], &[0, 1], &[1, 2]] {
        let (status, text) = bench.post(batch(seqs)).await;
        assert_eq!((status, text.as_str()), (StatusCode::OK, "{\"accepted\":2}"));
    }
    assert_eq!(*bench.kept.messages.lock().unwrap_or_else(PoisonError::into_inner), [0, 1, 2]);
}

#[tokio::test]
async fn nonsense_is_answered_with_its_reason() {
    let bench = bench();
    let good = batch(&[0]);
    let mut answers = Vec::new();
    for bad in [
        "not json".to_owned(),
        good.replace("2.0", "NaN"),
        good.replace("2.0", "-2.0"),
        good.replace("2.0", "1e300"),
        good.replace("\"a1\"", "\"a2\""),
        good.replace(&format!("\"wire_version\":{WIRE_VERSION}"), "\"wire_version\":999"),
        good.replace("\"seq\":0", "\"seq\":7"),
        good.replace("\"sample\"", "\"simple\""),
    ] {
        let (status, text) = bench.post(bad).await;
        answers.push(format!("{} {text}", status.as_u16()));
    }
    insta::assert_snapshot!(answers.join("\n"), @r#"
    400 {"error":"not a batch: expected ident at line 1 column 2"}
    400 {"error":"not a batch: expected value at line 1 column 78"}
    422 {"error":"message 0: sample.ms is -2.0"}
    422 {"error":"message 0: sample.ms is 1e300"}
    422 {"error":"the batch is of attempt \"a2\", the address of another"}
    422 {"error":"wire version 999 is not the controller's 8: reload the page"}
    422 {"error":"message 7 came where 0 was due: something in between is lost"}
    400 {"error":"not a batch: unknown variant `simple`, expected one of `hello`, `progress`, `probe`, `loaded`, `backend`, `op_case`, `timing`, `sample`, `peer`, `pair`, `tokens`, `memory`, `metric`, `log`, `done`, `failed` at line 1 column 60"}
    "#);
    assert!(bench.kept.messages.lock().unwrap_or_else(PoisonError::into_inner).is_empty());
}

#[tokio::test]
async fn an_oversized_body_is_refused() {
    let bench = bench();
    let (status, text) = bench.post(vec![b' '; (1 << 20) + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(text.starts_with("{\"error\":"), "{text}");
}

#[tokio::test]
async fn only_the_live_token_of_the_attempt_opens_it() {
    let bench = bench();
    let zeros = "0".repeat(64);
    for (path, token) in [
        ("/api/attempts/a1/job", zeros.as_str()),
        ("/api/attempts/a1/job", ""),
        ("/api/attempts/a2/job", bench.token.as_str()),
    ] {
        let (status, _, text) = bench.send(bench.request("GET", path, token, "")).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {token}");
        assert!(text.contains("error"));
    }
    assert_eq!(bench.post(batch(&[0])).await.0, StatusCode::OK);
    bench.attempts.close(&AttemptId("a1".to_owned()));
    for (method, path) in [("POST", "messages"), ("POST", "heartbeat"), ("PUT", "outputs"), ("GET", "job")] {
        let (status, _) = bench.call(method, &format!("/api/attempts/a1/{path}"), batch(&[1])).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "dead token: {path}");
    }
}

#[tokio::test]
async fn a_foreign_host_is_forbidden() {
    let bench = bench();
    for host in ["evil.example", "127.0.0.1", "127.0.0.1:80", "localhost.evil.example:4711"] {
        let mut request = bench.request("GET", "/page/", "", "");
        request.headers_mut().insert(header::HOST, host.parse().unwrap_or_else(|_| panic!("{host}")));
        let (status, headers, _) = bench.send(request).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{host}");
        assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY));
    }
}

#[tokio::test]
async fn every_response_isolates_and_hardens() {
    let bench = bench();
    for (method, path) in [
        ("GET", "/page/"),
        ("GET", "/page/worker.js"),
        ("GET", "/page/nothing"),
        ("GET", "/harness/simd/nothing.wasm"),
        ("GET", "/nowhere"),
        ("DELETE", "/page/"),
        ("GET", "/api/attempts/a1/job"),
        ("GET", "/api/attempts/zz/job"),
        ("GET", "/api/attempts/a1/files/model.safetensors"),
        ("POST", "/api/attempts/a1/messages"),
    ] {
        let (_, headers, _) = bench.send(bench.request(method, path, &bench.token, "")).await;
        for (name, value) in [
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-embedder-policy", "require-corp"),
            ("cross-origin-resource-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(headers.get(name).and_then(|v| v.to_str().ok()), Some(value), "{method} {path}");
        }
        assert!(headers.contains_key(header::CACHE_CONTROL), "{method} {path}");
        let policy =
            headers.get(header::CONTENT_SECURITY_POLICY).and_then(|v| v.to_str().ok()).unwrap_or_default();
        assert!(policy.starts_with("default-src 'none'; script-src 'self' 'wasm-unsafe-eval';"), "{policy}");
    }
}

/// What a page imports cannot carry a token; and only what was registered is there.
#[tokio::test]
async fn another_runtime_is_served_to_every_page() {
    let source = FileSource::Bytes("export const x = 1;".into());
    let runtimes = BTreeMap::from([("other".to_owned(), Files::from([("x.mjs".to_owned(), source)]))]);
    let with = with(Attempts::with_runtimes(runtimes));
    let (status, headers, text) = with.send(with.request("GET", "/runtime/other/x.mjs", "", "")).await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, "export const x = 1;"));
    let of = |name: header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    assert_eq!(of(header::CONTENT_TYPE), "text/javascript; charset=utf-8");
    assert!(of(header::CONTENT_SECURITY_POLICY).contains("script-src 'self' 'unsafe-eval';"));
    for path in ["/runtime/other/y.mjs", "/runtime/else/x.mjs", "/runtime/other/..%2Fx.mjs"] {
        assert_eq!(with.send(with.request("GET", path, "", "")).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    let without = bench();
    let (status, ..) = without.send(without.request("GET", "/runtime/other/x.mjs", "", "")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_known_asset_is_not_sent_twice() {
    let bench = bench();
    let (status, headers, body) = bench.send(bench.request("GET", "/page/worker.js", "", "")).await;
    assert_eq!((status, body.is_empty()), (StatusCode::OK, false));
    let etag = headers.get(header::ETAG).cloned().unwrap_or_else(|| panic!("no etag"));
    let mut again = bench.request("GET", "/page/worker.js", "", "");
    again.headers_mut().insert(header::IF_NONE_MATCH, etag);
    let (status, _, body) = bench.send(again).await;
    assert_eq!((status, body.is_empty()), (StatusCode::NOT_MODIFIED, true));
}

#[tokio::test]
async fn outputs_come_once_and_before_the_end() {
    let bench = bench();
    let put = async |body: &'static str| bench.call("PUT", "/api/attempts/a1/outputs", body).await.0;
    assert_eq!(put("one").await, StatusCode::NO_CONTENT);
    assert_eq!(put("one").await, StatusCode::NO_CONTENT);
    assert_eq!(put("two").await, StatusCode::CONFLICT);
    assert_eq!(*bench.kept.outputs.lock().unwrap_or_else(PoisonError::into_inner), [b"one".to_vec()]);
    let done = batch(&[0]).replace(
        r#"{"sample":{"index":0,"ms":2.0,"warmup":false}}"#,
        r#"{"done":{"page_ms":1.0,"outputs":["x"]}}"#,
    );
    assert_eq!(bench.post(done).await.0, StatusCode::OK);
    assert_eq!(put("one").await, StatusCode::CONFLICT);
    assert_eq!(bench.post(batch(&[1])).await.0, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn heartbeats_are_passed_on() {
    let bench = bench();
    assert_eq!(bench.call("POST", "/api/attempts/a1/heartbeat", "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(*bench.kept.beats.lock().unwrap_or_else(PoisonError::into_inner), 1);
}
