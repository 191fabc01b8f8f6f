//! Weights that do not all stay on the device: the page keeps them, and each is uploaded again just before a dispatch that
//! reads it. What was used longest ago makes room, so that all that is held keeps within a limit.

use std::collections::{HashMap, HashSet};

use super::device::{Binding, Device, Usage, Work};
use super::recorded::{Bindings, Bound};
use crate::backend::Moved;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// The weights that a dispatch reads.
fn read<D: Device>(bindings: &Bindings<D>) -> HashSet<&String> {
    let weights = bindings.iter().filter_map(|(bound, ..)| match bound {
        Bound::Weight(name) => Some(name),
        Bound::Buffer(_) => None,
    });
    weights.collect()
}

/// A weight on the device.
struct Resident<B> {
    buffer: B,
    bytes: u64,
    /// When it was used last.
    used: u64,
}

/// The weights of an executor that keeps within a limit.
pub(super) struct Offload<D: Device> {
    limit: u64,
    /// The page's.
    kept: HashMap<String, Tensor>,
    resident: HashMap<String, Resident<D::Buffer>>,
    /// Those that have been on the device.
    known: HashSet<String>,
    /// Of weights on the device.
    bytes: u64,
    /// The most that the weights of one dispatch take.
    widest: u64,
    clock: u64,
    moved: Moved,
}

impl<D: Device> std::fmt::Debug for Offload<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offload")
            .field("limit", &self.limit)
            .field("moved", &self.moved)
            .finish_non_exhaustive()
    }
}

impl<D: Device> Offload<D> {
    pub(super) fn new(limit: u64) -> Self {
        let (kept, resident, known) = (HashMap::new(), HashMap::new(), HashSet::new());
        Self { limit, kept, resident, known, bytes: 0, widest: 0, clock: 0, moved: Moved::default() }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.kept.contains_key(name)
    }

    pub(super) fn keep(&mut self, name: &str, tensor: Tensor) {
        self.kept.insert(name.to_owned(), tensor);
    }

    /// Bytes of weights on the device.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn moved(&self) -> Moved {
        self.moved
    }

    /// Notes what a dispatch reads.
    pub(super) fn note(&mut self, bindings: &Bindings<D>) {
        self.widest = self.widest.max(read::<D>(bindings).into_iter().map(|name| self.size(name)).sum());
    }

    /// Whether every dispatch has room beside so many bytes of other things.
    ///
    /// # Errors
    /// If one has not, with what it takes.
    pub(super) fn check(&self, others: u64) -> Result<()> {
        let (needed, limit) = (others + self.widest, self.limit);
        if needed <= limit {
            return Ok(());
        }
        Err(Error::OutOfMemory(format!(
            "{needed} bytes are needed at once, {} of them for the weights of one dispatch, and the limit is {limit}: \
             offloading all other weights is not enough",
            self.widest
        )))
    }

    fn size(&self, name: &str) -> u64 {
        self.kept[name].bytes().len().max(4) as u64
    }

    /// Submits a dispatch with its weights on the device, beside so many bytes of other things.
    ///
    /// # Errors
    /// If there is no room for them.
    pub(super) fn dispatch(
        &mut self,
        device: &D,
        (pipeline, workgroups): (&D::Pipeline, [u32; 3]),
        bindings: &Bindings<D>,
        others: u64,
    ) -> Result<()> {
        self.check(others)?;
        self.clock += 1;
        let read = read::<D>(bindings);
        for &name in &read {
            if let Some(resident) = self.resident.get_mut(name) {
                resident.used = self.clock;
            }
        }
        for &name in &read {
            if !self.resident.contains_key(name) {
                self.upload(device, name, others);
            }
        }
        let bind = |(bound, offset, size): &'_ (Bound<D::Buffer>, u64, u64)| {
            let buffer = match bound {
                Bound::Buffer(buffer) => buffer.clone(),
                Bound::Weight(name) => self.resident[name].buffer.clone(),
            };
            (buffer, *offset, *size)
        };
        let bound: Vec<(D::Buffer, u64, u64)> = bindings.iter().map(bind).collect();
        let bindings: Vec<Binding<'_, D::Buffer>> = bound
            .iter()
            .map(|(buffer, offset, size)| Binding { buffer, offset: *offset, size: *size })
            .collect();
        let group = device.group(pipeline, &bindings);
        device.submit(&[Work::Dispatch { pipeline: pipeline.clone(), group, workgroups }]);
        Ok(())
    }

    /// Uploads a weight over what was used longest ago: everything that reads that is submitted, and queues keep their order.
    fn upload(&mut self, device: &D, name: &str, others: u64) {
        let bytes = self.size(name);
        let mut free = None;
        while others + self.bytes + bytes > self.limit {
            // What this dispatch reads is the newest, and has room with nothing else beside it.
            let oldest = self.resident.iter().min_by_key(|(_, resident)| resident.used);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else { break };
            let Some(evicted) = self.resident.remove(&oldest) else { break };
            self.bytes -= evicted.bytes;
            if evicted.bytes == bytes && free.is_none() {
                free = Some(evicted.buffer);
            } else {
                device.destroy(&evicted.buffer);
            }
        }
        let buffer = free.unwrap_or_else(|| device.buffer(name, bytes, Usage::Storage));
        device.write(&buffer, self.kept[name].bytes());
        self.bytes += bytes;
        if !self.known.insert(name.to_owned()) {
            self.moved.uploads += 1;
            self.moved.bytes += bytes;
        }
        self.resident.insert(name.to_owned(), Resident { buffer, bytes, used: self.clock });
    }
}
