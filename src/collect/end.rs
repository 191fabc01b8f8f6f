//! How an attempt can end.

use serde::{Deserialize, Serialize};
use webmatrix_wire::{Done, Failed};

/// How an attempt ended: a fact, not yet a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum End {
    /// The page said that it is done.
    Done(Done),
    /// The page said that it cannot.
    Failed(Failed),
    /// The page was not done by its deadline.
    Deadline {
        /// What it was doing.
        stage: String,
        /// Whether its heart still beat.
        alive: bool,
    },
    /// Page, browser or driver died.
    Died {
        /// Which of them.
        who: Mortal,
        /// What was being done.
        stage: String,
        /// In the driver's words.
        text: String,
    },
    /// The browser could not be started, or could not be sent to the page.
    NoPage {
        /// Why.
        text: String,
    },
    /// The run was stopped.
    Interrupted {},
}

/// What can die under an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mortal {
    /// The page's process.
    Page,
    /// The browser.
    Browser,
    /// The driver.
    Driver,
}

impl Mortal {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Browser => "browser",
            Self::Driver => "driver",
        }
    }
}

impl End {
    /// The variant's name, as the database keeps it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Failed(_) => "failed",
            Self::Deadline { .. } => "deadline",
            Self::Died { .. } => "died",
            Self::NoPage { .. } => "no_page",
            Self::Interrupted {} => "interrupted",
        }
    }

    /// Whether the browser may be used for another page.
    pub const fn leaves_browser_usable(&self) -> bool {
        match self {
            Self::Done(_) => true,
            // A lost device or a full memory is the browser's state, not the page's alone.
            Self::Failed(failed) => !matches!(
                failed.kind,
                webmatrix_wire::FailureKind::DeviceLost | webmatrix_wire::FailureKind::Oom
            ),
            Self::Deadline { .. } | Self::Died { .. } | Self::NoPage { .. } | Self::Interrupted {} => false,
        }
    }
}
