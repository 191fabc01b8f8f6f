//! `gemm` against a packed weight: 4 rows, or 6, by 8 columns of the result in registers.

use crate::ops::Unary;
use crate::tensor::Tensor;

use super::elementwise::unary_in_place;
use super::parallel::{self, Crew};
use super::simd::F32x4;

/// Columns in a panel: two vectors.
pub(super) const NR: usize = 8;
/// Rows of the result computed at once.
pub(super) const MR: usize = 4;
/// As many where products are fused with sums: no register goes to a product then, and more sums hide the longer wait.
const TALL: usize = if cfg!(target_feature = "relaxed-simd") { 6 } else { MR };
/// Depth of a block: its part of a panel (16 KiB) stays in the first-level cache.
const KC: usize = 512;

/// A weight `[N, K]`, as panels of [`NR`] columns: `panel[k][column]`, the last one padded with zeros.
#[derive(Debug)]
pub(super) struct Packed {
    n: usize,
    k: usize,
    panels: Vec<f32>,
}

impl Packed {
    pub(super) fn new(weight: &Tensor) -> Self {
        let &[n, k] = weight.shape() else { unreachable!("rank 2: inferred") };
        let mut panels = Vec::new();
        pack_rows(&mut panels, weight.as_f32(), k);
        Self { n, k, panels }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.panels[..])
    }
}

/// Panels of `n` columns and `k` steps of depth from wherever the numbers lie: `at(column, step)`.
#[inline(always)]
pub(super) fn pack(panels: &mut Vec<f32>, n: usize, k: usize, at: impl Fn(usize, usize) -> f32) {
    panels.clear();
    panels.resize(n.next_multiple_of(NR) * k, 0.0);
    for (first, panel) in (0..n).step_by(NR).zip(panels.chunks_exact_mut((NR * k).max(1))) {
        for (step, lanes) in panel.as_chunks_mut::<NR>().0.iter_mut().enumerate() {
            for (lane, to) in lanes[..NR.min(n - first)].iter_mut().enumerate() {
                *to = at(first + lane, step);
            }
        }
    }
}

/// Panels of columns that lie one after the other, each `k` long.
pub(super) fn pack_rows(panels: &mut Vec<f32>, columns: &[f32], k: usize) {
    /// Steps of depth that are turned around in registers.
    const STEPS: usize = 4;
    let n = columns.len().checked_div(k).unwrap_or(0);
    panels.clear();
    panels.resize(n.next_multiple_of(NR) * k, 0.0);
    let columns = columns.chunks(NR * k.max(1));
    for (columns, panel) in columns.zip(panels.chunks_exact_mut((NR * k).max(1))) {
        let panel = panel.as_chunks_mut::<NR>().0;
        let mut turned = 0;
        if columns.len() == NR * k {
            let (blocks, _) = panel.as_chunks_mut::<STEPS>();
            turned = blocks.len() * STEPS;
            let columns: [&[[f32; STEPS]]; NR] =
                std::array::from_fn(|c| &columns[c * k..][..k].as_chunks().0[..blocks.len()]);
            for (at, block) in blocks.iter_mut().enumerate() {
                let from = columns.map(|column| column[at]);
                *block = std::array::from_fn(|step| from.map(|column| column[step]));
            }
        }
        for (step, lanes) in panel.iter_mut().enumerate().skip(turned) {
            for (to, column) in lanes.iter_mut().zip(columns.chunks_exact(k)) {
                *to = column[step];
            }
        }
    }
}

/// `activation(a · wᵀ + bias)`.
pub(super) fn run(
    crew: &Crew,
    a: &Tensor,
    w: &Packed,
    bias: Option<&[f32]>,
    activation: Option<Unary>,
) -> Tensor {
    let (m, k, n) = (a.shape()[0], w.k, w.n);
    let mut out = vec![0.0; m * n];
    // By columns: how rows are taken together decides the order of sums, and stays as it is.
    let panels = crew.split(n.div_ceil(NR), NR * m * k);
    let columns: Vec<_> = panels.iter().map(|at| at.start * NR..(at.end * NR).min(n)).collect();
    let rows = parallel::columns(&mut out, n, &columns);
    crew.each(columns.into_iter().zip(rows).collect(), |(columns, mut rows)| {
        if let Some(bias) = bias {
            rows.iter_mut().for_each(|row| row.copy_from_slice(&bias[columns.clone()]));
        }
        accumulate(a.as_f32(), k, &w.panels[columns.start * k..], &mut rows);
        if let Some(op) = activation {
            rows.iter_mut().for_each(|row| unary_in_place(op, row));
        }
    });
    Tensor::f32([m, n], out)
}

/// Adds `a [m, k]` times panels to rows of the result, all of one length: as many panels as that takes.
pub(super) fn accumulate(a: &[f32], k: usize, panels: &[f32], out: &mut [&mut [f32]]) {
    accumulate_from(a, k, panels, 0..k, out);
}

/// As [`accumulate`], with the first `k` of those steps of panels that `within` has, which reaches to their end.
pub(super) fn accumulate_from(
    a: &[f32],
    k: usize,
    panels: &[f32],
    within: std::ops::Range<usize>,
    out: &mut [&mut [f32]],
) {
    let m = a.len().checked_div(k).unwrap_or(0).min(out.len());
    let Some(n) = out.first().map(|row| row.len()) else { return };
    let steps = within.end;
    let panels = || panels[..n.next_multiple_of(NR) * steps].chunks_exact((NR * steps).max(1));
    if m == 1 {
        // Every weight is read once: nothing is gained by blocks, and long runs are read fastest.
        for (at, panel) in panels().enumerate() {
            row(a, &panel[within.start * NR..][..k * NR], &mut out[0][at * NR..(at * NR + NR).min(n)]);
        }
        return;
    }
    for k0 in (0..k).step_by(KC) {
        let depth = KC.min(k - k0);
        for (at, panel) in panels().enumerate() {
            let panel = &panel[(within.start + k0) * NR..][..depth * NR];
            let columns = at * NR..(at * NR + NR).min(n);
            let mut at = 0;
            while m - at >= MR {
                let (a, out) = (&a[at * k + k0..], &mut out[at..]);
                // Eight are two of four: two rows left alone would cost more.
                if TALL > MR && m - at >= TALL && m - at != 2 * MR {
                    block::<TALL>(a, k, panel, out, columns.clone());
                    at += TALL;
                } else {
                    block::<MR>(a, k, panel, out, columns.clone());
                    at += MR;
                }
            }
            while at < m {
                row(&a[at * k + k0..][..depth], panel, &mut out[at][columns.clone()]);
                at += 1;
            }
        }
    }
}

/// Adds a row of `a` times a panel to a row of the result: some steps of depth at once, each with sums of its own, so that
/// no addition waits for the one before it.
#[inline(always)]
fn row(a: &[f32], panel: &[f32], out: &mut [f32]) {
    const STEPS: usize = 4;
    let mut sums = [[F32x4::splat(0.0); 2]; STEPS];
    let (a_steps, a_rest) = a.as_chunks::<STEPS>();
    let (w_steps, w_rest) = panel.as_chunks::<{ STEPS * NR }>();
    let step = |sum: &mut [F32x4; 2], x: f32, w: &[f32]| {
        let x = F32x4::splat(x);
        sum[0] = x.mul_add(F32x4::load(&w[..4]), sum[0]);
        sum[1] = x.mul_add(F32x4::load(&w[4..]), sum[1]);
    };
    for (x, w) in a_steps.iter().zip(w_steps) {
        for (i, sum) in sums.iter_mut().enumerate() {
            step(sum, x[i], &w[i * NR..][..NR]);
        }
    }
    for (&x, w) in a_rest.iter().zip(w_rest.as_chunks::<NR>().0) {
        step(&mut sums[0], x, w);
    }
    let total = |half: usize| {
        let [a, b, c, d] = sums.map(|sum| sum[half]);
        a.add(b).add(c.add(d)).to_array()
    };
    for (to, from) in out.iter_mut().zip(total(0).iter().chain(&total(1))) {
        *to += from;
    }
}

/// Adds `R` rows of `a` times a panel to `R` rows of the result.
#[inline(always)]
fn block<const R: usize>(
    a: &[f32],
    a_stride: usize,
    panel: &[f32],
    out: &mut [&mut [f32]],
    columns: std::ops::Range<usize>,
) {
    /// Steps of depth whose addresses are computed once.
    const STEPS: usize = 4;
    let (steps, rest) = panel.as_chunks::<NR>().0.as_chunks::<STEPS>();
    let rows: [&[f32]; R] = std::array::from_fn(|r| &a[r * a_stride..][..panel.len() / NR]);
    // Equal lengths, so that the loop checks no index.
    let row_steps = rows.map(|row| &row.as_chunks::<STEPS>().0[..steps.len()]);
    let mut sums = [[F32x4::splat(0.0); 2]; R];
    for (i, w) in steps.iter().enumerate() {
        for (j, w) in w.iter().enumerate() {
            step(w, &mut sums, |r| row_steps[r][i][j]);
        }
    }
    for (i, w) in rest.iter().enumerate() {
        step(w, &mut sums, |r| rows[r][steps.len() * STEPS + i]);
    }
    for (sum, out) in sums.iter().zip(out) {
        let [low, high] = sum.map(F32x4::to_array);
        for (to, from) in out[columns.clone()].iter_mut().zip(low.iter().chain(&high)) {
            *to += from;
        }
    }
}

/// A step of depth: adds the products of a panel's lanes with `x(row)` to the sums of each row.
#[inline(always)]
fn step<const R: usize>(w: &[f32; NR], sums: &mut [[F32x4; 2]; R], x: impl Fn(usize) -> f32) {
    let (low, high) = (F32x4::load(&w[..4]), F32x4::load(&w[4..]));
    for (r, sum) in sums.iter_mut().enumerate() {
        let x = F32x4::splat(x(r));
        sum[0] = x.mul_add(low, sum[0]);
        sum[1] = x.mul_add(high, sum[1]);
    }
}
