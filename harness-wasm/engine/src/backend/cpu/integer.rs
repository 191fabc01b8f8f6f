//! Eight int16 lanes and four int32 lanes: `v128` in WebAssembly, arrays elsewhere, as [`super::simd`].

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod lanes {
    use core::arch::wasm32::*;

    /// Eight 16-bit lanes.
    #[derive(Clone, Copy, Debug)]
    pub(in super::super) struct I16x8(v128);

    /// Four int32 lanes.
    #[derive(Clone, Copy, Debug)]
    pub(in super::super) struct I32x4(v128);

    impl I16x8 {
        #[inline(always)]
        pub(in super::super) fn load(from: &[i16; 8]) -> Self {
            // SAFETY: `v128_load` takes any alignment, and eight lanes are there.
            Self(unsafe { v128_load(from.as_ptr().cast()) })
        }

        /// Four words, each of two lanes.
        #[inline(always)]
        pub(in super::super) fn words(from: &[u32; 4]) -> Self {
            // SAFETY: as above.
            Self(unsafe { v128_load(from.as_ptr().cast()) })
        }

        /// Eight bytes, the words' lowest first.
        #[inline(always)]
        pub(in super::super) fn bytes([a, b]: [u32; 2]) -> Self {
            Self(u16x8_extend_low_u8x16(u64x2_splat(u64::from(a) | u64::from(b) << 32)))
        }

        #[inline(always)]
        pub(in super::super) fn splat(x: u16) -> Self {
            Self(u16x8_splat(x))
        }

        #[inline(always)]
        pub(in super::super) fn and(self, other: Self) -> Self {
            Self(v128_and(self.0, other.0))
        }

        #[inline(always)]
        pub(in super::super) fn or(self, other: Self) -> Self {
            Self(v128_or(self.0, other.0))
        }

        /// Zeros come in from above.
        #[inline(always)]
        pub(in super::super) fn shr(self, by: u32) -> Self {
            Self(u16x8_shr(self.0, by))
        }

        #[inline(always)]
        pub(in super::super) fn shl(self, by: u32) -> Self {
            Self(i16x8_shl(self.0, by))
        }

        /// Products of lanes, those of neighbours added.
        #[inline(always)]
        pub(in super::super) fn dot(self, other: Self) -> I32x4 {
            I32x4(i32x4_dot_i16x8(self.0, other.0))
        }

        /// As sixteen bytes of at most 127: their products with others that have a sign, four to a lane, added to `sum`.
        /// Which lane is the engine's to choose.
        #[inline(always)]
        pub(in super::super) fn dot_bytes(self, other: &[i8; 16], sum: I32x4) -> I32x4 {
            // SAFETY: as above.
            let other = unsafe { v128_load(other.as_ptr().cast()) };
            #[cfg(target_feature = "relaxed-simd")]
            return I32x4(i32x4_relaxed_dot_i8x16_i7x16_add(other, self.0, sum.0));
            #[cfg(not(target_feature = "relaxed-simd"))]
            {
                let halves = [i16x8_extmul_low_i8x16(other, self.0), i16x8_extmul_high_i8x16(other, self.0)];
                let [low, high] = halves.map(|products| I32x4(i32x4_extadd_pairwise_i16x8(products)));
                sum.add(low).add(high)
            }
        }
    }

    impl I32x4 {
        #[inline(always)]
        pub(in super::super) fn load(from: &[i32; 4]) -> Self {
            // SAFETY: as above.
            Self(unsafe { v128_load(from.as_ptr().cast()) })
        }

        #[inline(always)]
        pub(in super::super) fn add(self, other: Self) -> Self {
            Self(i32x4_add(self.0, other.0))
        }

        #[inline(always)]
        pub(in super::super) fn shl(self, by: u32) -> Self {
            Self(i32x4_shl(self.0, by))
        }

        #[inline(always)]
        pub(in super::super) fn to_f32(self) -> super::F32x4 {
            super::F32x4::from_v128(f32x4_convert_i32x4(self.0))
        }
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod lanes {
    /// Eight 16-bit lanes.
    #[derive(Clone, Copy, Debug)]
    pub(in super::super) struct I16x8([u16; 8]);

    /// Four int32 lanes.
    #[derive(Clone, Copy, Debug)]
    pub(in super::super) struct I32x4([i32; 4]);

    impl I16x8 {
        #[inline(always)]
        pub(in super::super) fn load(from: &[i16; 8]) -> Self {
            Self(from.map(|x| x as u16))
        }

        /// Four words, each of two lanes.
        #[inline(always)]
        pub(in super::super) fn words(from: &[u32; 4]) -> Self {
            Self(std::array::from_fn(|i| (from[i / 2] >> (16 * (i % 2))) as u16))
        }

        /// Eight bytes, the words' lowest first.
        #[inline(always)]
        pub(in super::super) fn bytes([a, b]: [u32; 2]) -> Self {
            let [a, b] = [a.to_le_bytes(), b.to_le_bytes()];
            Self(std::array::from_fn(|i| u16::from(if i < 4 { a[i] } else { b[i - 4] })))
        }

        #[inline(always)]
        pub(in super::super) fn splat(x: u16) -> Self {
            Self([x; 8])
        }

        #[inline(always)]
        pub(in super::super) fn and(self, other: Self) -> Self {
            Self(std::array::from_fn(|i| self.0[i] & other.0[i]))
        }

        #[inline(always)]
        pub(in super::super) fn or(self, other: Self) -> Self {
            Self(std::array::from_fn(|i| self.0[i] | other.0[i]))
        }

        /// Zeros come in from above.
        #[inline(always)]
        pub(in super::super) fn shr(self, by: u32) -> Self {
            Self(self.0.map(|x| x >> by))
        }

        #[inline(always)]
        pub(in super::super) fn shl(self, by: u32) -> Self {
            Self(self.0.map(|x| x << by))
        }

        /// Products of lanes, those of neighbours added.
        #[inline(always)]
        pub(in super::super) fn dot(self, other: Self) -> I32x4 {
            let product = |i: usize| i32::from(self.0[i] as i16) * i32::from(other.0[i] as i16);
            I32x4(std::array::from_fn(|i| product(2 * i).wrapping_add(product(2 * i + 1))))
        }

        /// As sixteen bytes of at most 127: their products with others that have a sign, four to a lane, added to `sum`.
        #[inline(always)]
        pub(in super::super) fn dot_bytes(self, other: &[i8; 16], sum: I32x4) -> I32x4 {
            let byte = |i: usize| i32::from(self.0[i / 2] >> (8 * (i % 2)) & 0xff);
            I32x4(std::array::from_fn(|lane| {
                let products = (4 * lane..4 * lane + 4).map(|i| byte(i) * i32::from(other[i]));
                products.fold(sum.0[lane], i32::wrapping_add)
            }))
        }
    }

    impl I32x4 {
        #[inline(always)]
        pub(in super::super) fn load(from: &[i32; 4]) -> Self {
            Self(*from)
        }

        #[cfg(test)]
        pub(in super::super) fn to_array(self) -> [i32; 4] {
            self.0
        }

        #[inline(always)]
        pub(in super::super) fn add(self, other: Self) -> Self {
            Self(std::array::from_fn(|i| self.0[i].wrapping_add(other.0[i])))
        }

        #[inline(always)]
        pub(in super::super) fn shl(self, by: u32) -> Self {
            Self(self.0.map(|x| x << by))
        }

        #[inline(always)]
        pub(in super::super) fn to_f32(self) -> super::F32x4 {
            super::F32x4::load(&self.0.map(|x| x as f32))
        }
    }
}

use super::simd::F32x4;
pub(super) use lanes::{I16x8, I32x4};
