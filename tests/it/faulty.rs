//! A backend one of whose kernels is wrong.

use std::collections::{BTreeMap, HashMap};

use webmatrix_engine::Result;
use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::backend::{Backend, Held, ProgramId, Tally};
use webmatrix_engine::ir::{Graph, Source};
use webmatrix_engine::tensor::{NamedTensors, Tensor};
use webmatrix_engine::weights::Weights;

/// Computes every op as the oracle does, but for one op of one part of the model, whose results are too large.
pub(crate) struct Faulty {
    op: &'static str,
    scope: &'static str,
    /// Knows what programs are called.
    names: Cpu,
    programs: HashMap<ProgramId, (Graph, BTreeMap<usize, Tensor>)>,
}

impl Faulty {
    pub(crate) fn new(op: &'static str, scope: &'static str) -> Self {
        Self { op, scope, names: Cpu::new(Kernels::Oracle), programs: HashMap::new() }
    }
}

impl Backend for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    async fn compile(&mut self, graph: &Graph, weights: &Weights) -> Result<ProgramId> {
        let mut loaded = BTreeMap::new();
        for (at, value) in graph.values().iter().enumerate() {
            if let Source::Weight(name) = &value.source {
                loaded.insert(at, weights.load(name, &value.ty.shape)?);
            }
        }
        let program = self.names.compile(graph, weights).await?;
        self.programs.insert(program, (graph.clone(), loaded));
        Ok(program)
    }

    async fn run(&mut self, program: ProgramId, inputs: &NamedTensors) -> Result<NamedTensors> {
        let (graph, weights) = &self.programs[&program];
        let mut values: Vec<Option<Tensor>> = graph
            .values()
            .iter()
            .enumerate()
            .map(|(at, value)| match &value.source {
                Source::Input(name) => inputs.get(name).cloned(),
                Source::Weight(_) => weights.get(&at).cloned(),
                Source::Constant(tensor) => Some((**tensor).clone()),
                Source::State(_) | Source::Node(_) => None,
            })
            .collect();
        for node in graph.nodes() {
            let operands: Vec<&Tensor> = node
                .inputs
                .iter()
                .map(|id| values[id.index()].as_ref().unwrap_or_else(|| panic!("{node:?}")))
                .collect();
            let mut result = node.op.eval(&operands);
            if node.op.name() == self.op && node.scope.starts_with(self.scope) {
                result.as_f32_mut().iter_mut().for_each(|x| *x *= 1.25);
            }
            values[node.output.index()] = Some(result);
        }
        let output = |(name, id): &(String, webmatrix_engine::ir::ValueId)| {
            Some((name.clone(), values[id.index()].clone()?))
        };
        Ok(graph.outputs().iter().filter_map(output).collect())
    }

    fn reset(&mut self) {}

    fn take_tally(&mut self) -> Tally {
        Tally::new()
    }

    fn dispatches(&self) -> u64 {
        0
    }

    fn held(&self) -> Held {
        self.names.held()
    }
}
