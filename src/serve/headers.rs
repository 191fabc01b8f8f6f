//! What every response carries, whatever it is, and the check that every request passes first.

use std::net::SocketAddr;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Refusal;

/// A page may load itself, compile WebAssembly, and talk to us: nothing else.
macro_rules! content_security_policy {
    ($script:literal) => {
        concat!(
            "default-src 'none'; script-src 'self' ",
            $script,
            "; worker-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'"
        )
    };
}

/// Ours needs no more.
const STRICT: &str = content_security_policy!("'wasm-unsafe-eval'");
/// onnxruntime-web's device backends make functions from strings.
const WITH_RUNTIMES: &str = content_security_policy!("'unsafe-eval'");

/// Isolation (shared memory and fine timers need it) and hardening.
const ON_EVERY_RESPONSE: [(HeaderName, &str); 5] = [
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// The hosts by which a page of ours may call us: anything else is a page of someone else's whose
/// name was made to resolve to this machine (DNS rebinding).
#[derive(Clone, Debug)]
pub struct OwnHosts {
    names: Vec<String>,
    /// The port by which any address in digits is ours too.
    digits: Option<u16>,
}

impl OwnHosts {
    fn of_port(port: u16) -> Self {
        Self { names: vec![format!("127.0.0.1:{port}"), format!("localhost:{port}")], digits: None }
    }

    /// Of a server that listens at this address, or at all of the machine's: nobody can make a name of their own be an
    /// address in digits.
    pub fn of_address(address: SocketAddr) -> Self {
        let mut hosts = Self::of_port(address.port());
        hosts.names.push(address.to_string());
        hosts.digits = address.ip().is_unspecified().then_some(address.port());
        hosts
    }

    /// Whether a request names one of them.
    pub fn are_named(&self, request: &Request) -> bool {
        named(request).is_some_and(|host| self.contains(host))
    }

    fn contains(&self, host: &str) -> bool {
        let in_digits =
            |port| host.parse::<SocketAddr>().is_ok_and(|address: SocketAddr| address.port() == port);
        self.names.iter().any(|own| own.eq_ignore_ascii_case(host)) || self.digits.is_some_and(in_digits)
    }
}

/// The host that a request names.
fn named(request: &Request) -> Option<&str> {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    named.or_else(|| request.uri().authority().map(|authority| authority.as_str()))
}

/// What a server holds every request to.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    hosts: OwnHosts,
    policy: &'static str,
}

impl Rules {
    /// Of a server on `port`, whose pages import other runtimes or do not.
    pub(super) fn new(port: u16, runtimes: bool) -> Self {
        Self { hosts: OwnHosts::of_port(port), policy: if runtimes { WITH_RUNTIMES } else { STRICT } }
    }
}

/// Refuses foreign hosts, and puts [`ON_EVERY_RESPONSE`] on what the inner service answers.
pub(super) async fn guard(
    State(Rules { hosts, policy }): State<Rules>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = if hosts.are_named(&request) {
        next.run(request).await
    } else {
        foreign_host(named(&request), request.uri()).into_response()
    };
    for (name, value) in ON_EVERY_RESPONSE {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    let cache = response.headers_mut().entry(header::CACHE_CONTROL);
    cache.or_insert(HeaderValue::from_static("no-store"));
    response
}

fn foreign_host(host: Option<&str>, uri: &Uri) -> Refusal {
    tracing::warn!(?host, %uri, "refused a foreign host");
    Refusal::new(StatusCode::FORBIDDEN, "foreign host: this server answers its own pages only")
}
