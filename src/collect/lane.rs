//! One browser's turn: its probe, its cells one after another, retries in a fresh browser.

mod alone;
mod browser;
mod ops;
mod prepared;
mod traced;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use webmatrix_wire::{AttemptId, CellJob, Job, JobKind, Precision, ProbeReport, Status, WIRE_VERSION};

use super::CollectError;
use super::answer::{self, Statement, lines};
use super::attempt::{self, Over, Place};
use super::context::Context;
use super::end::End;
use super::material::Material;
use super::record::{AttemptEnded, AttemptStarted, CellDecided, Record};
use super::stop::Total;
use super::verdict::{Case, Cost, Verdict, is_unexpected};
use crate::event::RunEvent;
use crate::plan::{Cell, ModelClass, NATIVE, OpsTarget};
use crate::serve::Files;

/// Lines of the driver's last words that are kept with an attempt that did not end well.
const LOG_TAIL: usize = 60;

pub use alone::PageSaid;
use browser::Running;
pub(super) use ops::never as never_ops;
use prepared::Prepared;
pub use traced::Traced;

/// One browser's turn.
pub(super) struct Lane<'a> {
    ctx: &'a Context,
    browser: String,
    total: Total,
    running: Option<Running>,
    probe: Option<ProbeReport>,
    /// Why the browser cannot be started at all: its cells need not each find out.
    hopeless: Option<String>,
    /// Where there is a limit of memory: the precision that keeps within it, by the cell at full precision.
    fits: HashMap<Cell, Precision>,
}

/// A cell's verdict with what else is known of how it came about.
struct Decided {
    verdict: Verdict,
    flaky: bool,
    attempt: Option<AttemptId>,
    cost: Option<Cost>,
    samples: Vec<f64>,
    answer: Vec<Statement>,
}

impl<'a> Lane<'a> {
    pub(super) fn new(ctx: &'a Context, browser: &str, total: Total) -> Self {
        Self {
            ctx,
            browser: browser.to_owned(),
            total,
            running: None,
            probe: None,
            hopeless: None,
            fits: HashMap::new(),
        }
    }

    /// Runs the cells in order, then the op cases. What is left when the run is stopped gets no verdict:
    /// it is what `--resume` does.
    pub(super) async fn run(mut self, cells: Vec<Cell>, ops: Vec<OpsTarget>) -> Result<(), CollectError> {
        let count = cells.len() + ops.len();
        self.ctx.events.emit(&RunEvent::BrowserStarted { browser: self.browser.clone(), cells: count });
        let outcome = self.all(cells.into(), &ops).await;
        self.close().await;
        self.ctx.events.emit(&RunEvent::BrowserEnded { browser: self.browser.clone() });
        outcome
    }

    /// Finds out what the browser can do, and nothing else.
    pub(super) async fn probe_only(mut self) -> Result<Option<ProbeReport>, CollectError> {
        let outcome = self.probe().await;
        self.close().await;
        outcome.map(|()| self.probe)
    }

    async fn all(&mut self, mut cells: VecDeque<Cell>, ops: &[OpsTarget]) -> Result<(), CollectError> {
        if self.browser != NATIVE {
            self.probe().await?;
        }
        while let Some(cell) = cells.pop_front() {
            if self.ctx.stop.is_asked() {
                break;
            }
            // Only a cell that is run several times has a verdict already: it keeps what more time cannot better.
            let known = self.ctx.recorder.verdict(&cell);
            if known.is_some_and(|known| known.status != Status::Pass || self.total.is_over()) {
                continue;
            }
            let decided = if self.total.is_over() {
                Some(Decided::without_attempt(Verdict::nothing_ran(
                    Status::Skipped,
                    "the total deadline came first",
                )))
            } else if let Some(why) = self.outdone(&cell) {
                Some(Decided::without_attempt(Verdict::nothing_ran(Status::Skipped, why)))
            } else {
                let decided = self.cell(&cell).await?;
                decided.inspect(|decided| self.note_fit(&cell, &decided.verdict))
            };
            let Some(decided) = decided else { return Ok(()) };
            decide(self.ctx, &cell, decided, true)?;
        }
        self.all_ops(ops).await
    }

    /// Why a cell need not run: an earlier precision of it keeps within the limit of memory.
    fn outdone(&self, cell: &Cell) -> Option<String> {
        let fits = self.fits.get(&at_full(cell))?;
        (*fits != cell.precision).then(|| format!("{fits} keeps within the memory limit"))
    }

    /// Takes down whether a cell keeps within the limit of memory.
    fn note_fit(&mut self, cell: &Cell, verdict: &Verdict) {
        if self.ctx.settings.run.memory_limit.is_none() {
            return;
        }
        match (verdict.status, &verdict.reason) {
            (Status::Pass, _) => drop(self.fits.insert(at_full(cell), cell.precision)),
            (Status::Skipped, Some(reason)) => {
                self.ctx.events.note(format!("{cell}: {reason}: stepping down"))
            }
            _ => {}
        }
    }

    /// Finds out what the browser can do. Without an answer its cells run all the same, and say so
    /// themselves.
    async fn probe(&mut self) -> Result<(), CollectError> {
        for number in 1..=2 {
            let Some(session) = self.ensure_running().await? else { return Ok(()) };
            let job = self.job("probe".to_owned(), self.ctx.settings.deadlines.probe_s, JobKind::Probe {})?;
            self.started(&job, None, number, Some(session))?;
            let over = self.send(&job, Files::new()).await;
            let over = self.ended(&job, over, None).await?;
            if matches!(over.end, End::Done(_)) && over.watch.probe.is_some() {
                self.probe = over.watch.probe;
                return Ok(());
            }
            if self.ctx.stop.is_asked() {
                return Ok(());
            }
            self.close().await;
        }
        self.ctx.events.note(format!("{}: the probe gave no answer, cells run without it", self.browser));
        Ok(())
    }

    /// A cell's verdict; none if the run was stopped under it.
    async fn cell(&mut self, cell: &Cell) -> Result<Option<Decided>, CollectError> {
        let refused = self.probe.as_ref().and_then(|probe| self.ctx.judge.unsupported(cell.backend, probe));
        if let Some(words) = refused {
            return Ok(Some(Decided::without_attempt(Verdict::nothing_ran(Status::Unsupported, words))));
        }
        if let Some(why) = &self.hopeless {
            return Ok(Some(Decided::without_attempt(Verdict::nothing_ran(Status::Error, why.clone()))));
        }
        let fault =
            |text: String| Ok(Some(Decided::without_attempt(Verdict::nothing_ran(Status::Error, text))));
        let prepared = match self.prepared(cell).await {
            Some(Ok(prepared)) => prepared,
            Some(Err(text)) => return fault(text),
            None => return Ok(None),
        };
        let mut number = 0;
        loop {
            number += 1;
            let Some(mut decided) = self.try_cell(&prepared, number).await? else {
                return Ok(None);
            };
            let again = is_unexpected(decided.verdict.status)
                && prepared.is_answered()
                && number <= self.ctx.settings.run.retries
                && !self.total.is_over();
            if !again {
                decided.flaky = number > 1 && decided.verdict.status == Status::Pass;
                return Ok(Some(decided));
            }
            self.close().await;
        }
    }

    /// One try at a cell; none if the run was stopped under it.
    async fn try_cell(
        &mut self,
        prepared: &Prepared<'_>,
        number: u32,
    ) -> Result<Option<Decided>, CollectError> {
        let cell = prepared.cell;
        if self.ctx.settings.run.fresh_browsers {
            self.close().await;
        }
        let session = if cell.is_native() {
            None
        } else {
            match self.ensure_running().await? {
                Some(session) => Some(session),
                None if self.ctx.stop.is_asked() => return Ok(None),
                None => {
                    let why = self.hopeless.clone().unwrap_or_default();
                    return Ok(Some(Decided::without_attempt(Verdict::nothing_ran(Status::Error, why))));
                }
            }
        };
        let rest = Duration::from_secs(u64::from(self.ctx.settings.run.cool_down_s));
        if !rest.is_zero() && self.ctx.stop.unless(tokio::time::sleep(rest)).await.is_none() {
            return Ok(None);
        }
        let kind = JobKind::Cell(prepared.work.clone());
        let job = self.job(cell.to_string(), self.ctx.settings.deadlines.attempt_s, kind)?;
        self.started(&job, Some(cell), number, session)?;
        let over = self.send(&job, prepared.material.files.clone()).await;
        let over = self.ended(&job, over, Some(prepared)).await?;
        if matches!(over.end, End::Interrupted {}) {
            return Ok(None);
        }
        let cost = Cost {
            wall_ms: over.wall.as_secs_f64() * 1000.0,
            page_ms: if let End::Done(done) = &over.end { Some(done.page_ms) } else { None },
        };
        Ok(Some(Decided {
            verdict: over.verdict.unwrap_or_else(|| Verdict::nothing_ran(Status::Error, "not judged")),
            flaky: false,
            attempt: Some(job.attempt),
            cost: Some(cost),
            samples: over.watch.samples,
            answer: over.answer,
        }))
    }

    fn work(&self, cell: &Cell, material: &Material) -> CellJob {
        let usual = cell.model.class().map_or(0, |class| class.info().new_tokens);
        CellJob {
            class: cell.model.as_str().to_owned(),
            backends: vec![cell.backend],
            precision: cell.precision,
            features: self.ctx.settings.profiles.get(&cell.profile).cloned().unwrap_or_default(),
            model: material.model.clone(),
            warmup: self.ctx.settings.run.warmup,
            samples: self.ctx.settings.run.samples,
            until: self.ctx.settings.run.until(),
            memory_limit: self.ctx.settings.run.memory_limit,
            generation: self
                .ctx
                .settings
                .generation
                .asked((usual > 0).then(|| material.new_tokens.unwrap_or(usual))),
        }
    }

    fn job(&self, title: String, deadline_s: u32, kind: JobKind) -> Result<Job, CollectError> {
        let deadline = self.total.clamp(Duration::from_secs(u64::from(deadline_s)));
        Ok(Job {
            wire_version: WIRE_VERSION,
            attempt: AttemptId(ulid::Ulid::generate().to_string()),
            title,
            deadline_ms: u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX),
            variant: kind.variant(),
            relaxed: kind.relaxed(),
            nonce: getrandom::u32().map_err(|error| CollectError::Random(error.to_string()))?,
            kind,
        })
    }

    fn started(
        &self,
        job: &Job,
        cell: Option<&Cell>,
        number: u32,
        session: Option<String>,
    ) -> Result<(), CollectError> {
        self.ctx.recorder.record(Record::AttemptStarted(Box::new(AttemptStarted {
            attempt: job.attempt.clone(),
            browser: self.browser.clone(),
            cell: cell.cloned(),
            number,
            session,
            job: job.clone(),
        })))?;
        self.ctx.events.emit(&RunEvent::AttemptStarted {
            attempt: job.attempt.clone(),
            browser: self.browser.clone(),
            cell: cell.cloned(),
            number,
        });
        Ok(())
    }

    async fn send(&mut self, job: &Job, files: Files) -> Over {
        let place = match &mut self.running {
            Some(running) => Place::Browser(running.session.as_mut()),
            None => Place::Native,
        };
        attempt::run(self.ctx, place, job, files, &self.browser).await
    }

    /// Judges and records the end of an attempt, and puts a spoilt browser away.
    async fn ended(
        &mut self,
        job: &Job,
        over: Over,
        prepared: Option<&Prepared<'_>>,
    ) -> Result<Judged, CollectError> {
        let Over { end, watch, wall, cpu } = over;
        let verdict = match prepared {
            None => None,
            Some(prepared) => Some(self.ctx.judge.judge(&Case {
                cell: prepared.cell,
                features: &prepared.work.features,
                nonce: job.nonce,
                end: &end,
                facts: watch.facts.as_ref(),
                harness: (watch.variant, watch.loaded),
                outputs: watch.outputs.as_deref(),
                reference: &*prepared.reference(watch.outputs.as_ref()).await,
                texts: prepared.texts.as_deref(),
                quantised: prepared.quantised.as_ref().map(|(how, full)| (&**how, &**full)),
            })),
        };
        let answer = match (prepared, &watch.outputs) {
            (Some(Prepared { cell, material, .. }), Some(outputs)) => match cell.model.class() {
                Some(class) => said(class, material, outputs).await,
                None => Vec::new(),
            },
            _ => Vec::new(),
        };
        let well = matches!(end, End::Done(_)) && verdict.as_ref().is_none_or(|v| !is_unexpected(v.status));
        let log_tail = match &self.running {
            Some(running) if !well => running.session.log_tail(LOG_TAIL),
            _ => Vec::new(),
        };
        self.ctx.recorder.record(Record::AttemptEnded(Box::new(AttemptEnded {
            attempt: job.attempt.clone(),
            end: end.clone(),
            wall_ms: wall.as_secs_f64() * 1000.0,
            cpu_ms: cpu.map(|cpu| cpu.as_secs_f64() * 1000.0),
            verdict: verdict.clone(),
            answer: answer.clone(),
            log_tail,
        })))?;
        if !end.leaves_browser_usable() {
            self.close().await;
        }
        Ok(Judged { end, watch, wall, verdict, answer })
    }
}

/// An attempt that is over and judged.
struct Judged {
    end: End,
    watch: super::watch::Watch,
    wall: Duration,
    verdict: Option<Verdict>,
    answer: Vec<Statement>,
}

/// What outputs say; reading a tokenizer may take long, and blocks nobody.
async fn said(class: ModelClass, material: &Material, outputs: &Bytes) -> Vec<Statement> {
    let (material, outputs) = (material.clone(), outputs.clone());
    // What cannot be said is not said.
    tokio::task::spawn_blocking(move || answer::said(class, &material, &outputs)).await.unwrap_or_default()
}

/// The same cell at full precision.
fn at_full(cell: &Cell) -> Cell {
    Cell { precision: Precision::Fp32, ..cell.clone() }
}

impl Decided {
    const fn without_attempt(verdict: Verdict) -> Self {
        Self { verdict, flaky: false, attempt: None, cost: None, samples: Vec::new(), answer: Vec::new() }
    }
}

/// Records the verdict on a cell that the plan never meant to run.
pub(super) fn never(ctx: &Context, cell: &Cell, verdict: Verdict) -> Result<(), CollectError> {
    decide(ctx, cell, Decided::without_attempt(verdict), false)
}

fn decide(ctx: &Context, cell: &Cell, decided: Decided, runnable: bool) -> Result<(), CollectError> {
    let Decided { verdict, flaky, attempt, cost, samples, answer } = decided;
    let event = RunEvent::CellDecided {
        cell: cell.clone(),
        runnable,
        status: verdict.status,
        flaky,
        evidence: verdict.evidence,
        samples_ms: samples,
        says: verdict.accuracy.iter().map(ToString::to_string).chain(lines(&answer)).collect(),
        reason: verdict.reason.clone(),
    };
    ctx.recorder.record(Record::CellDecided(Box::new(CellDecided {
        cell: cell.clone(),
        verdict,
        flaky,
        attempt,
        cost,
    })))?;
    ctx.events.emit(&event);
    Ok(())
}
