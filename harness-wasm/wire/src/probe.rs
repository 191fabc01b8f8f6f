//! What a browser can do, as tried in the page.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{AdapterFacts, Challenge};

/// One thing tried. `present` (the interface exists), `usable` (it did what it is for) and `error`
/// (the browser's words) are apart, because each pair of them disagrees in some browser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Capability<T> {
    /// What was tried, such as `high-performance` or `npu`.
    pub name: String,
    /// The interface exists.
    pub present: bool,
    /// It answered correctly.
    pub usable: bool,
    /// The browser's words if not usable.
    pub error: Option<String>,
    /// Milliseconds it took.
    pub ms: f64,
    /// What was learned.
    pub facts: Option<T>,
}

/// Everything a probe page found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ProbeReport {
    /// WebGPU, one for each `powerPreference`, and the forced fallback adapter.
    pub webgpu: Vec<Capability<WebGpuFacts>>,
    /// WebNN, one for each device type.
    pub webnn: Vec<Capability<WebNnFacts>>,
    /// WebAssembly.
    pub wasm: WasmFacts,
    /// The page's surroundings.
    pub environment: EnvironmentFacts,
    /// How finely time can be told.
    pub timers: TimerFacts,
}

/// One WebGPU adapter and the device made from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WebGpuFacts {
    /// `GPUAdapterInfo`.
    pub adapter: AdapterFacts,
    /// `GPUAdapter.features`.
    pub features: Vec<String>,
    /// `GPUAdapter.limits`.
    pub limits: BTreeMap<String, f64>,
    /// `navigator.gpu.wgslLanguageFeatures`.
    pub wgsl_language_features: Vec<String>,
    /// `getPreferredCanvasFormat()`.
    pub preferred_canvas_format: String,
    /// The known-answer dispatch.
    pub challenge: Option<Challenge>,
}

/// One WebNN context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WebNnFacts {
    /// `opSupportLimits()` by op.
    pub ops: BTreeMap<String, OpSupport>,
    /// `preferredInputLayout`.
    pub preferred_input_layout: String,
    /// `maxTensorByteLength`, 0 if absent.
    pub max_tensor_byte_length: f64,
    /// The known-answer graph.
    pub challenge: Option<Challenge>,
}

/// Data types by operand name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct OpSupport(pub BTreeMap<String, Vec<String>>);

/// WebAssembly features, each by validating a module that uses it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WasmFacts {
    /// Feature name to whether a module that uses it validates.
    pub features: BTreeMap<String, bool>,
    /// A shared `WebAssembly.Memory` could be created.
    pub shared_memory: bool,
}

/// The page's surroundings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EnvironmentFacts {
    /// `navigator.userAgent`.
    pub user_agent: String,
    /// `navigator.hardwareConcurrency`.
    pub hardware_concurrency: u32,
    /// `navigator.deviceMemory` in GiB, where the browser tells.
    pub device_memory_gib: Option<f64>,
    /// `isSecureContext`.
    pub secure_context: bool,
    /// `crossOriginIsolated`.
    pub cross_origin_isolated: bool,
    /// In a dedicated worker.
    pub in_worker: bool,
}

/// How finely time can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TimerFacts {
    /// Smallest step seen of `performance.now()`, in microseconds.
    pub performance_now_us: f64,
    /// Smallest non-zero difference seen between GPU timestamps, in microseconds.
    pub gpu_timestamp_us: Option<f64>,
}
