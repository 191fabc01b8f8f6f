//! Where the bits of a block of 32 weights lie.
//!
//! Weights `4j..4j+4` are quad `j`, one in each byte of a word, so that the same words feed packed integer dot products,
//! conversion to floats, and 128-bit vectors:
//!
//! | bits | words a block | quad `j` |
//! |---|---|---|
//! | 8 | 8 | `w[j]` |
//! | 4 | 4 | `(w[j / 2] >> 4 · (j & 1)) & 0x0F0F0F0F` |
//! | 2 | 2 | `(w[j / 4] >> 2 · (j & 3)) & 0x03030303` |
//! | 3 | 3 | the 2-bit quad, `\| ((w[2] >> j) & 0x01010101) << 2` |

use super::scheme::{BLOCK, Bits};

/// Quads of a block.
const QUADS: usize = BLOCK / 4;

/// Adds a block to `words`.
pub(super) fn pack(bits: Bits, block: &[u8; BLOCK], words: &mut Vec<u32>) {
    let quad =
        |j: usize| u32::from_le_bytes([block[4 * j], block[4 * j + 1], block[4 * j + 2], block[4 * j + 3]]);
    let plane = |width: usize, mask: u32, words: &mut Vec<u32>| {
        let quads = 8 / width;
        words.extend(
            (0..QUADS / quads)
                .map(|at| (0..quads).fold(0, |word, i| word | (quad(at * quads + i) & mask) << (width * i))),
        );
    };
    match bits {
        Bits::Eight => plane(8, 0xffff_ffff, words),
        Bits::Four => plane(4, 0x0f0f_0f0f, words),
        Bits::Two => plane(2, 0x0303_0303, words),
        Bits::Three => {
            plane(2, 0x0303_0303, words);
            words.push((0..QUADS).fold(0, |word, j| word | ((quad(j) >> 2) & 0x0101_0101) << j));
        }
    }
}

/// Quad `j` of the block that `words` are.
#[inline(always)]
pub(crate) fn quad(bits: Bits, words: &[u32], j: usize) -> [u8; 4] {
    let quad = match bits {
        Bits::Eight => words[j],
        Bits::Four => (words[j / 2] >> (4 * (j & 1))) & 0x0f0f_0f0f,
        Bits::Two => (words[j / 4] >> (2 * (j & 3))) & 0x0303_0303,
        Bits::Three => {
            let low = (words[j / 4] >> (2 * (j & 3))) & 0x0303_0303;
            low | ((words[2] >> j) & 0x0101_0101) << 2
        }
    };
    quad.to_le_bytes()
}

/// The block that `words` are.
#[inline(always)]
pub(crate) fn unpack(bits: Bits, words: &[u32]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    for (j, to) in block.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        *to = quad(bits, words, j);
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        for bits in Bits::ALL {
            let mut words = Vec::new();
            let block = std::array::from_fn(|i| ((i * 37 + 5) as u32 & bits.most()) as u8);
            pack(bits, &block, &mut words);
            assert_eq!(words.len(), bits.count());
            assert_eq!(unpack(bits, &words), block, "{bits:?}");
        }
    }

    /// The layout is read by shaders and by other programs: it may not move.
    #[test]
    fn words_are_these() {
        let block: [u8; BLOCK] = std::array::from_fn(|i| i as u8);
        let words = |bits: Bits| {
            let mut words = Vec::new();
            pack(bits, &block.map(|q| q & bits.most() as u8), &mut words);
            words
        };
        assert_eq!(words(Bits::Eight)[..2], [0x0302_0100, 0x0706_0504]);
        assert_eq!(words(Bits::Four), [0x7362_5140, 0xfbea_d9c8, 0x7362_5140, 0xfbea_d9c8]);
        assert_eq!(words(Bits::Two), [0xffaa_5500, 0xffaa_5500]);
        assert_eq!(words(Bits::Three), [0xffaa_5500, 0xffaa_5500, 0xaaaa_aaaa]);
    }
}
