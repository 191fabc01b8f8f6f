//! What can go wrong in the engine.

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in the engine. Every message names the thing and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read as what it should be.
    #[error("{file}: {reason}")]
    Data {
        /// Which file or blob.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A config field has a value whose arithmetic is not implemented here.
    #[error("config field {field} = {value}: {reason}")]
    Config {
        /// The field's name in `config.json`.
        field: String,
        /// Its value.
        value: String,
        /// Why it cannot be honoured.
        reason: String,
    },
    /// A weight is missing or has another shape than config says.
    #[error("weight {name}: {reason}")]
    Weight {
        /// Its name in the checkpoint.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An input is missing, unknown, or has the wrong shape, type or values.
    #[error("input {name}: {reason}")]
    Input {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A graph does not type-check: a bug in a model file, found before anything runs.
    #[error("op {op}: {reason}")]
    Shape {
        /// WebNN's name of the op.
        op: &'static str,
        /// Which rule is broken.
        reason: String,
    },
    /// The backend lacks something that the graph needs.
    #[error("{backend} cannot run this: {reason}")]
    Unsupported {
        /// Which backend.
        backend: &'static str,
        /// In the backend's words.
        reason: String,
    },
    /// What the backend holds is more than it may.
    #[error("the backend holds {held} bytes, and may hold {limit}")]
    OverLimit {
        /// Bytes of what was compiled.
        held: u64,
        /// Bytes.
        limit: u64,
    },
    /// The class is not built yet.
    #[error("model class {0:?} is not implemented")]
    UnknownClass(String),
    /// The device failed.
    #[error("{backend} failed: {reason}")]
    Device {
        /// Which backend.
        backend: &'static str,
        /// In the device's words.
        reason: String,
    },
    /// The GPU device is gone.
    #[error("device lost: {0}")]
    DeviceLost(String),
    /// Who waited for it waits no longer.
    #[error("stopped")]
    Stopped,
    /// Memory ran out.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
}

impl Error {
    /// A broken shape rule.
    pub(crate) fn shape(op: &'static str, reason: impl Into<String>) -> Self {
        Self::Shape { op, reason: reason.into() }
    }

    /// A bad input.
    pub(crate) fn input(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Input { name: name.into(), reason: reason.into() }
    }

    /// A config field that cannot be honoured.
    pub(crate) fn config(field: impl Into<String>, value: impl ToString, reason: impl Into<String>) -> Self {
        Self::Config { field: field.into(), value: value.to_string(), reason: reason.into() }
    }
}
