//! Where the scales and minimums of a row lie.
//!
//! Plain: all scales as float16, two a word, then all minimums likewise. Nested, for every super-block of eight groups:
//! float16 `d` in the low half of word 0, and 6-bit numbers split into their low 4 and high 2 bits, so that no number
//! crosses a word. Asymmetric: word 0 is `d` and `m` (high half), word 1 the low bits of the scales, word 2 those of the
//! minimums, word 3 the high bits of both; a scale is `d · s`, a minimum `m · t`. Symmetric: the high half of word 0
//! are the high bits, word 1 the low ones, and a scale is `d · (s - 32)`.

use half::f16;

use super::scheme::{BLOCK, Bits, Packing, SUPER_BLOCK, Scheme};

/// Groups of a super-block.
const NESTED: usize = SUPER_BLOCK / BLOCK;

/// A group's scale and minimum: a weight is `scale · q + min`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Affine {
    pub(crate) scale: f32,
    pub(crate) min: f32,
}

/// The numbers of group `at` of the row whose words these are.
#[inline]
pub(crate) fn read(packing: Packing, words: &[u32], at: usize) -> Affine {
    let Scheme::Grouped { bits, asymmetric, nested, .. } = packing.scheme else {
        unreachable!("half precision has no groups")
    };
    if nested {
        let of = if asymmetric { 4 } else { 2 };
        let words = &words[at / NESTED * of..][..of];
        let i = at % NESTED;
        if asymmetric {
            let scale = ((words[1] >> (4 * i)) & 15) | ((words[3] >> (2 * i)) & 3) << 4;
            let min = ((words[2] >> (4 * i)) & 15) | ((words[3] >> (16 + 2 * i)) & 3) << 4;
            Affine { scale: half(words[0], false) * scale as f32, min: half(words[0], true) * min as f32 }
        } else {
            let scale = ((words[1] >> (4 * i)) & 15) | ((words[0] >> (16 + 2 * i)) & 3) << 4;
            let scale = half(words[0], false) * (scale as f32 - 32.0);
            symmetric(bits, scale)
        }
    } else {
        let scale = half(words[at / 2], at % 2 == 1);
        if asymmetric {
            Affine { scale, min: half(words[packing.groups().div_ceil(2) + at / 2], at % 2 == 1) }
        } else {
            symmetric(bits, scale)
        }
    }
}

fn symmetric(bits: Bits, scale: f32) -> Affine {
    Affine { scale, min: -(bits.zero() as f32) * scale }
}

/// A row's numbers, by group: room that is filled row after row.
pub(crate) struct Scales {
    packing: Packing,
    /// Of whole super-blocks, as the others.
    scales: Vec<f32>,
    /// Only of an asymmetric scheme, as `offsets`.
    mins: Vec<f32>,
    offsets: Vec<f32>,
}

impl Scales {
    pub(crate) fn new(packing: Packing) -> Self {
        let zeros = vec![0.0; packing.groups().next_multiple_of(NESTED)];
        Self { packing, scales: zeros.clone(), mins: zeros.clone(), offsets: zeros }
    }

    pub(crate) fn packing(&self) -> Packing {
        self.packing
    }

    /// The numbers of group `at`.
    #[inline]
    pub(crate) fn affine(&self, at: usize) -> Affine {
        let scale = self.scales[at];
        match self.packing.scheme {
            Scheme::Grouped { bits, asymmetric: false, .. } => symmetric(bits, scale),
            _ => Affine { scale, min: self.mins[at] },
        }
    }

    pub(crate) fn scales(&self) -> &[f32] {
        &self.scales[..self.packing.groups()]
    }

    /// What is added to codes that count from the middle one on: nothing where a scheme is symmetric.
    pub(crate) fn offsets(&self) -> Option<&[f32]> {
        matches!(self.packing.scheme, Scheme::Grouped { asymmetric: true, .. })
            .then(|| &self.offsets[..self.packing.groups()])
    }

    /// Takes the numbers of the row whose words these are: what [`read`] says of each group, many at once.
    pub(crate) fn read(&mut self, words: &[u32]) {
        let Scheme::Grouped { bits, asymmetric, nested, .. } = self.packing.scheme else { return };
        let blocks = self.scales.as_chunks_mut::<NESTED>().0.iter_mut();
        match (nested, asymmetric) {
            (false, false) => halves(words, &mut self.scales),
            (false, true) => {
                let (scales, mins) = words.split_at(words.len() / 2);
                halves(scales, &mut self.scales);
                halves(mins, &mut self.mins);
            }
            (true, false) => {
                for (scales, words) in blocks.zip(words.as_chunks::<2>().0) {
                    let d = half(words[0], false);
                    *scales = sixes(words[1], words[0] >> 16).map(|s| d * (s - 32.0));
                }
            }
            (true, true) => {
                let mins = self.mins.as_chunks_mut::<NESTED>().0;
                for ((scales, mins), words) in blocks.zip(mins).zip(words.as_chunks::<4>().0) {
                    let (d, m) = (half(words[0], false), half(words[0], true));
                    *scales = sixes(words[1], words[3] & 0xffff).map(|s| d * s);
                    *mins = sixes(words[2], words[3] >> 16).map(|t| m * t);
                }
            }
        }
        if asymmetric {
            let zero = bits.zero() as f32;
            for ((offset, min), scale) in self.offsets.iter_mut().zip(&self.mins).zip(&self.scales) {
                *offset = min + zero * scale;
            }
        }
    }
}

/// Float16 numbers, two a word.
pub(super) fn halves(words: &[u32], out: &mut [f32]) {
    let (pairs, last) = out.as_chunks_mut::<2>();
    let count = pairs.len();
    for (pair, &word) in pairs.iter_mut().zip(words) {
        *pair = [half(word, false), half(word, true)];
    }
    if let [last] = last {
        *last = half(words[count], false);
    }
}

/// The float16 numbers of a row from `first` on.
pub(super) fn halves_from(words: &[u32], first: usize, out: &mut [f32]) {
    let words = &words[first / 2..];
    match out {
        [odd, rest @ ..] if first % 2 == 1 => {
            *odd = half(words[0], true);
            halves(&words[1..], rest);
        }
        out => halves(words, out),
    }
}

/// The 6-bit numbers with these low and high bits. They are masked where they stand and multiplied, since vectors have
/// no shift by another amount in each lane.
#[inline(always)]
fn sixes(low: u32, high: u32) -> [f32; NESTED] {
    std::array::from_fn(|i| {
        let low = (low >> (16 * (i / 4))) & (15 << (4 * (i % 4)));
        let high = high & (3 << (2 * i));
        low as i32 as f32 * (1.0 / (1 << (4 * (i % 4))) as f32)
            + high as i32 as f32 * (16.0 / (1 << (2 * i)) as f32)
    })
}

/// A float16 as float32, without a branch.
#[inline(always)]
fn half(word: u32, high: bool) -> f32 {
    let bits = if high { word >> 16 } else { word & 0xffff };
    // The exponent's bias is 15 here and 127 there; the product sets it right, for subnormal numbers too.
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
    // What is not finite has an exponent of all ones in either.
    let ones = u32::from(bits & 0x7c00 == 0x7c00).wrapping_neg() & 0x7f80_0000;
    f32::from_bits(magnitude.to_bits() | ones | (bits & 0x8000) << 16)
}

/// Adds the numbers of a row's groups to `words`, as near to them as the scheme can.
pub(super) fn write(packing: Packing, groups: &[Affine], words: &mut Vec<u32>) {
    let Scheme::Grouped { asymmetric, nested, .. } = packing.scheme else { return };
    if nested {
        for groups in groups.chunks(NESTED) {
            words.extend(if asymmetric { affine_block(groups) } else { signed_block(groups) });
        }
        return;
    }
    let mut halves = |number: fn(&Affine) -> f32| {
        words.extend(groups.chunks(2).map(|pair| {
            let high = pair.get(1).map_or(0, |group| bits_of(number(group)));
            bits_of(number(&pair[0])) | high << 16
        }));
    };
    halves(|group| group.scale);
    if asymmetric {
        halves(|group| group.min);
    }
}

/// The nearest finite float16: a weight beyond its range is stored as its largest.
pub(super) fn bits_of(x: f32) -> u32 {
    let most = f16::MAX.to_f32();
    u32::from(f16::from_f32(x.clamp(-most, most)).to_bits())
}

fn rounded(bits: u32) -> f32 {
    f16::from_bits(bits as u16).to_f32()
}

/// `x / unit` as a whole number of `least..=most`.
fn nearest(x: f32, unit: f32, least: f32, most: f32) -> f32 {
    if unit == 0.0 { 0.0 } else { (x / unit).round_ties_even().clamp(least, most) }
}

fn affine_block(groups: &[Affine]) -> Vec<u32> {
    // The number of largest magnitude becomes ±63 units; others of its sign follow, those of the other sign become 0.
    let unit = |number: fn(&Affine) -> f32| {
        let widest = groups.iter().map(number).fold(0.0_f32, |a, b| if b.abs() > a.abs() { b } else { a });
        bits_of(widest / 63.0)
    };
    let (d, m) = (unit(|group| group.scale), unit(|group| group.min));
    let mut words = vec![d | m << 16, 0, 0, 0];
    for (i, group) in groups.iter().enumerate() {
        let scale = nearest(group.scale, rounded(d), 0.0, 63.0) as u32;
        let min = nearest(group.min, rounded(m), 0.0, 63.0) as u32;
        words[1] |= (scale & 15) << (4 * i);
        words[2] |= (min & 15) << (4 * i);
        words[3] |= (scale >> 4) << (2 * i) | (min >> 4) << (16 + 2 * i);
    }
    words
}

fn signed_block(groups: &[Affine]) -> Vec<u32> {
    let widest =
        groups.iter().map(|group| group.scale).fold(0.0_f32, |a, b| if b.abs() > a.abs() { b } else { a });
    // The widest is -32 units, the one code that has no positive counterpart.
    let d = bits_of(widest / -32.0);
    let mut words = vec![d, 0];
    for (i, group) in groups.iter().enumerate() {
        let scale = (nearest(group.scale, rounded(d), -32.0, 31.0) + 32.0) as u32;
        words[0] |= (scale >> 4) << (16 + 2 * i);
        words[1] |= (scale & 15) << (4 * i);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::twin::Draw;

    fn there_and_back(scheme: &str, columns: usize, groups: &[Affine]) -> Vec<Affine> {
        let packing = Packing { scheme: scheme.parse().unwrap(), columns };
        assert_eq!(groups.len(), packing.groups());
        let mut words = Vec::new();
        write(packing, groups, &mut words);
        assert_eq!(words.len(), packing.scale_words());
        (0..groups.len()).map(|at| read(packing, &words, at)).collect()
    }

    #[test]
    fn numbers_come_back_as_near_as_their_width_allows() {
        for (scheme, relative) in [
            ("int4-g32", 5e-4),
            ("int4-g32-asym", 5e-4),
            ("int2-g32-asym-super", 0.009),
            ("int3-g32-super", 0.017),
        ] {
            for count in [1, 2, 7, 8, 9, 16, 19] {
                let groups: Vec<Affine> = (0..count)
                    .map(|i| Affine { scale: 0.01 + 0.003 * i as f32, min: -0.2 - 0.05 * i as f32 })
                    .collect();
                let back = there_and_back(scheme, 32 * count - 5, &groups);
                let widest = groups.iter().fold((0.0_f32, 0.0_f32), |(scale, min), group| {
                    (scale.max(group.scale), min.max(-group.min))
                });
                for (got, want) in back.iter().zip(&groups) {
                    assert!(
                        (got.scale - want.scale).abs() <= relative * widest.0,
                        "{scheme} {got:?} {want:?}"
                    );
                    let min = if scheme.contains("asym") {
                        want.min
                    } else {
                        let zero = if scheme.contains("int4") { 8.0 } else { 4.0 };
                        assert_eq!(got.min, -zero * got.scale);
                        continue;
                    };
                    assert!((got.min - min).abs() <= relative * widest.1, "{scheme} {got:?} {want:?}");
                }
            }
        }
    }

    #[test]
    fn a_row_says_what_its_groups_say() {
        let mut draw = Draw::new(3, "scales");
        for scheme in Scheme::all().into_iter().skip(1) {
            for groups in [1, 2, 7, 8, 9, 19] {
                let group = Packing { scheme, columns: 0 }.group();
                let packing = Packing { scheme, columns: groups * group - 5 };
                // No exponent of all ones: what files hold is finite.
                let words: Vec<u32> =
                    (0..packing.scale_words()).map(|_| draw.bits() as u32 & 0xbbff_bbff).collect();
                let mut row = Scales::new(packing);
                row.read(&words);
                row.read(&words);
                let Scheme::Grouped { bits, .. } = scheme else { unreachable!("the first is skipped") };
                for at in 0..groups {
                    let Affine { scale, min } = read(packing, &words, at);
                    assert_eq!(row.scales()[at], scale, "{scheme} {at}");
                    assert_eq!(row.affine(at), Affine { scale, min }, "{scheme} {at}");
                    let offset = row.offsets().map_or(0.0, |offsets| offsets[at]);
                    assert_eq!(offset, min + bits.zero() as f32 * scale, "{scheme} {at}");
                }
            }
        }
    }

    #[test]
    fn halves_are_what_the_standard_says() {
        for bits in 0..=0xffff_u32 {
            let want = f16::from_bits(bits as u16).to_f32();
            for got in [half(bits | 0xabcd_0000, false), half(bits << 16 | 0x1234, true)] {
                assert!(got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(), "{bits:x}: {got}");
            }
        }
    }

    #[test]
    fn zeros_and_giants_stay_finite() {
        for scheme in ["int4-g32", "int4-g32-asym", "int2-g32-asym-super", "int3-g32-super"] {
            let groups = [Affine::default(), Affine { scale: 1e9, min: -1e9 }, Affine::default()];
            for got in there_and_back(scheme, 96, &groups) {
                assert!(got.scale.is_finite() && got.min.is_finite(), "{scheme} {got:?}");
            }
            let zeros = there_and_back(scheme, 64, &[Affine::default(); 2]);
            assert!(zeros.iter().all(|group| group.scale == 0.0 && group.min == 0.0), "{scheme}");
        }
    }
}
