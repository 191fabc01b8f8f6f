//! What a page tells of its memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Memory in use at a moment, by what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Bytes; what nobody can tell is absent.
    pub bytes: BTreeMap<MemoryKind, u64>,
}

impl Memory {
    /// What a backend holds, and what is kept of the checkpoint's files.
    pub fn of(weights: u64, activations: Option<u64>, states: u64, io: u64, files: u64) -> Self {
        use MemoryKind::{Activations, Files, Io, States, Weights};
        let mut bytes = BTreeMap::from([(Weights, weights), (States, states), (Io, io), (Files, files)]);
        bytes.extend(activations.map(|most| (Activations, most)));
        Self { bytes }
    }
}

/// What memory is for. Parts of a backend's memory do not overlap; the heap holds that of a backend without a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MemoryKind {
    /// The backend's weights and constants.
    Weights,
    /// The backend's results of ops, when there are most of them.
    Activations,
    /// The backend's caches of keys and values.
    States,
    /// The backend's inputs, outputs and parameters.
    Io,
    /// What is kept of the checkpoint's files.
    Files,
    /// Allocated and not freed, by the harness's allocator.
    Heap,
    /// The most that the heap ever was.
    HeapPeak,
    /// The module's linear memory, which never shrinks.
    Linear,
}

impl MemoryKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Weights,
        Self::Activations,
        Self::States,
        Self::Io,
        Self::Files,
        Self::Heap,
        Self::HeapPeak,
        Self::Linear,
    ];

    /// Those that a backend's memory consists of.
    pub const PARTS: [Self; 4] = [Self::Weights, Self::Activations, Self::States, Self::Io];

    /// The spelling in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Activations => "activations",
            Self::States => "states",
            Self::Io => "io",
            Self::Files => "files",
            Self::Heap => "heap",
            Self::HeapPeak => "heap_peak",
            Self::Linear => "linear",
        }
    }
}
