//! Compiled kernels: each is made once a device, when a graph that has it is compiled, or when a run first comes to it.

use std::collections::HashMap;

use super::device::Device;
use super::kernels::{Extension, Kernel, Launch, Workgroup};
use crate::backend::Made;
use crate::error::Result;

/// A kernel's variant with its override constants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(Kernel, Option<Extension>, Workgroup, Vec<(&'static str, u64)>);

impl Key {
    fn of(launch: &Launch) -> Self {
        let bits = launch.constants.iter().map(|(name, value)| (*name, value.to_bits())).collect();
        Self(launch.kernel, launch.extension, launch.workgroup, bits)
    }
}

/// Pipelines that are being made.
pub(super) type Asked<D> = HashMap<Key, <D as Device>::Asked>;

/// The pipelines of a device.
pub(super) struct Pipelines<D: Device> {
    known: HashMap<Key, D::Pipeline>,
    pub(super) made: Made,
}

impl<D: Device> std::fmt::Debug for Pipelines<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipelines").field("made", &self.made).finish_non_exhaustive()
    }
}

impl<D: Device> Pipelines<D> {
    pub(super) fn new() -> Self {
        Self { known: HashMap::new(), made: Made::default() }
    }

    /// Asks for those of the launches that are not there, all at once.
    pub(super) fn ask<'l>(
        &self,
        device: &D,
        launches: impl IntoIterator<Item = &'l Launch>,
    ) -> Result<Asked<D>> {
        let mut asked = Asked::<D>::new();
        for launch in launches {
            let key = Key::of(launch);
            if !self.known.contains_key(&key) && !asked.contains_key(&key) {
                asked.insert(key, device.ask(&launch.name(), &wgsl(device, launch), &launch.constants)?);
            }
        }
        Ok(asked)
    }

    /// Waits for what was asked for.
    pub(super) async fn take(&mut self, device: &D, asked: Asked<D>) -> Result<()> {
        self.made.together = self.made.together.max(asked.len() as u32);
        for (key, asked) in asked {
            self.known.insert(key, device.asked(asked).await?);
            self.made.ahead += 1;
        }
        Ok(())
    }

    /// The launch's pipeline, before any run.
    pub(super) async fn ahead(&mut self, device: &D, launch: &Launch) -> Result<D::Pipeline> {
        let asked = self.ask(device, [launch])?;
        self.take(device, asked).await?;
        Ok(self.known[&Key::of(launch)].clone())
    }

    /// The launch's pipeline, within a run.
    pub(super) fn within(&mut self, device: &D, launch: &Launch) -> Result<D::Pipeline> {
        let key = Key::of(launch);
        if let Some(pipeline) = self.known.get(&key) {
            return Ok(pipeline.clone());
        }
        let pipeline = device.at_once(&launch.name(), &wgsl(device, launch), &launch.constants)?;
        self.made.within += 1;
        self.made.together = self.made.together.max(1);
        self.known.insert(key, pipeline.clone());
        Ok(pipeline)
    }
}

fn wgsl<D: Device>(device: &D, launch: &Launch) -> String {
    let enable = launch.extension.map_or("", |extension| device.enable(extension));
    enable.to_owned() + &launch.wgsl()
}
