//! Sessions against a scripted remote end: what is sent, and what every kind of failure becomes.

use std::time::{Duration, Instant};

use serde_json::json;
use webmatrix::discover::{Channel, Installed, Source};
use webmatrix::plan::axis::BrowserKind;
use webmatrix::session::{
    Ending, Health, LaunchSpec, Session, SessionError, Surroundings, attach, capabilities,
};

use crate::remote_end::{Answer, RemoteEnd};

fn spec(kind: BrowserKind) -> LaunchSpec {
    let browser = Installed {
        label: kind.as_str().to_owned(),
        kind,
        channel: Channel::Stable,
        version: None,
        path: "/a/browser".into(),
        source: Source::Flag,
        driver: None,
        problems: Vec::new(),
    };
    let mut spec = LaunchSpec::new(browser, "unused".into());
    let brief = Duration::from_millis(200);
    spec.deadlines.new_session = brief;
    spec.deadlines.page_load = brief;
    spec.deadlines.command = brief;
    spec.deadlines.health = brief;
    spec.deadlines.close = brief;
    spec
}

async fn session(kind: BrowserKind) -> (RemoteEnd, Box<dyn Session>) {
    let end = RemoteEnd::start().await;
    let session = attach(&spec(kind), &end.url).await.expect("the remote end agrees");
    (end, session)
}

#[tokio::test]
async fn every_kind_sends_exactly_its_capabilities() {
    for kind in BrowserKind::ALL {
        let (end, session) = session(kind).await;
        let asked = capabilities(&spec(kind), Surroundings::here());
        assert_eq!(end.heard("new"), [json!({ "capabilities": { "alwaysMatch": asked } })], "{kind}");
        assert_eq!(session.facts().asked, asked);
        assert_eq!(session.facts().browser_version, "1.2.3");
    }
}

#[tokio::test]
async fn commands_reach_the_remote_end_and_the_session_is_ended_once() {
    let (end, mut session) = session(BrowserKind::Safari).await;
    end.on("execute/sync", Answer::Value(json!(42))).on("screenshot", Answer::Value(json!("iVBORw0KGgo=")));
    session.open("http://127.0.0.1:1/page").await.expect("navigates");
    assert_eq!(end.heard("url"), [json!({ "url": "http://127.0.0.1:1/page" })]);
    assert_eq!(session.execute("return 42").await.expect("runs"), 42);
    assert!(session.screenshot().await.expect("taken").starts_with(b"\x89PNG"));
    assert_eq!(session.health().await, Health::Alive);
    let closed = session.close().await;
    assert_eq!(closed.how, Ending::Graceful);
    assert_eq!(end.heard("delete").len(), 1);
}

/// What a failed navigation becomes when the remote end, asked how it is, says `answer`.
async fn after_failure(answer: Answer) -> SessionError {
    let (end, mut session) = session(BrowserKind::Edge).await;
    end.on("url", Answer::Error("unknown error", "something broke")).on("get url", answer);
    session.open("http://127.0.0.1:1/").await.expect_err("scripted to fail")
}

#[tokio::test]
async fn failures_are_told_apart() {
    let error = after_failure(Answer::Error("tab crashed", "tab crashed")).await;
    assert!(matches!(error, SessionError::TabCrashed { .. }), "{error}");
    let error = after_failure(Answer::Error("invalid session id", "")).await;
    assert!(matches!(error, SessionError::BrowserGone { .. }), "{error}");
    let error = after_failure(Answer::Value(json!("about:blank"))).await;
    assert!(matches!(error, SessionError::Command { .. }), "{error}");
    assert!(error.to_string().contains("something broke"), "{error}");
}

#[tokio::test]
async fn a_hung_command_ends_at_its_deadline_and_close_at_its_own() {
    let (end, mut session) = session(BrowserKind::Safari).await;
    end.on("url", Answer::Hang).on("delete", Answer::Hang);
    let started = Instant::now();
    let error = session.open("http://127.0.0.1:1/").await.expect_err("never answered");
    assert!(matches!(error, SessionError::Hung { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    // The hung command blocks fantoccini's queue; health and close go around it.
    assert_eq!(session.health().await, Health::Alive);
    let closed = session.close().await;
    assert!(matches!(closed.how, Ending::Killed { .. }));
    assert!(closed.took < Duration::from_secs(1), "{closed:?}");
}

#[tokio::test]
async fn the_browsers_own_timeout_is_a_hung_page() {
    let (end, mut session) = session(BrowserKind::Edge).await;
    end.on("url", Answer::Error("timeout", "timed out receiving message from renderer"));
    let error = session.open("http://127.0.0.1:1/").await.expect_err("timed out");
    assert!(matches!(error, SessionError::Hung { .. }), "{error}");
}

#[tokio::test]
async fn a_refused_session_carries_the_drivers_words_and_the_remedy() {
    let end = RemoteEnd::start().await;
    let refusal =
        |answer| async { attach(&spec(BrowserKind::Safari), &end.on("new", answer).url).await.err() };
    let words = "Could not create a session: You must enable 'Allow remote automation' in the settings";
    let error = refusal(Answer::Error("session not created", words)).await.expect("refused").to_string();
    assert_eq!(error, format!("safari did not start: {words}; run `safaridriver --enable` once"));

    let error = refusal(Answer::Nonsense).await.expect("not understood");
    assert!(matches!(error, SessionError::Refused { .. }), "{error}");
    let error = refusal(Answer::Value(json!({ "capabilities": {} }))).await.expect("no session");
    assert!(error.to_string().contains("names no session"), "{error}");
    let error = refusal(Answer::Hang).await.expect("hung");
    assert!(matches!(error, SessionError::StartHung { .. }), "{error}");
}

#[tokio::test]
async fn nobody_listening_is_not_waited_for() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let started = Instant::now();
    let error = attach(&spec(BrowserKind::Edge), &url).await.err().expect("nobody there");
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(1));
}
