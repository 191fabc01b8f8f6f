//! The answer to a request that is not accepted.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// A 4xx or 5xx with its reason, as JSON `{"error": …}`.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    reason: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }

    /// One answer for an unknown attempt, a wrong token and a dead one: it tells nothing apart.
    pub(super) fn unauthorised() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "no such attempt, or its token is wrong or dead")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(serde_json::json!({ "error": self.reason }))).into_response()
    }
}
