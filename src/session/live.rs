//! The one [`Session`]: a driver of this machine, or a remote end that somebody else runs.

use std::future::Future;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::http::Method;
use fantoccini::Client;
use fantoccini::error::{CmdError, ErrorStatus};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use crate::session::capabilities::{capabilities, requested_args};
use crate::session::facts::{Flags, SessionFacts};
use crate::session::health::{self, Health};
use crate::session::local::Local;
use crate::session::spec::{Deadlines, LaunchSpec, NoSandbox, Surroundings};
use crate::session::wire::{Wire, WireError};
use crate::session::{Closed, Ending, Session, SessionError, Usage, error, procfs};

/// How much later than the browser's own timeout ours strikes.
const MARGIN: Duration = Duration::from_secs(2);

/// A browser under WebDriver.
#[derive(Debug)]
struct Live {
    id: String,
    wire: Wire,
    client: Client,
    facts: SessionFacts,
    deadlines: Deadlines,
    /// `None` for a remote end.
    local: Option<Local>,
}

/// A remote end that answers, and what is known of its start.
struct Reached {
    url: String,
    wire: Wire,
    pid: Option<u32>,
    args: Vec<String>,
    environment: Vec<(String, String)>,
    time: Duration,
}

/// Starts the driver and the browser of `spec`, with a fresh profile.
///
/// # Errors
/// When either does not start in time; nothing of them is left then.
pub async fn start(spec: &LaunchSpec) -> Result<Box<dyn Session>, SessionError> {
    if let Some(problem) = spec.browser.obstacle() {
        let label = spec.browser.label.clone();
        return Err(SessionError::Unusable { label, problem: problem.to_string() });
    }
    let mut local = Local::new(spec)?;
    match start_in(spec, &mut local).await {
        Ok(live) => Ok(Box::new(Live { local: Some(local), ..live })),
        Err(error) => {
            local.end(spec.deadlines.close).await;
            Err(error)
        }
    }
}

async fn start_in(spec: &LaunchSpec, local: &mut Local) -> Result<Live, SessionError> {
    let started = Instant::now();
    let (driver, environment) = local.start_driver(spec).await?;
    let reached = Reached {
        url: driver.url,
        wire: driver.wire,
        pid: Some(driver.pid),
        args: driver.args,
        environment,
        time: started.elapsed(),
    };
    begin(spec, reached, Some(local)).await
}

/// Begins a session at a WebDriver remote end that is already running at `url` and is not ours to end.
///
/// # Errors
/// When it refuses or does not answer in time.
pub async fn attach(spec: &LaunchSpec, url: &str) -> Result<Box<dyn Session>, SessionError> {
    let reached = Reached {
        url: url.to_owned(),
        wire: Wire::new(url),
        pid: None,
        args: Vec::new(),
        environment: Vec::new(),
        time: Duration::ZERO,
    };
    begin(spec, reached, None).await.map(|live| Box::new(live) as Box<dyn Session>)
}

/// New Session, and everything worth knowing about what came of it.
async fn begin(spec: &LaunchSpec, driver: Reached, local: Option<&Local>) -> Result<Live, SessionError> {
    let here = Surroundings::here();
    let label = || spec.browser.label.clone();
    let asked = capabilities(spec, here);
    let body = json!({ "capabilities": { "alwaysMatch": asked } });
    let started = Instant::now();
    let reply = driver.wire.send(Method::POST, "/session", Some(&body), spec.deadlines.new_session).await;
    let session_time = started.elapsed();
    let log = || local.map(|local| local.log.tail(60)).unwrap_or_default();
    let root_in_sandbox = here.root && spec.no_sandbox == NoSandbox::Never;
    let refused = |message: String| SessionError::Refused {
        label: label(),
        remedy: error::remedy(&format!("{message}\n{}", log().join("\n")), root_in_sandbox),
        message,
        log: log(),
    };
    let mut reply = reply.map_err(|error| match error {
        WireError::Late(after) => SessionError::StartHung {
            label: label(),
            after,
            remedy: error::remedy(&log().join("\n"), root_in_sandbox),
            log: log(),
        },
        WireError::Remote { message, .. } => refused(message),
        WireError::Unreachable(_) | WireError::Malformed(_) => refused(error.to_string()),
    })?;
    let returned = reply["capabilities"].take();
    let Some(id) = reply["sessionId"].as_str().map(str::to_owned) else {
        return Err(refused(format!("the driver's answer names no session: {reply}")));
    };
    let client = Client::with_existing_session(&driver.url, &id, HttpConnector::new())
        .await
        .map_err(|error| refused(error.to_string()))?;
    // Ending the session is our business: fantoccini would try it whenever its client is dropped.
    client.persist().await.map_err(|error| refused(error.to_string()))?;

    let text = |path: &str| returned.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let browser_pid = browser_pid(&returned, driver.pid);
    let effective = browser_pid.and_then(procfs::command_line).map(|args| args.into_iter().skip(1).collect());
    let requested = requested_args(&asked);
    let facts = SessionFacts {
        browser: spec.browser.clone(),
        browser_name: text("/browserName").unwrap_or_default(),
        browser_version: text("/browserVersion").unwrap_or_default(),
        platform: text("/platformName").unwrap_or_default(),
        user_agent: text("/userAgent"),
        driver_version: [
            "/chrome/chromedriverVersion",
            "/msedge/msedgedriverVersion",
            "/moz:geckodriverVersion",
        ]
        .into_iter()
        .find_map(text),
        driver_pid: driver.pid,
        driver_args: driver.args,
        browser_pid,
        no_sandbox: requested.iter().any(|arg| arg == "--no-sandbox"),
        flags: Flags::compare(requested, effective),
        asked,
        returned,
        environment: driver.environment,
        log: local.map(|local| local.log.path().to_owned()),
        driver_time: driver.time,
        session_time,
    };
    Ok(Live { id, wire: driver.wire, client, facts, deadlines: spec.deadlines, local: None })
}

/// The browser's process: as the driver tells it, else the driver's child.
fn browser_pid(returned: &Value, driver: Option<u32>) -> Option<u32> {
    let driver = driver?;
    let told = ["goog:processID", "ms:processID", "moz:processID"]
        .into_iter()
        .find_map(|key| u32::try_from(returned.get(key)?.as_u64()?).ok());
    let child = || procfs::running().into_iter().find(|process| process.parent == driver);
    told.or_else(|| child().map(|process| process.pid))
}

impl Live {
    /// Runs one command under a deadline and, when it fails, finds out what died.
    async fn command<T>(
        &self,
        during: &'static str,
        deadline: Duration,
        command: impl Future<Output = Result<T, CmdError>> + Send,
    ) -> Result<T, SessionError> {
        let error = match tokio::time::timeout(deadline + MARGIN, command).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        let label = self.facts.browser.label.clone();
        let timed_out = match &error {
            None => true,
            Some(CmdError::Standard(error)) => {
                matches!(error.error, ErrorStatus::Timeout | ErrorStatus::ScriptTimeout)
            }
            Some(_) => false,
        };
        Err(match self.look().await {
            Health::TabCrashed => SessionError::TabCrashed { label, during },
            Health::BrowserGone => SessionError::BrowserGone { label, during },
            Health::DriverGone => SessionError::DriverGone { label, during },
            Health::Alive | Health::Hung => match error {
                Some(error) if !timed_out => {
                    SessionError::Command { label, during, message: error.to_string() }
                }
                _ => SessionError::Hung { label, during, after: deadline },
            },
        })
    }

    /// Looks at the processes, then asks for the page's address: the browser's main process answers
    /// that, however busy the page is.
    async fn look(&self) -> Health {
        let driver_ended =
            self.local.as_ref().zip(self.facts.driver_pid).and_then(|(local, pid)| local.group.exit_of(pid));
        if driver_ended.is_some() {
            return Health::DriverGone;
        }
        let path = format!("/session/{}/url", self.id);
        let answer = self.wire.send(Method::GET, &path, None, self.deadlines.health).await;
        health::judge(answer.map(drop), self.facts.browser_pid.and_then(procfs::is_running))
    }
}

#[async_trait]
impl Session for Live {
    fn facts(&self) -> &SessionFacts {
        &self.facts
    }

    async fn open(&mut self, url: &str) -> Result<(), SessionError> {
        self.command("navigation", self.deadlines.page_load, self.client.goto(url)).await
    }

    async fn execute(&mut self, script: &str) -> Result<Value, SessionError> {
        self.command("a script", self.deadlines.command, self.client.execute(script, Vec::new())).await
    }

    async fn screenshot(&mut self) -> Result<Vec<u8>, SessionError> {
        self.command("a screenshot", self.deadlines.command, self.client.screenshot()).await
    }

    async fn health(&mut self) -> Health {
        self.look().await
    }

    fn usage(&self) -> Option<Usage> {
        let local = self.local.as_ref()?;
        let processes = local.group.processes();
        procfs::usage(processes.iter().filter(|process| Some(process.pid) != self.facts.driver_pid))
    }

    fn log_tail(&self, lines: usize) -> Vec<String> {
        self.local.as_ref().map(|local| local.log.tail(lines)).unwrap_or_default()
    }

    async fn close(self: Box<Self>) -> Closed {
        let started = Instant::now();
        let path = format!("/session/{}", self.id);
        let how = match self.wire.send(Method::DELETE, &path, None, self.deadlines.close).await {
            Ok(_) => Ending::Graceful,
            Err(error) => Ending::Killed { why: error.to_string() },
        };
        let strays = match self.local {
            Some(local) => local.end(self.deadlines.close).await,
            None => Vec::new(),
        };
        Closed { how, strays, took: started.elapsed() }
    }
}
