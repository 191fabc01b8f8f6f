//! What the extensions mean: every graph in WebNN's own ops.
//!
//! `dequantize` and `qgather` stay: they are how packed weights are read at all, and WebNN's lowering says them as
//! `dequantizeLinear`.
//!
//! Used where a backend has WebNN's ops only, and as the definition that the fused kernels are tested
//! against: a graph and its decomposition must agree.

use crate::error::{Error, Result};
use crate::ir::{Graph, Node, ValueId};
use crate::ops::{Attention, Binary, Gemm, Op, PackedPair, Qgemm, Reduce, Stft, Unary};
use crate::plan::rewrite::Rewrite;
use crate::plan::tidy::tidy;
use crate::tensor::{DType, Tensor};

/// Stands for minus infinity where infinities are not to be trusted: the lowest float32.
const LOWEST: f32 = f32::MIN;

/// The same graph without extensions.
///
/// # Errors
/// If a shape rule refuses what was built: a fault of this pass.
pub fn decompose(graph: &Graph) -> Result<Graph> {
    let mut rewrite = Rewrite::new(graph, |_, _| true);
    for node in graph.nodes() {
        rewrite.enter(node);
        let result = rewrite.decomposed(node, &rewrite.operands(node))?;
        rewrite.put(node.output, result);
    }
    tidy(&rewrite.finish())
}

impl Rewrite<'_> {
    fn shape(&self, id: ValueId) -> Vec<usize> {
        self.to.ty(id).shape.clone()
    }

    fn unary(&mut self, op: Unary, x: ValueId) -> Result<ValueId> {
        self.op(Op::Unary(op), &[x])
    }

    fn binary(&mut self, op: Binary, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.op(Op::Binary(op), &[a, b])
    }

    fn transpose(&mut self, x: ValueId, permutation: &[usize]) -> Result<ValueId> {
        self.op(Op::Transpose { permutation: permutation.to_vec() }, &[x])
    }

    fn number(&mut self, value: f32) -> ValueId {
        self.constant(Tensor::f32([1], vec![value]))
    }

    /// `0, 1, …` repeated until `shape` is full, as floats: WebNN's integers are less widely supported,
    /// and positions are exact in float32.
    fn count(&mut self, shape: [usize; 2], period: usize) -> ValueId {
        let n = shape[0] * shape[1];
        self.constant(Tensor::f32(shape, (0..n).map(|i| (i % period) as f32).collect()))
    }

    fn decomposed(&mut self, node: &Node, inputs: &[ValueId]) -> Result<ValueId> {
        match &node.op {
            Op::Gemm(Gemm { activation: Some(activation) }) => {
                let sum = self.op(Op::Gemm(Gemm { activation: None }), inputs)?;
                self.activation(*activation, sum)
            }
            Op::Qgemm(Qgemm { packing, activation }) => {
                let weight = self.op(Op::Dequantize(*packing), &inputs[1..3])?;
                let plain: Vec<ValueId> =
                    [inputs[0], weight].into_iter().chain(inputs.get(3).copied()).collect();
                let sum = self.op(Op::Gemm(Gemm { activation: None }), &plain)?;
                activation.map_or(Ok(sum), |activation| self.activation(activation, sum))
            }
            Op::Unary(op) => self.activation(*op, inputs[0]),
            Op::Binary(Binary::SwiGlu) => {
                let gate = self.activation(Unary::Silu, inputs[0])?;
                self.binary(Binary::Mul, gate, inputs[1])
            }
            Op::RmsNormalization { epsilon } => self.rms_normalization(*epsilon, inputs[0], inputs[1]),
            Op::Rope { heads } => self.rope(*heads, inputs),
            Op::KvAppend { ring: false } => self.kv_append(inputs),
            Op::KvAppend { ring: true } | Op::Attention(Attention { ring: Some(_), .. }) => {
                let reason = "rings of keys and values are not said in WebNN's ops".to_owned();
                Err(Error::Unsupported { backend: "webnn", reason })
            }
            Op::Attention(op) => match op.packed {
                Some(packed) => self.packed_attention(op, packed, inputs),
                None => self.attention(op, inputs),
            },
            Op::Stft(op) => self.stft(*op, inputs[0], inputs[1]),
            op => {
                debug_assert_eq!(
                    self.from.ty(node.output),
                    &op.infer(&inputs.iter().map(|id| self.to.ty(*id)).collect::<Vec<_>>())?
                );
                self.op(op.clone(), inputs)
            }
        }
    }

    fn activation(&mut self, op: Unary, x: ValueId) -> Result<ValueId> {
        match op {
            Unary::Silu => {
                let gate = self.unary(Unary::Sigmoid, x)?;
                self.binary(Binary::Mul, x, gate)
            }
            Unary::QuickGelu => {
                let slope = self.number(1.702);
                let steep = self.binary(Binary::Mul, x, slope)?;
                let gate = self.unary(Unary::Sigmoid, steep)?;
                self.binary(Binary::Mul, x, gate)
            }
            Unary::GeluTanh => {
                let [cubic, outer, one, half] =
                    [0.044_715, 0.797_884_6, 1.0, 0.5].map(|value| self.number(value));
                let square = self.binary(Binary::Mul, x, x)?;
                let scaled = self.binary(Binary::Mul, square, cubic)?;
                let factor = self.binary(Binary::Add, scaled, one)?;
                let inner = self.binary(Binary::Mul, x, factor)?;
                let inner = self.binary(Binary::Mul, inner, outer)?;
                let curve = self.unary(Unary::Tanh, inner)?;
                let curve = self.binary(Binary::Add, curve, one)?;
                let halved = self.binary(Binary::Mul, x, half)?;
                self.binary(Binary::Mul, halved, curve)
            }
            plain => self.unary(plain, x),
        }
    }

    fn rms_normalization(&mut self, epsilon: f32, x: ValueId, scale: ValueId) -> Result<ValueId> {
        let epsilon = self.number(epsilon);
        let square = self.binary(Binary::Mul, x, x)?;
        let mean = self.op(Op::Reduce(Reduce::Mean), &[square])?;
        let mean = self.binary(Binary::Add, mean, epsilon)?;
        let root = self.unary(Unary::Sqrt, mean)?;
        let normal = self.binary(Binary::Div, x, root)?;
        self.binary(Binary::Mul, normal, scale)
    }

    fn rope(&mut self, heads: usize, inputs: &[ValueId]) -> Result<ValueId> {
        let &[x, cos, sin, position] = inputs else { unreachable!("four operands: inferred") };
        let &[batch, tokens, width] = &self.shape(x)[..] else { unreachable!("rank 3: inferred") };
        let (half, head) = (self.shape(cos)[1], width / heads);
        let places = self.constant(Tensor::i32([tokens], (0..tokens as i32).collect()));
        let places = self.binary(Binary::Add, places, position)?;
        let mut table = |table: ValueId| -> Result<ValueId> {
            let rows = self.op(Op::Gather { axis: 0 }, &[table, places])?;
            self.reshape(rows, &[tokens, 1, half])
        };
        let (cos, sin) = (table(cos)?, table(sin)?);
        let x = self.reshape(x, &[batch, tokens, heads, head])?;
        let mut part = |start: usize, size: usize| {
            self.op(Op::Slice { starts: vec![0, 0, 0, start], sizes: vec![batch, tokens, heads, size] }, &[x])
        };
        let (a, b) = (part(0, half)?, part(half, half)?);
        let rest = if head > 2 * half { Some(part(2 * half, head - 2 * half)?) } else { None };
        let (ac, bs) = (self.binary(Binary::Mul, a, cos)?, self.binary(Binary::Mul, b, sin)?);
        let (bc, as_) = (self.binary(Binary::Mul, b, cos)?, self.binary(Binary::Mul, a, sin)?);
        let mut parts = vec![self.binary(Binary::Sub, ac, bs)?, self.binary(Binary::Add, bc, as_)?];
        parts.extend(rest);
        let rotated = self.op(Op::Concat { axis: 3 }, &parts)?;
        self.reshape(rotated, &[batch, tokens, width])
    }

    /// Row `c` of the cache becomes new row `c - position` where there is one. Numbers are moved by a product with a 0/1
    /// matrix, which is exact, rather than by a scatter, which fewer contexts have; packed rows, which are none, are picked.
    fn kv_append(&mut self, inputs: &[ValueId]) -> Result<ValueId> {
        let &[cache, new, position] = inputs else { unreachable!("three operands: inferred") };
        let (context, tokens) = (self.shape(cache)[1], self.shape(new)[1]);
        let position = self.op(Op::Cast(DType::F32), &[position])?;
        let rows = self.count([context, 1], context);
        let moved = if self.to.ty(cache).dtype == DType::F32 {
            let columns = self.count([1, tokens], tokens);
            let places = self.binary(Binary::Add, columns, position)?;
            let hits = self.binary(Binary::Equal, rows, places)?;
            let hits = self.op(Op::Cast(DType::F32), &[hits])?;
            self.op(Op::Matmul, &[hits, new])?
        } else {
            let line = self.count([1, context], context);
            let from = self.reshape(line, &[context])?;
            let from = self.binary(Binary::Sub, from, position)?;
            let (first, last) = (self.number(0.0), self.number((tokens - 1) as f32));
            let from = self.binary(Binary::Max, from, first)?;
            let from = self.binary(Binary::Min, from, last)?;
            let from = self.op(Op::Cast(DType::I32), &[from])?;
            self.op(Op::Gather { axis: 1 }, &[new, from])?
        };
        let end = self.number((tokens - 1) as f32);
        let last = self.binary(Binary::Add, position, end)?;
        let begun = self.binary(Binary::LesserOrEqual, position, rows)?;
        let open = self.binary(Binary::LesserOrEqual, rows, last)?;
        let inner = self.op(Op::Where, &[open, moved, cache])?;
        self.op(Op::Where, &[begun, inner, cache])
    }

    /// Keys and values as numbers, then attention.
    fn packed_attention(
        &mut self,
        op: &Attention,
        packed: PackedPair,
        inputs: &[ValueId],
    ) -> Result<ValueId> {
        let mut operands = vec![inputs[0]];
        for which in [0, 1] {
            let scales = op.scales_at().map(|at| inputs[at[which]]);
            operands.push(self.unpacked(inputs[1 + which], scales, packed.packing(which))?);
        }
        operands.extend(&inputs[op.rows()..]);
        self.attention(&Attention { packed: None, ..*op }, &operands)
    }

    /// Query heads that share a key head are stacked along the token axis, so that no key is copied.
    /// A query that sees no key averages all values here, where the fused op gives zeros.
    fn attention(&mut self, op: &Attention, inputs: &[ValueId]) -> Result<ValueId> {
        let (q, k, v) = (inputs[0], inputs[1], inputs[2]);
        let n = op.dims(&self.shape(q), &self.shape(k), &self.shape(v));
        let rows = n.group * n.tokens;
        let q = if n.group == 1 {
            let q = self.reshape(q, &[n.batch, n.tokens, op.heads, n.d])?;
            self.transpose(q, &[0, 2, 1, 3])?
        } else {
            let q = self.reshape(q, &[n.batch, n.tokens, op.kv_heads, n.group, n.d])?;
            let q = self.transpose(q, &[0, 2, 3, 1, 4])?;
            self.reshape(q, &[n.batch, op.kv_heads, rows, n.d])?
        };
        let scale = self.number(op.scale);
        let q = self.binary(Binary::Mul, q, scale)?;
        let k = self.reshape(k, &[n.batch, n.keys, op.kv_heads, n.d])?;
        let k = self.transpose(k, &[0, 2, 3, 1])?;
        let mut scores = self.op(Op::Matmul, &[q, k])?;
        if let Some(at) = op.bias_at() {
            scores = self.add_bias(op, scores, inputs[at], n.batch, rows)?;
        }
        if let Some(hidden) = self.hidden(op, inputs, [n.batch, rows, n.tokens, n.keys])? {
            scores = self.binary(Binary::Add, scores, hidden)?;
        }
        let weights = self.op(Op::Softmax { axis: 3 }, &[scores])?;
        let v = self.reshape(v, &[n.batch, n.keys, op.kv_heads, n.e])?;
        let v = self.transpose(v, &[0, 2, 1, 3])?;
        let mixed = self.op(Op::Matmul, &[weights, v])?;
        let mixed = if n.group == 1 {
            self.transpose(mixed, &[0, 2, 1, 3])?
        } else {
            let mixed = self.reshape(mixed, &[n.batch, op.kv_heads, n.group, n.tokens, n.e])?;
            self.transpose(mixed, &[0, 3, 1, 2, 4])?
        };
        self.reshape(mixed, &[n.batch, n.tokens, op.heads * n.e])
    }

    /// What is added to scores: nothing where a key is seen, the lowest number where it is hidden; none if all are seen. Chosen on
    /// one row for all heads, and the same for every layer, it costs them one addition each.
    fn hidden(
        &mut self,
        op: &Attention,
        inputs: &[ValueId],
        [batch, rows, tokens, keys]: [usize; 4],
    ) -> Result<Option<ValueId>> {
        let (seen, lowest) = (self.number(0.0), self.number(LOWEST));
        let mut hidden = None;
        if let Some(at) = op.mask_at() {
            let mask = self.reshape(inputs[at], &[batch, 1, 1, keys])?;
            let zero = self.constant(Tensor::i32([1], vec![0]));
            let masked = self.binary(Binary::Equal, mask, zero)?;
            hidden = Some(self.op(Op::Where, &[masked, lowest, seen])?);
        }
        if let Some(at) = op.position_at() {
            let position = self.op(Op::Cast(DType::F32), &[inputs[at]])?;
            let queries = self.count([rows, 1], tokens);
            let last = self.binary(Binary::Add, queries, position)?;
            let places = self.count([1, keys], keys);
            let before = self.binary(Binary::LesserOrEqual, places, last)?;
            hidden = Some(self.op(Op::Where, &[before, hidden.unwrap_or(seen), lowest])?);
            if let Some(window) = op.window {
                let width = self.number(window as f32);
                let gone = self.binary(Binary::Sub, last, width)?;
                let gone = self.binary(Binary::LesserOrEqual, places, gone)?;
                hidden = Some(self.op(Op::Where, &[gone, lowest, hidden.unwrap_or(seen)])?);
            }
        }
        Ok(hidden)
    }

    /// `scores [batch, kv_heads, group * tokens, keys]` plus `bias [n, heads, tokens, keys]`, where sequence `b`
    /// takes bias `b % n`.
    fn add_bias(
        &mut self,
        op: &Attention,
        scores: ValueId,
        bias: ValueId,
        batch: usize,
        rows: usize,
    ) -> Result<ValueId> {
        let n = self.shape(bias)[0];
        let shape = self.shape(scores);
        let keys = shape[3];
        let bias = self.reshape(bias, &[1, n, op.kv_heads, rows * keys])?;
        let apart = self.reshape(scores, &[batch / n, n, op.kv_heads, rows * keys])?;
        let sum = self.binary(Binary::Add, apart, bias)?;
        self.reshape(sum, &shape)
    }

    /// Frames are gathered, windowed and multiplied by the cosines and sines of the transform's definition.
    fn stft(&mut self, op: Stft, x: ValueId, window: ValueId) -> Result<ValueId> {
        let samples = self.shape(x)[1];
        let frames = op.frames(samples);
        let places = (0..frames * op.frame)
            .map(|i| op.mirrored(i / op.frame * op.hop + i % op.frame, samples) as i32)
            .collect();
        let places = self.constant(Tensor::i32([frames, op.frame], places));
        let cut = self.op(Op::Gather { axis: 1 }, &[x, places])?;
        let cut = self.binary(Binary::Mul, cut, window)?;
        let basis = |f: fn(f64) -> f64| {
            let angle = |i: usize| 2.0 * std::f64::consts::PI * (i % op.frame) as f64 / op.frame as f64;
            let of = |at: usize| f(angle(at / op.bins() * (at % op.bins()))) as f32;
            Tensor::f32([op.frame, op.bins()], (0..op.frame * op.bins()).map(of).collect())
        };
        let mut power = |f: fn(f64) -> f64| -> Result<ValueId> {
            let basis = self.constant(basis(f));
            let part = self.op(Op::Matmul, &[cut, basis])?;
            self.binary(Binary::Mul, part, part)
        };
        let (re, im) = (power(libm::cos)?, power(libm::sin)?);
        self.binary(Binary::Add, re, im)
    }
}
