//! What an attempt amounts to that came to no outputs.

use webmatrix_wire::{Failed, FailureKind, Status};

use crate::collect::End;

/// What a failure that the page tells of amounts to.
pub(super) fn failure(failed: &Failed) -> (Status, String) {
    let status = match failed.kind {
        FailureKind::Unsupported => Status::Unsupported,
        FailureKind::NotImplemented => Status::NotImplemented,
        FailureKind::Oom => Status::Oom,
        // Nobody wanted it to go on.
        FailureKind::OverLimit => Status::Skipped,
        FailureKind::DeviceLost => Status::DeviceLost,
        FailureKind::Error => Status::Error,
    };
    (status, format!("{}: {}", failed.stage, failed.text))
}

/// What an attempt that was not done amounts to.
pub(super) fn unfinished(end: &End) -> (Status, String) {
    match end {
        End::Done(_) => (Status::Error, "done".to_owned()),
        End::Failed(failed) => failure(failed),
        End::Deadline { stage, alive } => {
            let state = if *alive { "still alive" } else { "no sign of life" };
            (Status::Timeout, format!("{stage}: not done by the deadline, {state}"))
        }
        End::Died { who, stage, text } => {
            (Status::Crash, format!("{stage}: the {} died: {text}", who.as_str()))
        }
        End::NoPage { text } => (Status::Error, format!("the browser never came to the page: {text}")),
        End::Interrupted {} => (Status::Skipped, "the run was stopped".to_owned()),
    }
}
