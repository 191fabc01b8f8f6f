//! A WebDriver client of a few lines, for what the full one cannot do.
//!
//! fantoccini adds Chrome's capability to every browser's New Session and forgets the message of an
//! error it does not know (`tab crashed`); and because it runs one command after another, a hung one
//! blocks it for good. So sessions begin, are looked at, and end through this client; everything
//! between goes through fantoccini.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// The largest reply read: a screenshot of a large window in base64.
const REPLY_LIMIT: usize = 64 << 20;

/// A connection to one WebDriver remote end.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    base: String,
    client: Client<HttpConnector, Body>,
}

/// What can go wrong with one command.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// Nobody listens, or the connection broke.
    #[error("the driver cannot be reached: {0}")]
    Unreachable(String),
    /// No reply in time.
    #[error("no reply within {} ms", .0.as_millis())]
    Late(Duration),
    /// The remote end's own words.
    #[error("{error}: {message}")]
    Remote {
        /// The protocol's error code.
        error: String,
        /// The explanation.
        message: String,
    },
    /// Not WebDriver.
    #[error("the reply is not WebDriver: {0}")]
    Malformed(String),
}

impl Wire {
    /// A client for the remote end at `base` (`http://127.0.0.1:4444`); nothing is sent yet.
    pub(super) fn new(base: &str) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Self { base: base.trim_end_matches('/').to_owned(), client }
    }

    /// Sends one command and returns the reply's `value`.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        deadline: Duration,
    ) -> Result<Value, WireError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
            .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))
            .map_err(|error| WireError::Malformed(error.to_string()))?;
        tokio::time::timeout(deadline, self.exchange(request)).await.unwrap_or(Err(WireError::Late(deadline)))
    }

    async fn exchange(&self, request: Request<Body>) -> Result<Value, WireError> {
        let unreachable = |error: &dyn std::error::Error| {
            let why = error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
            WireError::Unreachable(why)
        };
        let response = self.client.request(request).await.map_err(|error| unreachable(&error))?;
        let succeeded = response.status().is_success();
        let bytes = axum::body::to_bytes(Body::new(response.into_body()), REPLY_LIMIT)
            .await
            .map_err(|error| unreachable(&error))?;
        let malformed = || WireError::Malformed(String::from_utf8_lossy(&bytes).chars().take(200).collect());
        let mut reply: Value = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
        let value = reply.get_mut("value").map(Value::take).ok_or_else(malformed)?;
        if succeeded {
            return Ok(value);
        }
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let error = text("error").ok_or_else(malformed)?;
        Err(WireError::Remote { error, message: text("message").unwrap_or_default() })
    }
}
