//! Elementwise kernels in float32, and the cache append.

use crate::ops::{Binary, Op, Unary};
use crate::tensor::{DType, Tensor};

/// `binary` where both operands have one shape, or one repeats along the leading axes.
pub(super) fn binary(op: Binary, a: &Tensor, b: &Tensor) -> Tensor {
    let suffix = |long: &[usize], short: &[usize]| long.ends_with(short) && !short.is_empty();
    if a.dtype() != DType::F32 || op.is_comparison() || !suffix(a.shape(), b.shape()) || b.is_empty() {
        return Op::Binary(op).eval(&[a, b]);
    }
    let f: fn(f32, f32) -> f32 = match op {
        Binary::Add => |a, b| a + b,
        Binary::Sub => |a, b| a - b,
        Binary::Mul => |a, b| a * b,
        Binary::Div => |a, b| a / b,
        Binary::SwiGlu => |a, b| silu(a) * b,
        Binary::Max | Binary::Min | Binary::Equal | Binary::LesserOrEqual => {
            return Op::Binary(op).eval(&[a, b]);
        }
    };
    let mut out = a.as_f32().to_vec();
    for row in out.chunks_exact_mut(b.len()) {
        for (x, &y) in row.iter_mut().zip(b.as_f32()) {
            *x = f(*x, y);
        }
    }
    Tensor::f32(a.shape(), out)
}

pub(super) fn unary(op: Unary, x: &Tensor) -> Tensor {
    let mut out = x.as_f32().to_vec();
    unary_in_place(op, &mut out);
    Tensor::f32(x.shape(), out)
}

pub(super) fn unary_in_place(op: Unary, x: &mut [f32]) {
    let f: fn(f32) -> f32 = match op {
        Unary::Abs => f32::abs,
        Unary::Cos => libm::cosf,
        Unary::Erf => libm::erff,
        Unary::Exp => exp,
        Unary::Gelu => gelu,
        Unary::GeluTanh => |x| x * sigmoid(1.595_769 * (x + 0.044_715 * x * x * x)),
        Unary::Log => libm::logf,
        Unary::Neg => |x| -x,
        Unary::QuickGelu => |x| x * sigmoid(1.702 * x),
        Unary::Reciprocal => |x| 1.0 / x,
        Unary::Relu => |x| if x < 0.0 { 0.0 } else { x },
        Unary::Sigmoid => sigmoid,
        Unary::Silu => silu,
        Unary::Sin => libm::sinf,
        Unary::Sqrt => f32::sqrt,
        Unary::Tanh => libm::tanhf,
    };
    for v in x {
        *v = f(*v);
    }
}

/// `e^x` to about an ulp: `2^n · e^r` with `|r| ≤ ln 2 / 2` and a Taylor polynomial of `e^r`.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // ln 2 in two parts, the first exact in few bits, so that `n * LN2_HIGH` is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(-104.0, 89.0);
    let n = (clamped * std::f32::consts::LOG2_E).round_ties_even();
    let r = (clamped - n * LN2_HIGH) - n * LN2_LOW;
    let p = 1.0 / 5040.0_f32;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    // In two steps, because 2^n alone leaves float32's range at both ends.
    let half = (n * 0.5) as i32;
    let power = |n: i32| f32::from_bits(((n + 127) << 23) as u32);
    let y = p * power(half) * power(n as i32 - half);
    if x.is_nan() { x } else { y }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

/// `x · Φ(x)`. Near 0 by the Taylor series of the error function; further out by
/// `erfc(z) ≈ e^(-z²) · P(1 / (1 + z/2))`, a least-squares fit of our own to 1.2e-8.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let phi = if z < 0.84 {
        let s = -z * z;
        // 1/(n! (2n+1)), from n = 9 down.
        let p = 1.0 / 6_894_720.0_f32;
        let p = p * s + 1.0 / 685_440.0;
        let p = p * s + 1.0 / 75_600.0;
        let p = p * s + 1.0 / 9_360.0;
        let p = p * s + 1.0 / 1_320.0;
        let p = p * s + 1.0 / 216.0;
        let p = p * s + 1.0 / 42.0;
        let p = p * s + 1.0 / 10.0;
        let p = p * s + 1.0 / 3.0;
        let p = p * s + 1.0;
        0.5 + x * (p * 0.398_942_3)
    } else {
        let t = 1.0 / (1.0 + 0.5 * z);
        let p = 0.071_431_61_f32;
        let p = p * t - 0.155_631_12;
        let p = p * t - 0.013_740_973;
        let p = p * t + 0.133_663_08;
        let p = p * t + 0.145_555_29;
        let p = p * t + 0.256_367_76;
        let p = p * t + 0.280_432_66;
        let p = p * t + 0.282_249_87;
        let p = p * t - 6.028_323_4e-6;
        let tail = 0.5 * p * exp(-z * z);
        if x < 0.0 { tail } else { 1.0 - tail }
    };
    x * phi
}

/// Writes `new [batch, tokens, width]` over `cache [batch, context, width]` from `position` on.
pub(super) fn kv_append(cache: &mut Tensor, new: &Tensor, position: i32) {
    let &[batch, context, width] = cache.shape() else { unreachable!("rank 3: inferred") };
    let start = (position.max(0) as usize).min(context);
    let tokens = new.shape()[1];
    let kept = tokens.min(context - start);
    let to = cache.as_f32_mut();
    for b in 0..batch {
        to[(b * context + start) * width..][..kept * width]
            .copy_from_slice(&new.as_f32()[b * tokens * width..][..kept * width]);
    }
}
