//! `attention`: scaled dot-product attention with grouped heads, masks and a KV cache.

use super::dequantize;
use super::{operands, require};
use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::quant::{Packing, Scheme};
use crate::tensor::{DType, Tensor};

/// `softmax(scale · q kᵀ + masks) v`, head by head.
///
/// Operands: `q [batch, tokens, heads * d]`, `k [batch, keys, kv_heads * d]`, `v [batch, keys, kv_heads * e]`,
/// then, as the flags say, `mask [batch, keys]` (integers, 0 hides a key), `bias [n, heads, tokens, keys]` (added
/// to the scaled scores; sequence `b` reads `b % n`, so that one set of windows serves every image) and
/// `position [1]` (where `tokens` start among `keys`; query `t` sees keys `0..=position + t`, of these only the
/// last `window`, if there is one).
/// Packed keys and values are words, and scales behind them where there are any: `q k v [k scales] [v scales]`, then as above.
/// Query head `h` reads key head `h / (heads / kv_heads)`. The result is `[batch, tokens, heads * e]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Multiplies the scores.
    pub scale: f32,
    /// There is a `mask`.
    pub masked: bool,
    /// There is a `bias`.
    pub biased: bool,
    /// There is a `position`, and attention is causal.
    pub causal: bool,
    /// How many keys back a query sees, itself included; needs `causal`.
    pub window: Option<usize>,
    /// How many of the keys, from the first, are a ring that was written round and round by `kvAppend`; needs a `window`,
    /// and neither mask nor bias. If there are others behind, they are those of `tokens`, not yet in the ring.
    pub ring: Option<usize>,
    /// Keys and values are packed rows, which `dequantize` would read; then there are not both mask and bias.
    pub packed: Option<PackedPair>,
}

/// How keys and values are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PackedPair {
    /// How rows are stored.
    pub scheme: Scheme,
    /// Numbers in a row of keys, and in one of values.
    pub columns: [usize; 2],
}

impl PackedPair {
    /// How keys (0) or values (1) are stored.
    pub fn packing(self, which: usize) -> Packing {
        Packing { scheme: self.scheme, columns: self.columns[which] }
    }

    /// Whether there are operands of scales.
    pub fn has_scales(self) -> bool {
        self.scheme != Scheme::Half
    }
}

/// The numbers that every implementation of attention needs.
#[derive(Clone, Copy, Debug)]
pub struct AttentionDims {
    /// Sequences.
    pub batch: usize,
    /// Queries a sequence.
    pub tokens: usize,
    /// Keys a sequence.
    pub keys: usize,
    /// Width of a query or key head.
    pub d: usize,
    /// Width of a value head.
    pub e: usize,
    /// Query heads that share a key head.
    pub group: usize,
}

impl Attention {
    /// Plain attention of heads `d` wide: scores divided by `sqrt(d)`, no mask, no bias.
    pub fn new(heads: usize, kv_heads: usize, d: usize) -> Self {
        let scale = (1.0 / (d as f64).sqrt()) as f32;
        Self {
            heads,
            kv_heads,
            scale,
            masked: false,
            biased: false,
            causal: false,
            window: None,
            ring: None,
            packed: None,
        }
    }

    /// The operands' dimensions, by the shapes of the first three.
    pub fn dims(&self, q: &[usize], k: &[usize], v: &[usize]) -> AttentionDims {
        AttentionDims {
            batch: q[0],
            tokens: q[1],
            keys: k[1],
            d: q[2] / self.heads,
            e: self.packed.map_or(v[2], |packed| packed.columns[1]) / self.kv_heads,
            group: self.heads / self.kv_heads,
        }
    }

    /// Where the scales of packed keys and values stand among the operands.
    pub fn scales_at(&self) -> Option<[usize; 2]> {
        self.packed.filter(|packed| packed.has_scales()).map(|_| [3, 4])
    }

    /// How many operands stand before `mask`.
    pub(crate) fn rows(&self) -> usize {
        3 + self.scales_at().map_or(0, |at| at.len())
    }

    /// Where `mask` stands among the operands.
    pub fn mask_at(&self) -> Option<usize> {
        self.masked.then_some(self.rows())
    }

    /// Where `bias` stands among the operands.
    pub fn bias_at(&self) -> Option<usize> {
        self.biased.then_some(self.rows() + usize::from(self.masked))
    }

    /// Where `position` stands among the operands.
    pub fn position_at(&self) -> Option<usize> {
        self.causal.then_some(self.rows() + usize::from(self.masked) + usize::from(self.biased))
    }

    /// The keys that the query at `place` may see, masks aside.
    pub fn reach(&self, place: usize, keys: usize) -> std::ops::Range<usize> {
        let end = (place + 1).min(keys);
        self.window.map_or(0, |window| (place + 1).saturating_sub(window)).min(end)..end
    }

    /// Where the token of row `key` stands, if `tokens` queries from `position` on attend to `keys` rows; none for a row
    /// that nothing was written to.
    pub fn place(&self, key: usize, position: usize, tokens: usize, keys: usize) -> Option<usize> {
        let Some(ring) = self.ring else { return Some(key) };
        let written = position + tokens - (keys - ring);
        if key >= ring {
            return Some(written + key - ring);
        }
        let last = written.checked_sub(1)?;
        last.checked_sub((last % ring + ring - key) % ring)
    }

    /// Whether a ring of so many rows still has what queries see.
    fn ring_fits(&self, ring: usize, tokens: usize, keys: usize) -> bool {
        let Some(window) = self.window.filter(|_| !self.masked && !self.biased) else { return false };
        let needed = if keys == ring { window + tokens - 1 } else { window.saturating_sub(1) };
        ring > 0 && (keys == ring || keys == ring + tokens) && ring >= needed
    }

    pub(super) fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType> {
        let fault = |reason: String| Error::shape("attention", reason);
        let flags = usize::from(self.masked) + usize::from(self.biased) + usize::from(self.causal);
        let count = self.rows() + flags;
        if self.window.is_some_and(|window| window == 0 || !self.causal) {
            return Err(fault("a window needs causal attention and at least one key".into()));
        }
        if inputs.len() != count {
            return Err(fault(format!("takes {count} operands, not {}", inputs.len())));
        }
        if self.packed.is_some() && self.masked && self.biased {
            return Err(fault("packed keys take a mask or a bias".into()));
        }
        let [q, ..] = operands::<3>("attention", &inputs[..3])?;
        let (k, v) = (self.numbers(0, inputs)?, self.numbers(1, inputs)?);
        for (what, ty) in [("q", q), ("k", &k), ("v", &v)] {
            require("attention", what, ty, DType::F32)?;
        }
        let (&[b, t, wq], &[b2, s, wk], &[b3, s2, wv]) = (&q.shape[..], &k.shape[..], &v.shape[..]) else {
            return Err(fault("q, k and v need rank 3".into()));
        };
        let heads_fit = self.kv_heads > 0
            && self.heads > 0
            && self.heads.is_multiple_of(self.kv_heads)
            && wq % self.heads == 0
            && wv % self.kv_heads == 0
            && wk == wq / self.heads * self.kv_heads;
        if !heads_fit || b != b2 || b != b3 || s != s2 {
            return Err(fault(format!(
                "{:?} {:?} {:?} do not fit {} heads over {}",
                q.shape, k.shape, v.shape, self.heads, self.kv_heads
            )));
        }
        if let Some(ring) = self.ring.filter(|&ring| !self.ring_fits(ring, t, s)) {
            return Err(fault(format!(
                "{s} keys, a ring of {ring} among them, do not hold what {t} queries see through {:?}",
                self.window
            )));
        }
        if let Some(mask) = self.mask_at().map(|at| inputs[at]) {
            require("attention", "the mask", mask, DType::I32)?;
            if mask.shape != [b, s] {
                return Err(fault(format!("the mask must be [{b}, {s}], not {:?}", mask.shape)));
            }
        }
        if let Some(bias) = self.bias_at().map(|at| inputs[at]) {
            require("attention", "the bias", bias, DType::F32)?;
            let fits = matches!(bias.shape[..], [n, h, t2, s2]
                if n > 0 && b % n == 0 && h == self.heads && t2 == t && s2 == s);
            if !fits {
                return Err(fault(format!(
                    "the bias must be [n, {}, {t}, {s}] with n dividing {b}, not {:?}",
                    self.heads, bias.shape
                )));
            }
        }
        if let Some(position) = self.position_at().map(|at| inputs[at]) {
            require("attention", "the position", position, DType::I32)?;
            if position.shape != [1] {
                return Err(fault(format!("the position must be [1], not {:?}", position.shape)));
            }
        }
        Ok(TensorType::f32([b, t, wv / self.kv_heads * self.heads]))
    }

    /// The type of the keys (0) or values (1) that operands stand for.
    fn numbers(&self, which: usize, inputs: &[&TensorType]) -> Result<TensorType> {
        let words = inputs[1 + which];
        let Some(packed) = self.packed else { return Ok(words.clone()) };
        let packing = packed.packing(which);
        let &[batch, keys, width] = &words.shape[..] else {
            return Err(Error::shape("attention", "packed rows need rank 3"));
        };
        require("attention", "packed rows", words, DType::I32)?;
        let scales = self.scales_at().map(|at| inputs[at[which]]);
        if let Some(scales) = scales {
            require("attention", "their scales", scales, DType::I32)?;
        }
        let fits = scales.is_none_or(|scales| scales.shape == [batch, keys, packing.scale_words()]);
        if width != packing.words() || !fits {
            let reason = format!("{:?} are no rows of {} × {}", words.shape, packing.columns, packed.scheme);
            return Err(Error::shape("attention", reason));
        }
        Ok(TensorType::f32([batch, keys, packing.columns]))
    }

    pub(super) fn eval(&self, inputs: &[&Tensor]) -> Tensor {
        if let Some(packed) = self.packed {
            return self.eval_packed(packed, inputs);
        }
        let (q, k, v) = (inputs[0], inputs[1], inputs[2]);
        let n = self.dims(q.shape(), k.shape(), v.shape());
        let mask = self.mask_at().map(|at| inputs[at].as_i32());
        let position = self.position_at().map(|at| inputs[at].as_i32()[0].max(0) as usize);
        let bias = self.bias_at().map(|at| inputs[at]);
        let added = |b: usize, h: usize, t: usize, s: usize| {
            bias.map_or(0.0, |bias| {
                let b = b % bias.shape()[0];
                f64::from(bias.as_f32()[((b * self.heads + h) * n.tokens + t) * n.keys + s])
            })
        };
        let at = |tensor: &Tensor, b: usize, row: usize, rows: usize, head: usize, i: usize, width: usize| {
            f64::from(tensor.as_f32()[(b * rows + row) * tensor.shape()[2] + head * width + i])
        };
        let mut out = Vec::with_capacity(n.batch * n.tokens * self.heads * n.e);
        for b in 0..n.batch {
            for t in 0..n.tokens {
                for h in 0..self.heads {
                    let g = h / n.group;
                    let seen = |s: usize| {
                        mask.is_none_or(|mask| mask[b * n.keys + s] != 0)
                            && position.is_none_or(|p| {
                                let place = self.place(s, p, n.tokens, n.keys);
                                place.is_some_and(|place| self.reach(p + t, usize::MAX).contains(&place))
                            })
                    };
                    let scores: Vec<f64> = (0..n.keys)
                        .map(|s| {
                            if !seen(s) {
                                return f64::NEG_INFINITY;
                            }
                            let dot: f64 = (0..n.d)
                                .map(|i| at(q, b, t, n.tokens, h, i, n.d) * at(k, b, s, n.keys, g, i, n.d))
                                .sum();
                            dot * f64::from(self.scale) + added(b, h, t, s)
                        })
                        .collect();
                    // A query that sees no key yields zeros, by our convention, instead of NaN.
                    if !(0..n.keys).any(seen) {
                        out.extend(std::iter::repeat_n(0.0, n.e));
                        continue;
                    }
                    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let weights: Vec<f64> = scores.iter().map(|s| libm::exp(s - max)).collect();
                    let sum: f64 = weights.iter().sum();
                    for i in 0..n.e {
                        let mixed: f64 = (0..n.keys)
                            .filter(|&s| seen(s))
                            .map(|s| weights[s] * at(v, b, s, n.keys, g, i, n.e))
                            .sum();
                        out.push((mixed / sum) as f32);
                    }
                }
            }
        }
        Tensor::f32([n.batch, n.tokens, self.heads * n.e], out)
    }

    /// What packed rows mean: the numbers that `dequantize` makes of them.
    fn eval_packed(&self, packed: PackedPair, inputs: &[&Tensor]) -> Tensor {
        let [k, v] = [0, 1].map(|which| {
            let words = inputs[1 + which];
            let (batch, keys) = (words.shape()[0], words.shape()[1]);
            let packing = packed.packing(which);
            let rows = |part: &Tensor, width: usize| part.clone().reshaped([batch * keys, width]);
            let scales = match self.scales_at() {
                Some(at) => rows(inputs[at[which]], packing.scale_words()),
                None => Tensor::i32([batch * keys, 0], Vec::new()),
            };
            let numbers = dequantize::eval(packing, &rows(words, packing.words()), &scales);
            numbers.reshaped([batch, keys, packing.columns])
        });
        let operands = [&[inputs[0], &k, &v][..], &inputs[self.rows()..]].concat();
        Self { packed: None, ..*self }.eval(&operands)
    }
}
