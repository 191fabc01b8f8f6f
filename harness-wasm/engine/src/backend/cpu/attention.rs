//! `attention`: a query row at a time, or, where there are several, as two products a head.

use crate::ops::Attention;
use crate::tensor::Tensor;

use super::gemm::{MR, accumulate, pack};
use super::normalization::softmax_row;
use super::simd::{axpy, dot};

pub(super) fn run(op: &Attention, inputs: &[&Tensor]) -> Tensor {
    if inputs[0].shape()[1] < MR { rows(op, inputs) } else { heads(op, inputs) }
}

/// Head by head: the scores of all queries are one product, what is mixed by them another.
fn heads(op: &Attention, inputs: &[&Tensor]) -> Tensor {
    let (q, k, v) = (inputs[0], inputs[1], inputs[2]);
    let n = op.dims(q.shape(), k.shape(), v.shape());
    let mask = op.mask_at().map(|at| inputs[at].as_i32());
    let position = op.position_at().map(|at| inputs[at].as_i32()[0].max(0) as usize);
    let bias = op.bias_at().map(|at| (inputs[at].shape()[0], inputs[at].as_f32()));
    let (wq, wk, wv, wo) = (q.shape()[2], k.shape()[2], v.shape()[2], op.heads * n.e);
    let (q, k, v) = (q.as_f32(), k.as_f32(), v.as_f32());
    let reach = |t: usize| position.map_or(0..n.keys, |p| op.reach(p + t, n.keys));
    // A cache is longer than what any query sees of it.
    let keys = reach(n.tokens - 1).end;
    let mut out = vec![0.0; n.batch * n.tokens * wo];
    let mut scores = vec![0.0; n.tokens * keys];
    let (mut query, mut k_panels, mut v_panels) = (Vec::new(), Vec::new(), Vec::new());
    for b in 0..n.batch {
        let seen = |s: usize| mask.is_none_or(|mask| mask[b * n.keys + s] != 0);
        for h in 0..op.heads {
            let g = h / n.group;
            if h % n.group == 0 {
                pack(&mut k_panels, keys, n.d, |key, i| k[(b * n.keys + key) * wk + g * n.d + i]);
                pack(&mut v_panels, n.e, keys, |i, key| v[(b * n.keys + key) * wv + g * n.e + i]);
            }
            query.clear();
            for t in 0..n.tokens {
                let row = &q[(b * n.tokens + t) * wq + h * n.d..][..n.d];
                query.extend(row.iter().map(|x| op.scale * x));
            }
            scores.fill(0.0);
            accumulate(&query, n.d, &k_panels, keys, &mut scores, keys);
            for (t, row) in scores.chunks_exact_mut(keys.max(1)).enumerate() {
                if let Some((sets, bias)) = bias {
                    let bias = &bias[((b % sets * op.heads + h) * n.tokens + t) * n.keys..][..keys];
                    row.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
                }
                let reach = reach(t);
                if !reach.clone().any(seen) {
                    row.fill(0.0);
                    continue;
                }
                if mask.is_some() || reach != (0..keys) {
                    for (s, score) in row.iter_mut().enumerate() {
                        if !reach.contains(&s) || !seen(s) {
                            *score = f32::NEG_INFINITY;
                        }
                    }
                }
                softmax_row(row);
            }
            accumulate(&scores, keys, &v_panels, n.e, &mut out[b * n.tokens * wo + h * n.e..], wo);
        }
    }
    Tensor::f32([n.batch, n.tokens, wo], out)
}

/// A query row at a time.
fn rows(op: &Attention, inputs: &[&Tensor]) -> Tensor {
    let (q, k, v) = (inputs[0], inputs[1], inputs[2]);
    let n = op.dims(q.shape(), k.shape(), v.shape());
    let mask = op.mask_at().map(|at| inputs[at].as_i32());
    let position = op.position_at().map(|at| inputs[at].as_i32()[0].max(0) as usize);
    let bias = op.bias_at().map(|at| (inputs[at].shape()[0], inputs[at].as_f32()));
    let (wq, wk, wv, wo) = (q.shape()[2], k.shape()[2], v.shape()[2], op.heads * n.e);
    let (q, k, v) = (q.as_f32(), k.as_f32(), v.as_f32());
    let mut out = vec![0.0; n.batch * n.tokens * wo];
    let mut scores = Vec::with_capacity(n.keys);
    for b in 0..n.batch {
        for t in 0..n.tokens {
            let reach = position.map_or(0..n.keys, |p| op.reach(p + t, n.keys));
            let seen = |s: usize| mask.is_none_or(|mask| mask[b * n.keys + s] != 0);
            if !reach.clone().any(seen) {
                continue;
            }
            for h in 0..op.heads {
                let g = h / n.group;
                let query = &q[(b * n.tokens + t) * wq + h * n.d..][..n.d];
                scores.clear();
                let added = bias.map(|(sets, bias)| {
                    &bias[((b % sets * op.heads + h) * n.tokens + t) * n.keys..][..n.keys]
                });
                scores.extend(reach.clone().map(|s| {
                    if seen(s) {
                        let score = op.scale * dot(query, &k[(b * n.keys + s) * wk + g * n.d..][..n.d]);
                        score + added.map_or(0.0, |added| added[s])
                    } else {
                        f32::NEG_INFINITY
                    }
                }));
                softmax_row(&mut scores);
                let mixed = &mut out[(b * n.tokens + t) * wo + h * n.e..][..n.e];
                for (s, &weight) in reach.clone().zip(&scores).filter(|(s, _)| seen(*s)) {
                    axpy(weight, &v[(b * n.keys + s) * wv + g * n.e..][..n.e], mixed);
                }
            }
        }
    }
    Tensor::f32([n.batch, n.tokens, wo], out)
}
