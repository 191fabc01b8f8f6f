//! Driver programs that misbehave, and one that stands in for a driver that cannot be had here.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use webmatrix::discover::{Channel, Driver, DriverKind, Installed, Source};
use webmatrix::plan::axis::BrowserKind;
use webmatrix::session::{Ending, Health, LaunchSpec, SessionError, start};

use crate::remote_end::RemoteEnd;

/// A launch of Edge by a driver that is this shell script.
fn spec(folder: &Path, script: &str) -> LaunchSpec {
    let path = folder.join("msedgedriver");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let driver = Driver { kind: DriverKind::Msedgedriver, path, version: None, args: Vec::new() };
    let browser = Installed {
        label: "edge".to_owned(),
        kind: BrowserKind::Edge,
        channel: Channel::Stable,
        version: None,
        path: "/a/browser".into(),
        source: Source::Flag,
        driver: Some(driver),
        problems: Vec::new(),
    };
    LaunchSpec::new(browser, folder.join("logs"))
}

#[tokio::test]
async fn edge_runs_from_the_port_its_driver_prints_to_the_end_of_its_processes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let end = RemoteEnd::start().await;
    let (_, port) = end.url.rsplit_once(':').expect("a port");
    let script = format!(
        "echo \"arguments $*\"\necho 'Microsoft Edge WebDriver was started successfully on port {port}.'\nsleep 600"
    );
    let mut session = start(&spec(folder.path(), &script)).await.expect("the stand-in is ready");
    assert_eq!(session.facts().driver_args, ["--port=0", "--verbose"]);
    session.open("http://127.0.0.1:1/").await.expect("navigates");
    assert_eq!(session.health().await, Health::Alive);
    assert!(session.log_tail(9).iter().any(|line| line == "arguments --port=0 --verbose"));
    let log = session.facts().log.clone().expect("a log file");
    assert!(std::fs::read_to_string(log).expect("kept").contains("started successfully"));

    let pid = session.facts().driver_pid.expect("a process of ours");
    let closed = session.close().await;
    assert_eq!(closed.how, Ending::Graceful);
    assert_eq!(end.heard("delete").len(), 1);
    assert!(!Path::new(&format!("/proc/{pid}/exe")).exists());
}

#[tokio::test]
async fn a_driver_that_ends_at_once_says_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let error = start(&spec(folder.path(), "echo 'no libraries' >&2; exit 3")).await.err().expect("it ended");
    assert!(matches!(error, SessionError::NotReady { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("exit status: 3") && text.contains("| no libraries"), "{text}");
}

#[tokio::test]
async fn a_silent_driver_ends_at_the_deadline() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut spec = spec(folder.path(), "exec sleep 600");
    spec.deadlines.driver = Duration::from_millis(300);
    let started = Instant::now();
    let error = start(&spec).await.err().expect("never ready");
    assert!(matches!(error, SessionError::NotReady { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_driver_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut spec = spec(folder.path(), "");
    spec.browser.driver.as_mut().expect("just set").path = "/no/such/driver".into();
    let error = start(&spec).await.err().expect("nothing to start");
    assert_eq!(error.to_string(), "cannot start the driver /no/such/driver");
    spec.browser.driver = None;
    let error = start(&spec).await.err().expect("nothing to start");
    assert_eq!(error.to_string(), "edge cannot be driven: msedgedriver was not found");
}
