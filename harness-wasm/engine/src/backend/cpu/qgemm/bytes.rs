//! Dot products of bytes, four at a time: codes of four bits, sixteen a vector, by integers in two bytes.
//!
//! Relaxed SIMD has one instruction for it. Where the processor has one as well (`sdot`, `vpdpbusd`), it does in one step
//! what takes [`Words`](super::words::Words) four or more; where it has not, engines write out what takes longer.

use std::array::from_fn;

use super::super::integer::{I16x8, I32x4};
use super::grouped::Dots;
use crate::quant::BLOCK;

/// Codes and the two bytes of integers as 8-bit lanes.
pub(super) struct Bytes;

impl Dots<4> for Bytes {
    /// So that both bytes have a sign.
    const MOST: i16 = 127 * 256 + 127;

    /// High bytes of the integers that go with even and with odd quads of codes, then low bytes. All have a sign.
    type Block = [[i8; 16]; 4];

    fn block(integers: &[i16; BLOCK]) -> Self::Block {
        from_fn(|t| {
            from_fn(|lane| {
                let integer = integers[place(t % 2, lane)];
                let low = integer as i8;
                if t < 2 { ((integer - i16::from(low)) >> 8) as i8 } else { low }
            })
        })
    }

    #[inline(always)]
    fn dots<const BLOCKS: usize, const PARTS: usize>(
        x: &[[Self::Block; 2]; BLOCKS],
        starts: &[[i32; 4]; 2],
        words: &[[u32; 4]; BLOCKS],
    ) -> [I32x4; PARTS] {
        let mut sums = from_fn(|part| [I32x4::load(&[0; 4]), I32x4::load(&starts[part])]);
        for (x, words) in x.iter().zip(words) {
            let [even, odd] = quads(words);
            for (x, [high, low]) in x.iter().zip(&mut sums) {
                *high = odd.dot_bytes(&x[1], even.dot_bytes(&x[0], *high));
                *low = odd.dot_bytes(&x[3], even.dot_bytes(&x[2], *low));
            }
        }
        sums.map(|[high, low]| high.shl(8).add(low))
    }
}

/// Which weight of its block stands in byte `lane` of vector `t` that [`quads`] unpacks.
const fn place(t: usize, lane: usize) -> usize {
    8 * (lane / 4) + 4 * t + lane % 4
}

/// A block's codes, sixteen a vector: a word's first four in one, its last four in the other.
#[inline(always)]
fn quads(words: &[u32; 4]) -> [I16x8; 2] {
    let (v, mask) = (I16x8::words(words), I16x8::splat(0x0f0f));
    [v.and(mask), v.shr(4).and(mask)]
}
