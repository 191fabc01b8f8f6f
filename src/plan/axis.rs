//! The browser axis. The other axes (backend, precision, …) are the page's business too and live in the wire crate.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A browser program that WebMatrix knows how to find, start and drive.
///
/// What a user types (`--browsers`) is a *label*; a label is either a kind's own name or one the
/// user gave to a particular program (`--browser-path chromium-webnn=chromium:/path`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BrowserKind {
    /// Google Chrome.
    Chrome,
    /// Microsoft Edge.
    Edge,
    /// Mozilla Firefox, any channel.
    Firefox,
    /// Apple Safari.
    Safari,
    /// Chromium as distributions package it.
    Chromium,
    /// WebKitGTK's MiniBrowser: Safari's engine on Linux.
    WebKitGtk,
}

impl BrowserKind {
    /// Every kind, in the order in which reports list them.
    pub const ALL: [Self; 6] =
        [Self::Chrome, Self::Edge, Self::Firefox, Self::Safari, Self::Chromium, Self::WebKitGtk];

    /// The name used on the command line, in ids and in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chrome => "chrome",
            Self::Edge => "edge",
            Self::Firefox => "firefox",
            Self::Safari => "safari",
            Self::Chromium => "chromium",
            Self::WebKitGtk => "webkitgtk",
        }
    }
}

impl fmt::Display for BrowserKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BrowserKind {
    type Err = UnknownBrowserKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownBrowserKind(text.to_owned()))
    }
}

/// A browser kind that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("unknown browser kind {0:?}: use chrome, edge, firefox, safari, chromium or webkitgtk")]
pub struct UnknownBrowserKind(String);
