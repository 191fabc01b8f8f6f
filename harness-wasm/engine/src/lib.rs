//! WebMatrix's inference engine: one op-graph IR, the models that build it, three executors.
//!
//! Data flows `config.json + weights → models → ir → plan → backend → outputs`. The same code builds
//! for the host (`native-cpu`, `native-gpu`) and for WebAssembly (`wasm`, `webgpu`, `webnn`).
//!
//! The scalar functions in [`ops`] are the oracle: plain, obviously right, accumulating in f64.
//! Every kernel of every backend is tested against them.

pub mod backend;
pub mod error;
pub mod frontend;
pub mod ir;
pub mod models;
pub mod ops;
pub mod plan;
pub mod quant;
pub mod run;
pub mod tasks;
pub mod tensor;
pub mod weights;

pub use error::{Error, Result};
pub use tensor::{DType, NamedTensors, Tensor};
