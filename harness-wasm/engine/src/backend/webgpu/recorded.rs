//! Programs as they are recorded: work that can be submitted as it is, and dispatches that wait for a weight, or all of them for
//! their pipelines.

use super::device::{Binding, Device, Work};
use super::kernels::Launch;

/// What a dispatch is bound to.
#[derive(Clone, Debug)]
pub(super) enum Bound<B> {
    /// A buffer that stays.
    Buffer(B),
    /// A weight, wherever it lies when the dispatch comes.
    Weight(String),
}

/// All that a dispatch is bound to, with first byte and bytes.
pub(super) type Bindings<D> = [(Bound<<D as Device>::Buffer>, u64, u64)];

/// A dispatch that lacks its pipeline.
pub(super) struct Dispatch<D: Device> {
    pub(super) launch: Launch,
    /// Its uniform block, then its operands.
    pub(super) bindings: Vec<(Bound<D::Buffer>, u64, u64)>,
    pub(super) workgroups: [u32; 3],
}

/// A part of a program.
pub(super) enum Step<D: Device> {
    /// Work on buffers that stay.
    Ready(Vec<Work<D>>),
    /// A dispatch that reads weights which may be elsewhere.
    Reading { pipeline: D::Pipeline, bindings: Vec<(Bound<D::Buffer>, u64, u64)>, workgroups: [u32; 3] },
}

/// A program as it grows.
pub(super) struct Recorded<D: Device> {
    pub(super) steps: Vec<Step<D>>,
}

impl<D: Device> Default for Recorded<D> {
    fn default() -> Self {
        Self { steps: Vec::new() }
    }
}

impl<D: Device> Recorded<D> {
    /// Adds work on buffers that stay.
    pub(super) fn ready(&mut self, work: impl IntoIterator<Item = Work<D>>) {
        match self.steps.last_mut() {
            Some(Step::Ready(before)) => before.extend(work),
            _ => self.steps.push(Step::Ready(work.into_iter().collect())),
        }
    }

    /// Adds a dispatch: bound now if all that it reads stays.
    pub(super) fn dispatch(&mut self, device: &D, pipeline: D::Pipeline, dispatch: &Dispatch<D>) {
        let (bindings, workgroups) = (&dispatch.bindings, dispatch.workgroups);
        let mut stay = Vec::with_capacity(bindings.len());
        for (bound, offset, size) in bindings {
            match bound {
                Bound::Buffer(buffer) => stay.push(Binding { buffer, offset: *offset, size: *size }),
                Bound::Weight(_) => {
                    let bindings = bindings.clone();
                    self.steps.push(Step::Reading { pipeline, bindings, workgroups });
                    return;
                }
            }
        }
        let group = device.group(&pipeline, &stay);
        self.ready([Work::Dispatch { pipeline, group, workgroups }]);
    }

    /// Adds what was recorded apart from it.
    pub(super) fn append(&mut self, steps: Vec<Step<D>>) {
        for step in steps {
            match step {
                Step::Ready(work) => self.ready(work),
                reading @ Step::Reading { .. } => self.steps.push(reading),
            }
        }
    }
}
