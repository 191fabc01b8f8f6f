//! What several views are made of.

use serde::Serialize;
use serde_json::Value;

#[derive(Debug, Serialize)]
pub(super) struct Tile {
    pub(super) class: &'static str,
    pub(super) count: usize,
    pub(super) label: &'static str,
    /// How its cells look, to find them by; empty where they are no cells.
    pub(super) look: &'static str,
}

/// Words as a shell takes them; what none can be given is left as it is.
pub(super) fn shell(words: &[String]) -> String {
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}

/// A JSON column; null where it holds none.
pub(super) fn parsed(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null)
}
