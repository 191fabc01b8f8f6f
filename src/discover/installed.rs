//! What discovery finds: programs, their drivers, and what stands in the way of using them.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::discover::{Channel, Version};
use crate::plan::axis::BrowserKind;

/// A browser program on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Installed {
    /// What the user calls it: unique among the installed ones.
    pub label: String,
    /// What it is, and so how it is driven.
    pub kind: BrowserKind,
    /// Its release channel.
    pub channel: Channel,
    /// Its version; `None` where only a running session can tell.
    pub version: Option<Version>,
    /// The program itself, wrappers and links resolved.
    pub path: PathBuf,
    /// Where it was found.
    pub source: Source,
    /// The WebDriver program that fits best.
    pub driver: Option<Driver>,
    /// What stands in the way, or is worth knowing.
    pub problems: Vec<Problem>,
}

impl Installed {
    /// The first problem that keeps this browser from being driven.
    pub fn obstacle(&self) -> Option<&Problem> {
        self.problems.iter().find(|problem| problem.severity == Severity::Error)
    }
}

/// Where a browser was found, in the order in which places are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// `--browser-path`.
    Flag,
    /// The user's `browsers.toml`.
    Config,
    /// An environment variable (`WEBMATRIX_CHROME`, …).
    Environment,
    /// The search path.
    Path,
    /// A place where vendors and distributions put it.
    KnownPlace,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Config => "config",
            Self::Environment => "environment",
            Self::Path => "path",
            Self::KnownPlace => "known place",
        })
    }
}

/// A WebDriver program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Driver {
    /// Which program it is, and so how it is started.
    pub kind: DriverKind,
    /// The program.
    pub path: PathBuf,
    /// Its version; `None` for WebKitWebDriver, which does not tell, or when asking failed.
    pub version: Option<Version>,
    /// Further arguments the user wants it started with (`--disable-build-check`).
    pub args: Vec<String>,
}

/// The WebDriver programs, one a family of browsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DriverKind {
    /// For Chrome and Chromium.
    Chromedriver,
    /// For Edge.
    Msedgedriver,
    /// For Firefox.
    Geckodriver,
    /// For Safari.
    Safaridriver,
    /// For WebKitGTK's MiniBrowser.
    WebKitWebDriver,
}

impl DriverKind {
    /// The driver a kind of browser needs.
    pub const fn of(kind: BrowserKind) -> Self {
        match kind {
            BrowserKind::Chrome | BrowserKind::Chromium => Self::Chromedriver,
            BrowserKind::Edge => Self::Msedgedriver,
            BrowserKind::Firefox => Self::Geckodriver,
            BrowserKind::Safari => Self::Safaridriver,
            BrowserKind::WebKitGtk => Self::WebKitWebDriver,
        }
    }

    /// The program's name, without `.exe`.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Chromedriver => "chromedriver",
            Self::Msedgedriver => "msedgedriver",
            Self::Geckodriver => "geckodriver",
            Self::Safaridriver => "safaridriver",
            Self::WebKitWebDriver => "WebKitWebDriver",
        }
    }
}

impl fmt::Display for DriverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

/// Something wrong with an installed browser, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is the matter.
    pub text: String,
    /// What to do, as a command where there is one.
    pub remedy: String,
}

impl Problem {
    pub(super) fn new(severity: Severity, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity, text: text.into(), remedy: remedy.into() }
    }

    pub(super) fn error(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Error, text, remedy)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.text, self.remedy)
    }
}

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; `browsers check` does not fail for it.
    Note,
    /// It will probably work.
    Warning,
    /// It cannot work.
    Error,
}
