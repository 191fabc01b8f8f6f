//! Runs a plan's cells and keeps everything that is said, until every cell has its verdict.
//!
//! **Architecture invariant:** a run is the list of its [`Record`]s. Whatever the database or a report
//! holds can be rebuilt from the journal, so a run that was interrupted anywhere is completed by
//! reading it back and running the cells that have no verdict.

mod answer;
mod attempt;
mod context;
mod end;
mod folder;
mod generation;
mod goldens;
mod hub;
mod inputs;
mod journal;
mod lane;
mod material;
mod merge;
mod native;
mod onnx;
mod packed;
mod quantisation;
mod quantise;
mod quantised;
mod quiet;
mod record;
mod recorder;
mod source;
mod stop;
mod subject;
mod text;
mod verdict;
mod watch;
mod weights;

use std::io;

use futures_util::{TryStreamExt, stream};
use webmatrix_wire::{JobKind, ProbeReport};

/// Names what a trace holds.
pub use webmatrix_engine::run::Step;

pub use answer::{Statement, Task, lines};
pub use context::{Context, Launcher, Settings};
pub use end::{End, Mortal};
pub use folder::{FolderError, ModelFolder};
pub use hub::{Check, Hub, HubError, Pulled, PulledFile, Told};
pub use inputs::Given;
pub use journal::{Journal, JournalError, read, read_on, runs};
pub use lane::{PageSaid, Traced};
pub use material::GIVEN;
pub use merge::{MergeError, Part, merge};
pub use onnx::{OnnxAsked, OnnxError, check_onnx};
pub use quantisation::Quantisation;
pub use quantise::{
    QuantiseError, QuantiseOrder, QuantisedModel, RECORD, StoredMatrix, quantise, write as write_quantised,
};
pub use quantised::Wish;
pub use quiet::Quiet;
pub use record::{
    AttemptEnded, AttemptStarted, BrowserSeen, CellDecided, CellTraced, Entry, JOURNAL_VERSION, OpsDecided,
    OutputsReceived, Record, RunStarted, SessionStarted, TracedLayer, Versions,
};
pub use recorder::{Listener, Recorder};
pub use source::{OwnWeights, Sources};
pub use stop::Stop;
pub use subject::{SubjectError, SubjectFolder, peer_files};
pub use verdict::{
    Accuracy, Agreement, Case, Cost, Estimated, Judge, OpVerdict, OpsRun, OutputAccuracy, OutputAgreement,
    Perplexity, Reference, Verdict, is_real, is_unexpected,
};
pub use weights::{SourceError, packed_precision};

use crate::plan::{Cell, Decision, OpsTarget, Plan};
use crate::serve::Files;
use lane::Lane;
use stop::Total;

/// A run that cannot go on. What was recorded is safe.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// Records cannot be kept.
    #[error("the journal cannot be written: {0}")]
    Journal(#[from] io::Error),
    /// No random numbers can be had.
    #[error("the operating system gives no random numbers: {0}")]
    Random(String),
}

/// Gives every cell of the plan that has none its verdict, `jobs` browsers at a time. Stops early,
/// without error, when asked to.
pub async fn collect(ctx: &Context, plan: &Plan, jobs: usize) -> Result<(), CollectError> {
    collect_in_turn(ctx, plan, jobs, 1).await
}

/// As [`collect`]; each browser runs its cells so many times, one after another in turn, so that what changes on the machine
/// meanwhile falls on all of them. A cell is what its last time made of it; one that did not pass is not run again.
pub async fn collect_in_turn(
    ctx: &Context,
    plan: &Plan,
    jobs: usize,
    rounds: usize,
) -> Result<(), CollectError> {
    let total = Total::from_now(plan.deadlines.total_s);
    let decided = ctx.recorder.verdicts();
    for planned in plan.cells.iter().filter(|planned| !decided.contains_key(&planned.cell)) {
        if let Decision::Never { status, reason } = &planned.decision {
            lane::never(ctx, &planned.cell, Verdict::nothing_ran(*status, reason.clone()))?;
        }
    }
    let ops_decided = ctx.recorder.op_verdicts();
    for planned in plan.ops.iter().filter(|planned| !ops_decided.contains_key(&planned.target)) {
        if let Decision::Never { status, reason } = &planned.decision {
            lane::never_ops(ctx, &planned.target, *status, reason)?;
        }
    }
    let lanes = plan.browsers().into_iter().filter_map(|browser| {
        let mine = |cell: &&Cell| cell.browser == browser && !decided.contains_key(*cell);
        let cells: Vec<Cell> = plan.runnable().filter(mine).cloned().collect();
        let mine = |target: &&OpsTarget| target.browser == browser && !ops_decided.contains_key(*target);
        let ops: Vec<OpsTarget> = plan.runnable_ops().filter(mine).cloned().collect();
        let any = !cells.is_empty() || !ops.is_empty();
        // There and back again: what one cell leaves behind for the next, each leaves as often.
        let back: Vec<Cell> = cells.iter().rev().cloned().collect();
        let in_turn =
            (0..rounds).flat_map(|round| if round % 2 == 0 { cells.clone() } else { back.clone() }).collect();
        any.then(|| Lane::new(ctx, browser, total).run(in_turn, ops))
    });
    let lanes: Vec<_> = lanes.collect();
    stream::iter(lanes.into_iter().map(Ok)).try_for_each_concurrent(jobs.max(1), |lane| lane).await
}

/// Runs a cell's model once more, with every intermediate result, on its backend and by the oracle.
pub async fn trace(ctx: &Context, cell: &Cell) -> Result<Traced, CollectError> {
    Lane::new(ctx, &cell.browser, Total::from_now(ctx.settings.deadlines.total_s)).trace_only(cell).await
}

/// Sends one page of a fresh browser to work on a job that is no cell's; the inner error is why there is no page.
pub async fn alone(
    ctx: &Context,
    browser: &str,
    title: &str,
    kind: JobKind,
    files: Files,
) -> Result<Result<PageSaid, String>, CollectError> {
    Lane::new(ctx, browser, Total::from_now(ctx.settings.deadlines.total_s)).alone(title, kind, files).await
}

/// What a browser can do, as its own page finds out; none if it gave no answer.
pub async fn probe(ctx: &Context, browser: &str) -> Result<Option<ProbeReport>, CollectError> {
    Lane::new(ctx, browser, Total::from_now(ctx.settings.deadlines.total_s)).probe_only().await
}
