//! A device with the host beside it: ops that the device refuses run on the CPU, and are counted as such.

use crate::backend::cpu::{Cpu, Kernels};
use crate::backend::{Backend, Held, ProgramId, Tally};
use crate::error::{Error, Result};
use crate::ir::{Graph, Node, Source};
use crate::plan::decompose::decompose;
use crate::plan::fold::fold;
use crate::plan::split::{before, between, split};
use crate::tensor::{NamedTensors, Tensor};
use crate::weights::Weights;

/// Says why a device refuses a node of a decomposed graph, if it does.
pub type Refusal = Box<dyn Fn(&Graph, &Node) -> Option<String>>;

/// A backend whose refused ops the host runs.
///
/// As long as nothing is refused the device gets whole graphs and keeps their states. From the first refusal on
/// every graph is cut, and states are kept on the host, since either side may need them.
pub struct Split<B> {
    device: B,
    host: Cpu,
    refusal: Refusal,
    programs: Vec<Program>,
    /// Whether graphs are cut.
    cuts: bool,
    /// Whether an uncut graph has run, and the device may hold states.
    ran_whole: bool,
    states: NamedTensors,
    reasons: Vec<String>,
}

struct Program {
    graph: Graph,
    /// One on the device, if it is not cut.
    parts: Vec<(bool, ProgramId)>,
}

impl<B: std::fmt::Debug> std::fmt::Debug for Split<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Split").field("device", &self.device).finish_non_exhaustive()
    }
}

impl<B: Backend> Split<B> {
    /// The device, and what it refuses.
    pub fn new(device: B, refusal: Refusal) -> Self {
        Self {
            device,
            host: Cpu::new(Kernels::Simd),
            refusal,
            programs: Vec::new(),
            cuts: false,
            ran_whole: false,
            states: NamedTensors::new(),
            reasons: Vec::new(),
        }
    }

    /// Notes why nodes are refused.
    fn note(&mut self, plain: &Graph) -> bool {
        let reasons: Vec<String> =
            plain.nodes().iter().filter_map(|node| (self.refusal)(plain, node)).collect();
        let any = !reasons.is_empty();
        for reason in reasons {
            if !self.reasons.contains(&reason) {
                self.reasons.push(reason);
            }
        }
        any
    }

    /// Compiles a decomposed graph in parts.
    async fn cut(&mut self, plain: Graph, weights: &Weights) -> Result<Program> {
        let mut parts = Vec::new();
        for part in split(&plain, |node| (self.refusal)(&plain, node).is_some())? {
            let id = if part.on_host {
                self.host.compile(&part.graph, weights).await?
            } else {
                self.device.compile(&part.graph, weights).await?
            };
            parts.push((part.on_host, id));
        }
        Ok(Program { graph: plain, parts })
    }
}

impl<B: Backend> Backend for Split<B> {
    fn name(&self) -> &'static str {
        self.device.name()
    }

    async fn compile(&mut self, graph: &Graph, weights: &Weights) -> Result<ProgramId> {
        let plain = fold(&decompose(graph)?, weights)?;
        if self.note(&plain) && !self.cuts {
            if self.ran_whole {
                let reason = format!(
                    "{}, where earlier graphs ran whole: compile before running",
                    self.reasons.join("; ")
                );
                return Err(Error::Unsupported { backend: self.device.name(), reason });
            }
            self.cuts = true;
            for program in std::mem::take(&mut self.programs) {
                let program = self.cut(program.graph, weights).await?;
                self.programs.push(program);
            }
        }
        let program = if self.cuts {
            self.cut(plain, weights).await?
        } else {
            let id = self.device.compile(&plain, weights).await?;
            Program { graph: plain, parts: vec![(false, id)] }
        };
        self.programs.push(program);
        Ok(ProgramId(self.programs.len() - 1))
    }

    async fn run(&mut self, program: ProgramId, inputs: &NamedTensors) -> Result<NamedTensors> {
        let program = &self.programs[program.0];
        if !self.cuts {
            self.ran_whole = true;
            return self.device.run(program.parts[0].1, inputs).await;
        }
        let graph = &program.graph;
        let mut known = inputs.clone();
        for value in graph.values() {
            if let Source::State(name) = &value.source {
                let now = self.states.get(name).cloned();
                let now = now.unwrap_or_else(|| Tensor::zeros(value.ty.dtype, value.ty.shape.as_slice()));
                known.insert(before(name), now);
            }
        }
        for &(on_host, id) in &program.parts {
            let results =
                if on_host { self.host.run(id, &known).await? } else { self.device.run(id, &known).await? };
            known.extend(results);
        }
        let left = |id| known[&between(id)].clone();
        for state in graph.states() {
            self.states.insert(state.name.clone(), left(state.after));
        }
        Ok(graph.outputs().iter().map(|(name, id)| (name.clone(), left(*id))).collect())
    }

    fn reset(&mut self) {
        self.device.reset();
        self.ran_whole = false;
        self.states.clear();
    }

    fn take_tally(&mut self) -> Tally {
        self.device.take_tally()
    }

    fn take_host_tally(&mut self) -> Tally {
        self.host.take_tally()
    }

    fn refusals(&self) -> &[String] {
        &self.reasons
    }

    fn dispatches(&self) -> u64 {
        self.device.dispatches()
    }

    fn held(&self) -> Held {
        let states: u64 = self.states.values().map(|state| state.bytes().len() as u64).sum();
        let host = self.host.held();
        self.device.held() + Held { states: host.states + states, ..host }
    }
}
