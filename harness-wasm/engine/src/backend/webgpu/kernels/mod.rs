//! How ops become dispatches: which shader, which parameters, how many workgroups. Pure.

mod attention;
mod kernel;
mod products;
mod shape;
mod tuning;

use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::ops::{Binary, Conv2d, MaxPool2d, Op, Reduce, Stft, Unary};
use crate::quant::Scheme;
use crate::tensor::{DType, elements};

use attention::attend;
pub use kernel::{Extension, Kernel};
use products::{bytes, halves, packed_rows, product, quantize};
use shape::{Axes, axes};
pub use tuning::{Making, Tuning, Workgroup};

/// A buffer that a kernel is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// The node's operand at this position.
    Input(usize),
    /// The node's result.
    Output,
    /// Room that one dispatch of a node leaves to its next.
    Scratch,
}

/// How the workgroups of a launch are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grid {
    /// That many invocations, numbered along one dimension.
    Lanes(usize),
    /// That many workgroups, numbered by `linear_group` in the shader.
    Groups(usize),
    /// Results of a product, columns by rows.
    Tiles(usize, usize),
}

/// One dispatch.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// The shader.
    pub kernel: Kernel,
    /// What its variant uses beyond core WebGPU.
    pub extension: Option<Extension>,
    /// How its invocations are laid out.
    pub workgroup: Workgroup,
    /// Override constants.
    pub constants: Vec<(&'static str, f64)>,
    /// The uniform block, word by word.
    pub params: Vec<u32>,
    /// Bindings 1, 2, …
    pub operands: Vec<Operand>,
    /// Bytes of [`Operand::Scratch`].
    pub scratch: usize,
    grid: Grid,
}

/// Up to this many rows, one workgroup per result beats tiles that would be mostly empty.
const FEW_ROWS: usize = 4;
/// The widest head that `attention` keeps in workgroup memory: the shader says the same.
const MAX_HEAD: usize = 256;
/// The longest frame whose two copies fit in workgroup memory: the shader says the same.
const MAX_FRAME: usize = 1024;

impl Launch {
    fn linear(kernel: Kernel, threads: usize, params: Vec<u32>, operands: Vec<Operand>) -> Self {
        Self::on(kernel, Grid::Lanes(threads), params, operands)
    }

    fn groups(kernel: Kernel, groups: usize, params: Vec<u32>, operands: Vec<Operand>) -> Self {
        Self::on(kernel, Grid::Groups(groups), params, operands)
    }

    fn on(kernel: Kernel, grid: Grid, params: Vec<u32>, operands: Vec<Operand>) -> Self {
        let workgroup = Tuning::default().workgroup(kernel);
        let (extension, constants) = (None, Vec::new());
        Self { kernel, extension, workgroup, constants, params, operands, scratch: 0, grid }
    }

    /// The variant for this tuning: that uses subgroups, where there are any and the kernel has one.
    fn tuned(self, tuning: &Tuning) -> Self {
        let variant = Extension::Subgroups;
        let extension = (tuning.extensions.contains(&variant) && self.kernel.has(variant)).then_some(variant);
        let workgroup = tuning.workgroup(self.kernel);
        Self { extension: self.extension.or(extension), workgroup, ..self }
    }

    /// What is told of it: the kernel, behind an at sign the workgroup if it is not the usual one and, behind a plus, what its
    /// variant uses.
    pub fn name(&self) -> String {
        let extension = self.extension.map_or(String::new(), |extension| format!("+{}", extension.name()));
        format!("{}{}{extension}", self.kernel.name(), self.workgroup)
    }

    /// The shader's source, but for the line that enables an extension.
    pub fn wgsl(&self) -> String {
        self.kernel.wgsl(self.extension, self.workgroup)
    }

    fn with(mut self, constants: &[(&'static str, f64)]) -> Self {
        self.constants.extend_from_slice(constants);
        self
    }

    /// Workgroups by dimension, none above `most`.
    ///
    /// # Errors
    /// If the grid does not fit the device.
    pub fn workgroups(&self, most: u32) -> Result<[u32; 3]> {
        let most = most as usize;
        let [columns, rows] = self.workgroup.extent();
        let line = |groups: usize| {
            let x = groups.clamp(1, most);
            (x, groups.max(1).div_ceil(x))
        };
        let (x, y) = match self.grid {
            Grid::Lanes(lanes) => line(lanes.div_ceil(columns)),
            Grid::Groups(groups) => line(groups),
            Grid::Tiles(n, m) => (n.div_ceil(columns).max(1), m.div_ceil(rows).max(1)),
        };
        if x > most || y > most {
            let reason = format!(
                "{} needs {x} by {y} workgroups, the device runs {most} a dimension",
                self.kernel.name()
            );
            return Err(Error::Unsupported { backend: "webgpu", reason });
        }
        Ok([x as u32, y as u32, 1])
    }
}

use Operand::{Input, Output};

/// The dispatches of a node: none for a reshape, several for a concatenation.
///
/// # Errors
/// If no kernel takes these shapes.
pub fn launches(
    backend: &'static str,
    tuning: &Tuning,
    op: &Op,
    inputs: &[&TensorType],
    output: &TensorType,
) -> Result<Vec<Launch>> {
    let portable = portable(backend, &tuning.extensions, op, inputs, output)?;
    Ok(portable.into_iter().map(|launch| launch.tuned(tuning)).collect())
}

fn portable(
    backend: &'static str,
    extensions: &[Extension],
    op: &Op,
    inputs: &[&TensorType],
    output: &TensorType,
) -> Result<Vec<Launch>> {
    let refuse = |reason: String| Error::Unsupported { backend, reason: format!("{}: {reason}", op.name()) };
    let n = output.len();
    let count = |n: usize| u32::try_from(n).map_err(|_| refuse(format!("{n} exceeds 32 bits")));
    count(n)?;
    let axes = |shape: &[usize]| axes(shape).ok_or_else(|| refuse(format!("rank of {shape:?} exceeds 6")));
    let word = |n: usize| n as u32;
    let one = |launch: Launch| Ok(vec![launch]);
    match op {
        Op::Reshape { .. } => Ok(Vec::new()),
        Op::Unary(f) => {
            let launch = Launch::linear(Kernel::Unary, n, vec![word(n)], vec![Input(0), Output]);
            one(launch.with(&[("OP", unary_code(*f))]))
        }
        Op::Cast(to) => {
            let code = match (inputs[0].dtype, to) {
                (DType::F32, DType::I32) => 1.0,
                (DType::I32, DType::F32) => 2.0,
                _ => 0.0,
            };
            let launch = Launch::linear(Kernel::Cast, n, vec![word(n)], vec![Input(0), Output]);
            one(launch.with(&[("OP", code)]))
        }
        Op::Binary(f) => {
            let shape = axes(&output.shape)?;
            let params =
                [shape.sizes(), shape.broadcast(&inputs[0].shape), shape.broadcast(&inputs[1].shape)]
                    .concat();
            let launch = Launch::linear(
                Kernel::Binary,
                n,
                [params, vec![word(n)]].concat(),
                vec![Input(0), Input(1), Output],
            );
            let integers = f64::from(u8::from(inputs[0].dtype == DType::I32));
            one(launch.with(&[("OP", binary_code(*f)), ("INTEGERS", integers)]))
        }
        Op::Where => {
            let shape = axes(&output.shape)?;
            let steps = [0, 1, 2].map(|i| shape.broadcast(&inputs[i].shape)).concat();
            let params = [shape.sizes(), steps, vec![word(n)]].concat();
            one(Launch::linear(Kernel::Where, n, params, vec![Input(0), Input(1), Input(2), Output]))
        }
        Op::Transpose { permutation } => {
            let (to, from) = (axes(&output.shape)?, crate::tensor::strides(&inputs[0].shape));
            let steps: Vec<usize> = permutation.iter().map(|&axis| from[axis]).collect();
            one(moving(&to, &steps, &crate::tensor::strides(&output.shape), [0, 0], 0))
        }
        Op::Slice { starts, .. } => {
            let from = crate::tensor::strides(&inputs[0].shape);
            let start = starts.iter().zip(&from).map(|(a, b)| a * b).sum();
            one(moving(&axes(&output.shape)?, &from, &crate::tensor::strides(&output.shape), [start, 0], 0))
        }
        Op::Expand { shape } => {
            let from = crate::ops::broadcast_strides(&inputs[0].shape, shape);
            one(moving(&axes(shape)?, &from, &crate::tensor::strides(shape), [0, 0], 0))
        }
        Op::Concat { axis } => {
            let to = crate::tensor::strides(&output.shape);
            let mut start = 0;
            inputs
                .iter()
                .enumerate()
                .map(|(i, ty)| {
                    let own = crate::tensor::strides(&ty.shape);
                    let launch = moving(&axes(&ty.shape)?, &own, &to, [0, start * to[*axis]], i);
                    start += ty.shape[*axis];
                    Ok(launch)
                })
                .collect()
        }
        Op::Gather { axis } => {
            let (table, picks) = (inputs[0], inputs[1]);
            let run = elements(&table.shape[axis + 1..]);
            let params = vec![word(n), word(table.shape[*axis]), word(run), word(picks.len())];
            one(Launch::linear(Kernel::Gather, n, params, vec![Input(0), Input(1), Output]))
        }
        Op::Gemm(gemm) => {
            let shape = [inputs[0].shape[0], inputs[1].shape[0], inputs[0].shape[1]];
            let bias = (inputs.len() > 2).then_some(2);
            one(product(shape, bias, &[1], None, gemm.activation))
        }
        Op::Qgemm(gemm) => {
            let shape = [inputs[0].shape[0], inputs[1].shape[0], inputs[0].shape[1]];
            let bias = (inputs.len() > 3).then_some(3);
            if gemm.packing.scheme == Scheme::Half && extensions.contains(&Extension::ShaderF16) {
                let launch = product(shape, bias, &[1], None, gemm.activation);
                return one(halves(launch));
            }
            let launch = product(shape, bias, &[1, 2], Some(gemm.packing), gemm.activation);
            if gemm.packing.scheme != Scheme::Half && extensions.contains(&Extension::Dp4a) {
                return Ok(bytes(launch, shape));
            }
            one(launch)
        }
        Op::Dequantize(packing) => one(packed_rows(*packing, inputs[0].shape[0], None, output)),
        Op::Quantize(op) => one(quantize(*op, inputs[0], output)),
        Op::Adopt(_) => Err(refuse("is the oracle's".into())),
        Op::Qgather(packing) => one(packed_rows(*packing, inputs[0].shape[0], Some(2), output)),
        Op::Matmul => one(matmul(inputs, output, &axes)?),
        Op::Softmax { axis } => {
            let (width, inner) = (output.shape[*axis], elements(&output.shape[axis + 1..]));
            let params = vec![word(width), word(inner), word(n / width.max(1))];
            one(Launch::groups(Kernel::Softmax, n / width.max(1), params, vec![Input(0), Output]))
        }
        Op::Reduce(f) => {
            let params = vec![word(n), word(inputs[0].len() / n.max(1))];
            let launch = Launch::groups(Kernel::Reduce, n, params, vec![Input(0), Output]);
            one(launch.with(&[("MAX", f64::from(u8::from(*f == Reduce::Max)))]))
        }
        Op::MaxPool2d(pool) => one(max_pool(*pool, inputs[0], output)),
        Op::Stft(stft) => {
            if stft.frame > MAX_FRAME {
                return Err(refuse(format!("frames of {} exceed {MAX_FRAME} samples", stft.frame)));
            }
            one(spectra(*stft, inputs[0], output))
        }
        Op::LayerNormalization { epsilon } => {
            one(normalization(output, *epsilon, vec![Input(0), Input(1), Input(2), Output], 0.0))
        }
        Op::RmsNormalization { epsilon } => {
            one(normalization(output, *epsilon, vec![Input(0), Input(1), Input(1), Output], 1.0))
        }
        Op::Conv2d(conv) => one(convolution(*conv, inputs, output)),
        Op::Rope { heads } => {
            let (width, tokens) = (output.shape[2], output.shape[1]);
            let (positions, half) = (inputs[1].shape[0], inputs[1].shape[1]);
            let params = [n, tokens, width, width / heads, half, positions].map(word).to_vec();
            one(Launch::linear(Kernel::Rope, n, params, vec![Input(0), Input(1), Input(2), Input(3), Output]))
        }
        Op::KvAppend { ring } => {
            let (tokens, context, width) = (inputs[1].shape[1], output.shape[1], output.shape[2]);
            let params = [inputs[1].len(), tokens, context, width].map(word).to_vec();
            let append =
                Launch::linear(Kernel::KvAppend, inputs[1].len(), params, vec![Input(1), Input(2), Output]);
            one(append.with(&[("RING", f64::from(u8::from(*ring)))]))
        }
        Op::Attention(attention) => {
            let dims = attention.dims(&inputs[0].shape, &inputs[1].shape, &inputs[2].shape);
            if dims.d > MAX_HEAD || dims.e > MAX_HEAD {
                return Err(refuse(format!("heads of {} and {} exceed {MAX_HEAD} channels", dims.d, dims.e)));
            }
            Ok(attend(attention, inputs))
        }
    }
}

/// Element `i` of the box `to` goes from `x[start + i·from]` to `y[start + i·strides]`.
fn moving(to: &Axes, from: &[usize], strides: &[usize], [first, start]: [usize; 2], input: usize) -> Launch {
    let n = to.len();
    let tail = vec![n as u32, first as u32, start as u32];
    let params = [to.sizes(), to.steps(from), to.steps(strides), tail].concat();
    Launch::linear(Kernel::Move, n, params, vec![Input(input), Output])
}

/// The first operand, as it is.
pub(super) fn copy(shape: &[usize]) -> Launch {
    let n: usize = shape.iter().product();
    let line = Axes::line(n);
    moving(&line, &[1], &[1], [0, 0], 0)
}

fn matmul(
    inputs: &[&TensorType],
    output: &TensorType,
    axes: &impl Fn(&[usize]) -> Result<Axes>,
) -> Result<Launch> {
    let rank = output.shape.len();
    let batch = axes(&output.shape[..rank - 2])?;
    let (m, columns) = (output.shape[rank - 2], output.shape[rank - 1]);
    let leading = |ty: &TensorType| batch.broadcast(&ty.shape[..ty.shape.len() - 2]);
    let k = inputs[0].shape[inputs[0].shape.len() - 1];
    let tail = [output.len(), m, columns, k].map(|n| n as u32).to_vec();
    let params = [batch.sizes(), leading(inputs[0]), leading(inputs[1]), tail].concat();
    Ok(Launch::linear(Kernel::Matmul, output.len(), params, vec![Input(0), Input(1), Output]))
}

fn normalization(output: &TensorType, epsilon: f32, operands: Vec<Operand>, rms: f64) -> Launch {
    let width = output.shape.last().copied().unwrap_or(1);
    let rows = output.len() / width.max(1);
    let params = vec![rows as u32, width as u32, epsilon.to_bits()];
    Launch::groups(Kernel::Normalization, rows, params, operands).with(&[("RMS", rms)])
}

fn convolution(conv: Conv2d, inputs: &[&TensorType], output: &TensorType) -> Launch {
    let (x, filter) = (&inputs[0].shape, &inputs[1].shape);
    let bias = if inputs.len() > 2 { 2 } else { 0 };
    let params = [
        output.len(),
        x[1],
        x[2],
        x[3],
        output.shape[1],
        output.shape[2],
        output.shape[3],
        filter[1],
        filter[2],
        filter[3],
        conv.strides[0],
        conv.strides[1],
        conv.padding[0],
        conv.padding[2],
        conv.dilations[0],
        conv.dilations[1],
        conv.groups,
    ]
    .map(|n| n as u32)
    .to_vec();
    Launch::linear(Kernel::Conv2d, output.len(), params, vec![Input(0), Input(1), Input(bias), Output])
        .with(&[("HAS_BIAS", f64::from(u8::from(bias == 2)))])
}

fn max_pool(pool: MaxPool2d, x: &TensorType, output: &TensorType) -> Launch {
    let [window, strides] = [pool.window, pool.strides];
    let params = [
        output.len(),
        x.shape[2],
        x.shape[3],
        output.shape[2],
        output.shape[3],
        window[0],
        window[1],
        strides[0],
        strides[1],
        pool.padding[0],
        pool.padding[2],
    ];
    let params = params.map(|n| n as u32).to_vec();
    Launch::linear(Kernel::MaxPool2d, output.len(), params, vec![Input(0), Output])
}

fn spectra(stft: Stft, x: &TensorType, output: &TensorType) -> Launch {
    let frames = output.shape[1];
    let radices = stft.radices().expect("inferred");
    // Radices of up to ten passes, four bits each: 1024 points need five.
    let packed = radices.iter().rev().fold(0_u64, |packed, &radix| packed << 4 | radix as u64);
    let head = [output.shape[0] * frames, frames, x.shape[1], stft.frame, stft.hop, radices.len()];
    let params = [&head.map(|n| n as u32)[..], &[packed as u32, (packed >> 32) as u32]].concat();
    Launch::groups(Kernel::Stft, head[0], params, vec![Input(0), Input(1), Input(2), Output])
}

/// The number that `activation.wgsl` knows a function by.
fn unary_code(op: Unary) -> f64 {
    Unary::ALL.iter().position(|known| *known == op).map_or(-1.0, |at| at as f64)
}

/// The number that `binary.wgsl` knows a function by.
fn binary_code(op: Binary) -> f64 {
    Binary::ALL.iter().position(|known| *known == op).map_or(-1.0, |at| at as f64)
}
