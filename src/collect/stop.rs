//! The wish that a run should end, and the time by which it must.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use webmatrix_engine::Error;

/// Asks a run to stop. Cheap to clone; any clone may ask.
#[derive(Clone, Debug)]
pub struct Stop(watch::Sender<bool>);

impl Default for Stop {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Stop {
    /// From now on the run ends as soon as it can without losing anything.
    pub fn ask(&self) {
        self.0.send_replace(true);
    }

    /// Whether someone asked.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// For long work that looks now and then whether anyone still waits for it.
    pub(super) fn checked(&self) -> Result<(), Error> {
        if self.is_asked() { Err(Error::Stopped) } else { Ok(()) }
    }

    /// What `work` gives; none if someone asks before that. Work on another thread is left behind.
    pub(super) async fn unless<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.asked() => None,
        }
    }

    /// Returns when someone asks.
    pub(super) async fn asked(&self) {
        let mut receiver = self.0.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        receiver.wait_for(|asked| *asked).await.ok();
    }
}

/// When everything must be over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Total {
    end: Instant,
}

impl Total {
    pub(super) fn from_now(seconds: u32) -> Self {
        Self { end: Instant::now() + Duration::from_secs(u64::from(seconds)) }
    }

    pub(super) fn is_over(self) -> bool {
        Instant::now() >= self.end
    }

    /// What is left, at most `most`.
    pub(super) fn clamp(self, most: Duration) -> Duration {
        most.min(self.end.saturating_duration_since(Instant::now()))
    }
}
