//! The one procedure by which a model is measured, in a page and on the host alike.

use std::collections::BTreeMap;

use crate::backend::{Backend, Held, Made, Moved, Tally};
use crate::error::Error;
use crate::models::items;
use crate::run::steady::{self, Until, WarmUp};
use crate::run::{Loaded, Options, Runner};
use crate::tensor::NamedTensors;

/// How often to infer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Inferences before the timed ones.
    pub warmup: u32,
    /// Timed inferences; with `until`, at most.
    pub samples: u32,
    /// When fewer are enough. Then `warmup` is the least, and warming up goes on until times rest, 0.3 s at least.
    pub until: Option<Until>,
    /// Bytes that the backend may hold of the compiled model.
    pub memory_limit: Option<u64>,
}

/// A part of the procedure that is timed once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Building graphs, compiling pipelines, uploading weights.
    Compile,
    /// The first inference.
    First,
}

/// Who watches a measurement: tells the time and takes down what happened.
#[expect(
    async_fn_in_trait,
    reason = "futures here are driven on one thread, in a page or by a blocking host"
)]
pub trait Witness {
    /// Why it may want to stop.
    type Stop;

    /// Milliseconds on a monotonic clock.
    fn now(&self) -> f64;

    /// Before each part: what comes next, and how much is done.
    async fn progress(&self, stage: &'static str, fraction: f64) -> Result<(), Self::Stop>;

    /// How long a part took.
    fn span(&self, span: Span, ms: f64);

    /// One inference.
    fn sample(&self, index: u32, warmup: bool, ms: f64);

    /// When the tokens of an inference were chosen, in milliseconds since it began.
    fn tokens(&self, index: u32, ms: Vec<f64>);

    /// What the backend holds at this moment, and bytes that are kept of the checkpoint besides.
    fn memory(&self, held: Held, kept: u64);

    /// A named number, such as `repeatable`, with its unit.
    fn metric(&self, name: &'static str, value: f64, unit: &'static str);

    /// The engine failed during `stage`.
    fn failed(&self, stage: &'static str, error: Error) -> Self::Stop;
}

/// What was measured, besides the times.
#[derive(Debug)]
pub struct Measured {
    /// Of the last inference.
    pub outputs: NamedTensors,
    /// Ops executed by the first inference.
    pub tally: Tally,
    /// Ops that the host executed in the device's place.
    pub host_tally: Tally,
    /// Why it did.
    pub refusals: Vec<String>,
    /// Dispatches to a device over the whole measurement.
    pub dispatches: u64,
    /// Threads that computed, where there were several to.
    pub threads: Option<u32>,
    /// Dispatches over the whole measurement, by kernel and variant.
    pub kernels: BTreeMap<String, u64>,
    /// When pipelines were made; none where there are none.
    pub pipelines: Option<Made>,
    /// How often weights were uploaded again, where not all of them stay.
    pub moved: Option<Moved>,
}

/// Compiles, infers once, then warms up and takes samples.
///
/// # Errors
/// Whatever the witness makes of a failure.
pub async fn measure<B: Backend, W: Witness>(
    loaded: &Loaded,
    backend: B,
    options: Options,
    schedule: Schedule,
    witness: &W,
) -> Result<Measured, W::Stop> {
    let mut runner = Runner::new(&*loaded.model, &loaded.weights, backend, options);
    let failed = |stage| move |error| witness.failed(stage, error);
    let kept = loaded.weights.kept_bytes() as u64;
    witness.memory(runner.backend().held(), kept);

    witness.progress("Compiling", 0.3).await?;
    let start = witness.now();
    runner.compile(&loaded.inputs).await.map_err(failed("compile"))?;
    witness.span(Span::Compile, witness.now() - start);
    let held = runner.backend().held();
    witness.memory(held, kept);
    if let Some(limit) = schedule.memory_limit.filter(|&limit| held.total() > limit) {
        return Err(witness.failed("memory limit", Error::OverLimit { held: held.total(), limit }));
    }

    witness.progress("First inference", 0.5).await?;
    runner.backend().take_tally();
    runner.backend().take_host_tally();
    let start = witness.now();
    let mut first = runner.infer(&loaded.inputs).await.map_err(failed("first inference"))?;
    witness.span(Span::First, witness.now() - start);
    // What packed caches hold belongs to what is judged; reading it back is no part of an inference. Where that takes another
    // inference, once at the end is enough.
    if !runner.overwrites() {
        first.extend(runner.kept(&loaded.inputs).await.map_err(failed("caches"))?);
    }
    witness.memory(runner.backend().held(), kept);
    let (tally, host_tally) = (runner.backend().take_tally(), runner.backend().take_host_tally());

    let mut pace = Pace::of(schedule);
    let began = witness.now();
    let mut outputs = first.clone();
    while let Some(warmup) = pace.next() {
        let index = pace.index();
        witness.progress("Measuring", 0.6 + 0.35 * pace.done()).await?;
        let start = witness.now();
        let mut tokens = Vec::new();
        let mut chosen = || tokens.push(witness.now() - start);
        let inferred = runner.infer_watched(&loaded.inputs, &mut chosen).await;
        outputs = inferred.map_err(failed("sample"))?;
        let ms = witness.now() - start;
        witness.sample(index, warmup, ms);
        pace.took(warmup, ms, witness.now() - began);
        if !warmup && !tokens.is_empty() {
            witness.tokens(index, tokens);
        }
        witness.memory(runner.backend().held(), kept);
    }
    if let Some(rested) = pace.rested() {
        witness.metric("warmup_rested", f64::from(u8::from(rested)), "bool");
    }
    outputs.extend(runner.kept(&loaded.inputs).await.map_err(failed("caches"))?);
    let (bytes, bits) = loaded.weight_size().map_err(|error| witness.failed("weights", error))?;
    witness.metric("weight_bytes", bytes as f64, "B");
    witness.metric("bits_per_weight", bits, "bit");
    let positions = runner.cache_positions(&loaded.inputs).map_err(failed("caches"))?;
    if positions > 0 {
        witness.metric("cache_positions", positions as f64, "1");
    }
    let encoded = runner.encoded_bytes();
    if encoded > 0 {
        witness.metric("cache_encoded_bytes", encoded as f64, "B");
    }
    if let Some((rows, bytes)) = runner.rings().filter(|_| positions > 0) {
        witness.metric("cache_ring_positions", rows as f64, "1");
        witness.metric("cache_ring_bytes", bytes as f64, "B");
    }
    // Same input, same graph, same machine: anything but the same bits is worth knowing.
    let repeatable = first.iter().all(|(name, a)| outputs.get(name).is_some_and(|b| a.bytes() == b.bytes()));
    witness.metric("repeatable", f64::from(u8::from(repeatable)), "bool");
    let timed_ms: f64 = pace.timed.iter().sum();
    if timed_ms > 0.0 {
        let count = items(&*loaded.model, &loaded.inputs) as f64 * pace.timed.len() as f64;
        witness.metric("items_per_second", count * 1000.0 / timed_ms, "1/s");
    }
    let backend = runner.into_backend();
    let threads = backend.threads().map(|threads| threads as u32);
    if let Some(threads) = threads {
        witness.metric("threads", f64::from(threads), "threads");
    }
    let (dispatches, refusals) = (backend.dispatches(), backend.refusals().to_vec());
    let (kernels, pipelines, moved) = (backend.kernels().clone(), backend.pipelines(), backend.moved());
    if let Some(moved) = moved {
        witness.metric("offload_uploads", moved.uploads as f64, "1");
        witness.metric("offload_bytes", moved.bytes as f64, "B");
    }
    Ok(Measured { outputs, tally, host_tally, refusals, dispatches, threads, kernels, pipelines, moved })
}

/// Which inference comes next, by a schedule.
#[derive(Debug)]
pub struct Pace {
    schedule: Schedule,
    warm: WarmUp,
    timed: Vec<f64>,
    spent_ms: f64,
}

impl Pace {
    /// Nothing was done yet.
    pub fn of(schedule: Schedule) -> Self {
        Self { schedule, warm: WarmUp::default(), timed: Vec::new(), spent_ms: 0.0 }
    }

    /// The next one's index.
    pub fn index(&self) -> u32 {
        (self.warm.count() + self.timed.len()) as u32
    }

    /// Whether the next one is a warm-up; none if there is no next one.
    pub fn next(&self) -> Option<bool> {
        let (warm, timed) = (self.warm.count() as u32, self.timed.len() as u32);
        if timed == 0 && warm < self.schedule.warmup {
            return Some(true);
        }
        if timed >= self.schedule.samples {
            return None;
        }
        let Some(until) = self.schedule.until else { return Some(false) };
        if timed == 0 {
            // A third of the time for warming up, so that most of it is left for what counts.
            return Some(!self.warm.is_over() && self.spent_ms < until.budget_ms / 3.0);
        }
        // No interval is of that width: all samples are wanted, and the time is for warming up alone.
        if until.width <= 0.0 {
            return Some(false);
        }
        let enough = steady::width(&self.timed).is_some_and(|width| width <= until.width);
        (!enough && self.spent_ms < until.budget_ms).then_some(false)
    }

    /// One was done, took `ms`, and ended `at_ms` after the first began.
    pub fn took(&mut self, warmup: bool, ms: f64, at_ms: f64) {
        self.spent_ms += ms;
        if warmup { self.warm.took(ms, at_ms) } else { self.timed.push(ms) }
    }

    /// Whether times rested before the first that counts; none where nobody asked.
    pub fn rested(&self) -> Option<bool> {
        self.schedule.until.is_some().then(|| self.warm.has_rested())
    }

    /// About how much is done, between 0 and 1.
    pub fn done(&self) -> f64 {
        let all = f64::from(self.schedule.warmup + self.schedule.samples).max(1.0);
        let counted = f64::from(self.index()) / all;
        let spent = self.schedule.until.map_or(0.0, |until| self.spent_ms / until.budget_ms);
        counted.max(spent).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many warm-ups and samples are taken where inferences take these times.
    fn taken(schedule: Schedule, mut ms: impl FnMut(u32) -> f64) -> (usize, usize) {
        let (mut pace, mut now) = (Pace::of(schedule), 0.0);
        while let Some(warmup) = pace.next() {
            let ms = ms(pace.index());
            now += ms;
            pace.took(warmup, ms, now);
        }
        (pace.warm.count(), pace.timed.len())
    }

    #[test]
    fn a_number_is_taken_as_it_is() {
        let schedule = Schedule { warmup: 2, samples: 5, until: None, memory_limit: None };
        assert_eq!(taken(schedule, |_| 1.0), (2, 5));
        assert_eq!(taken(Schedule { warmup: 0, ..schedule }, |_| 1.0), (0, 5));
    }

    #[test]
    fn it_ends_when_enough_is_known_or_the_time_is_spent() {
        let until = Until { width: 0.05, budget_ms: 25_000.0 };
        let schedule = Schedule { warmup: 1, samples: 10_000, until: Some(until), memory_limit: None };
        // Ten slow ones, then always the same: at rest once what was before scatters no less than it fell.
        assert_eq!(
            taken(schedule, |index| if index < 10 { 125.0 - 10.0 * f64::from(index) } else { 25.0 }),
            (16, 6)
        );
        // Quick ones rest at once, and are not yet warm.
        assert_eq!(taken(schedule, |_| 2.0), (150, 6));
        // Two speeds in turn: never narrow, until the time is spent.
        let (warm, timed) = taken(schedule, |index| 25.0 + 25.0 * f64::from(index % 2));
        assert!(warm == 8 && (600..700).contains(&timed), "{warm} {timed}");
        // Slow as it is, it is warmed up and timed once each.
        assert_eq!(taken(schedule, |_| 125_000.0), (1, 1));
    }

    #[test]
    fn where_all_samples_are_wanted_only_warming_up_depends_on_times() {
        let until = Until { width: 0.0, budget_ms: 6_000.0 };
        let schedule = Schedule { warmup: 2, samples: 4, until: Some(until), memory_limit: None };
        assert_eq!(taken(schedule, |_| 2.0), (150, 4), "0.3 s at least");
        assert_eq!(taken(schedule, |_| 1_500.0), (2, 4), "2 s at most");
        assert_eq!(taken(schedule, |_| 125_000.0), (2, 4));
    }
}
