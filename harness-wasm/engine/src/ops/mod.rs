//! The ops: one file each, with its shape rule and its scalar oracle.
//!
//! Names and semantics are WebNN's. What WebNN lacks (`attention`, `rmsNormalization`, `rope`,
//! `kvAppend`, `stft`, `swiglu`, three activations, and what reads packed weights: `dequantize`, `qgather`, `qgemm`) is an
//! extension, and [`crate::plan::decompose`] says what it means in
//! WebNN's own ops.
//!
//! The oracles take types that were inferred and may therefore index without checks of their own.
//! They accumulate in f64 and share no code with any kernel.

mod attention;
mod binary;
mod broadcast;
pub mod cases;
mod conv2d;
mod dequantize;
mod gather;
mod gemm;
mod kv_append;
mod layout;
mod matmul;
mod max_pool2d;
mod normalization;
mod qgather;
mod qgemm;
mod quantize;
mod reduce;
mod rope;
mod softmax;
mod stft;
mod unary;

pub use attention::{Attention, AttentionDims, PackedPair};
pub use binary::Binary;
pub use broadcast::{broadcast_shape, broadcast_strides};
pub use conv2d::Conv2d;
pub use gemm::Gemm;
pub use max_pool2d::MaxPool2d;
pub use qgemm::Qgemm;
pub use quantize::{Part, Quantize};
pub use reduce::Reduce;
pub use stft::Stft;
pub use unary::Unary;

use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::quant::Packing;
use crate::tensor::{DType, Tensor};

/// An op with its attributes.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The oracle's [`Self::Quantize`], `x words scales position`: another's rounding where that is right.
    Adopt(Quantize),
    /// Extension: scaled dot-product attention. `q k v [mask] [bias] [position]`, see [`Attention`].
    Attention(Attention),
    /// Elementwise function of two operands, broadcasting.
    Binary(Binary),
    /// Another element type.
    Cast(DType),
    /// Operands one after another along `axis`.
    Concat {
        /// Along which axis.
        axis: usize,
    },
    /// 2-D convolution, NCHW by OIHW, optionally with a bias.
    Conv2d(Conv2d),
    /// Extension: `words scales`: the matrix `[rows, columns]` that packed rows stand for.
    Dequantize(Packing),
    /// Broadcast to `shape`.
    Expand {
        /// The result's shape.
        shape: Vec<usize>,
    },
    /// Rows of `x` along `axis`, picked by an integer operand.
    Gather {
        /// Along which axis.
        axis: usize,
    },
    /// 2-D matrix product with bias and activation.
    Gemm(Gemm),
    /// Extension: `cache new position`: `new` written over `cache` along axis 1, from `position` on.
    KvAppend {
        /// Whether rows go round: the one of place `p` is row `p % context`, over what was there.
        ring: bool,
    },
    /// `x scale bias`: normalised over the last axis.
    LayerNormalization {
        /// Added to the variance.
        epsilon: f32,
    },
    /// Batched matrix product over the last two axes, broadcasting the others.
    Matmul,
    /// The largest element of each window.
    MaxPool2d(MaxPool2d),
    /// Extension: `words scales indices`: rows of a quantised matrix, picked by an integer operand.
    Qgather(Packing),
    /// Extension: `gemm` with a quantised weight.
    Qgemm(Qgemm),
    /// Extension: `x`: rows packed as they are computed; `dequantize` reads them.
    Quantize(Quantize),
    /// The last axis reduced to one number.
    Reduce(Reduce),
    /// The same elements in another shape.
    Reshape {
        /// The result's shape.
        shape: Vec<usize>,
    },
    /// Extension: `x scale`: divided by the root mean square over the last axis.
    RmsNormalization {
        /// Added to the mean square.
        epsilon: f32,
    },
    /// Extension: rotary position embedding. `x cos sin position`; `x` is `[batch, tokens, heads * head_dim]`,
    /// the tables `[positions, rotated / 2]`; halves are rotated against each other as Hugging Face does.
    Rope {
        /// How many heads lie side by side in the last axis.
        heads: usize,
    },
    /// A box cut out.
    Slice {
        /// First index by axis.
        starts: Vec<usize>,
        /// Size by axis.
        sizes: Vec<usize>,
    },
    /// Exponentials that sum to 1 along `axis`.
    Softmax {
        /// Along which axis.
        axis: usize,
    },
    /// Extension: power spectrum of a signal. `x window roots`, see [`Stft`].
    Stft(Stft),
    /// Axes in another order.
    Transpose {
        /// Result axis `i` is operand axis `permutation[i]`.
        permutation: Vec<usize>,
    },
    /// Elementwise function of one operand.
    Unary(Unary),
    /// `condition a b`: `a` where the integer condition is not 0, else `b`; broadcasting.
    Where,
}

impl Op {
    /// WebNN's name, or our extension's.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Adopt(_) => "adopt",
            Self::Attention(_) => "attention",
            Self::Binary(op) => op.name(),
            Self::Cast(_) => "cast",
            Self::Concat { .. } => "concat",
            Self::Conv2d(_) => "conv2d",
            Self::Dequantize(_) => "dequantize",
            Self::Expand { .. } => "expand",
            Self::Gather { .. } => "gather",
            Self::Gemm(_) => "gemm",
            Self::KvAppend { .. } => "kvAppend",
            Self::LayerNormalization { .. } => "layerNormalization",
            Self::Matmul => "matmul",
            Self::MaxPool2d(_) => "maxPool2d",
            Self::Qgather(_) => "qgather",
            Self::Qgemm(_) => "qgemm",
            Self::Quantize(_) => "quantize",
            Self::Reduce(op) => op.name(),
            Self::Reshape { .. } => "reshape",
            Self::RmsNormalization { .. } => "rmsNormalization",
            Self::Rope { .. } => "rope",
            Self::Slice { .. } => "slice",
            Self::Softmax { .. } => "softmax",
            Self::Stft(_) => "stft",
            Self::Transpose { .. } => "transpose",
            Self::Unary(op) => op.name(),
            Self::Where => "where",
        }
    }

    /// Which operands are words and scales of packed weights.
    pub fn packed_operands(&self) -> std::ops::Range<usize> {
        match self {
            Self::Dequantize(_) | Self::Qgather(_) => 0..2,
            Self::Qgemm(_) => 1..3,
            _ => 0..0,
        }
    }

    /// The result's type.
    ///
    /// # Errors
    /// Names the op and the rule that the operands break.
    pub fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType> {
        match self {
            Self::Adopt(op) => op.infer_adopt(inputs),
            Self::Attention(op) => op.infer(inputs),
            Self::Binary(op) => op.infer(inputs),
            Self::Cast(dtype) => {
                let [x] = operands("cast", inputs)?;
                Ok(TensorType::new(*dtype, x.shape.clone()))
            }
            Self::Concat { axis } => layout::infer_concat(*axis, inputs),
            Self::Conv2d(op) => op.infer(inputs),
            Self::Dequantize(packing) => dequantize::infer(*packing, inputs),
            Self::Expand { shape } => layout::infer_expand(shape, inputs),
            Self::Gather { axis } => gather::infer(*axis, inputs),
            Self::Gemm(op) => op.infer(inputs),
            Self::KvAppend { ring } => kv_append::infer(*ring, inputs),
            Self::LayerNormalization { .. } => normalization::infer_layer(inputs),
            Self::Matmul => matmul::infer(inputs),
            Self::MaxPool2d(op) => op.infer(inputs),
            Self::Qgather(packing) => qgather::infer(*packing, inputs),
            Self::Qgemm(op) => op.infer(inputs),
            Self::Quantize(op) => op.infer(inputs),
            Self::Reduce(op) => op.infer(inputs),
            Self::Reshape { shape } => layout::infer_reshape(shape, inputs),
            Self::RmsNormalization { .. } => normalization::infer_rms(inputs),
            Self::Rope { heads } => rope::infer(*heads, inputs),
            Self::Slice { starts, sizes } => layout::infer_slice(starts, sizes, inputs),
            Self::Softmax { axis } => softmax::infer(*axis, inputs),
            Self::Stft(op) => op.infer(inputs),
            Self::Transpose { permutation } => layout::infer_transpose(permutation, inputs),
            Self::Unary(op) => op.infer(inputs),
            Self::Where => binary::infer_where(inputs),
        }
    }

    /// The oracle: computes the result from operands of the types that [`Self::infer`] accepted.
    pub fn eval(&self, inputs: &[&Tensor]) -> Tensor {
        match self {
            Self::Adopt(op) => op.adopt(inputs),
            Self::Attention(op) => op.eval(inputs),
            Self::Binary(op) => op.eval(inputs[0], inputs[1]),
            Self::Cast(dtype) => unary::cast(*dtype, inputs[0]),
            Self::Concat { axis } => layout::concat(*axis, inputs),
            Self::Conv2d(op) => op.eval(inputs),
            Self::Dequantize(packing) => dequantize::eval(*packing, inputs[0], inputs[1]),
            Self::Expand { shape } => layout::expand(shape, inputs[0]),
            Self::Gather { axis } => gather::eval(*axis, inputs[0], inputs[1]),
            Self::Gemm(op) => op.eval(inputs),
            Self::KvAppend { ring } => kv_append::eval(*ring, inputs),
            Self::LayerNormalization { epsilon } => normalization::layer(*epsilon, inputs),
            Self::Matmul => matmul::eval(inputs[0], inputs[1]),
            Self::MaxPool2d(op) => op.eval(inputs[0]),
            Self::Qgather(packing) => qgather::eval(*packing, inputs),
            Self::Qgemm(op) => op.eval(inputs),
            Self::Quantize(op) => op.eval(inputs[0]),
            Self::Reduce(op) => op.eval(inputs[0]),
            Self::Reshape { shape } => inputs[0].clone().reshaped(shape.as_slice()),
            Self::RmsNormalization { epsilon } => normalization::rms(*epsilon, inputs),
            Self::Rope { heads } => rope::eval(*heads, inputs),
            Self::Slice { starts, sizes } => layout::slice(starts, sizes, inputs[0]),
            Self::Softmax { axis } => softmax::eval(*axis, inputs[0]),
            Self::Stft(op) => op.eval(inputs),
            Self::Transpose { permutation } => layout::transpose(permutation, inputs[0]),
            Self::Unary(op) => op.eval(inputs[0]),
            Self::Where => binary::eval_where(inputs),
        }
    }
}

/// Takes exactly `N` operands.
fn operands<'a, const N: usize>(op: &'static str, inputs: &[&'a TensorType]) -> Result<[&'a TensorType; N]> {
    inputs.try_into().map_err(|_| Error::shape(op, format!("takes {N} operands, not {}", inputs.len())))
}

/// Requires an element type.
fn require(op: &'static str, what: &str, ty: &TensorType, dtype: DType) -> Result<()> {
    if ty.dtype == dtype {
        Ok(())
    } else {
        Err(Error::shape(op, format!("{what} must be {dtype:?}, not {:?}", ty.dtype)))
    }
}
