//! Elementwise kernels in float32, and the cache append.

use crate::ops::{Binary, Op, Unary};
use crate::tensor::{DType, Tensor};

use super::parallel::{Crew, consecutive};
use super::simd::{EXPONENT, F32x4, map, map2};

/// Lanes of a vector.
const LANES: usize = 4;
/// What an element costs, in multiply-adds: as much as comes from memory and goes there.
const COST: usize = 4;

/// `binary` where both operands have one shape, or the second repeats along the first's leading axes; written over the
/// first.
pub(super) fn binary(crew: &Crew, op: Binary, mut a: Tensor, b: &Tensor) -> Tensor {
    let fits = a.dtype() == DType::F32
        && !op.is_comparison()
        && a.shape().ends_with(b.shape())
        && !b.shape().is_empty()
        && !b.is_empty();
    // In steps of whole vectors, where the second does not repeat, else of whole rows.
    let repeats = a.len() != b.len();
    let step = if repeats { b.len() } else { LANES };
    let rows = |a: &mut Tensor, f: fn(&mut [f32], &[f32])| {
        let parts = crew.split(a.len().div_ceil(step), step * COST);
        let pieces = consecutive(a.as_f32_mut(), &parts, step).into_iter().zip(&parts).collect();
        crew.each(pieces, |(piece, part): (&mut [f32], _)| {
            if repeats {
                piece.chunks_exact_mut(step).for_each(|row| f(row, b.as_f32()));
            } else {
                f(piece, &b.as_f32()[(part.start * step).min(b.len())..]);
            }
        });
    };
    match op {
        _ if !fits => return Op::Binary(op).eval(&[&a, b]),
        Binary::Add => rows(&mut a, |a, b| map2(a, b, F32x4::add)),
        Binary::Sub => rows(&mut a, |a, b| map2(a, b, F32x4::sub)),
        Binary::Mul => rows(&mut a, |a, b| map2(a, b, F32x4::mul)),
        Binary::Div => rows(&mut a, |a, b| map2(a, b, F32x4::div)),
        Binary::SwiGlu => rows(&mut a, |a, b| map2(a, b, |a, b| silu(a).mul(b))),
        Binary::Max | Binary::Min | Binary::Equal | Binary::LesserOrEqual => {
            return Op::Binary(op).eval(&[&a, b]);
        }
    }
    a
}

/// `unary`, written over its operand.
pub(super) fn unary(crew: &Crew, op: Unary, mut x: Tensor) -> Tensor {
    let parts = crew.split(x.len().div_ceil(LANES), LANES * 4 * COST);
    crew.each(consecutive(x.as_f32_mut(), &parts, LANES), |piece| unary_in_place(op, piece));
    x
}

pub(super) fn unary_in_place(op: Unary, x: &mut [f32]) {
    let zero = F32x4::splat(0.0);
    match op {
        Unary::Abs => map(x, F32x4::abs),
        Unary::Cos => each(x, libm::cosf),
        Unary::Erf => each(x, libm::erff),
        Unary::Exp => map(x, exp),
        Unary::Gelu => map(x, gelu),
        Unary::GeluTanh => map(x, |x| {
            let cubed = x.mul(x).mul(x);
            let inner = F32x4::splat(0.044_715).mul_add(cubed, x);
            x.mul(sigmoid(F32x4::splat(1.595_769).mul(inner)))
        }),
        Unary::Log => each(x, libm::logf),
        Unary::Neg => each(x, |x| -x),
        Unary::QuickGelu => map(x, |x| x.mul(sigmoid(F32x4::splat(1.702).mul(x)))),
        Unary::Reciprocal => map(x, |x| F32x4::splat(1.0).div(x)),
        Unary::Relu => map(x, |x| x.or_larger(zero)),
        Unary::Sigmoid => map(x, sigmoid),
        Unary::Silu => map(x, silu),
        Unary::Sin => each(x, libm::sinf),
        Unary::Sqrt => each(x, f32::sqrt),
        Unary::Tanh => each(x, libm::tanhf),
    }
}

/// Replaces `x[i]` by `f(x[i])`: a loop of its own for each function, which the compiler can see into.
#[inline(always)]
fn each(x: &mut [f32], f: impl Fn(f32) -> f32) {
    for v in x {
        *v = f(*v);
    }
}

/// A polynomial by Horner's rule, the highest coefficient first.
#[inline(always)]
fn polynomial<const N: usize>(x: F32x4, coefficients: [f32; N]) -> F32x4 {
    let mut p = F32x4::splat(coefficients[0]);
    for c in &coefficients[1..] {
        p = p.mul_add(x, F32x4::splat(*c));
    }
    p
}

/// `e^x` to about an ulp: `2^n · e^r` with `|r| ≤ ln 2 / 2` and a polynomial of `e^r`. NaN stays NaN.
#[inline(always)]
pub(super) fn exp(x: F32x4) -> F32x4 {
    let (p, n) = exp_parts(x.or_smaller(F32x4::splat(89.0)).or_larger(F32x4::splat(-104.0)));
    // In two steps, because 2^n alone leaves float32's range at both ends.
    let n = n.sub(F32x4::splat(EXPONENT));
    let half = n.mul(F32x4::splat(0.5)).nearest();
    p.mul(half.power_of_two()).mul(n.sub(half).power_of_two())
}

/// As [`exp`], of numbers that are not above 0; what is too small for a normal float32 may be 0.
#[inline(always)]
pub(super) fn exp_to_one(x: F32x4) -> F32x4 {
    // e^-88 lies below 2^-126.5, whose nearest power is float32's 0.
    let (p, n) = exp_parts(x.or_larger(F32x4::splat(-88.0)));
    p.mul(n.power())
}

/// `e^r` and [`EXPONENT`]` + n` of `x = n · ln 2 + r`.
#[inline(always)]
fn exp_parts(x: F32x4) -> (F32x4, F32x4) {
    // ln 2 in two parts, the first exact in few bits, so that `n * LN2_HIGH` is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let rounded = x.mul_add(F32x4::splat(std::f32::consts::LOG2_E), F32x4::splat(EXPONENT));
    let n = rounded.sub(F32x4::splat(EXPONENT));
    let r = n.mul_add(F32x4::splat(-LN2_HIGH), x);
    let r = n.mul_add(F32x4::splat(-LN2_LOW), r);
    // (e^r - 1 - r) / r²: a minimax fit of our own, to 4e-9 of e^r.
    let p = polynomial(r, [0.001_381_454, 0.008_368_745, 0.041_668_39, 0.166_665_21, 0.499_999_94]);
    (p.mul(r).mul_add(r, r).add(F32x4::splat(1.0)), rounded)
}

#[inline(always)]
fn sigmoid(x: F32x4) -> F32x4 {
    let one = F32x4::splat(1.0);
    one.div(one.add(exp(F32x4::splat(0.0).sub(x))))
}

#[inline(always)]
fn silu(x: F32x4) -> F32x4 {
    x.mul(sigmoid(x))
}

/// `x · Φ(x)`. Near 0 by the Taylor series of the error function; further out by
/// `erfc(z) ≈ e^(-z²) · P(1 / (1 + z/2))`, a least-squares fit of our own to 1.2e-8.
#[inline(always)]
fn gelu(x: F32x4) -> F32x4 {
    let (one, half) = (F32x4::splat(1.0), F32x4::splat(0.5));
    let z = x.abs().mul(F32x4::splat(std::f32::consts::FRAC_1_SQRT_2));
    let s = F32x4::splat(0.0).sub(z.mul(z));
    // 1/(n! (2n+1)), from n = 9 down.
    let near = [
        1.0 / 6_894_720.0,
        1.0 / 685_440.0,
        1.0 / 75_600.0,
        1.0 / 9_360.0,
        1.0 / 1_320.0,
        1.0 / 216.0,
        1.0 / 42.0,
        1.0 / 10.0,
        1.0 / 3.0,
        1.0,
    ];
    let near = polynomial(s, near).mul(F32x4::splat(0.398_942_3)).mul_add(x, half);
    let t = one.div(half.mul_add(z, one));
    let far = [
        0.071_431_61,
        -0.155_631_12,
        -0.013_740_973,
        0.133_663_08,
        0.145_555_29,
        0.256_367_76,
        0.280_432_66,
        0.282_249_87,
        -6.028_323_4e-6,
    ];
    let tail = half.mul(polynomial(t, far)).mul(exp(s));
    let far = x.if_less(F32x4::splat(0.0), tail, one.sub(tail));
    x.mul(z.if_less(F32x4::splat(0.84), near, far))
}

/// Writes `new [batch, tokens, width]` over `cache [batch, context, width]` from `position` on, in a ring round and round.
pub(super) fn kv_append(ring: bool, cache: &mut Tensor, new: &Tensor, position: i32) {
    let &[batch, context, width] = cache.shape() else { unreachable!("rank 3: inferred") };
    let (position, tokens) = (position.max(0) as usize, new.shape()[1]);
    // Of more rows than a ring has, only the last stay.
    let skipped = if ring { tokens.saturating_sub(context) } else { 0 };
    let start = if ring { (position + skipped) % context } else { position.min(context) };
    let ahead = (tokens - skipped).min(context - start);
    let round = if ring { tokens - skipped - ahead } else { 0 };
    // Packed rows are copied bit by bit, like numbers.
    let (to, row) = (cache.bytes_mut(), 4 * width);
    for b in 0..batch {
        for (place, from, rows) in [(start, skipped, ahead), (0, skipped + ahead, round)] {
            to[(b * context + place) * row..][..rows * row]
                .copy_from_slice(&new.bytes()[(b * tokens + from) * row..][..rows * row]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(f: impl Fn(F32x4) -> F32x4, x: f32) -> f32 {
        f(F32x4::splat(x)).to_array()[0]
    }

    /// The difference to `e^x`, in units of the last place of a float32 of that size.
    fn ulps(y: f32, x: f32) -> f64 {
        let want = f64::from(x).exp();
        let ulp = (want.log2().floor().max(-126.0) - 23.0).exp2();
        (f64::from(y) - want).abs() / ulp
    }

    #[test]
    fn powers_of_e_are_right_to_an_ulp_or_so() {
        let (mut both, mut to_one) = (0.0_f64, 0.0_f64);
        for i in -103_000..=88_700 {
            let x = i as f32 / 1000.0 + 1.0 / 8192.0;
            both = both.max(ulps(at(exp, x), x));
            if (-87.3..=0.0).contains(&x) {
                to_one = to_one.max(ulps(at(exp_to_one, x), x));
            }
        }
        assert!(both < 1.5 && to_one < 1.5, "{both} {to_one}");
        assert_eq!([exp, exp_to_one].map(|f| at(f, 0.0)), [1.0; 2]);
    }

    #[test]
    fn powers_of_e_end_where_float32_does() {
        assert_eq!(at(exp, 89.0), f32::INFINITY);
        assert_eq!(at(exp, f32::INFINITY), f32::INFINITY);
        for far in [-104.0, -1e30, f32::NEG_INFINITY] {
            assert_eq!([exp, exp_to_one].map(|f| at(f, far)), [0.0; 2], "{far}");
        }
        // Between the last normal number and 0, either is near enough, and nothing else.
        for i in 0..1000 {
            let y = at(exp_to_one, -87.3 - i as f32 / 1000.0);
            assert!((0.0..=1.3e-38).contains(&y), "{i}: {y}");
        }
        assert!([exp, exp_to_one].into_iter().all(|f| at(f, f32::NAN).is_nan()));
    }
}
