//! The browser of a lane: started when a job first needs one, and put away when it is spoilt.

use std::time::Instant;

use super::Lane;
use crate::collect::CollectError;
use crate::collect::record::{Record, SessionStarted};
use crate::session::Session;

/// A browser that is running.
pub(super) struct Running {
    pub(super) session: Box<dyn Session>,
    pub(super) id: String,
}

impl Lane<'_> {
    /// The id of the running session; starts a browser if none is running. None if it cannot be
    /// started, which is then remembered.
    pub(super) async fn ensure_running(&mut self) -> Result<Option<String>, CollectError> {
        if let Some(running) = &self.running {
            return Ok(Some(running.id.clone()));
        }
        // How long a browser takes to start is measured too.
        let _measuring = self.ctx.quiet.measuring().await;
        let mut began = Instant::now();
        let launcher = self.ctx.launcher.clone();
        let twice = async {
            match launcher.start(&self.browser).await {
                // Now and then a driver loses its port to someone else, or a browser its profile's lock.
                Err(_) => {
                    began = Instant::now();
                    launcher.start(&self.browser).await
                }
                started => started,
            }
        };
        let started = tokio::select! {
            started = twice => started,
            () = self.ctx.stop.asked() => return Ok(None),
        };
        match started {
            Ok(session) => {
                let id = ulid::Ulid::generate().to_string();
                self.ctx.recorder.record(Record::SessionStarted(SessionStarted {
                    session: id.clone(),
                    browser: self.browser.clone(),
                    version: session.facts().browser_version.clone(),
                    start_ms: began.elapsed().as_secs_f64() * 1000.0,
                    facts: serde_json::to_value(session.facts()).unwrap_or_default(),
                }))?;
                self.hopeless = None;
                self.running = Some(Running { session, id: id.clone() });
                Ok(Some(id))
            }
            Err(error) => {
                self.ctx.events.note(format!("{}: {error}", self.browser));
                self.hopeless = Some(error);
                Ok(None)
            }
        }
    }

    pub(super) async fn close(&mut self) {
        if let Some(running) = self.running.take() {
            running.session.close().await;
        }
    }
}
