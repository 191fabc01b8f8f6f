//! The dashboard's server: one page, and a stream that tells of changes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use futures_util::Stream;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::serve::OwnHosts;

/// Whoever listens to nothing for longer may have been forgotten by something in between.
const STILL_HERE: Duration = Duration::from_secs(15);

const ON_EVERY_RESPONSE: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What is shown, and how far the run is.
#[derive(Clone, Debug)]
pub struct Page {
    /// The document.
    pub html: Arc<str>,
    /// What its readers are told.
    pub progress: Progress,
}

/// How far the run that is shown is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Another one means that the document is another one.
    pub version: String,
    /// The run; none where there is none yet.
    pub run: Option<String>,
    /// It has not ended.
    pub running: bool,
    /// Cells with a verdict.
    pub decided: usize,
    /// Its cells.
    pub cells: usize,
}

/// A dashboard that listens and does not answer yet.
#[derive(Debug)]
pub struct Dashboard {
    listener: TcpListener,
    address: SocketAddr,
}

impl Dashboard {
    /// Listens; port 0 is any free one.
    pub async fn bind(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { address: listener.local_addr()?, listener })
    }

    /// Where.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is dropped.
    pub async fn serve(self, pages: watch::Receiver<Page>) -> std::io::Result<()> {
        axum::serve(self.listener, app(pages, OwnHosts::of_address(self.address))).await
    }
}

/// The whole server as a function from request to response. It changes nothing, whoever asks.
fn app(pages: watch::Receiver<Page>, hosts: OwnHosts) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/events", get(events))
        .fallback(async || (StatusCode::NOT_FOUND, "no such address\n"))
        .layer(middleware::from_fn_with_state(hosts, guard))
        .with_state(pages)
}

async fn guard(State(hosts): State<OwnHosts>, request: Request, next: Next) -> Response {
    let mut response = if !hosts.are_named(&request) {
        (StatusCode::FORBIDDEN, "foreign host: a dashboard answers by its own address only\n").into_response()
    } else if matches!(*request.method(), Method::GET | Method::HEAD) {
        next.run(request).await
    } else {
        (StatusCode::METHOD_NOT_ALLOWED, "a dashboard is for reading\n").into_response()
    };
    for (name, value) in ON_EVERY_RESPONSE {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn page(State(pages): State<watch::Receiver<Page>>) -> Html<String> {
    Html(pages.borrow().html.to_string())
}

/// What is so now, at once, and then every change.
async fn events(
    State(mut pages): State<watch::Receiver<Page>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    pages.mark_changed();
    let stream = futures_util::stream::unfold(pages, async |mut pages| {
        pages.changed().await.ok()?;
        let progress = pages.borrow_and_update().progress.clone();
        let event = Event::default().event("state").json_data(&progress).ok()?;
        Some((Ok(event), pages))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(STILL_HERE))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures_util::StreamExt;
    use tower::ServiceExt;

    use super::*;

    fn shown(version: &str) -> Page {
        let progress = Progress { version: version.into(), run: None, running: true, decided: 1, cells: 2 };
        Page { html: "<title>here</title>".into(), progress }
    }

    fn served_at(address: [u8; 4]) -> (watch::Sender<Page>, Router) {
        let (sender, pages) = watch::channel(shown("a"));
        (sender, app(pages, OwnHosts::of_address(SocketAddr::from((address, 80)))))
    }

    fn served() -> (watch::Sender<Page>, Router) {
        served_at([127, 0, 0, 1])
    }

    async fn ask(router: Router, method: &str, path: &str, host: &str) -> Response {
        let request = Request::builder().method(method).uri(path).header("host", host).body(Body::empty());
        let request = request.unwrap_or_else(|error| panic!("{error}"));
        router.oneshot(request).await.unwrap_or_else(|error| match error {})
    }

    #[tokio::test]
    async fn it_is_read_by_its_own_address_and_nothing_else() {
        let (_sender, router) = served();
        for (method, path, host, status) in [
            ("GET", "/", "127.0.0.1:80", 200),
            ("GET", "/", "localhost:80", 200),
            ("GET", "/", "evil.example", 403),
            ("GET", "/", "127.0.0.1.evil.example:80", 403),
            ("GET", "/events", "evil.example:80", 403),
            ("POST", "/", "127.0.0.1:80", 405),
            ("DELETE", "/events", "127.0.0.1:80", 405),
            ("GET", "/../etc/passwd", "127.0.0.1:80", 404),
        ] {
            let response = ask(router.clone(), method, path, host).await;
            assert_eq!(response.status().as_u16(), status, "{method} {path} {host}");
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        }
    }

    #[tokio::test]
    async fn at_every_address_of_the_machine_no_name_of_someone_elses_is_one() {
        for (address, host, status) in [
            ([0, 0, 0, 0], "192.168.1.5:80", 200),
            ([0, 0, 0, 0], "[fe80::1]:80", 200),
            ([0, 0, 0, 0], "192.168.1.5:81", 403),
            ([0, 0, 0, 0], "evil.example:80", 403),
            ([192, 168, 1, 5], "192.168.1.5:80", 200),
            ([192, 168, 1, 5], "192.168.1.6:80", 403),
        ] {
            let (_sender, router) = served_at(address);
            let response = ask(router, "GET", "/", host).await;
            assert_eq!(response.status().as_u16(), status, "{address:?} {host}");
        }
    }

    #[tokio::test]
    async fn changes_are_told_as_they_come() {
        let (sender, router) = served();
        let response = ask(router, "GET", "/events", "127.0.0.1:80").await;
        let mut body = response.into_body().into_data_stream();
        let mut next = async || {
            let chunk = body.next().await.and_then(Result::ok).unwrap_or_default();
            String::from_utf8_lossy(&chunk).into_owned()
        };
        let first = next().await;
        assert!(first.contains("event: state") && first.contains("\"version\":\"a\""), "{first}");
        sender.send_replace(shown("b"));
        assert!(next().await.contains("\"version\":\"b\""));
    }
}
