//! Four float32 lanes: `v128` in WebAssembly, an array that the compiler vectorises elsewhere.
//!
//! Kernels are written once against this type, so that `wasm` and `native-cpu` are the same code.

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod lanes {
    use core::arch::wasm32::*;

    /// Four float32 lanes.
    #[derive(Clone, Copy, Debug)]
    pub(in super::super) struct F32x4(v128);

    impl F32x4 {
        #[inline(always)]
        pub(in super::super) const fn from_v128(lanes: v128) -> Self {
            Self(lanes)
        }

        #[inline(always)]
        pub(in super::super) fn splat(x: f32) -> Self {
            Self(f32x4_splat(x))
        }

        #[inline(always)]
        pub(in super::super) fn load(from: &[f32]) -> Self {
            let &[a, b, c, d] = from.first_chunk::<4>().expect("four lanes");
            Self(f32x4(a, b, c, d))
        }

        #[inline(always)]
        pub(in super::super) fn to_array(self) -> [f32; 4] {
            [
                f32x4_extract_lane::<0>(self.0),
                f32x4_extract_lane::<1>(self.0),
                f32x4_extract_lane::<2>(self.0),
                f32x4_extract_lane::<3>(self.0),
            ]
        }

        #[inline(always)]
        pub(in super::super) fn add(self, other: Self) -> Self {
            Self(f32x4_add(self.0, other.0))
        }

        /// `self * b + c`, fused where the engine fuses.
        #[inline(always)]
        pub(in super::super) fn mul_add(self, b: Self, c: Self) -> Self {
            #[cfg(target_feature = "relaxed-simd")]
            return Self(f32x4_relaxed_madd(self.0, b.0, c.0));
            #[cfg(not(target_feature = "relaxed-simd"))]
            Self(f32x4_add(f32x4_mul(self.0, b.0), c.0))
        }

        #[inline(always)]
        pub(in super::super) fn store(self, to: &mut [f32; 4]) {
            // SAFETY: `v128_store` takes any alignment, and four lanes are there.
            unsafe { v128_store(to.as_mut_ptr().cast(), self.0) }
        }

        #[inline(always)]
        pub(in super::super) fn sub(self, other: Self) -> Self {
            Self(f32x4_sub(self.0, other.0))
        }

        #[inline(always)]
        pub(in super::super) fn mul(self, other: Self) -> Self {
            Self(f32x4_mul(self.0, other.0))
        }

        #[inline(always)]
        pub(in super::super) fn div(self, other: Self) -> Self {
            Self(f32x4_div(self.0, other.0))
        }

        #[inline(always)]
        pub(in super::super) fn abs(self) -> Self {
            Self(f32x4_abs(self.0))
        }

        /// `other` where it is larger; so a NaN in `self` stays, and one in `other` is passed over.
        #[inline(always)]
        pub(in super::super) fn or_larger(self, other: Self) -> Self {
            Self(f32x4_pmax(self.0, other.0))
        }

        /// `other` where it is smaller, as [`Self::or_larger`].
        #[inline(always)]
        pub(in super::super) fn or_smaller(self, other: Self) -> Self {
            Self(f32x4_pmin(self.0, other.0))
        }

        /// 2 to the power of `n` from -126 to 127, of [`EXPONENT`](super::EXPONENT)` + n`; 0 where `n` is -127.
        #[inline(always)]
        pub(in super::super) fn power(self) -> Self {
            Self(i32x4_shl(self.0, 23))
        }

        /// Words of two float16 each, as float32 divided by 2^112: the lower ones, and the higher ones. They are finite.
        #[inline(always)]
        pub(in super::super) fn half_pairs(from: &[u32; 4]) -> [Self; 2] {
            // SAFETY: `v128_load` takes any alignment, and four words are there.
            let words = unsafe { v128_load(from.as_ptr().cast()) };
            // Sign, exponent and mantissa come to stand as in a float32, whose exponent counts from another start.
            let kept = i32x4_splat(super::HALF_BITS as i32);
            let high = v128_and(i32x4_shr(words, 3), kept);
            let low = v128_and(i32x4_shr(i32x4_shl(words, 16), 3), kept);
            [Self(low), Self(high)]
        }

        /// `yes` where `self` is less than `bound`, else `no`.
        #[inline(always)]
        pub(in super::super) fn if_less(self, bound: Self, yes: Self, no: Self) -> Self {
            Self(v128_bitselect(yes.0, no.0, f32x4_lt(self.0, bound.0)))
        }
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod lanes {
    /// Four float32 lanes.
    #[derive(Clone, Copy, Debug)]
    pub(in super::super) struct F32x4([f32; 4]);

    impl F32x4 {
        #[inline(always)]
        pub(in super::super) fn splat(x: f32) -> Self {
            Self([x; 4])
        }

        #[inline(always)]
        pub(in super::super) fn load(from: &[f32]) -> Self {
            Self(*from.first_chunk::<4>().expect("four lanes"))
        }

        #[inline(always)]
        pub(in super::super) fn to_array(self) -> [f32; 4] {
            self.0
        }

        #[inline(always)]
        fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
            Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
        }

        #[inline(always)]
        pub(in super::super) fn add(self, other: Self) -> Self {
            self.zip(other, |a, b| a + b)
        }

        /// `self * b + c`.
        #[inline(always)]
        pub(in super::super) fn mul_add(self, b: Self, c: Self) -> Self {
            self.zip(b, |a, b| a * b).add(c)
        }

        #[inline(always)]
        pub(in super::super) fn store(self, to: &mut [f32; 4]) {
            *to = self.0;
        }

        #[inline(always)]
        pub(in super::super) fn sub(self, other: Self) -> Self {
            self.zip(other, |a, b| a - b)
        }

        #[inline(always)]
        pub(in super::super) fn mul(self, other: Self) -> Self {
            self.zip(other, |a, b| a * b)
        }

        #[inline(always)]
        pub(in super::super) fn div(self, other: Self) -> Self {
            self.zip(other, |a, b| a / b)
        }

        #[inline(always)]
        pub(in super::super) fn abs(self) -> Self {
            Self(self.0.map(f32::abs))
        }

        /// `other` where it is larger; so a NaN in `self` stays, and one in `other` is passed over.
        #[inline(always)]
        pub(in super::super) fn or_larger(self, other: Self) -> Self {
            self.zip(other, |a, b| if a < b { b } else { a })
        }

        /// `other` where it is smaller, as [`Self::or_larger`].
        #[inline(always)]
        pub(in super::super) fn or_smaller(self, other: Self) -> Self {
            self.zip(other, |a, b| if b < a { b } else { a })
        }

        /// 2 to the power of `n` from -126 to 127, of [`EXPONENT`](super::EXPONENT)` + n`; 0 where `n` is -127.
        #[inline(always)]
        pub(in super::super) fn power(self) -> Self {
            Self(self.0.map(|rounded| f32::from_bits(rounded.to_bits() << 23)))
        }

        /// Words of two float16 each, as float32 divided by 2^112: the lower ones, and the higher ones. They are finite.
        #[inline(always)]
        pub(in super::super) fn half_pairs(from: &[u32; 4]) -> [Self; 2] {
            let placed = |word: u32| f32::from_bits((word as i32 >> 3) as u32 & super::HALF_BITS);
            [Self(from.map(|word| placed(word << 16))), Self(from.map(placed))]
        }

        /// `yes` where `self` is less than `bound`, else `no`.
        #[inline(always)]
        pub(in super::super) fn if_less(self, bound: Self, yes: Self, no: Self) -> Self {
            Self(std::array::from_fn(|i| if self.0[i] < bound.0[i] { yes.0[i] } else { no.0[i] }))
        }
    }
}

pub(super) use lanes::F32x4;

/// 1.5 · 2^23: a small number added to it is rounded to a whole one, ties to even, which then stands in the sum's low bits.
const WHOLE: f32 = 12_582_912.0;

/// As [`WHOLE`], but what then stands in the low bits is the exponent of a float32: 127 more than the small number.
pub(super) const EXPONENT: f32 = WHOLE + 127.0;

/// Where a float16's bits stand after a shift that repeated its sign: the sign, and what is no repetition of it.
const HALF_BITS: u32 = 0x8fff_e000;

impl F32x4 {
    /// To whole numbers, of numbers below 2^22 in size.
    #[inline(always)]
    pub(super) fn nearest(self) -> Self {
        self.add(Self::splat(WHOLE)).sub(Self::splat(WHOLE))
    }

    /// 2 to the power of whole numbers from -126 to 127.
    #[inline(always)]
    pub(super) fn power_of_two(self) -> Self {
        self.add(Self::splat(EXPONENT)).power()
    }

    /// All lanes added up.
    #[inline(always)]
    pub(super) fn sum(self) -> f32 {
        let [a, b, c, d] = self.to_array();
        (a + b) + (c + d)
    }
}

/// `Σ a[i] * b[i]`, in sixteen interleaved partial sums.
#[inline]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [F32x4::splat(0.0); 4];
    let (a16, a_rest) = a.as_chunks::<16>();
    let (b16, b_rest) = b.as_chunks::<16>();
    for (x, y) in a16.iter().zip(b16) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum = F32x4::load(&x[4 * lane..]).mul_add(F32x4::load(&y[4 * lane..]), *sum);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum() + rest
}

/// `y[i] += s * x[i]`.
#[inline]
pub(super) fn axpy(s: f32, x: &[f32], y: &mut [f32]) {
    let scale = F32x4::splat(s);
    let (x4, x_rest) = x.as_chunks::<4>();
    let (y4, y_rest) = y.as_chunks_mut::<4>();
    for (x, y) in x4.iter().zip(y4) {
        F32x4::load(x).mul_add(scale, F32x4::load(y)).store(y);
    }
    for (x, y) in x_rest.iter().zip(y_rest) {
        *y += s * x;
    }
}

/// The largest element, `-∞` of nothing. A NaN is passed over.
#[inline]
pub(super) fn max(x: &[f32]) -> f32 {
    let none = F32x4::splat(f32::NEG_INFINITY);
    let (x16, rest) = x.as_chunks::<16>();
    let mut tops = [none; 4];
    for x in x16 {
        for (lane, top) in tops.iter_mut().enumerate() {
            *top = top.or_larger(F32x4::load(&x[4 * lane..]));
        }
    }
    let top = tops[0].or_larger(tops[1]).or_larger(tops[2].or_larger(tops[3]));
    top.to_array().iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| a.max(b))
}

/// Replaces `x[i]` by `f(x[i])`, four at a time; the last few stand among zeros.
#[inline(always)]
pub(super) fn map(x: &mut [f32], f: impl Fn(F32x4) -> F32x4) {
    let (x4, rest) = x.as_chunks_mut::<4>();
    for x in x4 {
        f(F32x4::load(x)).store(x);
    }
    if !rest.is_empty() {
        let mut last = [0.0; 4];
        last[..rest.len()].copy_from_slice(rest);
        rest.copy_from_slice(&f(F32x4::load(&last)).to_array()[..rest.len()]);
    }
}

/// As [`map`], of two operands of one length.
#[inline(always)]
pub(super) fn map2(x: &mut [f32], y: &[f32], f: impl Fn(F32x4, F32x4) -> F32x4) {
    let (x4, x_rest) = x.as_chunks_mut::<4>();
    let (y4, y_rest) = y.as_chunks::<4>();
    for (x, y) in x4.iter_mut().zip(y4) {
        f(F32x4::load(x), F32x4::load(y)).store(x);
    }
    if !x_rest.is_empty() {
        let (mut a, mut b) = ([0.0; 4], [0.0; 4]);
        a[..x_rest.len()].copy_from_slice(x_rest);
        b[..y_rest.len()].copy_from_slice(y_rest);
        x_rest.copy_from_slice(&f(F32x4::load(&a), F32x4::load(&b)).to_array()[..x_rest.len()]);
    }
}

/// `Σ x[i]`.
#[inline]
pub(super) fn sum(x: &[f32]) -> f32 {
    let (x4, rest) = x.as_chunks::<4>();
    let lanes = x4.iter().fold(F32x4::splat(0.0), |sum, x| sum.add(F32x4::load(x)));
    lanes.sum() + rest.iter().sum::<f32>()
}
