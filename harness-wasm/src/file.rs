//! A cell whose model is a file: another runtime runs it, and the page watches what it does.

use std::collections::BTreeMap;

use webmatrix_engine::run::Pace;
use webmatrix_wire::{BackendFacts, CellJob, FailureKind, Job, LogLevel, Message, Phase};

use crate::arrays::Arrays;
use crate::peer::Peer;
use crate::report::{Failure, Reporter};
use crate::schedule::schedule;
use crate::sys::{breathe, now};
use crate::witness::Witness;

/// What is run, by its names among the attempt's files.
#[derive(Debug)]
pub(crate) struct File<'j> {
    pub(crate) model: &'j str,
    pub(crate) inputs: &'j str,
    /// Its symbolic dimensions.
    pub(crate) dims: &'j BTreeMap<String, u32>,
}

pub(crate) async fn run(
    job: &Job,
    cell: &CellJob,
    file: &File<'_>,
    reporter: &Reporter,
) -> Result<(), Failure> {
    let Some(&backend) = cell.backends.first() else {
        return Err(Failure::new(FailureKind::Error, "backend", "the job names no backend"));
    };
    reporter.progress("Loading the model", 0.05).await?;
    let start = now();
    let model = fetch(file.model, reporter).await?;
    let inputs = Arrays::read(file.inputs, &fetch(file.inputs, reporter).await?)?;
    reporter.timing(Phase::Load, now() - start);

    reporter.progress("Loading the runtime", 0.15).await?;
    let witness = Witness::watch().await?;
    let start = now();
    let peer = Peer::open(backend, 1, &model, file.dims).await?;
    reporter.metric("runtime_ms", now() - start, "ms");

    // The runtime makes its device when it prepares its first model: both are this one number.
    reporter.progress("Compiling", 0.3).await?;
    let start = now();
    let session = peer.session().await?;
    reporter.timing(Phase::Compile, now() - start);
    let facts = witness.facts(backend, job.nonce).await?;

    reporter.progress("First inference", 0.5).await?;
    let before = witness.dispatches(backend);
    let start = now();
    let first = session.run(&inputs).await?;
    reporter.first(now() - start);
    let of_one = witness.dispatches(backend) - before;

    let mut pace = Pace::of(schedule(cell));
    let began = now();
    let mut latest = None;
    while let Some(warmup) = pace.next() {
        reporter.progress("Measuring", 0.6 + 0.3 * pace.done()).await?;
        breathe().await;
        let start = now();
        latest = Some(session.run(&inputs).await?);
        let ms = now() - start;
        reporter.sample(pace.index(), warmup, ms);
        pace.took(warmup, ms, now() - began);
    }
    if let Some(rested) = pace.rested() {
        reporter.metric("warmup_rested", f64::from(u8::from(rested)), "bool");
    }
    let dispatches = witness.dispatches(backend) - before;
    reporter.metric("dispatches_per_inference", of_one as f64, "1");

    let (names, bytes) = latest.as_ref().unwrap_or(&first).write()?;
    let repeatable = first.write()?.1 == bytes;
    reporter.metric("repeatable", f64::from(u8::from(repeatable)), "bool");
    // Its memory may not hold the model twice, and asking where nodes were put takes a session of its own.
    if let Err(words) = session.release().await {
        reporter.log(LogLevel::Warn, format!("the session could not be released: {words}"));
    }
    reporter.progress("Asking where it ran", 0.95).await?;
    let (told, ops) = peer.facts().await?;
    reporter.send(Message::Peer(told));
    let device_type = Some(peer.device_type()).filter(|device_type| !device_type.is_empty());
    let facts = BackendFacts { ops, dispatches, webnn_device_type: device_type, ..facts };
    reporter.send(Message::Backend(Box::new(facts)));
    reporter.outputs(names, &bytes).await
}

async fn fetch(name: &str, reporter: &Reporter) -> Result<Vec<u8>, Failure> {
    let fetched = reporter.client().file(name).await;
    fetched.map_err(|text| Failure::new(FailureKind::Error, "load", text))
}
