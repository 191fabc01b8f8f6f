//! `webmatrix bench`: kernels and models of ours and of onnxruntime-web, in one page and in turn.

use std::collections::BTreeMap;

use webmatrix_wire::{Backend, JobKind, PairsJob, ProbeReport, Side};

use super::run::{SetUp, context, has_pages};
use crate::analyse::{PeerRow, cold_row, pairs_row, software_gpu, unsupported};
use crate::cli::args::{BenchArgs, VerifyFormat};
use crate::cli::config::{Machine, Places};
use crate::cli::recording::Recording;
use crate::cli::{out, reporter, signals, table};
use crate::collect::{self, CollectError, Context, PageSaid, Sources, Stop, SubjectFolder, peer_files};
use crate::error::{Exit, ExitStatus, Failure};
use crate::plan::{BACKENDS, Deadlines, Measure, Plan, SUBJECTS};
use crate::serve::Attempts;

/// Pairs before those that count.
const WARMUP: u32 = 3;
/// Of cold starts, one: it fills the file cache.
const COLD_WARMUP: u32 = 1;

pub(in crate::cli) async fn run(args: BenchArgs) -> Result<ExitStatus, Failure> {
    let runtime = peer_files(&args.peer_dir).exit(ExitStatus::BadData)?;
    let subjects = subjects(&args)?;
    let machine = Machine::look(&args.paths, args.browsers.as_deref().or(Some(&["all".to_owned()])))?;
    let (labels, missing) = super::probe::browsers(&machine);
    let deadlines = Deadlines { attempt_s: args.deadline, ..Deadlines::default() };
    let plan = Plan::without_cells("bench", deadlines, missing);
    has_pages(&plan)?;
    let places = Places::of(&args.store);
    let recording = Recording::begin(&places, &plan)?;
    let reporting = reporter::quiet();
    let stop = Stop::default();
    signals::listen(stop.clone(), reporting.events());
    let set_up = SetUp {
        attempts: Attempts::with_runtimes(BTreeMap::from([("ort-web".to_owned(), runtime)])),
        ..SetUp::new(&machine, &plan, &places, &args.launch, Sources::default())
    };
    let ctx = context(&recording, set_up, reporting.events(), stop.clone()).await?;
    let mut bench = Bench { ctx: &ctx, args: &args, rows: Vec::new(), faults: 0 };
    for label in &labels {
        bench.browser(label, &subjects).await.exit(ExitStatus::BadData)?;
    }
    let Bench { rows, faults, .. } = bench;
    drop(ctx);
    if args.format == VerifyFormat::Table {
        out::text(&text(&rows));
    }
    for label in &plan.missing {
        out::note(&format!(
            "{label}: not usable on this machine; `webmatrix browsers check {label}` says why"
        ));
    }
    let status = if stop.is_asked() {
        ExitStatus::Interrupted
    } else if faults > 0 {
        ExitStatus::Unexpected
    } else if !plan.missing.is_empty() {
        ExitStatus::Unavailable
    } else if rows.iter().all(|row| row.ratio.is_none()) {
        ExitStatus::TooLittleEvidence
    } else {
        ExitStatus::AsExpected
    };
    recording.end(status, stop.is_asked())?;
    Ok(status)
}

/// What is to be measured, read before any browser is started.
struct Subject {
    name: &'static str,
    measure: Measure,
    folder: SubjectFolder,
}

fn subjects(args: &BenchArgs) -> Result<Vec<Subject>, Failure> {
    let wanted = |name: &str| args.filter.is_empty() || args.filter.iter().any(|part| name.contains(part));
    let chosen: Vec<_> = SUBJECTS.iter().filter(|(name, _)| wanted(name)).collect();
    if chosen.is_empty() {
        let known: Vec<&str> = SUBJECTS.iter().map(|(name, _)| *name).collect();
        let text = format!("nothing matches --filter: there are {}", known.join(", "));
        return Err(Failure::text(ExitStatus::Usage, text));
    }
    let open = |&&(name, measure): &&(&'static str, Measure)| {
        let folder = SubjectFolder::open(&args.subjects.join(name), name).exit(ExitStatus::BadData)?;
        Ok(Subject { name, measure, folder })
    };
    chosen.iter().map(open).collect()
}

/// A comparison under way.
struct Bench<'a> {
    ctx: &'a Context,
    args: &'a BenchArgs,
    rows: Vec<PeerRow>,
    /// Rows that could not be had though they should.
    faults: usize,
}

impl Bench<'_> {
    async fn browser(&mut self, label: &str, subjects: &[Subject]) -> Result<(), CollectError> {
        let backends = self.args.backends.clone().unwrap_or_else(|| BACKENDS.to_vec());
        // Where WebAssembly is all that is asked for, there is nothing to probe.
        let devices = backends.iter().any(|backend| *backend != Backend::Wasm);
        let probe = if devices { collect::probe(self.ctx, label).await? } else { None };
        for backend in backends {
            for subject in subjects {
                if self.ctx.stop.is_asked() {
                    return Ok(());
                }
                self.subject(label, backend, probe.as_ref(), subject).await?;
            }
        }
        Ok(())
    }

    async fn subject(
        &mut self,
        label: &str,
        backend: Backend,
        probe: Option<&ProbeReport>,
        subject: &Subject,
    ) -> Result<(), CollectError> {
        let without = |why: &str| PeerRow::without(subject.name, backend, label, why);
        if let Some(words) = probe.and_then(|probe| unsupported(backend, probe)) {
            self.tell(without(&format!("unsupported: {words}")));
            return Ok(());
        }
        let software = if backend == Backend::WebGpu { probe.and_then(software_gpu) } else { None };
        if let Some(why) = software {
            self.tell(without(&why));
            return Ok(());
        }
        let Some(job) = subject.folder.job(backend, self.args.threads, WARMUP, self.args.pairs) else {
            self.tell(without("ours is not built yet"));
            return Ok(());
        };
        let row = match subject.measure {
            Measure::Pairs => self.pairs(label, subject, job).await?,
            Measure::Cold => self.cold(label, subject, &job).await?,
        };
        match row {
            Ok(row) => self.tell(row),
            Err(why) => {
                self.faults += 1;
                self.tell(without(&format!("error: {why}")));
            }
        }
        Ok(())
    }

    async fn pairs(
        &self,
        label: &str,
        subject: &Subject,
        job: PairsJob,
    ) -> Result<Result<PeerRow, String>, CollectError> {
        let backend = job.backend;
        let said = self.page(label, subject, JobKind::Pairs(job)).await?;
        Ok(said.and_then(|said| pairs_row(subject.name, backend, label, &said, &subject.folder.expected)))
    }

    async fn cold(
        &self,
        label: &str,
        subject: &Subject,
        job: &PairsJob,
    ) -> Result<Result<PeerRow, String>, CollectError> {
        let mut starts = Vec::new();
        for round in 0..COLD_WARMUP + self.args.pairs {
            let mut said = Vec::new();
            let first = if round % 2 == 0 { [Side::Ours, Side::Peer] } else { [Side::Peer, Side::Ours] };
            for side in first {
                let kind = JobKind::Cold { side, work: job.clone() };
                match self.page(label, subject, kind).await? {
                    Ok(page) => said.push((side, page)),
                    Err(why) => return Ok(Err(why)),
                }
            }
            said.sort_by_key(|(side, _)| *side);
            if let (Some((_, peer)), Some((_, ours))) = (said.pop(), said.pop())
                && round >= COLD_WARMUP
            {
                starts.push((ours, peer));
            }
        }
        Ok(cold_row(subject.name, job.backend, label, &starts, &subject.folder.expected))
    }

    async fn page(
        &self,
        label: &str,
        subject: &Subject,
        kind: JobKind,
    ) -> Result<Result<PageSaid, String>, CollectError> {
        let title = format!("{} beside onnxruntime-web", subject.name);
        collect::alone(self.ctx, label, &title, kind, subject.folder.files.clone()).await
    }

    /// Lines come as they are measured: the whole takes minutes.
    fn tell(&mut self, row: PeerRow) {
        match self.args.format {
            VerifyFormat::Jsonl => {
                out::line(&serde_json::to_string(&row).unwrap_or_else(|error| error.to_string()));
            }
            VerifyFormat::Table => out::note(&format!("{} {} {}", row.browser, row.backend, row.name)),
        }
        self.rows.push(row);
    }
}

fn text(rows: &[PeerRow]) -> String {
    let number = |value: Option<f64>, places: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.places$}"))
    };
    let lines = rows.iter().map(|row| {
        let interval = match (row.lo, row.hi) {
            (Some(lo), Some(hi)) => format!("{lo:.2}–{hi:.2}"),
            _ => "-".to_owned(),
        };
        vec![
            row.name.clone(),
            row.backend.to_string(),
            row.browser.clone(),
            row.threads.to_string(),
            number(row.ours, 3),
            number(row.peer, 3),
            row.unit.to_owned(),
            number(row.ratio, 2),
            interval,
            row.note.clone().unwrap_or_default(),
        ]
    });
    let header = ["name", "backend", "browser", "threads", "ours", "peer", "unit", "ratio", "95 %", ""];
    table::table(&header, &lines.collect::<Vec<_>>())
}
