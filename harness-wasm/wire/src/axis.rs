//! The axes of the matrix that mean something inside the page, and the closed sets of verdicts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name that is in none of the closed sets below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// What was to be named: `backend`, `precision`, …
    pub what: &'static str,
    /// What was given.
    pub given: String,
    /// What would have been accepted.
    pub known: &'static [&'static str],
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown {} {:?}: use one of {}", self.what, self.given, self.known.join(", "))
    }
}

impl std::error::Error for UnknownName {}

/// A closed set of names: the enum, its spelling on the wire, in files and on the command line.
macro_rules! names {
    ($(#[$meta:meta])* $type:ident ($what:literal) { $($(#[$doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        pub enum $type { $($(#[$doc])* #[serde(rename = $name)] $variant,)+ }

        impl $type {
            /// Every member, in the order in which reports list them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// The names of [`Self::ALL`].
            pub const NAMES: &'static [&'static str] = &[$($name,)+];

            /// The one spelling used everywhere.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(self.as_str()) }
        }

        impl FromStr for $type {
            type Err = UnknownName;
            fn from_str(text: &str) -> Result<Self, UnknownName> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(UnknownName { what: $what, given: text.to_owned(), known: Self::NAMES }),
                }
            }
        }
    };
}

names! {
    /// What executes the graph.
    Backend ("backend") {
        /// Our kernels in WebAssembly, in a browser.
        Wasm = "wasm",
        /// Our WGSL kernels through the browser's WebGPU.
        WebGpu = "webgpu",
        /// The graph lowered to the browser's WebNN.
        WebNn = "webnn",
        /// The WebAssembly kernels' source, built for the host.
        NativeCpu = "native-cpu",
        /// The WGSL kernels through wgpu, on the host.
        NativeGpu = "native-gpu",
    }
}

impl Backend {
    /// Whether it runs on the host rather than in a browser.
    pub const fn is_native(self) -> bool {
        matches!(self, Self::NativeCpu | Self::NativeGpu)
    }
}

names! {
    /// The precision of the weights.
    Precision ("precision") {
        /// IEEE single precision.
        Fp32 = "fp32",
        /// IEEE half precision.
        Fp16 = "fp16",
        /// 8-bit groups.
        Int8 = "int8",
        /// 4-bit groups.
        Int4 = "int4",
        /// 3-bit groups.
        Int3 = "int3",
        /// 2-bit groups.
        Int2 = "int2",
        /// A width per layer.
        Mixed = "mixed",
    }
}

names! {
    /// The harness builds: a WebAssembly engine validates a whole module, so each needs its own.
    Variant ("variant") {
        /// SIMD128.
        Simd = "simd",
        /// SIMD128 and relaxed SIMD.
        Relaxed = "relaxed",
        /// SIMD128, atomics and shared memory.
        Threads = "threads",
        /// SIMD128 and relaxed SIMD, atomics and shared memory.
        RelaxedThreads = "relaxed-threads",
    }
}

impl Variant {
    /// Whether kernels may use relaxed SIMD.
    pub const fn is_relaxed(self) -> bool {
        matches!(self, Self::Relaxed | Self::RelaxedThreads)
    }
}

names! {
    /// The verdict on a cell.
    Status ("status") {
        /// Ran, and agreed with the independent answer.
        Pass = "pass",
        /// Ran, and disagreed.
        Wrong = "wrong",
        /// Ran into an error that it reported.
        Error = "error",
        /// Had not finished by its deadline.
        Timeout = "timeout",
        /// Page, browser or driver died.
        Crash = "crash",
        /// The GPU device was lost.
        DeviceLost = "device_lost",
        /// Memory ran out.
        Oom = "oom",
        /// A probe proved that the browser lacks it.
        Unsupported = "unsupported",
        /// Cannot exist.
        NotApplicable = "not_applicable",
        /// The browser or its driver is not on this machine.
        Unavailable = "unavailable",
        /// WebMatrix cannot do it yet.
        NotImplemented = "not_implemented",
        /// Left out on request.
        Skipped = "skipped",
    }
}

names! {
    /// What stands behind a claim.
    EvidenceGrade ("evidence") {
        /// A GPU or NPU that is one.
        Hardware = "hardware",
        /// A GPU or NPU interface implemented on the CPU (SwiftShader, lavapipe, WARP).
        Software = "software",
        /// Honestly the CPU.
        Cpu = "cpu",
        /// Another backend than the one asked for did (part of) the work.
        Fallback = "fallback",
        /// Not run in a browser at all.
        Simulated = "simulated",
        /// Nothing ran.
        None = "none",
    }
}

names! {
    /// What kind of implementation answered.
    Implementation ("implementation") {
        /// Real WebGPU dispatches.
        RealWebGpu = "REAL_WEBGPU",
        /// A real WebNN graph.
        RealWebNn = "REAL_WEBNN",
        /// WebAssembly, as asked.
        RealWasm = "REAL_WASM",
        /// WebAssembly in place of what was asked.
        FallbackWasm = "FALLBACK_WASM",
        /// The host, as asked.
        Native = "NATIVE",
        /// The host in place of a browser.
        Simulated = "SIMULATED",
    }
}
