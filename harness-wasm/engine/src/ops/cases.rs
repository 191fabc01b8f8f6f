//! One or more cases of every op: what kernels are tested with, on the host and in browsers.
//!
//! Shapes are odd on purpose: most kernel faults live in the last, partly filled tile.

mod packed;
mod quantised;

pub use packed::packed;

use crate::error::Result;
use crate::ir::{Graph, GraphBuilder, TensorType};
use crate::ops::{Attention, Binary, Conv2d, Gemm, MaxPool2d, Op, Reduce, Stft, Unary};
use crate::tensor::{DType, NamedTensors, Tensor};
use crate::weights::{Weights, twin::Draw};

/// An op with operands to run it on.
#[derive(Clone, Debug)]
pub struct Case {
    /// Unique: the op's name and what is particular.
    pub name: String,
    /// The op.
    pub op: Op,
    /// Its operands.
    pub inputs: Vec<Tensor>,
}

impl Case {
    /// A graph of this op alone: operands are the inputs `0`, `1`, …, packed weights constants, the result is `y`.
    ///
    /// # Errors
    /// If the op refuses the operands.
    pub fn graph(&self) -> Result<Graph> {
        let weights = Weights::Twin { seed: 0 };
        let mut b = GraphBuilder::new(&weights);
        let ids: Vec<_> = self
            .inputs
            .iter()
            .enumerate()
            .map(|(i, t)| match self.op.packed_operands().contains(&i) {
                // Packed weights are part of a graph.
                true => b.constant(t.clone()),
                false => b.input(&i.to_string(), t.dtype(), t.shape()),
            })
            .collect();
        let y = b.op(self.op.clone(), &ids)?;
        b.output("y", y);
        Ok(b.finish())
    }

    /// The operands by the names that [`Self::graph`] gives them.
    pub fn named_inputs(&self) -> NamedTensors {
        self.inputs.iter().enumerate().map(|(i, t)| (i.to_string(), t.clone())).collect()
    }

    /// The oracle's answer.
    ///
    /// # Errors
    /// If the op refuses the operands.
    pub fn expected(&self) -> Result<Tensor> {
        let types: Vec<TensorType> =
            self.inputs.iter().map(|t| TensorType::new(t.dtype(), t.shape())).collect();
        self.op.infer(&types.iter().collect::<Vec<_>>())?;
        Ok(self.op.eval(&self.inputs.iter().collect::<Vec<_>>()))
    }

    /// Holds a result against the oracle's.
    ///
    /// # Errors
    /// Says how it differs.
    pub fn check(&self, got: &Tensor) -> std::result::Result<(), String> {
        self.compare(got).fault.map_or(Ok(()), Err)
    }

    /// Measures a result against the oracle's.
    pub fn compare(&self, got: &Tensor) -> Comparison {
        let want = match self.expected() {
            Ok(want) => want,
            Err(error) => return Comparison::incomparable(error.to_string()),
        };
        if (got.shape(), got.dtype()) != (want.shape(), want.dtype()) {
            let (got, want) = ((got.dtype(), got.shape()), (want.dtype(), want.shape()));
            return Comparison::incomparable(format!("{got:?} is not {want:?}"));
        }
        let mut comparison = Comparison { max_abs: Some(0.0), ratio: Some(0.0), fault: None };
        match want.dtype() {
            DType::I32 => {
                for (at, (&y, &e)) in got.as_i32().iter().zip(want.as_i32()).enumerate() {
                    comparison.element(at, y.into(), e.into(), 0.0);
                }
            }
            DType::F32 => {
                for (at, (&y, &e)) in got.as_f32().iter().zip(want.as_f32()).enumerate() {
                    comparison.element(at, y.into(), e.into(), self.tolerance(at, e).into());
                }
            }
        }
        comparison
    }

    /// Element type of the data that the op works on, in WebNN's words.
    pub fn dtype(&self) -> &'static str {
        let data = match &self.op {
            Op::Dequantize(packing) | Op::Qgather(packing) => return quantised::dtype(*packing),
            Op::Qgemm(op) => return quantised::dtype(op.packing),
            Op::Attention(Attention { packed: Some(packed), .. }) => {
                return quantised::dtype(packed.packing(0));
            }
            // The condition of a choice is no data of it.
            op => usize::from(*op == Op::Where),
        };
        match self.inputs[data].dtype() {
            DType::F32 => "float32",
            DType::I32 => "int32",
        }
    }

    /// Largest allowed `|y - expected|` for the element at `at`: float32 kernels sum in another order
    /// than the oracle, so products get a bound that grows with their depth.
    fn tolerance(&self, at: usize, expected: f32) -> f32 {
        let epsilon = f32::EPSILON;
        let (absolute, relative) = match &self.op {
            Op::Gemm(_) => (4.0 * epsilon * self.inputs[0].shape()[1] as f32, 1e-6),
            Op::Matmul => (4.0 * epsilon * *self.inputs[0].shape().last().unwrap_or(&1) as f32, 1e-6),
            Op::Conv2d(_) => {
                (4.0 * epsilon * self.inputs[1].shape()[1..].iter().product::<usize>() as f32, 1e-6)
            }
            Op::Dequantize(packing) | Op::Qgather(packing) => {
                (quantised::rounding(*packing, &self.inputs), 0.0)
            }
            Op::Qgemm(op) => (quantised::product(*op, &self.inputs, at), 1e-6),
            Op::Attention(_) => (1e-5, 1e-5),
            Op::Softmax { .. }
            | Op::Reduce(Reduce::Mean)
            | Op::LayerNormalization { .. }
            | Op::RmsNormalization { .. } => (2e-6, 1e-5),
            Op::Rope { .. } => (1e-6, 1e-6),
            // A bin sums a frame: its error is measured by the frame's energy, not by its own.
            Op::Stft(op) => (4.0 * epsilon * self.energy(*op), 1e-5),
            // WGSL promises sines and cosines to 2^-11 only.
            Op::Unary(Unary::Sin | Unary::Cos) => (1.0 / 2048.0, 0.0),
            Op::Unary(Unary::Exp) => (1e-7, 4e-6),
            Op::Unary(Unary::Log) => (1e-6, 1e-6),
            // `x` times a probability, which float32 arithmetic by the definition, 0.5 * (1 + erf), has to
            // within an epsilon of 1: the tail of the curve is rounded away, not wrong.
            Op::Unary(Unary::Gelu) => (epsilon * self.inputs[0].as_f32()[at].abs(), 2e-6),
            Op::Unary(_) => (4e-7, 2e-6),
            Op::Binary(Binary::Div | Binary::SwiGlu) => (1e-7, 2e-6),
            Op::Binary(_) => (0.0, 1.5 * epsilon),
            // These move elements and change none.
            _ => (0.0, 0.0),
        };
        absolute + relative * expected.abs()
    }

    /// What a bin of the signal's spectrum can hold at most, by Parseval's theorem.
    fn energy(&self, op: Stft) -> f32 {
        op.frame as f32 * self.inputs[0].as_f32().iter().map(|v| v * v).sum::<f32>()
    }
}

/// How a result compares with the oracle's.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Largest `|y - expected|`; none if one is not finite, or nothing can be compared.
    pub max_abs: Option<f64>,
    /// The largest part of its tolerance that an element uses up: at most 1 where all agree; none if it
    /// is not finite, or nothing can be compared.
    pub ratio: Option<f64>,
    /// What is wrong with the result; none if it is right.
    pub fault: Option<String>,
}

impl Comparison {
    fn incomparable(fault: String) -> Self {
        Self { max_abs: None, ratio: None, fault: Some(fault) }
    }

    fn element(&mut self, at: usize, y: f64, expected: f64, tolerance: f64) {
        // Infinities are equal or are not: what lies between has no measure.
        let difference = if y == expected { 0.0 } else { (y - expected).abs() };
        let widest = |known: Option<f64>, new: f64| known.filter(|_| new.is_finite()).map(|k| k.max(new));
        // Where nothing is allowed, no difference is no part of it, and any other is beyond measure.
        let ratio = if difference == 0.0 { 0.0 } else { difference / tolerance };
        self.max_abs = widest(self.max_abs, difference);
        self.ratio = widest(self.ratio, ratio);
        // A NaN is within no tolerance, and everything would be within an infinite one.
        if difference.is_nan() || difference > tolerance || (difference > 0.0 && !expected.is_finite()) {
            let fault = || format!("[{at}]: {y} is not {expected} within {tolerance:.3e}");
            self.fault.get_or_insert_with(fault);
        }
    }
}

/// Every case.
pub fn all() -> Vec<Case> {
    let mut cases = Cases(Vec::new());
    elementwise(&mut cases);
    layout(&mut cases);
    products(&mut cases);
    rows(&mut cases);
    attention(&mut cases);
    images_and_signals(&mut cases);
    quantised::add(&mut cases);
    packed::add(&mut cases);
    cases.0
}

struct Cases(Vec<Case>);

impl Cases {
    fn add(&mut self, what: &str, op: Op, inputs: Vec<Tensor>) {
        let name = format!("{} {what}", op.name()).trim_end().to_owned();
        self.0.push(Case { name, op, inputs });
    }
}

/// Nearly normal floats.
fn floats(seed: &str, shape: &[usize]) -> Tensor {
    let mut draw = Draw::new(1, seed);
    Tensor::f32(shape, (0..shape.iter().product()).map(|_| draw.normal()).collect())
}

/// Integers in `0..limit`.
fn integers(seed: &str, shape: &[usize], limit: usize) -> Tensor {
    let mut draw = Draw::new(1, seed);
    Tensor::i32(shape, (0..shape.iter().product()).map(|_| draw.below(limit) as i32).collect())
}

fn elementwise(cases: &mut Cases) {
    for op in Unary::ALL {
        let mut x: Vec<f32> = floats("unary", &[131]).as_f32().iter().map(|v| 3.0 * v).collect();
        x.extend([0.0, 1e-4, -1e-4, 0.3, -0.3, 0.84, -1.19, 9.5, -9.5]);
        if matches!(op, Unary::Log | Unary::Sqrt) {
            x.iter_mut().for_each(|v| *v = v.abs() + 1e-3);
        }
        if op == Unary::Reciprocal {
            x.iter_mut().for_each(|v| *v = if v.abs() < 0.1 { 1.0 } else { *v });
        }
        if matches!(op, Unary::Sin | Unary::Cos) {
            x.iter_mut().for_each(|v| *v = v.clamp(-3.1, 3.1));
        }
        cases.add("", Op::Unary(op), vec![Tensor::f32([10, 14], x)]);
    }
    for op in Binary::ALL {
        let (a, mut b) = (floats("a", &[3, 5, 7]), floats("b", &[3, 5, 7]));
        if op == Binary::Div {
            b = Tensor::f32([3, 5, 7], b.as_f32().iter().map(|v| v.abs() + 0.5).collect());
        }
        cases.add("same shape", Op::Binary(op), vec![a.clone(), b.clone()]);
        let row = Tensor::f32([7], b.as_f32()[..7].to_vec());
        cases.add("row", Op::Binary(op), vec![a, row]);
    }
    cases.add("outer", Op::Binary(Binary::Add), vec![floats("o", &[4, 1, 3]), floats("p", &[2, 1])]);
    cases.add("integers", Op::Binary(Binary::Add), vec![integers("i", &[5, 3], 50), integers("j", &[3], 50)]);
    let same = integers("i", &[4, 6], 3);
    cases.add("integers", Op::Binary(Binary::Equal), vec![same.clone(), integers("k", &[6], 3)]);
    cases.add("integers", Op::Binary(Binary::LesserOrEqual), vec![same.clone(), integers("k", &[6], 3)]);
    cases.add("to float", Op::Cast(DType::F32), vec![same]);
    let wide = Tensor::f32([3, 5], floats("c", &[3, 5]).as_f32().iter().map(|v| v * 100.0).collect());
    cases.add("to integer", Op::Cast(DType::I32), vec![wide]);
    let condition = integers("w", &[2, 1, 6], 2);
    cases.add("", Op::Where, vec![condition, floats("x", &[3, 6]), floats("y", &[1])]);
}

fn layout(cases: &mut Cases) {
    let x = floats("layout", &[2, 3, 4, 5]);
    cases.add("", Op::Reshape { shape: vec![6, 20] }, vec![x.clone()]);
    cases.add("", Op::Transpose { permutation: vec![2, 0, 3, 1] }, vec![x.clone()]);
    cases.add("last two", Op::Transpose { permutation: vec![1, 0] }, vec![floats("t", &[33, 65])]);
    cases.add("", Op::Slice { starts: vec![1, 0, 2, 1], sizes: vec![1, 3, 2, 3] }, vec![x.clone()]);
    cases.add("", Op::Expand { shape: vec![2, 4, 3] }, vec![floats("e", &[4, 1])]);
    for axis in 0..3 {
        let mut shape = [2, 3, 4];
        shape[axis] = 5;
        let parts = vec![floats("l", &[2, 3, 4]), floats("m", &shape), floats("n", &[2, 3, 4])];
        cases.add(&format!("axis {axis}"), Op::Concat { axis }, parts);
    }
    let packed = integers("packed rows", &[2, 5, 3], 1 << 31);
    cases.add("integers", Op::Gather { axis: 1 }, vec![packed, integers("r", &[4], 5)]);
    cases.add("rows", Op::Gather { axis: 0 }, vec![floats("g", &[11, 6]), integers("r", &[2, 7], 11)]);
    cases.add("columns", Op::Gather { axis: 1 }, vec![floats("g", &[3, 9, 2]), integers("s", &[4], 9)]);
}

fn products(cases: &mut Cases) {
    for [m, k, n] in [[1, 64, 33], [3, 70, 8], [33, 19, 65], [16, 128, 40], [5, 600, 9], [1, 600, 75]] {
        let a = floats("a", &[m, k]);
        let scale = 1.0 / (k as f32).sqrt();
        let b = Tensor::f32([n, k], floats("b", &[n, k]).as_f32().iter().map(|v| v * scale).collect());
        let what = format!("{m}x{k}x{n}");
        cases.add(&what, Op::Gemm(Gemm::default()), vec![a.clone(), b.clone()]);
        let gelu = Gemm { activation: Some(Unary::Gelu) };
        cases.add(&format!("{what} bias gelu"), Op::Gemm(gelu), vec![a, b, floats("c", &[n])]);
    }
    cases.add("", Op::Matmul, vec![floats("a", &[7, 5]), floats("b", &[5, 3])]);
    cases.add("batched", Op::Matmul, vec![floats("a", &[2, 3, 7, 5]), floats("b", &[2, 3, 5, 9])]);
    cases.add("broadcast", Op::Matmul, vec![floats("a", &[2, 1, 7, 5]), floats("b", &[3, 5, 9])]);
    let x = floats("x", &[2, 4, 9, 8]);
    let plain = Conv2d::default();
    cases.add(
        "patches",
        Op::Conv2d(Conv2d { strides: [3, 4], ..plain }),
        vec![x.clone(), floats("f", &[6, 4, 3, 4]), floats("b", &[6])],
    );
    let padded = Conv2d { strides: [2, 1], padding: [1, 2, 0, 1], dilations: [2, 1], groups: 1 };
    cases.add("padded dilated", Op::Conv2d(padded), vec![x.clone(), floats("g", &[5, 4, 3, 2])]);
    let grouped = Conv2d { groups: 2, padding: [1, 1, 1, 1], ..plain };
    cases.add("grouped", Op::Conv2d(grouped), vec![x.clone(), floats("h", &[6, 2, 3, 3]), floats("b", &[6])]);
    let depthwise = Conv2d { groups: 4, ..plain };
    cases.add("depthwise", Op::Conv2d(depthwise), vec![x, floats("d", &[4, 1, 2, 2])]);
}

fn rows(cases: &mut Cases) {
    for width in [1, 7, 64, 131] {
        let x = Tensor::f32(
            [5, width],
            floats("x", &[5, width]).as_f32().iter().map(|v| 3.0 * v + 2.0).collect(),
        );
        cases.add(&format!("width {width}"), Op::Softmax { axis: 1 }, vec![x.clone()]);
        for op in Reduce::ALL {
            cases.add(&format!("width {width}"), Op::Reduce(op), vec![x.clone()]);
        }
        let (s, b) = (floats("s", &[width]), floats("b", &[width]));
        if width > 1 {
            let op = Op::LayerNormalization { epsilon: 1e-5 };
            cases.add(&format!("width {width}"), op, vec![x.clone(), s.clone(), b]);
        }
        cases.add(&format!("width {width}"), Op::RmsNormalization { epsilon: 1e-6 }, vec![x, s]);
    }
    cases.add("axis 1 of 3", Op::Softmax { axis: 1 }, vec![floats("m", &[2, 9, 5])]);
    cases.add("far apart", Op::Softmax { axis: 0 }, vec![Tensor::f32([3], vec![-1e4, 80.0, 88.0])]);
}

fn attention(cases: &mut Cases) {
    let position = |at: i32| Tensor::i32([1], vec![at]);
    let qkv = |tokens: usize, keys: usize, heads: usize, kv: usize, d: usize| {
        vec![
            floats("q", &[2, tokens, heads * d]),
            floats("k", &[2, keys, kv * d]),
            floats("v", &[2, keys, kv * d]),
        ]
    };
    let op = |heads, kv_heads, masked, causal| {
        Op::Attention(Attention { scale: 0.3, masked, causal, ..Attention::new(heads, kv_heads, 1) })
    };
    cases.add("plain", op(3, 3, false, false), qkv(5, 7, 3, 3, 8));
    cases.add("long, wide", op(2, 2, false, false), qkv(3, 150, 2, 2, 80));
    let mask = Tensor::i32([2, 7], vec![1, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1]);
    cases.add("masked", op(4, 2, true, false), [qkv(5, 7, 4, 2, 8), vec![mask]].concat());
    cases.add("prefill", op(4, 1, false, true), [qkv(6, 9, 4, 1, 16), vec![position(0)]].concat());
    cases.add("decode", op(4, 2, false, true), [qkv(1, 70, 4, 2, 16), vec![position(66)]].concat());
    let all = Tensor::i32([2, 9], vec![1; 18]);
    cases.add("masked causal", op(2, 2, true, true), [qkv(4, 9, 2, 2, 4), vec![all, position(3)]].concat());
    let biased = Attention { biased: true, ..Attention::new(3, 3, 8) };
    let windows = [qkv(5, 7, 3, 3, 8), vec![floats("bias", &[2, 3, 5, 7])]].concat();
    cases.add("biased", Op::Attention(biased), windows);
    let shared =
        Attention { masked: true, causal: true, ..Attention { biased: true, ..Attention::new(4, 2, 8) } };
    let all = Tensor::i32([2, 9], (0..18).map(|i| i32::from(i % 5 != 1)).collect());
    let operands = [qkv(6, 9, 4, 2, 8), vec![all, floats("bias", &[1, 4, 6, 9]), position(2)]].concat();
    cases.add("masked, biased, causal", Op::Attention(shared), operands);
    let sliding = Attention { causal: true, window: Some(3), ..Attention::new(4, 1, 16) };
    cases.add("window", Op::Attention(sliding), [qkv(6, 9, 4, 1, 16), vec![position(2)]].concat());
    let sliding = Attention { window: Some(66), ..sliding };
    cases.add("long window", Op::Attention(sliding), [qkv(2, 150, 4, 1, 16), vec![position(140)]].concat());
    // More keys than a workgroup's part, more queries than a tile or a block.
    let long = qkv(1, 1100, 4, 2, 16);
    cases.add("long decode", op(4, 2, false, true), [long.clone(), vec![position(1030)]].concat());
    let seen = Tensor::i32([2, 1100], (0..2200).map(|i| i32::from(i % 3 != 0 && i != 700)).collect());
    cases.add("long, masked", op(4, 2, true, false), [long, vec![seen]].concat());
    cases.add("long prefill", op(4, 2, false, true), [qkv(59, 130, 4, 2, 20), vec![position(70)]].concat());
    let sliding = Attention { window: Some(40), ..sliding };
    cases.add(
        "long prefill, window",
        Op::Attention(sliding),
        [qkv(59, 130, 4, 1, 16), vec![position(70)]].concat(),
    );
    rings(cases, &position, &qkv);
    let table = |seed: &str| floats(seed, &[12, 4]);
    let rope = |x: Tensor, at: i32| vec![x, table("cos"), table("sin"), position(at)];
    cases.add("prefill", Op::Rope { heads: 3 }, rope(floats("x", &[2, 5, 24]), 0));
    cases.add("partial", Op::Rope { heads: 2 }, rope(floats("x", &[1, 2, 20]), 7));
    let cache = floats("cache", &[2, 9, 6]);
    cases.add(
        "prefill",
        Op::KvAppend { ring: false },
        vec![cache.clone(), floats("new", &[2, 4, 6]), position(0)],
    );
    let packed = integers("packed", &[2, 9, 6], 1 << 31);
    cases.add(
        "packed",
        Op::KvAppend { ring: false },
        vec![packed, integers("words", &[2, 2, 6], 1 << 31), position(3)],
    );
    cases.add("decode", Op::KvAppend { ring: false }, vec![cache, floats("new", &[2, 1, 6]), position(8)]);
}

/// Caches that go round: hardly begun, just full, several times round; keys that are not yet in the ring behind it.
fn rings(
    cases: &mut Cases,
    position: &impl Fn(i32) -> Tensor,
    qkv: &impl Fn(usize, usize, usize, usize, usize) -> Vec<Tensor>,
) {
    let cache = floats("cache", &[2, 9, 6]);
    let append = Op::KvAppend { ring: true };
    let new = |tokens: usize| floats("new", &[2, tokens, 6]);
    cases.add("ring, over the end", append.clone(), vec![cache.clone(), new(4), position(16)]);
    cases.add("ring, one row", append.clone(), vec![cache.clone(), new(1), position(27)]);
    cases.add("ring, more than it has", append.clone(), vec![cache, new(23), position(5)]);
    let packed = integers("packed", &[2, 9, 6], 1 << 31);
    cases.add("ring, packed", append, vec![packed, integers("words", &[2, 3, 6], 1 << 31), position(8)]);
    for [tokens, ring, keys, at] in [
        [1, 5, 5, 2],
        [1, 5, 5, 4],
        [1, 5, 5, 23],
        [2, 70, 72, 200],
        [6, 5, 11, 0],
        [6, 5, 11, 3],
        [6, 5, 11, 31],
        [9, 13, 13, 40],
        [59, 70, 129, 300],
        [1, 1100, 1100, 700],
        [1, 1100, 1100, 2500],
    ] {
        let window = Some(if keys == ring { ring + 1 - tokens } else { ring });
        let op = Attention { causal: true, window, ring: Some(ring), ..Attention::new(4, 2, 16) };
        let operands = [qkv(tokens, keys, 4, 2, 16), vec![position(at as i32)]].concat();
        cases.add(&format!("ring of {ring}, {tokens} at {at}"), Op::Attention(op), operands);
    }
}

fn images_and_signals(cases: &mut Cases) {
    let x = floats("pool", &[2, 3, 9, 8]);
    let pool = MaxPool2d { window: [3, 3], strides: [2, 2], padding: [1, 1, 1, 1] };
    cases.add("overlapping", Op::MaxPool2d(pool), vec![x.clone()]);
    cases.add("over the right edge", Op::MaxPool2d(pool), vec![floats("pool", &[2, 3, 8, 9])]);
    let pool = MaxPool2d { window: [2, 3], strides: [3, 1], padding: [0, 1, 2, 0] };
    cases.add("uneven", Op::MaxPool2d(pool), vec![x]);
    for (frame, hop, samples) in [(400, 160, 1000), (1024, 480, 1500), (30, 7, 64), (16, 16, 9)] {
        let op = Stft { frame, hop };
        let operands = vec![floats("signal", &[2, samples]), floats("window", &[frame]), op.roots()];
        cases.add(&format!("{frame} every {hop}"), Op::Stft(op), operands);
    }
}
