//! The op cases of a lane: all of them in one attempt for each backend.

use std::collections::{BTreeMap, HashSet};

use webmatrix_wire::{AttemptId, EvidenceGrade, JobKind, Status};

use super::{Judged, Lane};
use crate::collect::CollectError;
use crate::collect::context::Context;
use crate::collect::end::End;
use crate::collect::record::{OpsDecided, Record};
use crate::collect::verdict::{OpVerdict, OpsRun, is_unexpected};
use crate::event::RunEvent;
use crate::plan::OpsTarget;
use crate::serve::Files;

/// The verdicts on a target's cases, and the attempt they come from.
type Decided = (Vec<OpVerdict>, Option<AttemptId>);

impl Lane<'_> {
    /// Runs the op cases on each backend. Backends that are left when the run is stopped get no verdict.
    pub(super) async fn all_ops(&mut self, targets: &[OpsTarget]) -> Result<(), CollectError> {
        for target in targets {
            if self.ctx.stop.is_asked() {
                break;
            }
            let Some((cases, attempt)) = self.ops(target).await? else { break };
            decide(self.ctx, target, cases, attempt, true)?;
        }
        Ok(())
    }

    /// The verdicts on a backend's cases; none if the run was stopped under them.
    async fn ops(&mut self, target: &OpsTarget) -> Result<Option<Decided>, CollectError> {
        let without = |status, why: &str| Ok(Some((OpVerdict::on_all(status, why), None)));
        if self.total.is_over() {
            return without(Status::Skipped, "the total deadline came first");
        }
        let refused = self.probe.as_ref().and_then(|probe| self.ctx.judge.unsupported(target.backend, probe));
        if let Some(words) = refused {
            return without(Status::Unsupported, &words);
        }
        let mut failed_before = HashSet::new();
        let mut number = 0;
        loop {
            number += 1;
            let session = if target.is_native() { None } else { self.ensure_running().await? };
            if session.is_none() && !target.is_native() {
                return match self.hopeless.clone() {
                    Some(why) => without(Status::Error, &why),
                    None => Ok(None),
                };
            }
            let features =
                self.ctx.settings.profiles.get(crate::plan::DEFAULT_PROFILE).cloned().unwrap_or_default();
            let kind = JobKind::Ops { backend: target.backend, features };
            let job = self.job(target.to_string(), self.ctx.settings.deadlines.attempt_s, kind)?;
            self.started(&job, None, number, session)?;
            let over = self.send(&job, Files::new()).await;
            let Judged { end, watch, .. } = self.ended(&job, over, None).await?;
            if matches!(end, End::Interrupted {}) {
                return Ok(None);
            }
            let mut cases = self.ctx.judge.judge_ops(&OpsRun {
                target,
                nonce: job.nonce,
                end: &end,
                facts: watch.facts.as_ref(),
                cases: &watch.op_cases,
                outputs: watch.outputs.as_deref(),
            });
            for case in &mut cases {
                case.flaky = case.status == Status::Pass && failed_before.contains(&case.case);
            }
            let unexpected = cases.iter().filter(|case| is_unexpected(case.status));
            failed_before.extend(unexpected.map(|case| case.case.clone()));
            let again = cases.iter().any(|case| is_unexpected(case.status));
            if !again || number > self.ctx.settings.run.retries || self.total.is_over() {
                return Ok(Some((cases, Some(job.attempt))));
            }
            self.close().await;
        }
    }
}

/// Records the verdict on a target that the plan never meant to run.
pub(in crate::collect) fn never(
    ctx: &Context,
    target: &OpsTarget,
    status: Status,
    reason: &str,
) -> Result<(), CollectError> {
    decide(ctx, target, OpVerdict::on_all(status, reason), None, false)
}

fn decide(
    ctx: &Context,
    target: &OpsTarget,
    cases: Vec<OpVerdict>,
    attempt: Option<AttemptId>,
    runnable: bool,
) -> Result<(), CollectError> {
    let mut counts = BTreeMap::<Status, usize>::new();
    cases.iter().for_each(|case| *counts.entry(case.status).or_default() += 1);
    // Grades stand in order, the best first.
    let passes = cases.iter().filter(|case| case.status == Status::Pass);
    // What ran and failed is what someone must look at first.
    let red = cases.iter().find(|case| is_unexpected(case.status));
    let not_green = red.or_else(|| cases.iter().find(|case| case.status != Status::Pass));
    let event = RunEvent::OpsDecided {
        target: target.clone(),
        runnable,
        counts: counts.into_iter().collect(),
        evidence: passes.map(|case| case.evidence).max().unwrap_or(EvidenceGrade::None),
        reason: not_green.map(|case| {
            let why = case.error.as_deref().unwrap_or_default();
            let all = cases.iter().all(|other| other.error == case.error);
            if all { why.to_owned() } else { format!("{}: {why}", case.case) }
        }),
    };
    let decided = OpsDecided { target: target.clone(), cases, attempt };
    ctx.recorder.record(Record::OpsDecided(Box::new(decided)))?;
    ctx.events.emit(&event);
    Ok(())
}
