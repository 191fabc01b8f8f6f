//! Real browsers: they start, open pages, die in every way, and leave nothing.
//!
//! A browser that is not installed is said to be missing, and is a failure where
//! `WEBMATRIX_REQUIRE_BROWSERS=1` promises it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "says what is missing and what was measured")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::Duration;

use webmatrix::discover::{ThisMachine, UserBrowsers, discover, select};
use webmatrix::session::{Ending, Health, LaunchSpec, NoSandbox, Session, SessionError, Surroundings, start};

const PAGE: &str = "data:text/html,<title>here</title><p>A page</p>";

/// A launch of the browser called `label`, or `None` where it is missing and may be.
fn spec(label: &str) -> Option<(LaunchSpec, tempfile::TempDir)> {
    let file = UserBrowsers::file(&ThisMachine).expect("a configuration folder");
    let user = UserBrowsers::load(&file).expect("a readable configuration");
    let installed = discover(&ThisMachine, &user, &[]);
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
fn processes(text: &str) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let args = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let environment = String::from_utf8_lossy(&read("environ")).into_owned();
        if args.contains(text) || environment.contains(text) {
            found.push((pid, args));
        }
    }
    found
}

/// Their command lines, for an assertion that there are none.
fn mentioning(text: &str) -> Vec<String> {
    processes(text).into_iter().map(|(_, args)| args).collect()
}

/// The session's own folder, from the environment it was given.
fn folder(session: &dyn Session) -> String {
    let environment = &session.facts().environment;
    environment.iter().find(|(name, _)| name == "TMPDIR").expect("every session has one").1.clone()
}

fn kill(pid: u32) {
    signal("-KILL", pid);
}

fn signal(name: &str, pid: u32) {
    let sent = std::process::Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()));
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
    assert!(!Path::new(&folder).exists());
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

/// Kills the processes that pages live in, as an out-of-memory killer would.
async fn tells_that_the_page_crashed(label: &str) {
    let Some((mut session, _logs)) = started(label).await else { return };
    let folder = folder(session.as_ref());
    session.open(PAGE).await.expect("opens");
    for (pid, args) in processes(&folder) {
        if ["--type=renderer", "-isForBrowser", "WebKitWebProcess"].iter().any(|mark| args.contains(mark)) {
            kill(pid);
        }
    }
    becomes(session.as_mut(), Health::TabCrashed).await;
    println!("{label} after its page was killed: {:?}", session.close().await);
    assert_eq!(mentioning(&folder), [""; 0]);
}

macro_rules! for_each_browser {
    ($($label:ident: $($check:ident),*;)*) => {$(mod $label {$(
        #[tokio::test]
        async fn $check() {
            super::$check(stringify!($label)).await;
        }
    )*})*};
}

for_each_browser! {
    chromium: opens_a_page_and_leaves_nothing, tells_what_was_killed,
        tells_that_the_page_crashed;
    firefox: opens_a_page_and_leaves_nothing, tells_what_was_killed,
        tells_that_the_page_crashed;
    webkitgtk: opens_a_page_and_leaves_nothing, tells_what_was_killed,
        tells_that_the_page_crashed;
}

#[tokio::test]
async fn the_chromium_with_webnn_opens_a_page_and_leaves_nothing() {
    opens_a_page_and_leaves_nothing("chromium-webnn").await;
}

#[tokio::test]
async fn sessions_do_not_meet() {
    let labels = ["firefox", "firefox", "chromium", "webkitgtk", "webkitgtk"];
    let sessions = futures_util::future::join_all(labels.map(started)).await;
    let folders: Vec<_> = sessions.iter().flatten().map(|(session, _)| folder(session.as_ref())).collect();
    for (mut session, _logs) in sessions.into_iter().flatten() {
        session.open(PAGE).await.expect("opens beside the others");
        session.close().await;
    }
    for folder in folders {
        assert_eq!(mentioning(&folder), [""; 0]);
    }
}

#[tokio::test]
async fn a_driver_that_stops_answering_is_killed_at_the_deadline() {
    let Some((mut spec, _logs)) = spec("chromium") else { return };
    spec.deadlines.health = Duration::from_millis(300);
    spec.deadlines.close = Duration::from_secs(1);
    let mut session = start(&spec).await.expect("starts");
    let folder = folder(session.as_ref());
    signal("-STOP", session.facts().driver_pid.expect("a driver's pid"));
    assert_eq!(session.health().await, Health::Hung);
    let closed = session.close().await;
    assert!(matches!(closed.how, Ending::Killed { .. }), "{closed:?}");
    assert!(closed.took < Duration::from_secs(3), "{closed:?}");
    assert_eq!(mentioning(&folder), [""; 0]);
}

#[tokio::test]
async fn a_dropped_session_leaves_nothing() {
    let Some((session, _logs)) = started("chromium").await else { return };
    let folder = folder(session.as_ref());
    drop(session);
    vanishes(&folder).await;
}

#[tokio::test]
async fn root_in_the_sandbox_is_told_what_to_do() {
    let Some((mut spec, _logs)) = spec("chromium") else { return };
    if !Surroundings::here().root {
        return;
    }
    spec.no_sandbox = NoSandbox::Never;
    let error = start(&spec).await.err().expect("root has no sandbox").to_string();
    assert!(error.contains("root cannot have the browser's sandbox"), "{error}");
}

#[tokio::test]
async fn a_browser_that_never_starts_ends_at_the_deadline() {
    let Some((mut spec, _logs)) = spec("webkitgtk") else { return };
    spec.extra_args = vec!["--features=unknown".to_owned()];
    spec.deadlines.new_session = Duration::from_secs(3);
    let error = start(&spec).await.err().expect("MiniBrowser hangs on it");
    assert!(matches!(error, SessionError::StartHung { .. } | SessionError::Refused { .. }), "{error}");
}

async fn vanishes(folder: &str) {
    for _ in 0..150 {
        if mentioning(folder).is_empty() && !Path::new(folder).exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{folder} still has {:?}", mentioning(folder));
}

/// How a controller ends without closing its session.
const CONTROLLER_END: &str = "WEBMATRIX_TEST_CONTROLLER_END";

/// Not a test by itself: what [`killed_controllers_leave_nothing`] runs in processes of their own.
#[tokio::test]
async fn controller() {
    let Ok(end) = std::env::var(CONTROLLER_END) else { return };
    let (session, logs) = started("chromium").await.expect("the parent has looked");
    println!("\nFOLDER {}", folder(session.as_ref()));
    if end == "abort" {
        webmatrix::session::kill_all();
        std::process::abort();
    }
    std::future::pending::<()>().await;
    drop((session, logs));
}

#[tokio::test]
async fn killed_controllers_leave_nothing() {
    if spec("chromium").is_none() {
        return;
    }
    for end in ["sigkill", "abort"] {
        let mut controller = std::process::Command::new(std::env::current_exe().expect("a path"))
            .args(["--exact", "real::controller", "--nocapture"])
            .env(CONTROLLER_END, end)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("the test binary starts");
        let output = BufReader::new(controller.stdout.take().expect("piped"));
        let folder = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("FOLDER ").map(str::to_owned))
            .expect("a session started");
        if end == "sigkill" {
            assert!(!mentioning(&folder).is_empty());
            controller.kill().expect("killed");
        }
        controller.wait().expect("ended");
        vanishes(&folder).await;
    }
}
