//! Cutting a graph where a device refuses an op: parts that run there and parts that run on the host, in turn.

use crate::error::Result;
use crate::ir::{Graph, Source, TensorType, ValueId};

/// A piece of a graph.
#[derive(Clone, Debug)]
pub struct Part {
    /// Whether the host runs it.
    pub on_host: bool,
    /// The piece, without states: their values come in under [`before`]'s names. Results go in and out under
    /// [`between`]'s, each once, whatever it is to the whole graph.
    pub graph: Graph,
}

/// What the value of a state is called before a run.
pub fn before(state: &str) -> String {
    format!("before {state}")
}

/// What a value that leaves a part is called.
pub fn between(id: ValueId) -> String {
    format!("value {}", id.index())
}

/// Cuts `graph` into as few parts as the order of its refused nodes allows. Nodes for which `refused` holds
/// go to the host, and none else.
///
/// # Errors
/// If a shape rule refuses what was built: a fault of this pass.
pub fn split(graph: &Graph, refused: impl Fn(&crate::ir::Node) -> bool) -> Result<Vec<Part>> {
    // Even stages run on the device, odd ones on the host; a value is available from its stage on.
    let mut stages = vec![0; graph.values().len()];
    for node in graph.nodes() {
        let earliest = node.inputs.iter().map(|id| stages[id.index()]).max().unwrap_or(0);
        let side = usize::from(refused(node));
        stages[node.output.index()] = earliest + usize::from(earliest % 2 != side);
    }
    let last = stages.iter().copied().max().unwrap_or(0);
    let mut parts = Vec::new();
    for stage in 0..=last {
        let part = Cut { graph, stages: &stages, stage, to: Graph::default(), map: vec![None; stages.len()] };
        if let Some(graph) = part.build()? {
            parts.push(Part { on_host: stage % 2 == 1, graph });
        }
    }
    Ok(parts)
}

struct Cut<'g> {
    graph: &'g Graph,
    stages: &'g [usize],
    stage: usize,
    to: Graph,
    map: Vec<Option<ValueId>>,
}

impl Cut<'_> {
    fn build(mut self) -> Result<Option<Graph>> {
        for node in self.graph.nodes() {
            if self.stages[node.output.index()] != self.stage {
                continue;
            }
            let inputs: Vec<ValueId> = node.inputs.iter().map(|id| self.taken(*id)).collect();
            let output = self.to.push_node(node.op.clone(), &inputs, &node.scope)?;
            self.map[node.output.index()] = Some(output);
        }
        self.hand_on();
        Ok((!self.to.outputs.is_empty()).then_some(self.to))
    }

    /// The value in this part: what other parts compute, inputs and states come in by name.
    fn taken(&mut self, id: ValueId) -> ValueId {
        if let Some(known) = self.map[id.index()] {
            return known;
        }
        let value = self.graph.value(id);
        let source = match &value.source {
            Source::State(name) => Source::Input(before(name)),
            Source::Node(_) => Source::Input(between(id)),
            source => source.clone(),
        };
        let taken = self.to.push_value(TensorType::clone(&value.ty), source);
        self.map[id.index()] = Some(taken);
        taken
    }

    /// Names what leaves this part, for later parts, as the graph's output or as a state: each value once, since
    /// WebNN loses its context over one that leaves twice. What is no node's result leaves with the first part.
    fn hand_on(&mut self) {
        let here = |id: ValueId| match self.graph.value(id).source {
            Source::Node(_) => self.stages[id.index()] == self.stage,
            _ => self.stage == 0,
        };
        let outputs = self.graph.outputs().iter().map(|(_, id)| *id);
        let states = self.graph.states().iter().map(|state| state.after);
        let mut leaving: Vec<ValueId> = outputs.chain(states).filter(|id| here(*id)).collect();
        for node in self.graph.nodes() {
            let elsewhere = self.stages[node.output.index()] != self.stage;
            let results = node.inputs.iter().filter(|id| {
                elsewhere && here(**id) && matches!(self.graph.value(**id).source, Source::Node(_))
            });
            leaving.extend(results);
        }
        leaving.sort();
        leaving.dedup();
        for id in leaving {
            let value = self.taken(id);
            self.to.outputs.push((between(id), value));
        }
    }
}
