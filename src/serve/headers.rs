//! What every response carries, whatever it is, and the check that every request passes first.

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Refusal;

/// A page may load itself, compile WebAssembly, and talk to us: nothing else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; \
     worker-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// Isolation (shared memory and fine timers need it) and hardening.
const ON_EVERY_RESPONSE: [(HeaderName, &str); 6] = [
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
];

/// The hosts by which a page of ours may call us: anything else is a page of someone else's whose
/// name was made to resolve to this machine (DNS rebinding).
#[derive(Clone, Debug)]
pub(super) struct OwnHosts([String; 2]);

impl OwnHosts {
    pub(super) fn of_port(port: u16) -> Self {
        Self([format!("127.0.0.1:{port}"), format!("localhost:{port}")])
    }

    fn contains(&self, host: &str) -> bool {
        self.0.iter().any(|own| own.eq_ignore_ascii_case(host))
    }
}

/// Refuses foreign hosts, and puts [`ON_EVERY_RESPONSE`] on what the inner service answers.
pub(super) async fn guard(State(hosts): State<OwnHosts>, request: Request, next: Next) -> Response {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = named.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    let mut response = match host {
        Some(host) if hosts.contains(host) => next.run(request).await,
        other => foreign_host(other, request.uri()).into_response(),
    };
    for (name, value) in ON_EVERY_RESPONSE {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let cache = response.headers_mut().entry(header::CACHE_CONTROL);
    cache.or_insert(HeaderValue::from_static("no-store"));
    response
}

fn foreign_host(host: Option<&str>, uri: &Uri) -> Refusal {
    tracing::warn!(?host, %uri, "refused a foreign host");
    Refusal::new(StatusCode::FORBIDDEN, "foreign host: this server answers its own pages only")
}
