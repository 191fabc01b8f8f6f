//! A WebDriver remote end that does what a test's script says: how drivers that cannot be had here are
//! proven, and how the ones that can are made to fail on purpose.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

/// What the remote end does with a command.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Succeeds with this value.
    Value(Value),
    /// Fails with an error code and a message.
    Error(&'static str, &'static str),
    /// Never answers.
    Hang,
    /// Answers with something that is not WebDriver.
    Nonsense,
}

/// The remote end. Commands are named as their URLs end: `new`, `url`, `execute/sync`, `screenshot`,
/// `delete`; reading the address is `get url`.
#[derive(Clone)]
pub(crate) struct RemoteEnd {
    script: Arc<Mutex<BTreeMap<&'static str, Answer>>>,
    heard: Arc<Mutex<Vec<(String, Value)>>>,
    pub(crate) url: String,
}

impl RemoteEnd {
    /// Serves on loopback until the test's runtime ends.
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let remote_end = Self { script: Arc::default(), heard: Arc::default(), url };
        let app = Router::new()
            .route("/status", get(|| async { Json(json!({ "value": { "ready": true, "message": "" } })) }))
            .route("/session", post(new_session))
            .route("/session/{id}", any(end_session))
            .route("/session/{id}/{*command}", any(command))
            .with_state(remote_end.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        remote_end
    }

    /// From now on, answers `command` like this.
    pub(crate) fn on(&self, command: &'static str, answer: Answer) -> &Self {
        self.script.lock().expect("no test panics holding it").insert(command, answer);
        self
    }

    /// The bodies that came with `command`.
    pub(crate) fn heard(&self, command: &str) -> Vec<Value> {
        let heard = self.heard.lock().expect("no test panics holding it");
        heard.iter().filter(|(name, _)| name == command).map(|(_, body)| body.clone()).collect()
    }

    async fn answer(&self, command: &str, body: Value, default: Value) -> Response {
        self.heard.lock().expect("no test panics holding it").push((command.to_owned(), body));
        let scripted = self.script.lock().expect("no test panics holding it").get(command).cloned();
        match scripted.unwrap_or(Answer::Value(default)) {
            Answer::Value(value) => Json(json!({ "value": value })).into_response(),
            Answer::Error(error, message) => {
                let value = json!({ "error": error, "message": message, "stacktrace": "" });
                (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "value": value }))).into_response()
            }
            Answer::Hang => std::future::pending().await,
            Answer::Nonsense => "<html>a captive portal</html>".into_response(),
        }
    }
}

async fn new_session(State(end): State<RemoteEnd>, Json(body): Json<Value>) -> Response {
    let capabilities = json!({
        "browserName": "scripted", "browserVersion": "1.2.3", "platformName": "nowhere",
    });
    end.answer("new", body, json!({ "sessionId": "s1", "capabilities": capabilities })).await
}

async fn end_session(State(end): State<RemoteEnd>) -> Response {
    end.answer("delete", Value::Null, Value::Null).await
}

async fn command(
    State(end): State<RemoteEnd>,
    method: axum::http::Method,
    Path((_, command)): Path<(String, String)>,
    body: String,
) -> Response {
    let name =
        if method == axum::http::Method::GET && command == "url" { "get url".to_owned() } else { command };
    let body = serde_json::from_str(&body).unwrap_or(Value::Null);
    let default = if name == "get url" { json!("about:blank") } else { Value::Null };
    end.answer(&name, body, default).await
}
