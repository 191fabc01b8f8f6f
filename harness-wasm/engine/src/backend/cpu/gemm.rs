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
/// Panels that a single row is multiplied by at once: as many sums as hide the wait for one another.
const STREAMS: usize = 4;
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
    let a = RowBlocks::of(a.as_f32(), k);
    // By columns: how rows are taken together decides the order of sums, and stays as it is.
    let panels = crew.split(n.div_ceil(NR), NR * m * k);
    let columns: Vec<_> = panels.iter().map(|at| at.start * NR..(at.end * NR).min(n)).collect();
    let rows = parallel::columns(&mut out, n, &columns);
    crew.each(columns.into_iter().zip(rows).collect(), |(columns, mut rows)| {
        if let Some(bias) = bias {
            rows.iter_mut().for_each(|row| row.copy_from_slice(&bias[columns.clone()]));
        }
        a.accumulate(&w.panels[columns.start * k..], 0..k, &mut rows);
        if let Some(op) = activation {
            rows.iter_mut().for_each(|row| unary_in_place(op, row));
        }
    });
    Tensor::f32([m, n], out)
}

/// The left side of a product, by blocks of depth and of rows as [`block`] takes them: whatever it reads lies in one run
/// then, not in rows whose distance is a power of two more often than not.
#[derive(Debug, Default)]
pub(super) struct RowBlocks {
    /// For each block of depth, for each block of rows: `[step][row]`.
    numbers: Vec<f32>,
    /// Of the blocks of rows.
    heights: Vec<usize>,
    rows: usize,
    k: usize,
}

impl RowBlocks {
    /// Of rows that lie one after the other, each `k` long.
    pub(super) fn of(a: &[f32], k: usize) -> Self {
        let mut these = Self::default();
        these.set(a, k);
        these
    }

    /// Takes other rows in place of those it has.
    pub(super) fn set(&mut self, a: &[f32], k: usize) {
        (self.rows, self.k) = (a.len().checked_div(k).unwrap_or(0), k);
        self.heights.clear();
        let mut left = self.rows;
        while left > 0 {
            let height = match left {
                // Eight are two of four: two rows left alone would cost more.
                left if TALL > MR && left >= TALL && left != 2 * MR => TALL,
                left if left >= MR => MR,
                _ => 1,
            };
            self.heights.push(height);
            left -= height;
        }
        self.numbers.clear();
        self.numbers.resize(self.rows * k, 0.0);
        let mut to = &mut self.numbers[..];
        for start in (0..k).step_by(KC) {
            let steps = start..(start + KC).min(k);
            let mut rows = a.chunks_exact(k);
            for &height in &self.heights {
                let (block, others) = to.split_at_mut(height * steps.len());
                let rows = rows.by_ref().map(|row| &row[steps.clone()]);
                match height {
                    1 => interleave::<1>(rows, block),
                    TALL => interleave::<TALL>(rows, block),
                    _ => interleave::<MR>(rows, block),
                }
                to = others;
            }
        }
    }

    /// Adds the products with panels to rows of the result, all of one length: as many panels as that takes. Panels end with
    /// `within`, the steps of theirs that these rows are as long as.
    pub(super) fn accumulate(&self, panels: &[f32], within: std::ops::Range<usize>, out: &mut [&mut [f32]]) {
        let Some(n) = out.first().map(|row| row.len()) else { return };
        let panels = || panels[..n.next_multiple_of(NR) * within.end].chunks_exact((NR * within.end).max(1));
        if let ([1], [out]) = (&self.heights[..], &mut *out) {
            let panels: Vec<_> = panels().map(|panel| &panel[within.start * NR..][..self.k * NR]).collect();
            return single(&self.numbers, &panels, out);
        }
        let mut numbers = &self.numbers[..];
        for start in (0..self.k).step_by(KC) {
            let depth = KC.min(self.k - start);
            let (a, others) = numbers.split_at(self.rows * depth);
            numbers = others;
            for (at, panel) in panels().enumerate() {
                let panel = panel[(within.start + start) * NR..][..depth * NR].as_chunks::<NR>().0;
                multiply(&self.heights, a, panel, out, at * NR..(at * NR + NR).min(n));
            }
        }
    }
}

/// Adds blocks of rows times a panel to these columns of their rows of the result.
#[inline(always)]
fn multiply(
    heights: &[usize],
    mut a: &[f32],
    panel: &[[f32; NR]],
    mut out: &mut [&mut [f32]],
    columns: std::ops::Range<usize>,
) {
    for &height in heights {
        let (of_block, others) = a.split_at(height * panel.len());
        let (rows, below) = out.split_at_mut(height);
        match height {
            1 => {
                let [sums] = row::<1, 4>(of_block, [panel.as_flattened()]);
                add(&mut rows[0][columns.clone()], &sums);
            }
            TALL => block::<TALL>(of_block, panel, rows, columns.clone()),
            _ => block::<MR>(of_block, panel, rows, columns.clone()),
        }
        (a, out) = (others, below);
    }
}

/// Writes the next `R` rows step by step, `[step][row]`.
#[inline(always)]
fn interleave<'a, const R: usize>(mut rows: impl Iterator<Item = &'a [f32]>, to: &mut [f32]) {
    let to = to.as_chunks_mut::<R>().0;
    // Equal lengths, so that the loop checks no index.
    let rows: [&[f32]; R] = std::array::from_fn(|_| &rows.next().expect("counted")[..to.len()]);
    for (step, to) in to.iter_mut().enumerate() {
        *to = std::array::from_fn(|r| rows[r][step]);
    }
}

/// Adds a row of `a` times panels to a row of the result. Panels are taken as far from one another as can be: each is then
/// a stream of memory of its own, where processors read ahead in one stream a page.
fn single(a: &[f32], panels: &[&[f32]], out: &mut [f32]) {
    let apart = panels.len() / STREAMS;
    for first in 0..apart {
        streams(a, panels, std::array::from_fn::<_, STREAMS, _>(|stream| stream * apart + first), out);
    }
    // In the same order of sums, wherever threads divide the panels.
    for at in STREAMS * apart..panels.len() {
        streams(a, panels, [at], out);
    }
}

/// Adds a row of `a` times some of the panels to a row of the result.
#[inline(always)]
fn streams<const PANELS: usize>(a: &[f32], panels: &[&[f32]], at: [usize; PANELS], out: &mut [f32]) {
    // Sums begin anew at every block of depth: they stay small, and so do their errors.
    for start in (0..a.len()).step_by(KC) {
        let steps = start..(start + KC).min(a.len());
        let panels = at.map(|at| &panels[at][start * NR..steps.end * NR]);
        for (at, sums) in at.iter().zip(row::<PANELS, 1>(&a[steps.clone()], panels)) {
            let columns = at * NR..(at * NR + NR).min(out.len());
            add(&mut out[columns], &sums);
        }
    }
}

/// Adds the columns of a panel to as many of the result as there are.
#[inline(always)]
fn add(out: &mut [f32], sums: &[[f32; 4]; 2]) {
    out.iter_mut().zip(sums.as_flattened()).for_each(|(to, sum)| *to += sum);
}

/// A row of `a` times panels, `STEPS` of depth at once, each with sums of its own: none waits for the one before it.
#[inline(always)]
fn row<const PANELS: usize, const STEPS: usize>(
    a: &[f32],
    panels: [&[f32]; PANELS],
) -> [[[f32; 4]; 2]; PANELS] {
    let mut sums = [[[F32x4::splat(0.0); 2]; PANELS]; STEPS];
    // Equal lengths, so that the loop checks no index.
    let panels = panels.map(|panel| &panel.as_chunks::<NR>().0[..a.len()]);
    let step = |sums: &mut [[F32x4; 2]; PANELS], at: usize| {
        let x = F32x4::splat(a[at]);
        for (sum, panel) in sums.iter_mut().zip(&panels) {
            sum[0] = x.mul_add(F32x4::load(&panel[at][..4]), sum[0]);
            sum[1] = x.mul_add(F32x4::load(&panel[at][4..]), sum[1]);
        }
    };
    let whole = a.len() - a.len() % STEPS;
    for first in (0..whole).step_by(STEPS) {
        for (i, sums) in sums.iter_mut().enumerate() {
            step(sums, first + i);
        }
    }
    for at in whole..a.len() {
        step(&mut sums[0], at);
    }
    let total = |panel: usize, half: usize| sums.iter().map(|sums| sums[panel][half]).reduce(F32x4::add);
    std::array::from_fn(|panel| [0, 1].map(|half| total(panel, half).expect("a step").to_array()))
}

/// Adds `R` rows, `a[step][row]`, times a panel to `R` rows of the result.
///
/// A step's numbers and all sums have a register each, of the fifteen that engines have: in this order, which the
/// compiler is told to keep.
#[inline(always)]
fn block<const R: usize>(
    a: &[f32],
    panel: &[[f32; NR]],
    out: &mut [&mut [f32]],
    columns: std::ops::Range<usize>,
) {
    let mut sums = [[F32x4::splat(0.0); 2]; R];
    for (x, w) in a.as_chunks::<R>().0.iter().zip(panel) {
        let (low, high) = (F32x4::load(&w[..4]), F32x4::load(&w[4..]));
        for (sum, x) in sums.iter_mut().zip(x) {
            let x = F32x4::splat(*x);
            sum[0] = x.mul_add(low, sum[0]);
            sum[1] = x.mul_add(high, sum[1]);
        }
    }
    for (sum, out) in sums.iter().zip(out) {
        add(&mut out[columns.clone()], &sum.map(F32x4::to_array));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::twin::Draw;

    /// Every remainder of rows, of columns and of depth, and panels of which only later steps count.
    #[test]
    fn blocks_of_any_size_add_up_to_the_product() {
        let mut draw = Draw::new(3, "blocks");
        let mut numbers = |count: usize| -> Vec<f32> {
            (0..count).map(|_| (draw.bits() % 2001) as f32 / 1000.0 - 1.0).collect()
        };
        for (m, n, k, before) in (1..=20).map(|m| (m, 1 + m * 5 % 27, 1 + m * 37 % 150, m % 3 * NR)).chain([
            (7, 9, KC + 3, 0),
            (13, 17, 2 * KC, NR),
            (1, 8, 2 * KC + 1, 5),
            // One row: panels far from one another, and those that are left.
            (1, 4 * NR, 5, 0),
            (1, 7 * NR, KC, 3),
            (1, 9 * NR + 3, 2 * KC + 7, 5),
        ]) {
            let (a, w, mut out) = (numbers(m * k), numbers(n * (before + k)), numbers(m * n));
            let want: Vec<f64> = (0..m * n)
                .map(|at| {
                    let (row, column) = (&a[at / n * k..][..k], &w[at % n * (before + k) + before..][..k]);
                    let sum: f64 = row.iter().zip(column).map(|(a, w)| f64::from(*a) * f64::from(*w)).sum();
                    f64::from(out[at]) + sum
                })
                .collect();
            let mut panels = Vec::new();
            pack_rows(&mut panels, &w, before + k);
            let mut rows: Vec<&mut [f32]> = out.chunks_exact_mut(n).collect();
            RowBlocks::of(&a, k).accumulate(&panels, before..before + k, &mut rows);
            for (at, (y, want)) in out.iter().zip(want).enumerate() {
                let near = (f64::from(*y) - want).abs() <= 4e-7 * k as f64;
                assert!(near, "{m}x{n}x{k} behind {before}, {at}: {y}, not {want}");
            }
        }
    }
}
