//! What a profile can switch on.

use std::fmt;
use std::str::FromStr;

use crate::{Backend, Variant};

/// Threads at most where nobody says how many: more of them wait for memory rather than compute.
pub const USUAL_THREADS: u32 = 8;
/// Threads at most.
pub const MOST_THREADS: u32 = 64;

/// Something that a profile switches on, by the name that users give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feature {
    /// `threads`, or `threads-N`: kernels of the CPU on several threads.
    Threads(Option<u32>),
    /// `webnn-host-OP`: the host runs an op of WebNN cells, which are then graded as fallback: for an op that a browser
    /// has but gets wrong.
    WebNnHost(String),
    /// `dp4a`: WGSL kernels multiply quantised weights by activations as bytes, four at a time.
    Dp4a,
    /// `offload`: weights are uploaded again where they are read, so that all that a GPU holds keeps within the memory limit.
    Offload,
    /// `shader-f16`: half-precision weights are read as such by WGSL kernels, rather than unpacked from words.
    ShaderF16,
    /// `kv-fp16` and the like: caches of keys and values are kept packed.
    Caches(&'static str),
    /// `subgroups`: WGSL kernels bring sums and maxima together by subgroups.
    Subgroups,
    /// `lanes-N`: WGSL kernels that work along one dimension in workgroups of N invocations, in place of 64.
    Lanes(u32),
    /// `tile-XxY`: WGSL matrix products in workgroups of X by Y invocations, in place of 8×8.
    Tile([u32; 2]),
    /// `weights-SCHEME`, such as `weights-int4-g64`: how the matrices of a quantised model are stored, in place of what the
    /// precision usually means.
    Weights(String),
    /// `relaxed-simd`: the harness build with relaxed SIMD, and no other. It is what a page takes where the browser validates
    /// it, so that it shows beside `simd128` only.
    RelaxedSimd,
    /// `relaxed-dot`: kernels of the CPU multiply weights of 4 bits by activations as bytes, sixteen at a time, by an
    /// instruction of relaxed SIMD: faster where processors have one for it, slower elsewhere.
    RelaxedDot,
    /// `simd128`: the harness build without relaxed SIMD, in place of the best that the browser validates.
    Simd128,
    /// `shaders-ahead`: all pipelines of a graph are asked for at once, before its weights go to the device.
    ShadersAhead,
    /// `shaders-lazy`: each pipeline is made when the first inference comes to it, in place of before.
    ShadersLazy,
    /// `parallel-load`: files are requested all at once and large ones in parts, and the device meanwhile, in place of one
    /// after another.
    ParallelLoad,
}

impl Feature {
    /// How names are spelled, for those who got one wrong.
    pub const NAMES: &'static [&'static str] = &[
        "threads",
        "threads-N",
        "webnn-host-OP",
        "dp4a",
        "offload",
        "shader-f16",
        "subgroups",
        "lanes-32 … lanes-256",
        "tile-4x4 … tile-128x2",
        "kv-fp16 … kv-int2",
        "weights-SCHEME",
        "relaxed-simd",
        "relaxed-dot",
        "simd128",
        "shaders-ahead",
        "shaders-lazy",
        "parallel-load",
    ];

    /// Invocations of a workgroup along one dimension, besides the usual 64.
    pub const LANES: [u32; 3] = [32, 128, 256];
    /// Invocations of a matrix product's workgroup, columns by rows, besides the usual 8×8.
    pub const TILES: [[u32; 2]; 6] = [[4, 4], [16, 8], [8, 16], [16, 16], [32, 8], [128, 2]];

    /// The ways to keep caches packed, most bits first.
    pub const CACHES: [&'static str; 5] = ["kv-fp16", "kv-int8", "kv-int4", "kv-int3", "kv-int2"];

    /// Those that can be switched on alone, for whoever wants to know what each does. Layouts of workgroups are `tune`'s to find.
    pub const EACH: [&'static str; 11] = [
        "threads",
        "relaxed-simd",
        "subgroups",
        "shader-f16",
        "shaders-ahead",
        "parallel-load",
        "kv-fp16",
        "kv-int8",
        "kv-int4",
        "kv-int3",
        "kv-int2",
    ];

    /// The feature that stands for its absence, where doing without is not what is usual.
    pub const fn opposite(&self) -> Option<Self> {
        match self {
            Self::RelaxedSimd => Some(Self::Simd128),
            Self::ShadersAhead => Some(Self::ShadersLazy),
            _ => None,
        }
    }

    /// Whether it changes how a model starts, or the build that it starts in.
    pub const fn is_of_start(&self) -> bool {
        matches!(
            self,
            Self::RelaxedSimd | Self::Simd128 | Self::ShadersAhead | Self::ShadersLazy | Self::ParallelLoad
        )
    }

    /// The backends that it means something to.
    pub const fn backends(&self) -> &'static [Backend] {
        match self {
            Self::Threads(_) | Self::RelaxedDot => &[Backend::Wasm, Backend::NativeCpu],
            // WebNN has no ops on bits.
            Self::Caches(_) => &[Backend::Wasm, Backend::WebGpu, Backend::NativeCpu, Backend::NativeGpu],
            Self::WebNnHost(_) => &[Backend::WebNn],
            Self::RelaxedSimd | Self::Simd128 => &[Backend::Wasm],
            Self::ShadersAhead | Self::ShadersLazy => &[Backend::WebGpu],
            Self::ParallelLoad => &[Backend::Wasm, Backend::WebGpu, Backend::WebNn],
            Self::Weights(_) => Backend::ALL,
            Self::Dp4a
            | Self::Offload
            | Self::ShaderF16
            | Self::Subgroups
            | Self::Lanes(_)
            | Self::Tile(_) => &[Backend::WebGpu, Backend::NativeGpu],
        }
    }

    /// Those of a job, of which all names are known: the plan holds no others.
    pub fn all(names: &[String]) -> impl Iterator<Item = Self> {
        names.iter().filter_map(|name| name.parse().ok())
    }

    /// Bytes that a GPU keeps within by offloading weights, if they ask for that.
    ///
    /// # Errors
    /// If there is no limit to keep within.
    pub fn offload(names: &[String], limit: Option<u64>) -> Result<Option<u64>, &'static str> {
        if !Self::all(names).any(|feature| feature == Self::Offload) {
            return Ok(None);
        }
        limit.map(Some).ok_or("offload keeps within a memory limit: say one by --memory-limit")
    }

    /// How many threads a job asks for on a machine with so many cores; one where it asks for none.
    pub fn threads(names: &[String], cores: u32) -> u32 {
        let asked = Self::all(names).find_map(|feature| match feature {
            // Two at least: on one core, they take turns.
            Self::Threads(number) => Some(number.unwrap_or(cores.clamp(2, USUAL_THREADS))),
            _ => None,
        });
        asked.unwrap_or(1).max(1)
    }

    /// The scheme that they ask weights to be stored in, if they do.
    pub fn scheme(names: &[String]) -> Option<&str> {
        names.iter().find_map(|name| name.strip_prefix("weights-"))
    }

    /// Whether they ask for a build with relaxed SIMD, or for one without; none leaves the choice to the page.
    pub fn relaxed(names: &[String]) -> Option<bool> {
        Self::all(names).find_map(|feature| match feature {
            Self::RelaxedSimd | Self::RelaxedDot => Some(true),
            Self::Simd128 => Some(false),
            _ => None,
        })
    }

    /// Whether they ask for dot products of bytes on the CPU.
    pub fn relaxed_dot(names: &[String]) -> bool {
        Self::all(names).any(|feature| feature == Self::RelaxedDot)
    }

    /// The harness build that features need; none leaves the choice to the page.
    pub fn variant(names: &[String]) -> Option<Variant> {
        Self::all(names).any(|feature| matches!(feature, Self::Threads(_))).then_some(Variant::Threads)
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Threads(None) => f.write_str("threads"),
            Self::Threads(Some(number)) => write!(f, "threads-{number}"),
            Self::WebNnHost(op) => write!(f, "webnn-host-{op}"),
            Self::Dp4a => f.write_str("dp4a"),
            Self::Offload => f.write_str("offload"),
            Self::ShaderF16 => f.write_str("shader-f16"),
            Self::Subgroups => f.write_str("subgroups"),
            Self::Lanes(lanes) => write!(f, "lanes-{lanes}"),
            Self::Tile([x, y]) => write!(f, "tile-{x}x{y}"),
            Self::Weights(scheme) => write!(f, "weights-{scheme}"),
            Self::Caches(name) => f.write_str(name),
            Self::RelaxedSimd => f.write_str("relaxed-simd"),
            Self::RelaxedDot => f.write_str("relaxed-dot"),
            Self::Simd128 => f.write_str("simd128"),
            Self::ShadersAhead => f.write_str("shaders-ahead"),
            Self::ShadersLazy => f.write_str("shaders-lazy"),
            Self::ParallelLoad => f.write_str("parallel-load"),
        }
    }
}

/// No feature has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFeature(String);

impl fmt::Display for UnknownFeature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the harness has no feature {:?} yet: it has {}", self.0, Feature::NAMES.join(", "))
    }
}

impl std::error::Error for UnknownFeature {}

impl FromStr for Feature {
    type Err = UnknownFeature;

    fn from_str(name: &str) -> Result<Self, UnknownFeature> {
        let unknown = || UnknownFeature(name.to_owned());
        match name {
            "threads" => return Ok(Self::Threads(None)),
            "dp4a" => return Ok(Self::Dp4a),
            "offload" => return Ok(Self::Offload),
            "shader-f16" => return Ok(Self::ShaderF16),
            "subgroups" => return Ok(Self::Subgroups),
            "relaxed-simd" => return Ok(Self::RelaxedSimd),
            "relaxed-dot" => return Ok(Self::RelaxedDot),
            "simd128" => return Ok(Self::Simd128),
            "shaders-ahead" => return Ok(Self::ShadersAhead),
            "shaders-lazy" => return Ok(Self::ShadersLazy),
            "parallel-load" => return Ok(Self::ParallelLoad),
            _ => {}
        }
        if let Some(known) = Self::CACHES.into_iter().find(|known| *known == name) {
            return Ok(Self::Caches(known));
        }
        if let Some(scheme) = name.strip_prefix("weights-").filter(|scheme| !scheme.is_empty()) {
            return Ok(Self::Weights(scheme.to_owned()));
        }
        if name.starts_with("lanes-") || name.starts_with("tile-") {
            let mut known = Self::LANES.map(Self::Lanes).into_iter().chain(Self::TILES.map(Self::Tile));
            return known.find(|known| known.to_string() == name).ok_or_else(unknown);
        }
        if let Some(number) = name.strip_prefix("threads-") {
            let number: Option<u32> = number.parse().ok();
            return number
                .filter(|number| (1..=MOST_THREADS).contains(number))
                .map(|number| Self::Threads(Some(number)))
                .ok_or_else(unknown);
        }
        let op = name.strip_prefix("webnn-host-").filter(|op| !op.is_empty());
        op.map(|op| Self::WebNnHost(op.to_owned())).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in [
            "threads",
            "threads-3",
            "webnn-host-softmax",
            "dp4a",
            "offload",
            "shader-f16",
            "subgroups",
            "kv-int4",
            "lanes-128",
            "tile-16x8",
            "relaxed-dot",
            "simd128",
            "shaders-lazy",
        ] {
            assert_eq!(name.parse::<Feature>().map(|feature| feature.to_string()), Ok(name.to_owned()));
        }
        for name in [
            "",
            "thread",
            "threads-",
            "threads-0",
            "threads-65",
            "threads-x",
            "webnn-host-",
            "lanes-64",
            "tile-8x8",
        ] {
            assert!(name.parse::<Feature>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn each_can_be_switched_on() {
        for name in Feature::EACH {
            let feature = name.parse::<Feature>();
            assert_eq!(feature.as_ref().map(ToString::to_string), Ok(name.to_owned()));
            // What stands for its absence means something to the same backends, and is no feature of its own.
            for opposite in feature.iter().filter_map(Feature::opposite) {
                assert_eq!(Ok(opposite.backends()), feature.as_ref().map(Feature::backends));
                assert!(!Feature::EACH.contains(&opposite.to_string().as_str()), "{opposite}");
            }
        }
    }

    #[test]
    fn threads_are_as_many_as_asked_for_or_as_there_are_cores() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(Feature::threads(&names(&[]), 4), 1);
        assert_eq!(Feature::threads(&names(&["threads"]), 4), 4);
        assert_eq!(Feature::threads(&names(&["threads"]), 32), USUAL_THREADS);
        assert_eq!(Feature::threads(&names(&["threads"]), 0), 2, "a browser may not tell");
        assert_eq!(Feature::threads(&names(&["webnn-host-x", "threads-3"]), 2), 3);
        assert_eq!(Feature::variant(&names(&["threads-3"])), Some(Variant::Threads));
        assert_eq!(Feature::variant(&names(&["webnn-host-x"])), None);
        assert_eq!(Feature::relaxed(&names(&["threads", "simd128"])), Some(false));
        assert_eq!(Feature::relaxed(&names(&["threads"])), None);
        assert_eq!(Feature::relaxed(&names(&["relaxed-dot"])), Some(true));
    }
}
