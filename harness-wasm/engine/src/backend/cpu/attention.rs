//! `attention`: a query row at a time, or, where there are several, as two products a head and block of queries.
//!
//! Packed keys and values become numbers where they are read: a block of keys at a time for few queries, a head at a time for
//! several.

use std::ops::Range;

use crate::ops::{Attention, AttentionDims};
use crate::quant::Rows;
use crate::tensor::Tensor;

use super::gemm::{MR, NR, RowBlocks, pack, pack_rows};
use super::normalization::softmax_row;
use super::parallel::Crew;
use super::simd::{axpy, dot};

/// Queries of a block: their scores over some thousand keys stay in the second-level cache.
const QUERIES: usize = 48;
/// Packed keys that are numbers at once.
const KEYS: usize = 32;

pub(super) fn run(crew: &Crew, op: &Attention, inputs: &[&Tensor]) -> Tensor {
    let p = Problem::new(op, inputs);
    let (n, width) = (p.n, op.heads * p.n.e);
    let mut out = vec![0.0; n.batch * n.tokens * width];
    // By sequence and head: the head's piece of every row of the result.
    let mut heads: Vec<Head<'_>> = (0..n.batch * op.heads)
        .map(|at| Head { b: at / op.heads, h: at % op.heads, out: Vec::new() })
        .collect();
    for (at, row) in out.chunks_exact_mut(width.max(1)).enumerate() {
        let of_sequence = &mut heads[at / n.tokens * op.heads..][..op.heads];
        for (head, piece) in of_sequence.iter_mut().zip(row.chunks_exact_mut(n.e)) {
            head.out.push(piece);
        }
    }
    let ranges = crew.split(heads.len(), n.tokens * n.keys * (n.d + n.e));
    let mut heads = heads.into_iter();
    let parts = ranges.iter().map(|range| heads.by_ref().take(range.len()).collect()).collect();
    crew.each(parts, |heads: Vec<Head<'_>>| match (n.tokens < MR, op.packed.is_some()) {
        (true, false) => p.by_rows(heads),
        (true, true) => p.by_packed_rows(heads),
        (false, _) => p.by_blocks(heads),
    });
    Tensor::f32([n.batch, n.tokens, width], out)
}

/// A query head of a sequence.
struct Head<'o> {
    b: usize,
    h: usize,
    /// Its result, by query.
    out: Vec<&'o mut [f32]>,
}

/// Keys or values.
enum Source<'t> {
    Plain(&'t [f32]),
    Packed(Rows<'t>),
}

impl<'t> Source<'t> {
    /// Numbers as they lie there; none of what is packed, which is read by [`Problem::unpack`].
    fn plain(&self) -> &'t [f32] {
        match self {
            Source::Plain(numbers) => numbers,
            Source::Packed(_) => &[],
        }
    }
}

/// The operands, and what lies where in them.
struct Problem<'t> {
    op: &'t Attention,
    n: AttentionDims,
    q: &'t [f32],
    k: Source<'t>,
    v: Source<'t>,
    mask: Option<&'t [i32]>,
    /// How many sequences take biases of their own, and the biases.
    bias: Option<(usize, &'t [f32])>,
    position: Option<usize>,
    /// Where a ring's first key in anybody's reach stands: keys are counted from there, in the order of their places.
    base: usize,
}

impl<'t> Problem<'t> {
    fn new(op: &'t Attention, inputs: &[&'t Tensor]) -> Self {
        let [q, k, v] = [inputs[0], inputs[1], inputs[2]];
        let source = |which: usize| {
            let rows = inputs[1 + which];
            let Some(packed) = op.packed else { return Source::Plain(rows.as_f32()) };
            let count = rows.shape()[0] * rows.shape()[1];
            let scales = op.scales_at().map_or(&[][..], |at| inputs[at[which]].as_i32());
            Source::Packed(Rows::of(packed.packing(which), count, rows.as_i32(), scales))
        };
        let position = op.position_at().map(|at| inputs[at].as_i32()[0].max(0) as usize);
        let base = match (op.ring, op.window, position) {
            (Some(_), Some(window), Some(position)) => (position + 1).saturating_sub(window),
            _ => 0,
        };
        Self {
            op,
            n: op.dims(q.shape(), k.shape(), v.shape()),
            q: q.as_f32(),
            k: source(0),
            v: source(1),
            mask: op.mask_at().map(|at| inputs[at].as_i32()),
            bias: op.bias_at().map(|at| (inputs[at].shape()[0], inputs[at].as_f32())),
            position,
            base,
        }
    }

    /// The keys that query `t` may see, masks aside.
    fn reach(&self, t: usize) -> Range<usize> {
        let Some(position) = self.position else { return 0..self.n.keys };
        if self.op.ring.is_none() {
            return self.op.reach(position + t, self.n.keys);
        }
        let reach = self.op.reach(position + t, usize::MAX);
        reach.start - self.base..reach.end - self.base
    }

    /// The row of a key.
    fn row(&self, key: usize) -> usize {
        let (Some(ring), Some(position)) = (self.op.ring, self.position) else { return key };
        let written = position + self.n.tokens - (self.n.keys - ring);
        let place = self.base + key;
        if place < written { place % ring } else { ring + place - written }
    }

    fn seen(&self, b: usize, s: usize) -> bool {
        self.mask.is_none_or(|mask| mask[b * self.n.keys + s] != 0)
    }

    fn query(&self, b: usize, t: usize, h: usize) -> &'t [f32] {
        &self.q[((b * self.n.tokens + t) * self.op.heads + h) * self.n.d..][..self.n.d]
    }

    fn key(&self, b: usize, s: usize, g: usize) -> &'t [f32] {
        &self.k.plain()[((b * self.n.keys + self.row(s)) * self.op.kv_heads + g) * self.n.d..][..self.n.d]
    }

    fn value(&self, b: usize, s: usize, g: usize) -> &'t [f32] {
        &self.v.plain()[((b * self.n.keys + self.row(s)) * self.op.kv_heads + g) * self.n.e..][..self.n.e]
    }

    /// A head's pieces of packed rows as numbers, `width` each, of the keys that are asked for.
    fn unpack(&self, rows: &Rows<'_>, b: usize, keys: Range<usize>, g: usize, out: &mut [f32]) {
        let width = rows.packing.columns / self.op.kv_heads;
        for (key, out) in keys.zip(out.chunks_exact_mut(width.max(1))) {
            rows.dequantise_part(b * self.n.keys + self.row(key), g * width, out);
        }
    }

    /// What is added to a query's scores, by key.
    fn added(&self, b: usize, h: usize, t: usize) -> Option<&'t [f32]> {
        let (sets, bias) = self.bias?;
        Some(&bias[((b % sets * self.op.heads + h) * self.n.tokens + t) * self.n.keys..][..self.n.keys])
    }

    /// A block of queries at a time: their scores are one product, what is mixed by them another.
    fn by_blocks(&self, heads: Vec<Head<'_>>) {
        let (n, op) = (self.n, self.op);
        // A cache is longer than what any query sees of it.
        let keys = self.reach(n.tokens - 1).end;
        let (mut queries, mut k_panels, mut v_panels) = (Vec::new(), Vec::new(), Vec::new());
        let mut numbers = vec![0.0; if op.packed.is_some() { keys * n.d.max(n.e) } else { 0 }];
        let mut scores = vec![0.0; QUERIES.min(n.tokens) * keys];
        let (mut packed, mut left) = (None, RowBlocks::default());
        for Head { b, h, mut out } in heads {
            let g = h / n.group;
            if packed != Some((b, g)) {
                packed = Some((b, g));
                match &self.k {
                    Source::Plain(_) => pack(&mut k_panels, keys, n.d, |key, i| self.key(b, key, g)[i]),
                    Source::Packed(rows) => {
                        self.unpack(rows, b, 0..keys, g, &mut numbers[..keys * n.d]);
                        pack_rows(&mut k_panels, &numbers[..keys * n.d], n.d);
                    }
                }
                match &self.v {
                    Source::Plain(_) => pack(&mut v_panels, n.e, keys, |i, key| self.value(b, key, g)[i]),
                    Source::Packed(rows) => {
                        self.unpack(rows, b, 0..keys, g, &mut numbers[..keys * n.e]);
                        pack(&mut v_panels, n.e, keys, |i, key| numbers[key * n.e + i]);
                    }
                }
            }
            for (block, out) in out.chunks_mut(QUERIES).enumerate() {
                let first = block * QUERIES;
                // No query of the block sees what lies before or behind: whole panels, from the first that one sees.
                let start = self.reach(first).start / NR * NR;
                let span = self.reach(first + out.len() - 1).end - start;
                queries.clear();
                for t in first..first + out.len() {
                    queries.extend(self.query(b, t, h).iter().map(|x| op.scale * x));
                }
                let scores = &mut scores[..out.len() * span];
                scores.fill(0.0);
                let mut rows: Vec<&mut [f32]> = scores.chunks_exact_mut(span.max(1)).collect();
                left.set(&queries, n.d);
                left.accumulate(&k_panels[start * n.d..], 0..n.d, &mut rows);
                for (t, row) in (first..).zip(rows) {
                    self.weigh(b, h, t, start, row);
                }
                left.set(scores, span);
                left.accumulate(&v_panels, start..keys, out);
            }
        }
    }

    /// Turns scores of the keys from `start` on into weights.
    fn weigh(&self, b: usize, h: usize, t: usize, start: usize, row: &mut [f32]) {
        let reach = self.reach(t);
        if !reach.clone().any(|s| self.seen(b, s)) {
            row.fill(0.0);
            return;
        }
        let within = reach.start - start..reach.end - start;
        row[..within.start].fill(0.0);
        row[within.end..].fill(0.0);
        let row = &mut row[within];
        if let Some(added) = self.added(b, h, t) {
            row.iter_mut().zip(&added[reach.clone()]).for_each(|(score, added)| *score += added);
        }
        if self.mask.is_some() {
            for (s, score) in reach.zip(row.iter_mut()) {
                if !self.seen(b, s) {
                    *score = f32::NEG_INFINITY;
                }
            }
        }
        softmax_row(row);
    }

    /// A query row at a time.
    fn by_rows(&self, heads: Vec<Head<'_>>) {
        let mut scores = Vec::with_capacity(self.n.keys);
        for Head { b, h, out } in heads {
            let g = h / self.n.group;
            for (t, mixed) in out.into_iter().enumerate() {
                let reach = self.reach(t);
                if !reach.clone().any(|s| self.seen(b, s)) {
                    continue;
                }
                let (query, added) = (self.query(b, t, h), self.added(b, h, t));
                scores.clear();
                scores.extend(reach.clone().map(|s| {
                    if self.seen(b, s) {
                        let score = self.op.scale * dot(query, self.key(b, s, g));
                        score + added.map_or(0.0, |added| added[s])
                    } else {
                        f32::NEG_INFINITY
                    }
                }));
                softmax_row(&mut scores);
                for (s, &weight) in reach.zip(&scores).filter(|(s, _)| self.seen(b, *s)) {
                    axpy(weight, self.value(b, s, g), mixed);
                }
            }
        }
    }

    /// A query row at a time, of packed keys a block at a time, which all query heads that share it read: the sums are those
    /// of [`Self::by_rows`], in the same order.
    fn by_packed_rows(&self, mut heads: Vec<Head<'_>>) {
        let (Source::Packed(k), Source::Packed(v)) = (&self.k, &self.v) else {
            unreachable!("rows are packed: by the op")
        };
        let (n, group) = (self.n, self.n.group);
        let all = self.reach(0).start..self.reach(n.tokens - 1).end;
        let blocks = || all.clone().step_by(KEYS).map(|first| first..all.end.min(first + KEYS));
        let within = |t: usize, block: &Range<usize>| {
            let reach = self.reach(t);
            reach.start.max(block.start)..reach.end.min(block.end)
        };
        let mut numbers = vec![0.0; KEYS * n.d.max(n.e)];
        for heads in heads.chunk_by_mut(|one, other| (one.b, one.h / group) == (other.b, other.h / group)) {
            let (b, g) = (heads[0].b, heads[0].h / group);
            let mut rows: Vec<(usize, usize, &mut [f32], Vec<f32>)> = Vec::new();
            for head in heads {
                let h = head.h;
                rows.extend(head.out.iter_mut().enumerate().map(|(t, out)| (h, t, &mut **out, Vec::new())));
            }
            for block in blocks() {
                self.unpack(k, b, block.clone(), g, &mut numbers);
                for (h, t, _, scores) in &mut rows {
                    let (query, added) = (self.query(b, *t, *h), self.added(b, *h, *t));
                    scores.extend(within(*t, &block).map(|s| {
                        if self.seen(b, s) {
                            let score =
                                self.op.scale * dot(query, &numbers[(s - block.start) * n.d..][..n.d]);
                            score + added.map_or(0.0, |added| added[s])
                        } else {
                            f32::NEG_INFINITY
                        }
                    }));
                }
            }
            // A query that sees no key keeps its zeros.
            rows.retain(|(_, t, ..)| self.reach(*t).any(|s| self.seen(b, s)));
            for (.., scores) in &mut rows {
                softmax_row(scores);
            }
            for block in blocks() {
                self.unpack(v, b, block.clone(), g, &mut numbers);
                for (_, t, mixed, weights) in &mut rows {
                    let first = self.reach(*t).start;
                    for s in within(*t, &block).filter(|s| self.seen(b, *s)) {
                        axpy(weights[s - first], &numbers[(s - block.start) * n.e..][..n.e], mixed);
                    }
                }
            }
        }
    }
}
