//! Real browsers: they start, open pages, die in every way, and leave nothing.
//!
//! A browser that is not installed is said to be missing, and is a failure where
//! `WEBMATRIX_REQUIRE_BROWSERS=1` promises it.

use std::time::Duration;

use webmatrix::discover::{ThisMachine, UserBrowsers, discover, select};
use webmatrix::session::{Ending, Health, LaunchSpec, Session, SessionError, start};

const PAGE: &str = "data:text/html,<title>here</title><p>A page</p>";

/// A launch of the browser called `label`, or `None` where it is missing and may be.
fn spec(label: &str) -> Option<(LaunchSpec, tempfile::TempDir)> {
    let installed = discover(&ThisMachine, &UserBrowsers::default(), &[]);
    let selection = select(&[label], &installed);
    if let Some(absent) = selection.absent.first() {
        let required = std::env::var("WEBMATRIX_REQUIRE_BROWSERS").is_ok_and(|value| value == "1");
        assert!(!required, "{}", absent.reason);
        eprintln!("missing, so not tested: {}", absent.reason);
        return None;
    }
    let logs = tempfile::tempdir().expect("a temporary folder");
    Some((LaunchSpec::new(selection.found[0].browser.clone(), logs.path().to_owned()), logs))
}

/// Processes (without zombies) that mention `text` in their command line or environment.
fn mentioning(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let args = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let environment = String::from_utf8_lossy(&read("environ")).into_owned();
        if args.contains(text) || environment.contains(text) {
            found.push(args);
        }
    }
    found
}

/// The session's own folder, from the environment it was given.
fn folder(session: &dyn Session) -> String {
    let environment = &session.facts().environment;
    environment.iter().find(|(name, _)| name == "TMPDIR").expect("every session has one").1.clone()
}

fn kill(pid: u32) {
    let killed = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
}

async fn started(label: &str) -> Option<(Box<dyn Session>, tempfile::TempDir)> {
    let (spec, logs) = spec(label)?;
    let session = start(&spec).await.unwrap_or_else(|error| panic!("{label}: {error}"));
    Some((session, logs))
}

/// Health is not instant: a killed process is seen as dead a moment later.
async fn becomes(session: &mut dyn Session, expected: Health) {
    let mut health = session.health().await;
    for _ in 0..50 {
        if health == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        health = session.health().await;
    }
    panic!("{health:?}, not {expected:?}");
}

async fn opens_a_page_and_leaves_nothing(label: &str) {
    let Some((mut session, _logs)) = started(label).await else { return };
    let folder = folder(session.as_ref());
    session.open(PAGE).await.unwrap_or_else(|error| panic!("{label}: {error}"));
    assert_eq!(session.health().await, Health::Alive);
    let title = session.execute("return document.title").await.expect("a script runs");
    assert_eq!(title, "here");
    let png = session.screenshot().await.expect("a screenshot");
    assert!(png.starts_with(b"\x89PNG"));

    let facts = session.facts();
    assert!(!facts.browser_version.is_empty());
    assert!(facts.browser_pid.is_some() && facts.driver_pid.is_some());
    assert_eq!(facts.flags.missing, [""; 0], "{:?}", facts.flags.effective);
    println!(
        "{label} {}: driver {:?}, session {:?}, usage {:?}",
        facts.browser_version,
        facts.driver_time,
        facts.session_time,
        session.usage()
    );
    assert!(session.usage().is_some_and(|usage| usage.processes > 1 && usage.cpu > Duration::ZERO));
    assert!(!mentioning(&folder).is_empty());

    let closed = session.close().await;
    println!("{label} {closed:?}");
    assert_eq!(closed.how, Ending::Graceful);
    assert_eq!(mentioning(&folder), [""; 0]);
    assert!(!std::path::Path::new(&folder).exists());
}

async fn tells_what_was_killed(label: &str) {
    let Some((mut session, _logs)) = started(label).await else { return };
    let folder = folder(session.as_ref());
    kill(session.facts().browser_pid.expect("a browser's pid"));
    becomes(session.as_mut(), Health::BrowserGone).await;
    let error = session.open(PAGE).await.expect_err("nobody is there");
    assert!(matches!(error, SessionError::BrowserGone { .. }), "{error}");
    println!("{label} after its browser was killed: {:?}", session.close().await);
    assert_eq!(mentioning(&folder), [""; 0]);

    let Some((mut session, _logs)) = started(label).await else { return };
    let folder = self::folder(session.as_ref());
    kill(session.facts().driver_pid.expect("a driver's pid"));
    becomes(session.as_mut(), Health::DriverGone).await;
    let error = session.open(PAGE).await.expect_err("nobody is there");
    assert!(matches!(error, SessionError::DriverGone { .. }), "{error}");
    let closed = session.close().await;
    println!("{label} after its driver was killed: {closed:?}");
    assert!(matches!(closed.how, Ending::Killed { .. }));
    assert_eq!(mentioning(&folder), [""; 0]);
}

#[tokio::test]
async fn chromium_opens_a_page_and_leaves_nothing() {
    opens_a_page_and_leaves_nothing("chromium").await;
}

#[tokio::test]
async fn firefox_opens_a_page_and_leaves_nothing() {
    opens_a_page_and_leaves_nothing("firefox").await;
}

#[tokio::test]
async fn webkitgtk_opens_a_page_and_leaves_nothing() {
    opens_a_page_and_leaves_nothing("webkitgtk").await;
}

#[tokio::test]
async fn chromium_tells_what_was_killed() {
    tells_what_was_killed("chromium").await;
}

#[tokio::test]
async fn firefox_tells_what_was_killed() {
    tells_what_was_killed("firefox").await;
}

#[tokio::test]
async fn webkitgtk_tells_what_was_killed() {
    tells_what_was_killed("webkitgtk").await;
}
