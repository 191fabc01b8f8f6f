//! Starting a WebDriver program and knowing when it answers.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use axum::http::Method;
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::discover::{Driver, DriverKind};
use crate::session::SessionError;
use crate::session::log::Log;
use crate::session::process::Group;
use crate::session::wire::{Wire, WireError};

/// How often a driver that cannot choose a port itself is given another one.
const PORT_ATTEMPTS: usize = 3;
/// How often a starting driver is asked whether it is ready.
const POLL: Duration = Duration::from_millis(10);

/// A driver that answers.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) pid: u32,
    /// `http://127.0.0.1:PORT`
    pub(super) url: String,
    pub(super) wire: Wire,
    pub(super) args: Vec<String>,
}

/// Starts the driver in `group` and waits until it is ready.
pub(super) async fn start(
    driver: &Driver,
    group: &Group,
    log: &Log,
    profiles: &Path,
    environment: &[(String, String)],
    deadline: Duration,
) -> Result<Running, SessionError> {
    let mut failure = None;
    let attempts = if announces_port(driver.kind) { 1 } else { PORT_ATTEMPTS };
    for _ in 0..attempts {
        match attempt(driver, group, log, profiles, environment, deadline).await {
            Ok(running) => return Ok(running),
            // A chosen port can be taken by another program before the driver binds it.
            Err(error @ SessionError::NotReady { .. }) => failure = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(failure.unwrap_or_else(|| not_ready(driver, log, "it was not tried".to_owned())))
}

async fn attempt(
    driver: &Driver,
    group: &Group,
    log: &Log,
    profiles: &Path,
    environment: &[(String, String)],
    deadline: Duration,
) -> Result<Running, SessionError> {
    let started = Instant::now();
    let chosen = if announces_port(driver.kind) { 0 } else { free_port()? };
    let args = arguments(driver, chosen, profiles);
    let mut command = Command::new(&driver.path);
    command
        .args(&args)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let program = group
        .start(command)
        .map_err(SessionError::io(format!("start the driver {}", driver.path.display())))?;
    let (announce, mut announced) = mpsc::unbounded_channel();
    if let Some(stdout) = program.stdout {
        let announce = announce.clone();
        log.drain(stdout, move |line| tell_port(line, &announce));
    }
    if let Some(stderr) = program.stderr {
        log.drain(stderr, move |line| tell_port(line, &announce));
    }
    let port = if chosen != 0 {
        chosen
    } else {
        match tokio::time::timeout(deadline, announced.recv()).await {
            Ok(Some(port)) => port,
            Ok(None) => return Err(not_ready(driver, log, ended(group, program.pid).await)),
            Err(_) => {
                return Err(not_ready(driver, log, format!("no port within {} s", deadline.as_secs())));
            }
        }
    };
    let url = format!("http://127.0.0.1:{port}");
    let wire = Wire::new(&url);
    loop {
        let left = deadline.saturating_sub(started.elapsed());
        match wire.send(Method::GET, "/status", None, left).await {
            Ok(status) if status["ready"] == true => {
                // Another program may have taken the port, and answer in the driver's place.
                if let Some(status) = group.exit_of(program.pid) {
                    return Err(not_ready(driver, log, format!("it ended with {status}")));
                }
                return Ok(Running { pid: program.pid, url, wire, args });
            }
            Ok(_) | Err(WireError::Unreachable(_)) if !left.is_zero() => {
                if group.exit_of(program.pid).is_some() {
                    return Err(not_ready(driver, log, ended(group, program.pid).await));
                }
                tokio::time::sleep(POLL).await;
            }
            Ok(status) => return Err(not_ready(driver, log, format!("it says {status}"))),
            Err(error) => return Err(not_ready(driver, log, error.to_string())),
        }
    }
}

fn not_ready(driver: &Driver, log: &Log, why: String) -> SessionError {
    SessionError::NotReady { program: driver.path.display().to_string(), why, log: log.tail(40) }
}

/// How a driver ended that closed its output: its exit is known a moment later.
async fn ended(group: &Group, pid: u32) -> String {
    for _ in 0..20 {
        if let Some(status) = group.exit_of(pid) {
            return format!("it ended with {status}");
        }
        tokio::time::sleep(POLL).await;
    }
    "it closed its output".to_owned()
}

/// Whether a driver takes port 0 and prints the one it got.
const fn announces_port(kind: DriverKind) -> bool {
    match kind {
        DriverKind::Chromedriver | DriverKind::Msedgedriver | DriverKind::Geckodriver => true,
        DriverKind::Safaridriver | DriverKind::WebKitWebDriver => false,
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, SessionError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(SessionError::io("find a free port"))
}

fn arguments(driver: &Driver, port: u16, profiles: &Path) -> Vec<String> {
    let mut args = match driver.kind {
        // Verbose, for "Chrome instance exited" alone tells nothing.
        DriverKind::Chromedriver | DriverKind::Msedgedriver => {
            vec![format!("--port={port}"), "--verbose".to_owned()]
        }
        // Two sessions side by side would otherwise meet on the default WebSocket port.
        DriverKind::Geckodriver => {
            ["--port", "0", "--websocket-port", "0", "--log", "debug", "--profile-root"]
                .into_iter()
                .map(str::to_owned)
                .chain([profiles.display().to_string()])
                .collect()
        }
        DriverKind::Safaridriver => vec!["-p".to_owned(), port.to_string(), "--diagnose".to_owned()],
        DriverKind::WebKitWebDriver => vec![format!("--port={port}")],
    };
    args.extend(driver.args.iter().cloned());
    args
}

/// Passes on the port that a line announces.
fn tell_port(line: &str, announce: &mpsc::UnboundedSender<u16>) {
    if let Some(port) = announced_port(line) {
        // Only the first one is waited for.
        let _ = announce.send(port);
    }
}

/// `ChromeDriver was started successfully on port 40389.` or `… INFO Listening on 127.0.0.1:34945`.
fn announced_port(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("started successfully on port ").or_else(|| {
        let (_, address) = line.split_once("Listening on ")?;
        address.rsplit_once(':')
    })?;
    rest.trim_end().trim_end_matches('.').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_from_what_drivers_print() {
        for (line, port) in [
            ("ChromeDriver was started successfully on port 40389.", Some(40389)),
            ("Microsoft Edge WebDriver was started successfully on port 9515.", Some(9515)),
            ("1795228403194\tgeckodriver\tINFO\tListening on 127.0.0.1:34945", Some(34945)),
            ("Starting ChromeDriver 156.0.8078.79 (x) on port 0", None),
            ("1795228403194\tMarionette\tINFO\tListening on port 2828", None),
        ] {
            assert_eq!(announced_port(line), port, "{line}");
        }
    }
}
