//! Whether "no difference" is told of nothing, and a difference of something: one cell of the host is held against itself, as
//! `webmatrix compare` holds cells against one another, many times over on this machine as it is; then against itself with a
//! tenth of its time added to every run of its graphs; then against itself with one kernel slower, `gemm`, which computes a
//! tenth of its rows twice. `WEBMATRIX_AA` is how many comparisons of each kind (200),
//! `WEBMATRIX_AA_ROUNDS` how many rounds each has (6), `WEBMATRIX_AA_SIZE` the twin's size (tiny).
#![expect(clippy::print_stdout, reason = "this is what a benchmark is for")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use pollster::block_on;
use webmatrix::analyse::comparison::{Kind, Measured, comparison};
use webmatrix::analyse::view::CellView;
use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::backend::{Backend, Held, ProgramId, Tally};
use webmatrix_engine::ir::{Graph, GraphBuilder, Node, Source};
use webmatrix_engine::ops::{Gemm, Op};
use webmatrix_engine::run::{Loaded, Options, Schedule, Span, Witness, measure};
use webmatrix_engine::tensor::{DType, NamedTensors, Tensor};
use webmatrix_engine::weights::Weights;
use webmatrix_engine::{Error, Result};
use webmatrix_wire::{EvidenceGrade, Status};

/// As `compare` has them by default: rounds, and samples in each.
const ROUNDS: usize = 6;
const SAMPLES: u32 = 4;
const WARMUP: u32 = 2;
/// What is added to every run.
const SLOWER: f64 = 0.10;

fn main() -> anyhow::Result<()> {
    let number = |name: &str, usual: usize| -> usize {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    let (count, rounds) = (number("WEBMATRIX_AA", 200), number("WEBMATRIX_AA_ROUNDS", ROUNDS));
    let size = std::env::var("WEBMATRIX_AA_SIZE").unwrap_or_else(|_| "tiny".to_owned());
    let loaded = Loaded::twin("bert", &size, 7)?;
    println!(
        "bert@{size} on native-cpu: {count} comparisons of {rounds} rounds with {SAMPLES} samples a side"
    );
    for (what, slower) in [
        ("itself", Slower::Nothing),
        ("itself, a tenth slower", Slower::Everything),
        ("itself, its gemm a tenth slower", Slower::Gemm),
    ] {
        let begun = Instant::now();
        let mut told = Told::default();
        for _ in 0..count {
            told.add(&loaded, slower, rounds)?;
        }
        told.print(what, count, begun.elapsed());
        let differ = told.faster + told.slower;
        anyhow::ensure!(
            slower != Slower::Nothing || 20 * differ <= count,
            "{differ} of {count} told a difference of nothing"
        );
    }
    Ok(())
}

/// What is slower on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slower {
    Nothing,
    /// All of every run.
    Everything,
    /// One kernel.
    Gemm,
}

/// What comparisons said.
#[derive(Default)]
struct Told {
    faster: usize,
    slower: usize,
    ratios: Vec<f64>,
    widths: Vec<f64>,
}

impl Told {
    fn add(&mut self, loaded: &Loaded, slower: Slower, count: usize) -> anyhow::Result<()> {
        let mut rounds = [Vec::new(), Vec::new()];
        for round in 0..count {
            // As browsers run their cells: there and back.
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for side in order {
                let slower = if side == 1 { slower } else { Slower::Nothing };
                rounds[side].push(samples(loaded, slower)?);
            }
        }
        let views = [view("default"), view("threads-1")];
        let measured = [0, 1].map(|side| Measured {
            view: &views[side],
            rounds: &rounds[side],
            weights: None,
            outputs: None,
            texts: None,
            phases: None,
        });
        let rows = comparison(Kind::Features, "aa", &measured).rows;
        let latency = &rows[1].latency;
        self.faster += usize::from(latency.says == "faster");
        self.slower += usize::from(latency.says == "slower");
        if let Some(ratio) = latency.ratio {
            self.ratios.push(ratio.value);
            self.widths.extend(ratio.hi.zip(ratio.lo).map(|(hi, lo)| hi - lo));
        }
        Ok(())
    }

    fn print(&mut self, what: &str, count: usize, took: Duration) {
        let share = |verdicts: usize| 100.0 * verdicts as f64 / count as f64;
        let median = |values: &[f64]| webmatrix::analyse::median(values).unwrap_or(f64::NAN);
        println!(
            "against {what}: {} faster, {} slower ({:.1} % of verdicts tell a difference); median ratio {:.3}, its \
             interval {:.3} wide, so that {:.1} % would be seen 4 times of 5; {:.0} s",
            self.faster,
            self.slower,
            share(self.faster + self.slower),
            median(&self.ratios),
            median(&self.widths),
            100.0 * median(&self.widths) / 2.0 * (1.96 + 0.84) / 1.96,
            took.as_secs_f64()
        );
    }
}

/// Milliseconds of one round of one side, from a compilation of its own.
fn samples(loaded: &Loaded, slower: Slower) -> anyhow::Result<Vec<f64>> {
    let clock = Clock { started: Instant::now(), samples: RefCell::default() };
    let backend = Slowed { inner: Cpu::new(Kernels::Simd), slower, again: HashMap::new() };
    let schedule = Schedule { warmup: WARMUP, samples: SAMPLES, until: None, memory_limit: None };
    block_on(measure(loaded, backend, Options::default(), schedule, &clock))
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(clock.samples.into_inner())
}

/// A cell of the host that passed.
fn view(profile: &str) -> CellView {
    CellView {
        id: format!("native/bert@tiny/webmatrix/native-cpu/fp32/{profile}"),
        browser: "native".to_owned(),
        browser_version: String::new(),
        model: "bert".to_owned(),
        size: "tiny".to_owned(),
        runtime: "webmatrix".to_owned(),
        backend: "native-cpu".to_owned(),
        precision: "fp32".to_owned(),
        profile: profile.to_owned(),
        status: Some(Status::Pass),
        flaky: false,
        evidence: EvidenceGrade::Cpu,
        implementation: None,
        agreement: None,
        accuracy: None,
        perplexity: None,
        median_ms: None,
        timing: None,
        doubt: None,
        error: None,
        answer: Vec::new(),
        run: "aa".to_owned(),
    }
}

/// The CPU's executor, slower.
struct Slowed {
    inner: Cpu,
    slower: Slower,
    /// What is computed again after each program: some rows of each of its products, on inputs of their own.
    again: HashMap<ProgramId, Vec<(ProgramId, NamedTensors)>>,
}

impl Slowed {
    /// A tenth of the rows of one `gemm`, if the node is one, as a program.
    async fn again(
        &mut self,
        graph: &Graph,
        node: &Node,
        weights: &Weights,
    ) -> Result<Option<(ProgramId, NamedTensors)>> {
        let Op::Gemm(_) = &node.op else { return Ok(None) };
        let Source::Weight(weight) = &graph.value(node.inputs[1]).source else { return Ok(None) };
        let rows = (graph.ty(node.inputs[0]).shape[0] as f64 * SLOWER).round() as usize;
        let &[n, k] = &graph.ty(node.inputs[1]).shape[..] else { return Ok(None) };
        if rows == 0 {
            return Ok(None);
        }
        let mut builder = GraphBuilder::new(weights);
        let x = builder.input("x", DType::F32, [rows, k]);
        let w = builder.weight(&[weight], [n, k])?;
        let y = builder.op(Op::Gemm(Gemm::default()), &[x, w])?;
        builder.output("y", y);
        let program = self.inner.compile(&builder.finish(), weights).await?;
        let x = ("x".to_owned(), Tensor::f32([rows, k], vec![0.5; rows * k]));
        Ok(Some((program, NamedTensors::from_iter([x]))))
    }
}

impl Backend for Slowed {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn compile(&mut self, graph: &Graph, weights: &Weights) -> Result<ProgramId> {
        let program = self.inner.compile(graph, weights).await?;
        if self.slower == Slower::Gemm {
            let mut again = Vec::new();
            for node in graph.nodes() {
                again.extend(self.again(graph, node, weights).await?);
            }
            self.again.insert(program, again);
        }
        Ok(program)
    }

    async fn run(&mut self, program: ProgramId, inputs: &NamedTensors) -> Result<NamedTensors> {
        let begun = Instant::now();
        let outputs = self.inner.run(program, inputs).await;
        let until = begun.elapsed().mul_f64(1.0 + SLOWER);
        while self.slower == Slower::Everything && begun.elapsed() < until {
            std::hint::spin_loop();
        }
        for (program, inputs) in self.again.get(&program).into_iter().flatten() {
            self.inner.run(*program, inputs).await?;
        }
        outputs
    }

    fn reset(&mut self) {
        self.inner.reset();
    }

    fn take_tally(&mut self) -> Tally {
        self.inner.take_tally()
    }

    fn dispatches(&self) -> u64 {
        self.inner.dispatches()
    }

    fn held(&self) -> Held {
        self.inner.held()
    }
}

/// Tells the time, and keeps the samples.
struct Clock {
    started: Instant,
    samples: RefCell<Vec<f64>>,
}

impl Witness for Clock {
    type Stop = Error;

    fn now(&self) -> f64 {
        self.started.elapsed().as_secs_f64() * 1000.0
    }

    async fn progress(&self, _: &'static str, _: f64) -> std::result::Result<(), Error> {
        Ok(())
    }

    fn span(&self, _: Span, _: f64) {}

    fn sample(&self, _: u32, warmup: bool, ms: f64) {
        if !warmup {
            self.samples.borrow_mut().push(ms);
        }
    }

    fn tokens(&self, _: u32, _: Vec<f64>) {}

    fn memory(&self, _: Held, _: u64) {}

    fn metric(&self, _: &'static str, _: f64, _: &'static str) {}

    fn failed(&self, _: &'static str, error: Error) -> Error {
        error
    }
}
