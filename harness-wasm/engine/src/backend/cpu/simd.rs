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
        pub(in super::super) fn max(self, other: Self) -> Self {
            Self(f32x4_max(self.0, other.0))
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
        pub(in super::super) fn max(self, other: Self) -> Self {
            // As WebAssembly: a NaN in either lane stays.
            self.zip(other, |a, b| if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) })
        }
    }
}

pub(super) use lanes::F32x4;

impl F32x4 {
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
        *y = F32x4::load(x).mul_add(scale, F32x4::load(y)).to_array();
    }
    for (x, y) in x_rest.iter().zip(y_rest) {
        *y += s * x;
    }
}

/// The largest element, NaN if there is one, `-∞` of nothing.
#[inline]
pub(super) fn max(x: &[f32]) -> f32 {
    let (x4, rest) = x.as_chunks::<4>();
    let lanes = x4.iter().fold(F32x4::splat(f32::NEG_INFINITY), |max, x| max.max(F32x4::load(x))).to_array();
    lanes
        .iter()
        .chain(rest)
        .fold(f32::NEG_INFINITY, |a, &b| if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) })
}

/// `Σ x[i]`.
#[inline]
pub(super) fn sum(x: &[f32]) -> f32 {
    let (x4, rest) = x.as_chunks::<4>();
    let lanes = x4.iter().fold(F32x4::splat(0.0), |sum, x| sum.add(F32x4::load(x)));
    lanes.sum() + rest.iter().sum::<f32>()
}
