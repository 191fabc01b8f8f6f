//! What a backend's memory is for.

use std::ops::Add;

/// Bytes that a backend holds, counted where it allocates them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Weights and constants.
    pub weights: u64,
    /// Results of ops, at the moment of a run when there are most of them. None where the device does not tell.
    pub activations: Option<u64>,
    /// States: caches of keys and values.
    pub states: u64,
    /// Inputs, outputs and parameters.
    pub io: u64,
}

impl Held {
    /// All that is told of.
    pub fn total(&self) -> u64 {
        self.weights + self.activations.unwrap_or(0) + self.states + self.io
    }
}

impl Add for Held {
    type Output = Self;

    /// What two backends hold together; what one of them does not tell, the sum does not either.
    fn add(self, other: Self) -> Self {
        Self {
            weights: self.weights + other.weights,
            activations: self.activations.zip(other.activations).map(|(a, b)| a + b),
            states: self.states + other.states,
            io: self.io + other.io,
        }
    }
}

/// How often weights went to a device again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Uploads of what had been there before.
    pub uploads: u64,
    /// Their bytes.
    pub bytes: u64,
}
