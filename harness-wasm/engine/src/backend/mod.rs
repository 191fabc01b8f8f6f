//! The executors. Each takes the same graphs and gives the same answers.

pub mod cpu;
mod held;
mod split;
pub mod webgpu;
pub mod webnn;

use std::collections::BTreeMap;

pub use held::{Held, Moved};
pub use split::{Refusal, Split};

use crate::error::{Error, Result};
use crate::ir::{Graph, TensorType};
use crate::tensor::{NamedTensors, Tensor};
use crate::weights::Weights;

/// Names a graph that a backend has compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProgramId(pub(crate) usize);

/// Ops executed, by name.
pub type Tally = BTreeMap<&'static str, u64>;

/// When pipelines were made, and how many of them at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// While graphs were compiled.
    pub ahead: u32,
    /// Within runs, which waited for them.
    pub within: u32,
    /// That were being made at once, at most.
    pub together: u32,
}

/// Something that executes graphs. Weights and states are shared by all of its programs.
#[expect(
    async_fn_in_trait,
    reason = "futures here are driven on one thread, in a page or by a blocking host"
)]
pub trait Backend {
    /// Its name on the wire.
    fn name(&self) -> &'static str;

    /// Prepares a graph: uploads weights not seen before, builds pipelines.
    ///
    /// # Errors
    /// If a weight cannot be read or the device refuses something.
    async fn compile(&mut self, graph: &Graph, weights: &Weights) -> Result<ProgramId>;

    /// Runs a program and reads back its outputs.
    ///
    /// # Errors
    /// If an input is missing or of another type, or the device fails.
    async fn run(&mut self, program: ProgramId, inputs: &NamedTensors) -> Result<NamedTensors>;

    /// As [`Self::run`], of inputs that nobody needs again: a backend may compute in their memory.
    ///
    /// # Errors
    /// As [`Self::run`].
    async fn run_taking(&mut self, program: ProgramId, inputs: NamedTensors) -> Result<NamedTensors> {
        self.run(program, &inputs).await
    }

    /// Sets every state to zero.
    fn reset(&mut self);

    /// Ops executed since the last call, by name.
    fn take_tally(&mut self) -> Tally;

    /// Ops that the host executed in the device's place since the last call, by name.
    fn take_host_tally(&mut self) -> Tally {
        Tally::new()
    }

    /// Why it did, in the device's words.
    fn refusals(&self) -> &[String] {
        &[]
    }

    /// Dispatches to a device since the backend was made; 0 where there is none.
    fn dispatches(&self) -> u64;

    /// What it holds in memory.
    fn held(&self) -> Held;

    /// Dispatches since the backend was made, by the kernel's name and, behind a plus, what its variant uses beyond core
    /// WebGPU; on the CPU those of variants that were asked for; none where kernels are not ours.
    fn kernels(&self) -> &BTreeMap<String, u64> {
        const NONE: &BTreeMap<String, u64> = &BTreeMap::new();
        NONE
    }

    /// When pipelines were made since the backend was; none where there are none.
    fn pipelines(&self) -> Option<Made> {
        None
    }

    /// How often weights were uploaded again; none where all of them stay.
    fn moved(&self) -> Option<Moved> {
        None
    }

    /// Whether caches of a sliding window may be rings, which keep no more rows than the window has. What they were can then
    /// not be read back at the end.
    fn takes_rings(&self) -> bool {
        false
    }

    /// Threads that have computed a part of something; none where no other than the caller's was there to.
    fn threads(&self) -> Option<usize> {
        None
    }
}

/// Finds and checks one input of a run.
pub(crate) fn checked_input<'t>(inputs: &'t NamedTensors, name: &str, ty: &TensorType) -> Result<&'t Tensor> {
    let tensor = inputs.get(name).ok_or_else(|| Error::input(name, "missing"))?;
    if tensor.dtype() != ty.dtype || tensor.shape() != ty.shape {
        return Err(Error::input(
            name,
            format!(
                "is {:?} {:?} where the graph takes {:?} {:?}",
                tensor.dtype(),
                tensor.shape(),
                ty.dtype,
                ty.shape
            ),
        ));
    }
    Ok(tensor)
}
