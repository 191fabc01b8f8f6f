//! A screen nobody looks at, for browsers without a headless mode.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::mpsc;

use crate::session::SessionError;
use crate::session::log::Log;
use crate::session::process::Group;

/// A private X server. It ends with its session's [`Group`].
#[derive(Debug)]
pub(super) struct Display {
    number: u32,
}

impl Display {
    /// Starts Xvfb on a free number.
    pub(super) async fn start(group: &Group, log: &Log, deadline: Duration) -> Result<Self, SessionError> {
        let not_ready = |why: String| SessionError::NotReady {
            program: "Xvfb, which MiniBrowser needs (apt install xvfb),".to_owned(),
            why,
            log: log.tail(20),
        };
        let mut command = Command::new("Xvfb");
        command
            .args(["-displayfd", "1", "-screen", "0", "1280x1024x24", "-nolisten", "tcp", "-noreset"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = group.start(command).map_err(|error| not_ready(error.to_string()))?;
        let (announce, mut announced) = mpsc::unbounded_channel();
        if let Some(stderr) = started.stderr {
            log.drain(stderr, |_| ());
        }
        if let Some(stdout) = started.stdout {
            // It writes the number once it accepts connections, and closes the channel if it ends.
            log.drain(stdout, move |line| {
                if let Ok(number) = line.parse() {
                    // Nobody waits any more: then nobody needs it.
                    let _ = announce.send(number);
                }
            });
        }
        match tokio::time::timeout(deadline, announced.recv()).await {
            Ok(Some(number)) => Ok(Self { number }),
            Ok(None) => Err(not_ready("it ended".to_owned())),
            Err(_) => Err(not_ready(format!("no display within {} s", deadline.as_secs()))),
        }
    }

    /// The value of `DISPLAY`.
    pub(super) fn name(&self) -> String {
        format!(":{}", self.number)
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        // A killed server leaves its lock and socket, which would use up numbers run after run.
        for file in [format!("/tmp/.X{}-lock", self.number), format!("/tmp/.X11-unix/X{}", self.number)] {
            if let Err(error) = std::fs::remove_file(&file) {
                tracing::trace!(%error, file, "already removed");
            }
        }
    }
}
