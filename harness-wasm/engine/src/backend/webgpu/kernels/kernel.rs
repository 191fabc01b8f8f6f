//! The shaders and their variants.

use super::Workgroup;

/// What a variant of a kernel uses beyond core WebGPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Extension {
    /// Dot products of four bytes: a feature of the language rather than of an adapter.
    Dp4a,
    /// Half-precision numbers in shaders.
    ShaderF16,
    /// Operations across the lanes that run together.
    Subgroups,
}

impl Extension {
    /// Every extension.
    pub const ALL: [Self; 3] = [Self::Dp4a, Self::ShaderF16, Self::Subgroups];

    /// Those that have their names among these.
    pub fn named(names: &[String]) -> Vec<Self> {
        Self::ALL.into_iter().filter(|extension| names.iter().any(|name| name == extension.name())).collect()
    }

    /// Its name in features and kernels, which `GPUAdapter.features` shares unless it is of the language.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dp4a => "dp4a",
            Self::ShaderF16 => "shader-f16",
            Self::Subgroups => "subgroups",
        }
    }

    /// Its name among `navigator.gpu.wgslLanguageFeatures`, if it is there that it stands.
    pub const fn language(self) -> Option<&'static str> {
        match self {
            Self::Dp4a => Some("packed_4x8_integer_dot_product"),
            Self::ShaderF16 | Self::Subgroups => None,
        }
    }

    /// The line by which a shader says that it uses it. Compilers that do not know the line yet may take shaders without.
    pub const fn enable(self) -> &'static str {
        match self {
            Self::Dp4a => "requires packed_4x8_integer_dot_product;\n",
            Self::ShaderF16 => "enable f16;\n",
            Self::Subgroups => "enable subgroups;\n",
        }
    }
}

/// The shaders, one file each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// `attention`, a query at a time.
    Attention,
    /// `attention`, of parts of the keys: puts them together.
    AttentionMerge,
    /// `attention` over packed keys and values, a query at a time.
    AttentionPacked,
    /// `attention`, a tile of queries at a time.
    AttentionTiles,
    /// `attention` over packed keys and values, a tile of queries at a time.
    AttentionTilesPacked,
    /// Elementwise functions of two operands.
    Binary,
    /// `cast`.
    Cast,
    /// `conv2d`.
    Conv2d,
    /// `gather`.
    Gather,
    /// `gemm` for many rows.
    Gemm,
    /// `gemm` for few rows.
    Gemv,
    /// Rows of activations as whole numbers, for products of bytes.
    Integers,
    /// `kvAppend`.
    KvAppend,
    /// `matmul`.
    Matmul,
    /// `maxPool2d`.
    MaxPool2d,
    /// Everything that only moves elements.
    Move,
    /// `layerNormalization` and `rmsNormalization`.
    Normalization,
    /// `dequantize` and `qgather`.
    PackedRows,
    /// `qgemm` for many rows.
    Qgemm,
    /// `qgemm` for few rows.
    Qgemv,
    /// `quantize`.
    Quantize,
    /// `reduceMean` and `reduceMax`.
    Reduce,
    /// `rope`.
    Rope,
    /// `softmax`.
    Softmax,
    /// `stft`.
    Stft,
    /// Elementwise functions of one operand.
    Unary,
    /// `where`.
    Where,
}

impl Kernel {
    /// Every kernel.
    pub const ALL: [Self; 27] = [
        Self::Attention,
        Self::AttentionMerge,
        Self::AttentionPacked,
        Self::AttentionTiles,
        Self::AttentionTilesPacked,
        Self::Binary,
        Self::Cast,
        Self::Conv2d,
        Self::Gather,
        Self::Gemm,
        Self::Gemv,
        Self::Integers,
        Self::KvAppend,
        Self::Matmul,
        Self::MaxPool2d,
        Self::Move,
        Self::Normalization,
        Self::PackedRows,
        Self::Qgemm,
        Self::Qgemv,
        Self::Quantize,
        Self::Reduce,
        Self::Rope,
        Self::Softmax,
        Self::Stft,
        Self::Unary,
        Self::Where,
    ];

    /// The file's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::AttentionMerge => "attention_merge",
            Self::AttentionPacked => "attention_packed",
            Self::AttentionTiles => "attention_tiles",
            Self::AttentionTilesPacked => "attention_tiles_packed",
            Self::Binary => "binary",
            Self::Cast => "cast",
            Self::Conv2d => "conv2d",
            Self::Gather => "gather",
            Self::Gemm => "gemm",
            Self::Gemv => "gemv",
            Self::Integers => "integers",
            Self::KvAppend => "kv_append",
            Self::Matmul => "matmul",
            Self::MaxPool2d => "max_pool2d",
            Self::Move => "move",
            Self::Normalization => "normalization",
            Self::PackedRows => "packed_rows",
            Self::Qgemm => "qgemm",
            Self::Qgemv => "qgemv",
            Self::Quantize => "quantize",
            Self::Reduce => "reduce",
            Self::Rope => "rope",
            Self::Softmax => "softmax",
            Self::Stft => "stft",
            Self::Unary => "unary",
            Self::Where => "where",
        }
    }

    /// Whether there is a variant of it that uses an extension.
    pub const fn has(self, extension: Extension) -> bool {
        match extension {
            Extension::Dp4a | Extension::ShaderF16 => matches!(self, Self::Qgemm | Self::Qgemv),
            Extension::Subgroups => self.reduces(),
        }
    }

    /// Whether the lanes of a workgroup bring something together.
    const fn reduces(self) -> bool {
        matches!(
            self,
            Self::Attention
                | Self::AttentionPacked
                | Self::Gemv
                | Self::Normalization
                | Self::Qgemv
                | Self::Reduce
                | Self::Softmax
        )
    }

    /// The shader's source for such workgroups, with the pieces it shares with others in front: of a variant, those that
    /// use its extension. The line that enables it is left to who knows the compiler.
    pub fn wgsl(self, extension: Option<Extension>, workgroup: Workgroup) -> String {
        let bytes = extension == Some(Extension::Dp4a);
        let own = match self {
            Self::Attention | Self::AttentionPacked => include_str!("attention.wgsl"),
            Self::AttentionMerge => include_str!("attention_merge.wgsl"),
            Self::AttentionTiles | Self::AttentionTilesPacked => include_str!("attention_tiles.wgsl"),
            Self::Binary => include_str!("binary.wgsl"),
            Self::Cast => include_str!("cast.wgsl"),
            Self::Conv2d => include_str!("conv2d.wgsl"),
            Self::Gather => include_str!("gather.wgsl"),
            Self::Qgemm if bytes => include_str!("gemm_bytes.wgsl"),
            Self::Qgemv if bytes => include_str!("gemv_bytes.wgsl"),
            Self::Gemm | Self::Qgemm => include_str!("gemm.wgsl"),
            Self::Gemv | Self::Qgemv => include_str!("gemv.wgsl"),
            Self::Integers => include_str!("integers.wgsl"),
            Self::KvAppend => include_str!("kv_append.wgsl"),
            Self::Matmul => include_str!("matmul.wgsl"),
            Self::MaxPool2d => include_str!("max_pool2d.wgsl"),
            Self::Move => include_str!("move.wgsl"),
            Self::Normalization => include_str!("normalization.wgsl"),
            Self::PackedRows => include_str!("packed_rows.wgsl"),
            Self::Quantize => include_str!("quantize.wgsl"),
            Self::Reduce => include_str!("reduce.wgsl"),
            Self::Rope => include_str!("rope.wgsl"),
            Self::Softmax => include_str!("softmax.wgsl"),
            Self::Stft => include_str!("stft.wgsl"),
            Self::Unary => include_str!("unary.wgsl"),
            Self::Where => include_str!("where.wgsl"),
        };
        let weight = match (self, extension) {
            (Self::Gemm | Self::Gemv, _) => include_str!("weight_plain.wgsl"),
            (Self::Qgemm | Self::Qgemv, Some(Extension::ShaderF16)) => include_str!("weight_half.wgsl"),
            (Self::Qgemm | Self::Qgemv, Some(Extension::Dp4a)) => {
                concat!(include_str!("weight_packed.wgsl"), include_str!("weight_bytes.wgsl"))
            }
            (Self::Qgemm | Self::Qgemv | Self::PackedRows, _) => include_str!("weight_packed.wgsl"),
            _ => "",
        };
        let reduction = match extension {
            Some(Extension::Subgroups) if self.reduces() => include_str!("workgroup_subgroups.wgsl"),
            _ if self.reduces() => include_str!("workgroup.wgsl"),
            _ => "",
        };
        let activation = match self {
            Self::Gemm | Self::Gemv | Self::Qgemm | Self::Qgemv | Self::Unary => {
                include_str!("activation.wgsl")
            }
            _ => "",
        };
        let keys = match self {
            Self::Attention | Self::AttentionTiles => {
                concat!(include_str!("ring.wgsl"), include_str!("keys_plain.wgsl"))
            }
            Self::AttentionPacked | Self::AttentionTilesPacked => {
                concat!(include_str!("ring.wgsl"), include_str!("keys_packed.wgsl"))
            }
            _ => "",
        };
        [&workgroup.constants(), include_str!("index.wgsl"), activation, weight, reduction, keys, own]
            .concat()
    }
}
