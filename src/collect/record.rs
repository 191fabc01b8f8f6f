//! What a run leaves behind, event by event. The journal holds these, one a line; the database is
//! nothing but their consequence, so that any run can be rebuilt from its journal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use webmatrix_wire::{AttemptId, Envelope, Job};

use super::answer::Statement;
use super::end::End;
use super::verdict::{Cost, OpVerdict, Verdict};
use crate::plan::{Cell, OpsTarget, Plan};

/// The version of the journal's lines. A journal of another version is not resumed.
pub const JOURNAL_VERSION: u32 = 1;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// [`JOURNAL_VERSION`].
    pub version: u32,
    /// The run's id.
    pub run: String,
    /// When it was written, UTC.
    pub at: jiff::Timestamp,
    /// What happened.
    pub record: Record,
}

/// Everything that can happen in a run, as far as anyone will ever ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Record {
    /// The run begins.
    RunStarted(Box<RunStarted>),
    /// The run goes on after having been interrupted.
    RunResumed {},
    /// A browser was found, or was asked for and not found.
    BrowserSeen(BrowserSeen),
    /// A browser was started.
    SessionStarted(SessionStarted),
    /// A page was sent to work.
    AttemptStarted(Box<AttemptStarted>),
    /// A page said something.
    Received {
        /// The attempt it belongs to.
        attempt: AttemptId,
        /// What it said.
        envelope: Envelope,
    },
    /// A page handed in its outputs.
    OutputsReceived(OutputsReceived),
    /// An attempt is over.
    AttemptEnded(Box<AttemptEnded>),
    /// A cell has its verdict. A later one replaces an earlier one.
    CellDecided(Box<CellDecided>),
    /// The op cases of a backend have their verdicts. A later record replaces an earlier one.
    OpsDecided(Box<OpsDecided>),
    /// A cell was run once more with every intermediate result kept. A later one replaces an earlier one; it may come after
    /// the run's end.
    CellTraced(Box<CellTraced>),
    /// The run is over.
    RunEnded {
        /// The exit code.
        exit_code: u8,
        /// Stopped before its end.
        interrupted: bool,
    },
}

/// The run begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunStarted {
    /// What is to be done.
    pub plan: Plan,
    /// Facts about the machine.
    pub environment: BTreeMap<String, String>,
    /// The versions of what measures.
    pub versions: Versions,
    /// The command line, without the program's name.
    pub arguments: Vec<String>,
}

/// The versions of what measures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// This program's.
    pub webmatrix: String,
    /// The wire's.
    pub wire: u32,
    /// A hash over the harness builds.
    pub harness: String,
}

/// A browser, found or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrowserSeen {
    /// Its label.
    pub label: String,
    /// Its kind.
    pub kind: String,
    /// Its version, empty if not known.
    pub version: String,
    /// Its channel.
    pub channel: String,
    /// The program, empty if absent.
    pub path: String,
    /// The driver's program, empty if absent.
    pub driver: String,
    /// The driver's version, empty if not known.
    pub driver_version: String,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

/// A browser was started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionStarted {
    /// The session's id: unique across runs.
    pub session: String,
    /// The browser's label.
    pub browser: String,
    /// The version that the running browser tells.
    pub version: String,
    /// Milliseconds from the start of the driver to a usable browser.
    pub start_ms: f64,
    /// Flags, preferences, capabilities asked for and granted, driver: what the session stage tells.
    pub facts: serde_json::Value,
}

/// A page was sent to work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttemptStarted {
    /// The attempt's id: unique across runs.
    pub attempt: AttemptId,
    /// The browser's label.
    pub browser: String,
    /// The cell; none for a probe or op cases.
    pub cell: Option<Cell>,
    /// 1 for the first try.
    pub number: u32,
    /// The browser session; none on the host.
    pub session: Option<String>,
    /// What the page was given.
    pub job: Job,
}

/// A page handed in its outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputsReceived {
    /// The attempt.
    pub attempt: AttemptId,
    /// Hash of the bytes.
    pub sha256: String,
    /// How many.
    pub bytes: u64,
    /// Where they are kept, relative to the output folder.
    pub file: String,
}

impl OutputsReceived {
    /// Where an attempt's are kept.
    pub(super) fn file_of(attempt: &AttemptId) -> String {
        format!("outputs/{attempt}.safetensors")
    }
}

/// An attempt is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttemptEnded {
    /// The attempt.
    pub attempt: AttemptId,
    /// How it ended.
    pub end: End,
    /// Milliseconds from navigation to the end, on the controller's clock.
    pub wall_ms: f64,
    /// Milliseconds that the browser's processes, or the host's, computed meanwhile; none where that cannot be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<f64>,
    /// What this attempt alone would make of its cell; none for a probe or op cases.
    pub verdict: Option<Verdict>,
    /// What its outputs say, for people; nothing for a probe or op cases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answer: Vec<Statement>,
    /// The driver's last words, if it did not end well.
    pub log_tail: Vec<String>,
}

/// A cell has its verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellDecided {
    /// The cell.
    pub cell: Cell,
    /// The verdict.
    pub verdict: Verdict,
    /// Passed only on a retry.
    pub flaky: bool,
    /// The attempt that decided it; none if none was made.
    pub attempt: Option<AttemptId>,
    /// What it cost, if it ran.
    pub cost: Option<Cost>,
}

/// A cell was run once more with every intermediate result kept, each held against the oracle's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellTraced {
    /// The cell.
    pub cell: Cell,
    /// The run in which it was traced, where that is not this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Where it leaves the oracle, in a sentence for people.
    pub says: String,
    /// The parts of the model in the order in which they ran; nothing where it could not be traced.
    pub layers: Vec<TracedLayer>,
}

/// Ops of one part of the model that ran one after another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracedLayer {
    /// The token's step; 0 is the prompt, or the only one.
    pub step: u64,
    /// The part, such as `encoder.layer.0.attention`; empty for the model itself.
    pub scope: String,
    /// How many were held against the oracle's.
    pub ops: u64,
    /// How many of them agree.
    pub agree: u64,
    /// Largest absolute difference over all of them.
    pub max_abs: Option<f64>,
    /// Largest relative difference over all of them.
    pub max_rel: Option<f64>,
    /// Smallest cosine over all of them.
    pub cosine: Option<f64>,
    /// The first that does not agree: `softmax (node 10)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// What is wrong with its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// The op cases of a backend have their verdicts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpsDecided {
    /// The browser and its backend.
    pub target: OpsTarget,
    /// The verdict on every case, in the engine's order.
    pub cases: Vec<OpVerdict>,
    /// The attempt that decided them; none if none was made.
    pub attempt: Option<AttemptId>,
}
