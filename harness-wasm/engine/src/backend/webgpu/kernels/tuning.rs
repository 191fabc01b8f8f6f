//! What kernels are made for: the same for a whole graph, and never a matter of what is right.

use super::{Extension, Kernel};

/// What a device's kernels are made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// What variants may use beyond core WebGPU.
    pub extensions: Vec<Extension>,
    /// Invocations of a workgroup along one dimension, of [`Self::LANES`]; none for the usual 64.
    pub lanes: Option<u32>,
    /// Invocations of a matrix product's workgroup, columns by rows, of [`Self::TILES`]; none for the usual 8×8.
    pub tile: Option<[u32; 2]>,
    /// When pipelines are made.
    pub making: Making,
}

/// When pipelines are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Making {
    /// With their graph, after its weights were uploaded, one after another.
    #[default]
    InTurn,
    /// With their graph: all are asked for at once, before its weights are uploaded.
    Ahead,
    /// When a run first comes to them.
    Lazily,
}

impl Making {
    /// What a job's features ask for.
    fn named(features: &[String]) -> Self {
        let has = |name: &str| features.iter().any(|feature| feature == name);
        match (has("shaders-ahead"), has("shaders-lazy")) {
            (true, _) => Self::Ahead,
            (_, true) => Self::Lazily,
            _ => Self::InTurn,
        }
    }
}

impl Tuning {
    /// Workgroups along one dimension, besides the usual one.
    pub const LANES: [u32; 3] = [32, 128, 256];
    /// Workgroups of matrix products, besides the usual one: all within core WebGPU's limits.
    pub const TILES: [[u32; 2]; 6] = [[4, 4], [16, 8], [8, 16], [16, 16], [32, 8], [128, 2]];

    /// What a job's features ask for.
    pub fn named(features: &[String]) -> Self {
        let has = |name: String| features.contains(&name);
        Self {
            extensions: Extension::named(features),
            lanes: Self::LANES.into_iter().find(|lanes| has(format!("lanes-{lanes}"))),
            tile: Self::TILES.into_iter().find(|[x, y]| has(format!("tile-{x}x{y}"))),
            making: Making::named(features),
        }
    }

    /// The workgroups of a kernel.
    pub fn workgroup(&self, kernel: Kernel) -> Workgroup {
        match kernel {
            Kernel::Gemm | Kernel::Qgemm => Workgroup::Tile(self.tile.unwrap_or(Workgroup::TILE)),
            // A lane for each key of a block, and for some channels.
            Kernel::Attention
            | Kernel::AttentionMerge
            | Kernel::AttentionPacked
            | Kernel::AttentionTiles
            | Kernel::AttentionTilesPacked => Workgroup::USUAL,
            _ => Workgroup::Lanes(self.lanes.unwrap_or(Workgroup::LANES)),
        }
    }
}

/// How the invocations of a workgroup are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Workgroup {
    /// Along one dimension.
    Lanes(u32),
    /// Columns by rows of a matrix product's tile, four by four results each.
    Tile([u32; 2]),
}

impl Workgroup {
    const LANES: u32 = 64;
    const TILE: [u32; 2] = [8, 8];
    pub(super) const USUAL: Self = Self::Lanes(Self::LANES);

    /// What a shader for it begins with.
    pub(super) fn constants(self) -> String {
        match self {
            Self::Lanes(lanes) => format!("const LANES = {lanes}u;\n"),
            Self::Tile([x, y]) => {
                // Both operands of a tile in 16 KiB.
                let depth = if x + y <= 64 { 16 } else { 4 };
                format!("const TILE_X = {x}u;\nconst TILE_Y = {y}u;\nconst DEPTH = {depth}u;\n")
            }
        }
    }

    /// Results of a product's tile, columns by rows.
    pub(super) const fn extent(self) -> [usize; 2] {
        match self {
            Self::Lanes(lanes) => [lanes as usize, 1],
            Self::Tile([x, y]) => [4 * x as usize, 4 * y as usize],
        }
    }
}

impl std::fmt::Display for Workgroup {
    /// Nothing of a usual one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lanes(Self::LANES) | Self::Tile(Self::TILE) => Ok(()),
            Self::Lanes(lanes) => write!(f, "@{lanes}"),
            Self::Tile([x, y]) => write!(f, "@{x}x{y}"),
        }
    }
}
