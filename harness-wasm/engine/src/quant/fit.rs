//! Which numbers a group of weights gets: how its scale and minimum are chosen.
//!
//! Only exact-rounded float32 operations are used (no fused products, no library functions but the square root), so
//! that a page and its host make the same bits of the same weights.

use std::fmt;
use std::str::FromStr;

use half::f16;

use super::scales::Affine;
use super::scheme::Bits;
use crate::error::{Error, Result};

/// How scales are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fit {
    /// The group's extremes become the first and the last code.
    Nearest,
    /// Ranges narrower than the extremes are tried, each improved by least squares; that of least square error is taken.
    #[default]
    Mse,
    /// Half-quadratic quantisation (Badri and Shaji, 2023): the minimum is moved so that the error's ½-norm, which
    /// cares less for outliers, shrinks. Symmetric schemes, which have none, get [`Self::Mse`].
    Hqq,
}

impl Fit {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Nearest, Self::Mse, Self::Hqq];
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nearest => "nearest",
            Self::Mse => "mse",
            Self::Hqq => "hqq",
        })
    }
}

impl FromStr for Fit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|fit| fit.to_string() == text).ok_or_else(|| Error::Data {
            file: "fit of scales".into(),
            reason: format!("{text:?} is none: write nearest, mse or hqq"),
        })
    }
}

/// Narrower ranges that are tried: 1, then down by this much each time.
const STEPS: usize = 12;
const STEP: f32 = 0.04;

/// The code of `x`.
pub(super) fn code(bits: Bits, x: f32, group: Affine) -> u8 {
    if group.scale == 0.0 {
        // Every code says the minimum.
        return 0;
    }
    // `as` saturates, and takes what is no number for 0.
    ((x - group.min) / group.scale).round_ties_even().clamp(0.0, bits.most() as f32) as u8
}

/// The numbers that fit a group.
pub(super) fn group(bits: Bits, asymmetric: bool, below: bool, x: &[f32], fit: Fit) -> Affine {
    if asymmetric { self::asymmetric(bits, x, below, fit) } else { symmetric(bits, x, fit) }
}

/// A scale for a symmetric group.
fn symmetric(bits: Bits, x: &[f32], fit: Fit) -> Affine {
    let zero = bits.zero() as f32;
    let whole = |scale: f32| Affine { scale, min: -zero * scale };
    let widest = x.iter().copied().fold(0.0_f32, |a, b| if b.abs() > a.abs() { b } else { a });
    // The widest weight becomes code 0, which alone is `zero` steps away.
    let nearest = stored(widest / -zero);
    if fit == Fit::Nearest || widest == 0.0 {
        return whole(nearest);
    }
    let mut best = (error(bits, x, whole(nearest)), nearest);
    for sign in [1.0, -1.0] {
        for step in 0..STEPS {
            let first = sign * widest / -zero * (1.0 - STEP * step as f32);
            let group = whole(first);
            let (mut xq, mut qq) = (0.0_f32, 0.0_f32);
            for &x in x {
                let q = f32::from(code(bits, x, group)) - zero;
                xq += x * q;
                qq += q * q;
            }
            if qq > 0.0 {
                let scale = stored(xq / qq);
                let error = error(bits, x, whole(scale));
                if error < best.0 {
                    best = (error, scale);
                }
            }
        }
    }
    whole(best.1)
}

/// A scale and a minimum, which is not above zero where `below` asks for that.
fn asymmetric(bits: Bits, x: &[f32], below: bool, fit: Fit) -> Affine {
    let cap = |min: f32| if below { min.min(0.0) } else { min };
    let (low, high) =
        x.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)));
    let low = cap(low);
    let spanned = |low: f32, high: f32| Affine {
        scale: stored(((high - low) / bits.most() as f32).max(0.0)),
        min: stored(low),
    };
    let nearest = spanned(low, high);
    match fit {
        Fit::Nearest => nearest,
        Fit::Hqq => half_quadratic(bits, x, nearest, cap),
        Fit::Mse => {
            let mut best = (error(bits, x, nearest), nearest);
            for step in 0..STEPS {
                let shrink = 1.0 - STEP * step as f32;
                let middle = 0.5 * (low + high);
                let first = spanned(middle + (low - middle) * shrink, middle + (high - middle) * shrink);
                let refined = least_squares(bits, x, first, cap);
                let error = error(bits, x, refined);
                if error < best.0 {
                    best = (error, refined);
                }
            }
            best.1
        }
    }
}

/// The best numbers for the codes that `group` gives.
fn least_squares(bits: Bits, x: &[f32], group: Affine, cap: impl Fn(f32) -> f32) -> Affine {
    let n = x.len() as f32;
    let (mut sx, mut sq, mut sxq, mut sqq) = (0.0_f32, 0.0_f32, 0.0_f32, 0.0_f32);
    for &x in x {
        let q = f32::from(code(bits, x, group));
        sx += x;
        sq += q;
        sxq += x * q;
        sqq += q * q;
    }
    let spread = n * sqq - sq * sq;
    if spread <= 0.0 {
        return group;
    }
    let min = cap((sx - (n * sxq - sx * sq) / spread * sq) / n);
    // With the minimum where it may be, the scale that fits it best.
    let scale = if sqq > 0.0 { (sxq - min * sq) / sqq } else { group.scale };
    Affine { scale: stored(scale.max(0.0)), min: stored(min) }
}

fn half_quadratic(bits: Bits, x: &[f32], nearest: Affine, cap: impl Fn(f32) -> f32) -> Affine {
    const ROUNDS: usize = 20;
    if nearest.scale == 0.0 {
        return nearest;
    }
    // In units of a step, as the method has it: the weight of the ½-norm is meant for numbers near 1.
    let mut beta = 10.0_f32;
    let mut group = nearest;
    let mut best = (half_norm(bits, x, group), group);
    for _ in 0..ROUNDS {
        let mut sum = 0.0;
        for &x in x {
            let q = f32::from(code(bits, x, group));
            let error = (x - (group.scale * q + group.min)) / group.scale;
            // Proximal step for |e|^½: what is large is left as outlier, the rest moves the minimum.
            let size = error.abs();
            let kept = if size > 0.0 { (size - 1.0 / (beta * size.sqrt())).max(0.0) } else { 0.0 };
            let outlier = if error < 0.0 { -kept } else { kept } * group.scale;
            sum += x - outlier - group.scale * q;
        }
        group.min = stored(cap(sum / x.len() as f32));
        beta *= 1.01;
        let norm = half_norm(bits, x, group);
        if norm >= best.0 {
            break;
        }
        best = (norm, group);
    }
    best.1
}

/// Σ √|error|.
fn half_norm(bits: Bits, x: &[f32], group: Affine) -> f32 {
    x.iter().map(|&x| (x - (group.scale * f32::from(code(bits, x, group)) + group.min)).abs().sqrt()).sum()
}

/// Σ error².
fn error(bits: Bits, x: &[f32], group: Affine) -> f32 {
    x.iter()
        .map(|&x| {
            let error = x - (group.scale * f32::from(code(bits, x, group)) + group.min);
            error * error
        })
        .sum()
}

/// As the file will hold it.
pub(super) fn stored(x: f32) -> f32 {
    let most = f16::MAX.to_f32();
    f16::from_f32(x.clamp(-most, most)).to_f32()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::twin::Draw;

    fn groups() -> Vec<Vec<f32>> {
        let mut draw = Draw::new(11, "groups");
        (0..40)
            .map(|at| {
                let mut group: Vec<f32> =
                    (0..32).map(|_| 0.05 * draw.normal() + 0.01 * (at % 3) as f32).collect();
                if at % 4 == 0 {
                    group[at % 32] *= 6.0;
                }
                group
            })
            .collect()
    }

    fn total(bits: Bits, make: impl Fn(&[f32]) -> Affine) -> f32 {
        groups().iter().map(|group| error(bits, group, make(group))).sum()
    }

    #[test]
    fn searching_is_better_than_extremes() {
        for bits in Bits::ALL {
            let symmetric_by = |fit| total(bits, |x| symmetric(bits, x, fit));
            let asymmetric_by = |fit| total(bits, |x| asymmetric(bits, x, false, fit));
            assert!(symmetric_by(Fit::Mse) < symmetric_by(Fit::Nearest), "{bits:?}");
            assert!(asymmetric_by(Fit::Mse) < asymmetric_by(Fit::Nearest), "{bits:?}");
        }
        let half = |fit| -> f32 {
            groups().iter().map(|x| half_norm(Bits::Three, x, asymmetric(Bits::Three, x, false, fit))).sum()
        };
        assert!(half(Fit::Hqq) < half(Fit::Nearest));
    }

    #[test]
    fn more_bits_err_less() {
        for fit in Fit::ALL {
            let errors = Bits::ALL.map(|bits| total(bits, |x| asymmetric(bits, x, true, fit)));
            assert!(errors.windows(2).all(|pair| pair[1] < 0.5 * pair[0]), "{fit} {errors:?}");
        }
    }

    #[test]
    fn degenerate_groups_are_exact() {
        for fit in Fit::ALL {
            for value in [0.0, 0.25, -0.5] {
                let x = [value; 32];
                let low = asymmetric(Bits::Four, &x, false, fit);
                assert_eq!(low.scale * f32::from(code(Bits::Four, value, low)) + low.min, value, "{fit}");
                let both = symmetric(Bits::Four, &x, fit);
                let got = both.scale * f32::from(code(Bits::Four, value, both)) + both.min;
                assert_eq!(got, value, "{fit}");
            }
        }
    }
}
