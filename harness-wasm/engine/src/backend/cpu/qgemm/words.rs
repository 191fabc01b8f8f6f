//! Dot products of 16-bit integers, two at a time: codes of any width, eight a vector.

use std::array::from_fn;

use super::super::integer::{I16x8, I32x4};
use super::grouped::Dots;
use crate::quant::BLOCK;

/// Codes and integers as 16-bit lanes.
pub(super) struct Words;

impl<const BITS: usize> Dots<BITS> for Words {
    const MOST: i16 = i16::MAX;

    type Block = [[i16; 8]; 4];

    fn block(integers: &[i16; BLOCK]) -> Self::Block {
        from_fn(|t| from_fn(|lane| integers[place::<BITS>(t, lane)]))
    }

    #[inline(always)]
    fn dots<const BLOCKS: usize, const PARTS: usize>(
        x: &[[Self::Block; 2]; BLOCKS],
        starts: &[[i32; 4]; 2],
        words: &[[u32; BITS]; BLOCKS],
    ) -> [I32x4; PARTS] {
        let mut sums = from_fn(|part| I32x4::load(&starts[part]));
        for (x, words) in x.iter().zip(words) {
            let q = fields::<BITS>(words);
            for (part, sum) in sums.iter_mut().enumerate() {
                let [a, b, c, d] = from_fn(|t| q[t].dot(I16x8::load(&x[part][t])));
                *sum = sum.add(a.add(b).add(c.add(d)));
            }
        }
        sums
    }
}

/// Which weight of its block stands in lane `lane` of vector `t` that [`fields`] unpacks.
const fn place<const BITS: usize>(t: usize, lane: usize) -> usize {
    match BITS {
        8 => 16 * (t / 2) + 2 * lane + t % 2,
        4 => {
            let byte = 2 * lane + t / 2;
            8 * (byte / 4) + 4 * (t % 2) + byte % 4
        }
        _ => 4 * (4 * (lane / 4) + t) + lane % 4,
    }
}

/// A block's codes, eight a vector.
#[inline(always)]
fn fields<const BITS: usize>(words: &[u32]) -> [I16x8; 4] {
    match BITS {
        8 => {
            let (low, mask) = (words.as_chunks::<4>().0, I16x8::splat(0xff));
            let (a, b) = (I16x8::words(&low[0]), I16x8::words(&low[1]));
            [a.and(mask), a.shr(8), b.and(mask), b.shr(8)]
        }
        4 => {
            let (v, mask) = (I16x8::words(&words.as_chunks::<4>().0[0]), I16x8::splat(15));
            [v.and(mask), v.shr(4).and(mask), v.shr(8).and(mask), v.shr(12)]
        }
        2 => {
            let (v, mask) = (I16x8::bytes([words[0], words[1]]), I16x8::splat(3));
            [v.and(mask), v.shr(2).and(mask), v.shr(4).and(mask), v.shr(6)]
        }
        _ => {
            let (v, low, high) = (I16x8::bytes([words[0], words[1]]), I16x8::splat(3), I16x8::splat(4));
            // The third bits of quads 0 to 3 are the low halves of its bytes, those of quads 4 to 7 the high ones.
            let third = I16x8::bytes([words[2], words[2] >> 4]).shl(2);
            [
                v.and(low).or(third.and(high)),
                v.shr(2).and(low).or(third.shr(1).and(high)),
                v.shr(4).and(low).or(third.shr(2).and(high)),
                v.shr(6).or(third.shr(3).and(high)),
            ]
        }
    }
}
