//! A browser under WebDriver, from an installed program to an open page and back to nothing.
//!
//! [`start`] begins a [`Session`] for a [`LaunchSpec`]; [`attach`] does so at a remote end that somebody
//! else runs. Every wait has a deadline. However a session ends (closed, dropped, panicking, this very
//! process killed), its driver, its browser, its display and its profile go with it.
//!
//! Results never come through here: pages send them to the controller themselves. A session only opens
//! pages and knows what died.

mod capabilities;
mod display;
mod driver;
#[cfg(any(test, not(target_os = "linux")))]
mod elsewhere;
mod error;
mod facts;
mod flags;
mod guard;
mod health;
mod live;
mod local;
mod log;
mod process;
mod procfs;
mod spec;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

pub use capabilities::{capabilities, switches};
pub use error::SessionError;
pub use facts::{Flags, SessionFacts};
pub use health::Health;
pub use live::{attach, start};
pub use process::kill_all;
pub use procfs::{Usage, own_cpu};
pub use spec::{Deadlines, LaunchSpec, NoSandbox, Surroundings};

/// A browser that can be told to open pages.
#[async_trait]
pub trait Session: Send {
    /// Who runs, how it was asked to and how it does.
    fn facts(&self) -> &SessionFacts;

    /// Opens a page and waits for its `load`.
    async fn open(&mut self, url: &str) -> Result<(), SessionError>;

    /// Runs the body of a function in the page and returns what it returns.
    async fn execute(&mut self, script: &str) -> Result<Value, SessionError>;

    /// The visible part of the page as a PNG.
    async fn screenshot(&mut self) -> Result<Vec<u8>, SessionError>;

    /// Finds out what still lives.
    async fn health(&mut self) -> Health;

    /// What the browser's processes use, where that can be seen (Linux).
    fn usage(&self) -> Option<Usage>;

    /// The end of what driver and browser printed.
    fn log_tail(&self, lines: usize) -> Vec<String>;

    /// Ends the browser, by force if it does not end by itself.
    async fn close(self: Box<Self>) -> Closed;
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Closed {
    /// By itself, or by force.
    pub how: Ending,
    /// Processes that had left the session's group (crash handlers) and were killed one by one.
    pub strays: Vec<u32>,
    /// How long it took.
    pub took: Duration,
}

/// Whether a browser ended by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The driver ended it and said so.
    Graceful,
    /// It was killed.
    Killed {
        /// Why the driver could not end it.
        why: String,
    },
}
