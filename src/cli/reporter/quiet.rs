//! Prints nothing: the exit code and the database tell.

use super::Reporter;
use crate::event::RunEvent;

pub(super) struct Quiet;

impl Reporter for Quiet {
    fn event(&mut self, event: &RunEvent) {
        if let RunEvent::Note { text } = event {
            tracing::info!("{text}");
        }
    }
}
