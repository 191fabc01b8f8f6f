//! Codes that make up for each other's errors: GPTQ (Frantar et al., 2022).
//!
//! Of a matrix that multiplies activations `x`, what counts is the error of its products, `(w - ŵ) · H · (w - ŵ)ᵀ` with `H =
//! Σ xᵀx` over calibration inputs. Columns are coded one after another; what a column's code is off by is made
//! up for by those that are still to come, as well as `H` says they can. Then all are gone through again
//! ([`super::refine`]).

use std::sync::OnceLock;

use super::fit::{self, Fit};
use super::matrix::{Builder, Fitted, Matrix, check_finite};
use super::refine::{Coded, Form, Free};
use super::scales::Affine;
use super::scheme::Scheme;
use crate::error::{Error, Result};

/// Added to the diagonal of `H`, in parts of its mean: keeps directions that no input has from being used up.
const DAMPING: f64 = 0.01;

impl Matrix {
    /// Packs `weights` so that products with rows of `activations` err least; codes and scales that were found one after
    /// another are gone through again where `refines` asks for that.
    ///
    /// # Errors
    /// If a weight or an activation is not finite.
    pub fn calibrated(
        name: &str,
        weights: &[f32],
        shape: &[usize],
        scheme: Scheme,
        fit: Fit,
        activations: &Activations,
        refines: bool,
    ) -> Result<Self> {
        let Scheme::Grouped { bits, asymmetric, nested, .. } = scheme else {
            return Self::quantise(name, weights, shape, scheme, fit);
        };
        check_finite(name, weights)?;
        let mut builder = Builder::new(shape, scheme);
        let packing = builder.packing;
        let columns = packing.columns;
        if activations.columns != columns {
            return Err(Error::Weight {
                name: name.to_owned(),
                reason: format!("multiplies {columns} activations, calibration has {}", activations.columns),
            });
        }
        let Known { form, influence } = activations.known(name)?;
        let form = Form::new(form, columns);
        let free = match (nested, asymmetric) {
            (true, _) => Free::Nothing,
            (false, true) => Free::Both,
            (false, false) => Free::Scale,
        };
        let mut row_now = vec![0.0_f64; columns];
        for row in weights.chunks_exact(columns.max(1)) {
            row_now.iter_mut().zip(row).for_each(|(to, w)| *to = f64::from(*w));
            // Numbers of a super-block are chosen together, before any code is.
            let fixed = nested.then(|| builder.fitted(row, fit));
            let mut groups: Vec<Affine> = Vec::with_capacity(packing.groups());
            let mut codes = Vec::with_capacity(columns);
            for i in 0..columns {
                let at = i / packing.group();
                if at == groups.len() {
                    let now = || -> Vec<f32> {
                        row_now[i..columns.min(i + packing.group())].iter().map(|w| *w as f32).collect()
                    };
                    groups.push(match &fixed {
                        Some(fixed) => fixed.groups[at],
                        None => fit::group(bits, asymmetric, false, &now(), fit),
                    });
                }
                let code = fit::code(bits, row_now[i] as f32, groups[at]);
                let coded = f64::from(groups[at].scale * f32::from(code) + groups[at].min);
                codes.push(code);
                let influence = &influence[i * columns..(i + 1) * columns];
                let error = (row_now[i] - coded) / influence[i];
                for (w, u) in row_now[i + 1..].iter_mut().zip(&influence[i + 1..]) {
                    *w -= error * u;
                }
            }
            let size = packing.group();
            if refines {
                form.refine(row, &mut Coded { bits, codes: &mut codes, groups: &mut groups, size, free });
            }
            builder.add(&fixed.unwrap_or_else(|| Fitted::new(packing, &groups)), &codes);
        }
        Ok(builder.finish())
    }
}

/// What a matrix multiplies: rows of calibration inputs.
#[derive(Debug)]
pub struct Activations {
    columns: usize,
    rows: Vec<f32>,
    known: OnceLock<Known>,
}

/// What is worked out of them, once.
#[derive(Debug)]
struct Known {
    /// `H`, row after row.
    form: Vec<f32>,
    /// The upper triangle `U` with `UᵀU = H⁻¹`, row after row.
    influence: Vec<f64>,
}

impl Activations {
    /// Rows one after another.
    pub fn new(columns: usize, rows: Vec<f32>) -> Self {
        Self { columns, rows, known: OnceLock::new() }
    }

    /// Worked out once, whatever number of matrices multiplies them.
    fn known(&self, name: &str) -> Result<&Known> {
        if let Some(known) = self.known.get() {
            return Ok(known);
        }
        check_finite(&format!("{name} (calibration)"), &self.rows)?;
        let made = Known::of(name, &self.rows, self.columns)?;
        Ok(self.known.get_or_init(|| made))
    }
}

/// `Σ xᵀx`, its lower triangle.
fn products(activations: &[f32], n: usize) -> Vec<f64> {
    /// Rows that are summed in float32 before they are added up in float64.
    const DEPTH: usize = 64;
    let mut h = vec![0.0_f64; n * n];
    let mut columns = vec![[0.0_f32; DEPTH]; n];
    for rows in activations.chunks(n.max(1) * DEPTH) {
        for (i, column) in columns.iter_mut().enumerate() {
            column.fill(0.0);
            column.iter_mut().zip(rows.iter().skip(i).step_by(n)).for_each(|(to, x)| *to = *x);
        }
        for i in 0..n {
            for (to, other) in h[i * n..=i * n + i].iter_mut().zip(&columns) {
                let mut sums = [0.0_f32; 8];
                for (a, b) in columns[i].as_chunks::<8>().0.iter().zip(other.as_chunks::<8>().0) {
                    (0..8).for_each(|lane| sums[lane] += a[lane] * b[lane]);
                }
                *to += f64::from(sums.iter().sum::<f32>());
            }
        }
    }
    h
}

impl Known {
    fn of(name: &str, activations: &[f32], n: usize) -> Result<Self> {
        let h = damped(activations, n);
        let form = (0..n * n).map(|at| h[(at / n).max(at % n) * n + (at / n).min(at % n)] as f32).collect();
        Ok(Self { form, influence: influence(name, &h, n)? })
    }
}

/// `H`, its lower triangle.
fn damped(activations: &[f32], n: usize) -> Vec<f64> {
    let mut h = products(activations, n);
    let mean = (0..n).map(|i| h[i * n + i]).sum::<f64>() / n.max(1) as f64;
    let damping = if mean > 0.0 { DAMPING * mean } else { 1.0 };
    (0..n).for_each(|i| h[i * n + i] += damping);
    h
}

/// The upper triangle `U` with `UᵀU = H⁻¹`, row after row, from the lower triangle of `H`.
fn influence(name: &str, h: &[f64], n: usize) -> Result<Vec<f64>> {
    let fault = || Error::Weight { name: name.to_owned(), reason: "its calibration inputs overflow".into() };
    // With rows and columns of H in the opposite order, H = L·Lᵀ; the inverse of L, turned back, is U.
    let reversed = |i: usize, j: usize| (n - 1 - i, n - 1 - j);
    let mut l = vec![0.0_f64; n * n];
    for i in 0..n {
        for j in 0..=i {
            let (a, b) = reversed(i, j);
            let at = if a >= b { h[a * n + b] } else { h[b * n + a] };
            let dot: f64 = l[i * n..i * n + j].iter().zip(&l[j * n..j * n + j]).map(|(a, b)| a * b).sum();
            let rest = at - dot;
            l[i * n + j] = if i == j {
                if rest <= 0.0 {
                    return Err(fault());
                }
                rest.sqrt()
            } else {
                rest / l[j * n + j]
            };
        }
    }
    Ok(inverse_reversed(&l, n))
}

/// The inverse of a lower triangle with rows and columns in the opposite order, which makes it an upper one.
fn inverse_reversed(l: &[f64], n: usize) -> Vec<f64> {
    let mut inverse = vec![0.0_f64; n * n];
    for i in 0..n {
        let (done, row) = inverse.split_at_mut(i * n);
        row[i] = 1.0;
        for k in 0..i {
            let factor = l[i * n + k];
            for (to, from) in row[..=k].iter_mut().zip(&done[k * n..=k * n + k]) {
                *to -= factor * from;
            }
        }
        row[..=i].iter_mut().for_each(|x| *x /= l[i * n + i]);
    }
    let mut upper = vec![0.0_f64; n * n];
    for i in 0..n {
        for j in 0..=i {
            upper[(n - 1 - i) * n + (n - 1 - j)] = inverse[i * n + j];
        }
    }
    upper
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::twin::Draw;

    fn drawn(seed: &str, count: usize) -> Vec<f32> {
        let mut draw = Draw::new(2, seed);
        (0..count).map(|_| draw.normal()).collect()
    }

    /// Activations whose columns go together, as those of models do.
    fn activations(rows: usize, columns: usize) -> Vec<f32> {
        let (few, mix) = (drawn("few", rows * 6), drawn("mix", 6 * columns));
        let mut noise = drawn("noise", rows * columns);
        for (r, row) in noise.chunks_exact_mut(columns).enumerate() {
            for (c, x) in row.iter_mut().enumerate() {
                *x = 0.2 * *x + (0..6).map(|f| few[r * 6 + f] * mix[f * columns + c]).sum::<f32>();
            }
        }
        noise
    }

    #[test]
    fn the_root_is_one_of_the_inverse() {
        let (n, x) = (7, activations(300, 7));
        let mut h = products(&x, n);
        for i in 0..n {
            for j in 0..=i {
                let sum: f64 = x.chunks_exact(n).map(|row| f64::from(row[i]) * f64::from(row[j])).sum();
                assert!((h[i * n + j] - sum).abs() < 1e-3, "{i} {j}");
                h[j * n + i] = h[i * n + j];
            }
        }
        let damping = DAMPING * (0..n).map(|i| h[i * n + i]).sum::<f64>() / n as f64;
        (0..n).for_each(|i| h[i * n + i] += damping);
        let u = influence("x", &damped(&x, n), n).unwrap();
        for i in 0..n {
            for j in 0..n {
                // H · (UᵀU) is the identity.
                let inverse = |a: usize, b: usize| (0..n).map(|k| u[k * n + a] * u[k * n + b]).sum::<f64>();
                let product: f64 = (0..n).map(|k| h[i * n + k] * inverse(k, j)).sum();
                let want = if i == j { 1.0 } else { 0.0 };
                assert!((product - want).abs() < 1e-9, "{i} {j} {product}");
                assert!(i <= j || u[i * n + j] == 0.0);
            }
        }
    }

    /// On inputs that it has not seen, products err less than with codes chosen one by one.
    #[test]
    fn products_err_less() {
        let (rows, columns) = (24, 96);
        let weights = drawn("weights", rows * columns);
        let all = activations(400, columns);
        let (seen, unseen) = all.split_at(300 * columns);
        let seen = Activations::new(columns, seen.to_vec());
        for scheme in ["int4-g32", "int3-g64-asym", "int2-g32-asym-super", "int3-g32-super"] {
            let scheme: Scheme = scheme.parse().unwrap();
            let error = |matrix: &Matrix| -> f64 {
                let coded = matrix.dequantised();
                let each = unseen.chunks_exact(columns).flat_map(|x| {
                    let dot = |w: &[f32]| w.iter().zip(x).map(|(w, x)| f64::from(w * x)).sum::<f64>();
                    let pairs = weights.chunks_exact(columns).zip(coded.chunks_exact(columns));
                    pairs.map(move |(w, c)| (dot(w) - dot(c)).powi(2)).collect::<Vec<_>>()
                });
                each.sum()
            };
            let plain = Matrix::quantise("w", &weights, &[rows, columns], scheme, Fit::Mse).unwrap();
            let calibrated = |refines| {
                Matrix::calibrated("w", &weights, &[rows, columns], scheme, Fit::Mse, &seen, refines).unwrap()
            };
            assert_eq!(calibrated(true).packing(), plain.packing());
            let (once, refined) = (error(&calibrated(false)), error(&calibrated(true)));
            assert!(once < 0.5 * error(&plain), "{scheme}: {once}");
            assert!(refined < 0.97 * once, "{scheme}: {refined} {once}");
        }
    }
}
