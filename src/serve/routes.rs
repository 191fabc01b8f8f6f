//! The routes and their handlers.

use std::ops::Range;
use std::sync::Arc;

use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router, middleware};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tower_http::services::ServeFile;
use webmatrix_wire::{AttemptId, Batch, Job, Receipt};

use super::attempts::{Attempts, FileSource, Live};
use super::headers::{Rules, guard};
use super::{Inbox, Refusal, assets, check};

/// A batch is some hundred small messages; a probe with every limit is some tens of KiB.
const MESSAGES_LIMIT: usize = 1 << 20;
/// The logits of a base-size decoder over a long prompt are some tens of MiB.
const OUTPUTS_LIMIT: usize = 256 << 20;

/// What the handlers share.
#[derive(Clone)]
pub struct AppState {
    /// The attempts that are served.
    pub attempts: Attempts,
    /// Who keeps what they say.
    pub inbox: Arc<dyn Inbox>,
    /// The port by which pages must call us.
    pub port: u16,
}

/// The whole server as a function from request to response.
pub fn app(state: AppState) -> Router {
    let rules = Rules::new(state.port, state.attempts.have_runtimes());
    let messages = post(messages).layer(DefaultBodyLimit::max(MESSAGES_LIMIT));
    let outputs = put(outputs).layer(DefaultBodyLimit::max(OUTPUTS_LIMIT));
    Router::new()
        .route("/page/", get(page))
        .route("/page/{file}", get(page_file))
        .route("/harness/{*path}", get(harness))
        .route("/runtime/{runtime}/{file}", get(runtime))
        .route("/api/attempts/{attempt}/job", get(job))
        .route("/api/attempts/{attempt}/files/{file}", get(file))
        .route("/api/attempts/{attempt}/messages", messages)
        .route("/api/attempts/{attempt}/heartbeat", post(heartbeat))
        .route("/api/attempts/{attempt}/outputs", outputs)
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "no such address"))
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "no such method here")
        })
        .layer(middleware::from_fn_with_state(rules, guard))
        .with_state(state)
}

async fn page(headers: HeaderMap) -> Result<Response, Refusal> {
    asset("page/harness.html", &headers)
}

async fn page_file(Path(file): Path<String>, headers: HeaderMap) -> Result<Response, Refusal> {
    asset(&format!("page/{file}"), &headers)
}

async fn harness(Path(path): Path<String>, headers: HeaderMap) -> Result<Response, Refusal> {
    asset(&format!("harness/{path}"), &headers)
}

/// The files of one process never change and its port is its own, so a page loaded again in a running
/// browser takes the harness, compiled, from the browser's cache without asking.
fn asset(path: &str, headers: &HeaderMap) -> Result<Response, Refusal> {
    let asset =
        assets::get(path).ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, format!("no file {path:?}")))?;
    let cached =
        headers.get(header::IF_NONE_MATCH).is_some_and(|etag| etag.as_bytes() == asset.etag.as_bytes());
    let cache = if path.starts_with("harness/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = if cached {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, asset.content_type)], Bytes::from_static(asset.bytes)).into_response()
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(etag) = HeaderValue::from_str(&asset.etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    Ok(response)
}

/// The attempt that a request is about, if its token says so.
fn authorise(state: &AppState, attempt: &str, headers: &HeaderMap) -> Result<Arc<Live>, Refusal> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    state.attempts.authorised(attempt, token).ok_or_else(|| {
        // The last heartbeats of a page regularly come after its attempt: no cause for alarm.
        tracing::info!(attempt, "refused: unknown attempt, wrong or dead token");
        Refusal::unauthorised()
    })
}

async fn job(
    State(state): State<AppState>,
    Path(attempt): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Job>, Refusal> {
    Ok(Json(authorise(&state, &attempt, &headers)?.job.clone()))
}

async fn file(
    State(state): State<AppState>,
    Path((attempt, name)): Path<(String, String)>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Refusal> {
    let live = authorise(&state, &attempt, &headers)?;
    let missing = Refusal::new(StatusCode::NOT_FOUND, format!("the attempt has no file {name:?}"));
    registered(live.files.get(&name), &name, missing, request).await
}

/// Another runtime's files are the same for every page, and nobody's secret.
async fn runtime(
    State(state): State<AppState>,
    Path((runtime, name)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let missing = Refusal::new(StatusCode::NOT_FOUND, format!("no file {name:?} of runtime {runtime:?}"));
    registered(state.attempts.of_runtime(&runtime, &name), &name, missing, request).await
}

/// A file that was registered, or `missing`.
async fn registered(
    source: Option<&FileSource>,
    name: &str,
    missing: Refusal,
    request: Request,
) -> Result<Response, Refusal> {
    let content_type = [(header::CONTENT_TYPE, assets::content_type(name))];
    match source {
        None => Err(missing),
        Some(FileSource::Bytes(bytes)) => match part(request.headers(), bytes.len()) {
            None => Ok((content_type, bytes.clone()).into_response()),
            Some(asked) => {
                let range = format!("bytes {}-{}/{}", asked.start, asked.end - 1, bytes.len());
                let range = [(header::CONTENT_RANGE, range)];
                Ok((StatusCode::PARTIAL_CONTENT, content_type, range, bytes.slice(asked)).into_response())
            }
        },
        Some(FileSource::Disk(path)) => match ServeFile::new(path).try_call(request).await {
            Ok(response) if response.status().is_success() => Ok((content_type, response).into_response()),
            outcome => {
                let status = outcome.map(|answer| answer.status());
                tracing::error!(name, ?path, ?status, "cannot serve a registered file");
                Err(missing)
            }
        },
    }
}

/// The bytes that a request asks for, of a file of so many; none for all of them, and for whatever else a range may say.
fn part(headers: &HeaderMap, length: usize) -> Option<Range<usize>> {
    let (from, to) = headers.get(header::RANGE)?.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
    let (from, to): (usize, usize) = (from.parse().ok()?, to.parse().ok()?);
    (from <= to && from < length).then(|| from..to.saturating_add(1).min(length))
}

async fn messages(
    State(state): State<AppState>,
    Path(attempt): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Receipt>, Refusal> {
    let live = authorise(&state, &attempt, &headers)?;
    let refuse = |status, reason: String| {
        tracing::warn!(attempt, reason, "refused a batch");
        Refusal::new(status, reason)
    };
    let body = body.map_err(|error| refuse(error.status(), error.body_text()))?;
    let batch: Batch = serde_json::from_slice(&body)
        .map_err(|error| refuse(StatusCode::BAD_REQUEST, format!("not a batch: {error}")))?;
    let accepted = batch.messages.len() as u64;
    let mut spoken = live.spoken.lock().await;
    let new = check::fresh(batch, &attempt, spoken.next, spoken.ended)
        .map_err(|error| refuse(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    if let Some(last) = new.last() {
        let (next, ended) = (last.seq + 1, check::is_last(&last.message));
        // No await from here to the end: a request dropped half-way must not lose its place.
        state.inbox.messages(&AttemptId(attempt.clone()), new).map_err(|error| not_kept(&attempt, &error))?;
        spoken.next = next;
        spoken.ended = ended;
    }
    Ok(Json(Receipt { accepted }))
}

async fn heartbeat(
    State(state): State<AppState>,
    Path(attempt): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    authorise(&state, &attempt, &headers)?;
    state.inbox.heartbeat(&AttemptId(attempt));
    Ok(StatusCode::NO_CONTENT)
}

async fn outputs(
    State(state): State<AppState>,
    Path(attempt): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Refusal> {
    let live = authorise(&state, &attempt, &headers)?;
    let body = body.map_err(|error| {
        tracing::warn!(attempt, %error, "refused outputs");
        Refusal::new(error.status(), error.body_text())
    })?;
    let mut spoken = live.spoken.lock().await;
    let conflict = |reason: &str| {
        tracing::warn!(attempt, reason, "refused outputs");
        Refusal::new(StatusCode::CONFLICT, reason)
    };
    if spoken.ended {
        return Err(conflict("the attempt has said its last word: outputs come before it"));
    }
    let inbox = state.inbox.clone();
    let id = AttemptId(attempt.clone());
    let known = spoken.outputs.clone();
    let kept = tokio::task::spawn_blocking(move || {
        let sha256 = hex::encode(Sha256::digest(&body));
        if known.is_none() {
            inbox.outputs(&id, body, &sha256)?;
        }
        std::io::Result::Ok(sha256)
    });
    let sha256 =
        kept.await.map_err(std::io::Error::other).flatten().map_err(|error| not_kept(&attempt, &error))?;
    match &spoken.outputs {
        Some(known) if *known != sha256 => Err(conflict("other outputs are already in")),
        _ => {
            spoken.outputs = Some(sha256);
            Ok(StatusCode::NO_CONTENT)
        }
    }
}

fn not_kept(attempt: &str, error: &std::io::Error) -> Refusal {
    tracing::error!(attempt, %error, "cannot keep what a page said");
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "cannot be kept: see the controller's log")
}
