//! One event a line on standard output.

use super::Reporter;
use crate::cli::out;
use crate::event::RunEvent;

pub(super) struct Json;

impl Reporter for Json {
    fn event(&mut self, event: &RunEvent) {
        match serde_json::to_string(event) {
            Ok(line) => out::line(&line),
            Err(error) => tracing::error!(%error, "an event cannot be written as JSON"),
        }
    }
}
