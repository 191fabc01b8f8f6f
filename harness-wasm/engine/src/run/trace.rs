//! One inference with every intermediate result kept: what two backends are compared by, op by op, when
//! their outputs disagree.
//!
//! A trace is a backend like any other run: the graph is the model's, with each node's result named as an
//! output too. What changes is the memory plan, since no result's place can be used again: a fault that
//! needs reuse does not show in a trace, and whoever reads one must say so. Nor do rings: caches are whole here.

use crate::backend::{Backend, Held, ProgramId, Tally};
use crate::error::Result;
use crate::ir::Graph;
use crate::ops::Op;
use crate::run::{Loaded, Options, Runner};
use crate::tensor::{NamedTensors, Tensor};
use crate::weights::Weights;

/// Bytes of intermediate results that are kept; what comes later is left out.
const BUDGET: usize = 192 << 20;

/// Where in an inference an intermediate result stands. Its text is the result's name in a trace: texts
/// sort as the results were computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which run of a graph: the prompt's is 0, each further token's comes after.
    pub run: usize,
    /// Which node of the graph.
    pub node: usize,
    /// The op's name.
    pub op: String,
    /// Where in the model, such as `encoder.layer.0.attention`.
    pub scope: String,
}

/// Begins the name of every step, and of no output.
const MARK: &str = "step ";

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { run, node, op, scope } = self;
        write!(f, "{MARK}{run:06} {node:06} {op} {scope}")
    }
}

impl Step {
    /// The step that a tensor of a trace is the result of; none of an output.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(MARK)?.splitn(4, ' ');
        let mut part = || parts.next();
        let (run, node, op, scope) = (part()?, part()?, part()?, part()?);
        Some(Self { run: run.parse().ok()?, node: node.parse().ok()?, op: op.into(), scope: scope.into() })
    }
}

/// One inference: the model's outputs under their names, and each node's result under its [`Step`]'s.
///
/// # Errors
/// If an input, a weight or the device refuses.
pub async fn trace<B: Backend>(loaded: &Loaded, backend: B, options: Options) -> Result<NamedTensors> {
    let exposed =
        Exposed { inner: backend, programs: Vec::new(), kept: NamedTensors::new(), runs: 0, left: BUDGET };
    let mut runner = Runner::new(&*loaded.model, &loaded.weights, exposed, options);
    let mut outputs = runner.infer_kept(&loaded.inputs).await?;
    outputs.extend(runner.into_backend().kept);
    Ok(outputs)
}

/// A backend that keeps what its graphs compute on the way.
#[derive(Debug)]
struct Exposed<B> {
    inner: B,
    programs: Vec<(ProgramId, Vec<Exposure>)>,
    kept: NamedTensors,
    runs: usize,
    left: usize,
}

/// A node whose result is kept.
#[derive(Debug)]
struct Exposure {
    node: usize,
    op: &'static str,
    scope: String,
    /// The output that holds it: the model's own name where it is an output anyway.
    output: String,
    /// Named for the trace only.
    added: bool,
}

/// Names every node's result as an output.
///
/// # Errors
/// If a shape rule refuses what was built: a fault of this function.
fn expose(graph: &Graph) -> Result<(Graph, Vec<Exposure>)> {
    let mut exposed = graph.clone();
    let mut exposures = Vec::with_capacity(graph.nodes().len());
    for (at, node) in graph.nodes().iter().enumerate() {
        let own = graph.outputs().iter().find(|(_, id)| *id == node.output);
        let output = own.map_or_else(|| format!("{MARK}{at:06}"), |(name, _)| name.clone());
        if own.is_none() {
            // A state's new value leaves the graph already, and WebNN lets nothing leave twice.
            let result = if graph.states().iter().any(|state| state.after == node.output) {
                let same = Op::Reshape { shape: graph.ty(node.output).shape.clone() };
                exposed.push_node(same, &[node.output], &node.scope)?
            } else {
                node.output
            };
            exposed.outputs.push((output.clone(), result));
        }
        let (op, scope) = (node.op.name(), node.scope.clone());
        exposures.push(Exposure { node: at, op, scope, output, added: own.is_none() });
    }
    Ok((exposed, exposures))
}

impl<B: Backend> Backend for Exposed<B> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn compile(&mut self, graph: &Graph, weights: &Weights) -> Result<ProgramId> {
        let (exposed, exposures) = expose(graph)?;
        self.programs.push((self.inner.compile(&exposed, weights).await?, exposures));
        Ok(ProgramId(self.programs.len() - 1))
    }

    async fn run(&mut self, program: ProgramId, inputs: &NamedTensors) -> Result<NamedTensors> {
        let (program, exposures) = &self.programs[program.0];
        let mut outputs = self.inner.run(*program, inputs).await?;
        for exposure in exposures {
            let result: Option<Tensor> = if exposure.added {
                outputs.remove(&exposure.output)
            } else {
                outputs.get(&exposure.output).cloned()
            };
            let Some(result) = result else { continue };
            // Once one is left out, all later ones are: a trace has no holes.
            self.left = self.left.saturating_sub(result.bytes().len());
            if self.left > 0 {
                let Exposure { node, op, scope, .. } = exposure;
                let step = Step { run: self.runs, node: *node, op: (*op).into(), scope: scope.clone() };
                self.kept.insert(step.to_string(), result);
            }
        }
        self.runs += 1;
        Ok(outputs)
    }

    fn reset(&mut self) {
        self.inner.reset();
    }

    fn held(&self) -> Held {
        self.inner.held()
    }

    fn take_tally(&mut self) -> Tally {
        self.inner.take_tally()
    }

    fn dispatches(&self) -> u64 {
        self.inner.dispatches()
    }
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::backend::cpu::{Cpu, Kernels};

    fn options(max_new_tokens: usize) -> Options {
        Options { max_new_tokens, ..Options::default() }
    }

    #[test]
    fn a_trace_holds_every_node_of_every_run_and_changes_no_output() {
        let loaded = Loaded::twin("llama", "tiny", 7).unwrap();
        let traced = block_on(trace(&loaded, Cpu::new(Kernels::Simd), options(3))).unwrap();
        let mut plain = Runner::new(&*loaded.model, &loaded.weights, Cpu::new(Kernels::Simd), options(3));
        let outputs = block_on(plain.infer(&loaded.inputs)).unwrap();
        let steps: Vec<Step> = traced.keys().filter_map(|name| Step::parse(name)).collect();
        assert_eq!(traced.len(), outputs.len() + steps.len());
        for (name, output) in &outputs {
            assert_eq!(traced.get(name), Some(output), "{name}");
        }
        // The prompt, then a step for each new token but the last.
        assert_eq!(steps.last().map(|step| step.run), Some(2));
        let order: Vec<(usize, usize)> = steps.iter().map(|step| (step.run, step.node)).collect();
        assert!(order.is_sorted_by(|a, b| a < b), "{order:?}");
        assert!(steps.iter().any(|step| step.op == "attention" && step.scope == "model.layers.1.self_attn"));
    }

    #[test]
    fn names_read_back() {
        let step = Step { run: 2, node: 41, op: "add".into(), scope: "a b".into() };
        assert_eq!(Step::parse(&step.to_string()), Some(step));
        let bare = Step { run: 0, node: 0, op: "add".into(), scope: String::new() };
        assert_eq!(Step::parse(&bare.to_string()), Some(bare));
        assert_eq!(Step::parse("logits"), None);
        assert_eq!(Step::parse("step one"), None);
    }
}
