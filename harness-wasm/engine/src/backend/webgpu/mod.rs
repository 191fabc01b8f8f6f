//! The WebGPU executor: hand-written WGSL over a small [`Device`].
//!
//! A graph is recorded once into a list of dispatches with their bind groups; a run only writes inputs,
//! submits the list as one compute pass, and reads outputs back. Where pipelines are to be made lazily, the first run completes
//! the list. No buffer is ever bound read-only and
//! writable in one dispatch: the memory plan gives a result a place that none of its operands has.

mod device;
mod kernels;
mod known;
#[cfg(feature = "native-gpu")]
mod native;
mod offload;
mod pipelines;
mod recorded;

use std::collections::{BTreeMap, HashMap};

pub use device::{Binding, Device, Limits, Usage, Work};
pub use kernels::{Extension, Kernel, Launch, Making, Operand, Tuning, Workgroup, launches};
pub use known::known_answer;
#[cfg(feature = "native-gpu")]
pub use native::NativeDevice;
use offload::Offload;
use pipelines::{Asked, Pipelines};
use recorded::{Bound, Dispatch, Recorded, Step};

use crate::backend::{Backend, Held, Made, Moved, ProgramId, Tally, checked_input};
use crate::error::{Error, Result};
use crate::ir::{Graph, Source, TensorType, ValueId};
use crate::ops::Op;
use crate::plan::memory::{self, Place};
use crate::tensor::{NamedTensors, Tensor};
use crate::weights::Weights;

/// The executor over a device.
#[derive(Debug)]
pub struct WebGpu<D: Device> {
    device: D,
    pipelines: Pipelines<D>,
    weights: HashMap<String, D::Buffer>,
    states: HashMap<String, (D::Buffer, u64)>,
    programs: Vec<Program<D>>,
    tally: Tally,
    dispatches: u64,
    held: Held,
    kernels: BTreeMap<String, u64>,
    /// Where not all weights stay on the device.
    offload: Option<Offload<D>>,
}

struct Program<D: Device> {
    inputs: Vec<(String, crate::ir::TensorType, D::Buffer)>,
    outputs: Vec<(String, crate::ir::TensorType, D::Buffer)>,
    /// Dispatches whose pipelines the first run makes, before `steps`.
    lazy: Vec<Dispatch<D>>,
    steps: Vec<Step<D>>,
    tally: Tally,
    dispatches: u64,
    /// Dispatches by kernel and variant.
    kernels: BTreeMap<String, u64>,
}

impl<D: Device> std::fmt::Debug for Program<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("dispatches", &self.dispatches).finish_non_exhaustive()
    }
}

impl<D: Device> WebGpu<D> {
    /// An executor with nothing loaded.
    pub fn new(device: D) -> Self {
        Self {
            device,
            pipelines: Pipelines::new(),
            weights: HashMap::new(),
            states: HashMap::new(),
            programs: Vec::new(),
            tally: Tally::new(),
            dispatches: 0,
            held: Held { activations: Some(0), ..Held::default() },
            kernels: BTreeMap::new(),
            offload: None,
        }
    }

    /// Keeps within so many bytes of everything: weights are uploaded again where they are read, and those used longest ago
    /// make room.
    #[must_use]
    pub fn offloading(self, limit: u64) -> Self {
        Self { offload: Some(Offload::new(limit)), ..self }
    }

    /// The device.
    pub fn device(&self) -> &D {
        &self.device
    }

    fn allocate(&self, label: &str, size: usize) -> Result<D::Buffer> {
        Ok(self.device.buffer(label, self.fits(label, size)?, Usage::Storage))
    }

    /// The size of a buffer for so many bytes.
    fn fits(&self, label: &str, size: usize) -> Result<u64> {
        let (size, limits) = (size.max(4) as u64, self.device.limits());
        let most = limits.storage_binding.min(limits.buffer);
        if size > most {
            return Err(Error::Unsupported {
                backend: D::NAME,
                reason: format!("{label} needs a buffer of {size} bytes, the device binds {most}"),
            });
        }
        Ok(size)
    }

    fn upload(&self, label: &str, tensor: &Tensor) -> Result<D::Buffer> {
        let buffer = self.allocate(label, tensor.bytes().len())?;
        self.device.write(&buffer, tensor.bytes());
        Ok(buffer)
    }

    /// Keeps a weight in the page's memory, for a device that can bind it.
    fn keep(&mut self, name: &str, ty: &TensorType, weights: &Weights) -> Result<()> {
        self.fits(name, ty.bytes())?;
        if let Some(offload) = self.offload.as_mut().filter(|offload| !offload.has(name)) {
            offload.keep(name, weights.load(name, &ty.shape)?);
        }
        Ok(())
    }

    /// A buffer for every value that has a place.
    fn place(
        &mut self,
        graph: &Graph,
        plan: &memory::Plan,
        weights: &Weights,
    ) -> Result<Vec<Option<D::Buffer>>> {
        let slots = plan
            .slots
            .iter()
            .enumerate()
            .map(|(at, &bytes)| self.allocate(&format!("activations {at}"), bytes))
            .collect::<Result<Vec<_>>>()?;
        // Each program has its own slots.
        let results = plan.slots.iter().map(|&bytes| bytes as u64).sum::<u64>();
        self.held.activations = self.held.activations.map(|held| held + results);
        let mut buffers: Vec<Option<D::Buffer>> = Vec::with_capacity(graph.values().len());
        for (value, place) in graph.values().iter().zip(&plan.places) {
            let buffer = match (&value.source, place) {
                (_, Place::Nowhere) => None,
                (_, Place::Slot(slot)) => Some(slots[*slot].clone()),
                (_, Place::SameAs(other)) => buffers[other.index()].clone(),
                // Wherever it lies when it is read.
                (Source::Weight(name), Place::Own) if self.offload.is_some() => {
                    self.keep(name, &value.ty, weights)?;
                    None
                }
                (Source::Weight(name), Place::Own) => {
                    if !self.weights.contains_key(name) {
                        let buffer = self.upload(name, &weights.load(name, &value.ty.shape)?)?;
                        self.held.weights += value.ty.bytes() as u64;
                        self.weights.insert(name.clone(), buffer);
                    }
                    Some(self.weights[name].clone())
                }
                (Source::State(name), Place::Own) => {
                    if !self.states.contains_key(name) {
                        let buffer = self.allocate(name, value.ty.bytes())?;
                        self.held.states += value.ty.bytes() as u64;
                        self.states.insert(name.clone(), (buffer, value.ty.bytes() as u64));
                    }
                    Some(self.states[name].0.clone())
                }
                (Source::Constant(tensor), Place::Own) => {
                    self.held.weights += value.ty.bytes() as u64;
                    Some(self.upload("constant", tensor)?)
                }
                (Source::Input(name), Place::Own) => {
                    self.held.io += value.ty.bytes() as u64;
                    Some(self.allocate(name, value.ty.bytes())?)
                }
                (Source::Node(_), Place::Own) => unreachable!("results live in slots"),
            };
            buffers.push(buffer);
        }
        Ok(buffers)
    }

    async fn record(&mut self, graph: &Graph, weights: &Weights) -> Result<Program<D>> {
        let plan = memory::plan(graph);
        let mut tally = Tally::new();
        let mut steps = Vec::new();
        for node in graph.nodes() {
            let types: Vec<_> = node.inputs.iter().map(|id| graph.ty(*id)).collect();
            if matches!(node.op, Op::KvAppend { .. }) && plan.root(node.output) == node.output {
                // The kernel writes new rows only: where the old cache lives on, it is copied first.
                steps.push((kernels::copy(&types[0].shape), node));
            }
            let tuning = self.device.tuning();
            let launched = launches(D::NAME, tuning, &node.op, &types, graph.ty(node.output))?;
            if !launched.is_empty() {
                // A reshape is a new name for the same buffer: the device never hears of it.
                *tally.entry(node.op.name()).or_default() += 1;
            }
            steps.extend(launched.into_iter().map(|launch| (launch, node)));
        }
        let making = self.device.tuning().making;
        let asked = match making {
            Making::Ahead => self.pipelines.ask(&self.device, steps.iter().map(|(launch, _)| launch))?,
            Making::InTurn | Making::Lazily => Asked::<D>::new(),
        };

        let buffers = self.place(graph, &plan, weights)?;
        let buffer = |id: ValueId| buffers[id.index()].clone().expect("every operand has a place");
        let offloads = self.offload.is_some();
        let bound = |id: ValueId| match &graph.value(plan.root(id)).source {
            Source::Weight(name) if offloads => Bound::Weight(name.clone()),
            _ => Bound::Buffer(buffer(id)),
        };
        let alignment = self.device.limits().uniform_alignment as usize;
        let slot = |launch: &Launch| (launch.params.len() * 4).next_multiple_of(alignment);
        let mut parameters = Vec::new();
        for (launch, _) in &steps {
            let end = parameters.len() + slot(launch);
            parameters.extend_from_slice(bytemuck::cast_slice(&launch.params));
            parameters.resize(end, 0_u8);
        }
        let arena = self.device.buffer("parameters", parameters.len().max(16) as u64, Usage::Uniform);
        self.device.write(&arena, &parameters);
        self.held.io += parameters.len() as u64;

        // A node's dispatches follow each other, so that all nodes can have the same room.
        let room = steps.iter().map(|(launch, _)| launch.scratch).max().unwrap_or(0);
        let scratch = if room > 0 { Some(self.allocate("scratch", room)?) } else { None };
        let scratch = || scratch.clone().expect("there is room for every launch that asks for some");

        let mut kernels = BTreeMap::new();
        let mut offset = 0;
        let mut lazy = Vec::with_capacity(steps.len());
        for (launch, node) in steps {
            *kernels.entry(launch.name()).or_default() += 1;
            let bytes = |id: ValueId| graph.ty(id).bytes();
            let operand = |operand: &Operand| match operand {
                Operand::Input(i) => (bound(node.inputs[*i]), bytes(node.inputs[*i])),
                Operand::Output => (Bound::Buffer(buffer(node.output)), bytes(node.output)),
                Operand::Scratch => (Bound::Buffer(scratch()), room),
            };
            let uniform = (launch.params.len() * 4).next_multiple_of(16) as u64;
            let mut bindings = vec![(Bound::Buffer(arena.clone()), offset, uniform)];
            let operands = launch.operands.iter().map(operand);
            bindings.extend(operands.map(|(bound, size)| (bound, 0, size.max(4) as u64)));
            if let Some(offload) = &mut self.offload {
                offload.note(&bindings);
            }
            let workgroups = launch.workgroups(self.device.limits().workgroups)?;
            let next = offset + slot(&launch) as u64;
            lazy.push(Dispatch { launch, bindings, workgroups });
            offset = next;
        }
        let dispatches = lazy.len() as u64;
        self.pipelines.take(&self.device, asked).await?;
        let mut recorded = Recorded::default();
        if making != Making::Lazily {
            for dispatch in std::mem::take(&mut lazy) {
                let pipeline = self.pipelines.ahead(&self.device, &dispatch.launch).await?;
                recorded.dispatch(&self.device, pipeline, &dispatch);
            }
        }
        for state in graph.states() {
            if plan.root(state.after) != plan.root(state.before) {
                let size = graph.ty(state.before).bytes() as u64;
                recorded.ready([Work::Copy { from: buffer(state.after), to: buffer(state.before), size }]);
            }
        }
        if let Some(offload) = &mut self.offload {
            offload.check(self.held.total())?;
            let lent = |(_, id): &(String, ValueId)| buffers[id.index()].is_none();
            if graph.outputs().iter().any(lent) {
                let reason = "an output that is a weight cannot be offloaded".to_owned();
                return Err(Error::Unsupported { backend: D::NAME, reason });
            }
        }
        let named = |id: ValueId, name: &str| (name.to_owned(), graph.ty(id).clone(), buffer(id));
        let used = |id: &ValueId| buffers[id.index()].is_some();
        Ok(Program {
            inputs: graph.inputs().filter(|(_, id)| used(id)).map(|(name, id)| named(id, name)).collect(),
            outputs: graph.outputs().iter().map(|(name, id)| named(*id, name)).collect(),
            lazy,
            steps: recorded.steps,
            tally,
            dispatches,
            kernels,
        })
    }
}

impl<D: Device> Backend for WebGpu<D> {
    fn name(&self) -> &'static str {
        D::NAME
    }

    async fn compile(&mut self, graph: &Graph, weights: &Weights) -> Result<ProgramId> {
        self.device.begin_scope();
        let recorded = self.record(graph, weights).await;
        // The scope is closed in any case, and what it caught explains more than what followed from it.
        self.device.end_scope().await?;
        self.programs.push(recorded?);
        Ok(ProgramId(self.programs.len() - 1))
    }

    async fn run(&mut self, program: ProgramId, inputs: &NamedTensors) -> Result<NamedTensors> {
        let program = &mut self.programs[program.0];
        let others = self.held.total();
        let mut offload = self.offload.as_mut();
        self.device.begin_scope();
        let result = async {
            if !program.lazy.is_empty() {
                let mut recorded = Recorded::default();
                for dispatch in &program.lazy {
                    let pipeline = self.pipelines.within(&self.device, &dispatch.launch)?;
                    recorded.dispatch(&self.device, pipeline, dispatch);
                }
                program.lazy.clear();
                recorded.append(std::mem::take(&mut program.steps));
                program.steps = recorded.steps;
            }
            for (name, ty, buffer) in &program.inputs {
                self.device.write(buffer, checked_input(inputs, name, ty)?.bytes());
            }
            for step in &program.steps {
                match (step, &mut offload) {
                    (Step::Ready(work), _) => self.device.submit(work),
                    (Step::Reading { .. }, None) => unreachable!("recorded where weights are offloaded"),
                    (Step::Reading { pipeline, bindings, workgroups }, Some(offload)) => {
                        offload.dispatch(&self.device, (pipeline, *workgroups), bindings, others)?;
                    }
                }
            }
            let mut outputs = NamedTensors::new();
            for (name, ty, buffer) in &program.outputs {
                let bytes = self.device.read(buffer, ty.bytes() as u64).await?;
                outputs.insert(name.clone(), Tensor::from_bytes(ty.dtype, ty.shape.as_slice(), &bytes));
            }
            Ok(outputs)
        }
        .await;
        self.device.end_scope().await?;
        let outputs = result?;
        self.dispatches += program.dispatches;
        for (op, count) in &program.tally {
            *self.tally.entry(op).or_default() += count;
        }
        for (kernel, count) in &program.kernels {
            *self.kernels.entry(kernel.clone()).or_default() += count;
        }
        let moved = self.offload.as_ref().map(Offload::moved);
        if let Some(moved) = moved.filter(|moved| moved.uploads > 0) {
            // No dispatch, and told among them: what a feature claims is looked for there.
            self.kernels.insert("upload+offload".into(), moved.uploads);
        }
        Ok(outputs)
    }

    fn reset(&mut self) {
        for (buffer, size) in self.states.values() {
            self.device.write(buffer, &vec![0; *size as usize]);
        }
    }

    fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    fn dispatches(&self) -> u64 {
        self.dispatches
    }

    fn held(&self) -> Held {
        let lent = self.offload.as_ref().map_or(0, Offload::bytes);
        Held { weights: self.held.weights + lent, ..self.held }
    }

    fn moved(&self) -> Option<Moved> {
        self.offload.as_ref().map(Offload::moved)
    }

    fn takes_rings(&self) -> bool {
        true
    }

    fn kernels(&self) -> &BTreeMap<String, u64> {
        &self.kernels
    }

    fn pipelines(&self) -> Option<Made> {
        Some(self.pipelines.made)
    }
}
