//! Resizing pictures as torchvision does on the CPU, bit for bit.
//!
//! Two passes, across and then down, each with integer weights and rounded to 8 bits; a pass that would change
//! nothing is left out. Integers are why every system makes the same bits.

use super::picture::Picture;

/// The kernel that is laid over the picture, stretched where it shrinks (that is, with antialiasing).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// A triangle: `resample` 2.
    Bilinear,
    /// Catmull-Rom's cubic: `resample` 3.
    Bicubic,
}

impl Filter {
    /// How far from its centre the kernel reaches.
    const fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    /// The kernel's height at a distance from its centre.
    fn at(self, distance: f64) -> f64 {
        let x = distance.abs();
        match self {
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Self::Bicubic => 0.0,
        }
    }
}

/// What one place of the result is made of: pixels from `first` on, with weights whose sum is 1.
struct Taps {
    first: usize,
    weights: Vec<f64>,
}

/// The taps of every place along an axis of `from` pixels that becomes one of `to`.
fn taps(filter: Filter, from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let reach = filter.support() * stretch;
    let place = |i: usize| {
        let centre = (i as f64 + 0.5) * scale;
        // Towards zero: a negative first is 0.
        let first = (centre - reach + 0.5) as usize;
        let end = ((centre + reach + 0.5) as usize).min(from);
        let heights: Vec<f64> =
            (first..end).map(|j| filter.at((j as f64 - centre + 0.5) * (1.0 / stretch))).collect();
        let sum: f64 = heights.iter().sum();
        Taps { first, weights: heights.into_iter().map(|height| height / sum).collect() }
    };
    (0..to).map(place).collect()
}

/// The number of fractional bits with which the largest weight still fits 16 bits, at most 22.
fn precision(taps: &[Taps]) -> u32 {
    let largest = taps.iter().flat_map(|taps| &taps.weights).fold(0.0_f64, |a, &b| a.max(b));
    let fits = |bits: u32| (0.5 + largest * f64::from(1_u32 << bits)) < f64::from(1 << 15);
    (0..22).find(|bits| !fits(bits + 1)).unwrap_or(22)
}

/// The picture in another size, `[height, width]`.
pub(super) fn resize(picture: &Picture, size: [usize; 2], filter: Filter) -> Picture {
    let [height, width] = size;
    let [from_height, from_width] = picture.size();
    let mut bytes = picture.bytes().to_vec();
    if width != from_width {
        bytes = pass(&bytes, [from_height, from_width, 3], width, filter);
    }
    if height != from_height {
        bytes = pass(&bytes, [1, from_height, 3 * width], height, filter);
    }
    Picture::made(size, bytes)
}

/// Bytes `[outer, from, inner]` to `[outer, to, inner]`.
fn pass(bytes: &[u8], [outer, from, inner]: [usize; 3], to: usize, filter: Filter) -> Vec<u8> {
    let taps = taps(filter, from, to);
    let bits = precision(&taps);
    // Half away from zero, by the way that torchvision rounds.
    let fixed = |weight: f64| (weight * f64::from(1_u32 << bits) + 0.5_f64.copysign(weight)) as i64;
    let mut result = Vec::with_capacity(outer * to * inner);
    let mut sums = vec![0_i64; inner];
    let taps: Vec<(usize, Vec<i64>)> =
        taps.into_iter().map(|taps| (taps.first, taps.weights.into_iter().map(fixed).collect())).collect();
    for block in bytes.chunks_exact(from * inner) {
        for (first, weights) in &taps {
            sums.fill(1 << (bits - 1));
            for (line, weight) in block[first * inner..].chunks_exact(inner).zip(weights) {
                for (sum, &byte) in sums.iter_mut().zip(line) {
                    *sum += weight * i64::from(byte);
                }
            }
            result.extend(sums.iter().map(|sum| (sum >> bits).clamp(0, 255) as u8));
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same by the definition: real weights, no rounding; only what leaves 0..=255 is cut off between passes, as
    /// there.
    fn oracle(picture: &Picture, size: [usize; 2], filter: Filter) -> Vec<f64> {
        let [from_height, from_width] = picture.size();
        let [height, width] = size;
        let pixel = |y: usize, x: usize, c: usize| f64::from(picture.bytes()[(y * from_width + x) * 3 + c]);
        let mix = |from: usize, to: usize, i: usize, value: &dyn Fn(usize) -> f64| {
            if from == to {
                return value(i);
            }
            let scale = from as f64 / to as f64;
            let centre = (i as f64 + 0.5) * scale;
            let height = |j: usize| filter.at((j as f64 + 0.5 - centre) / scale.max(1.0));
            let whole: f64 = (0..from).map(height).sum();
            ((0..from).map(|j| height(j) * value(j)).sum::<f64>() / whole).clamp(0.0, 255.0)
        };
        let mut result = Vec::new();
        for y in 0..height {
            for x in 0..width {
                for c in 0..3 {
                    let across = |y: usize| mix(from_width, width, x, &|x| pixel(y, x, c));
                    result.push(mix(from_height, height, y, &across));
                }
            }
        }
        result
    }

    fn pictures() -> impl Strategy<Value = Picture> {
        (1..14_usize, 1..14_usize).prop_flat_map(|(height, width)| {
            proptest::collection::vec(any::<u8>(), height * width * 3)
                .prop_map(move |bytes| Picture::new([height, width], bytes).unwrap())
        })
    }

    fn filters() -> impl Strategy<Value = Filter> {
        prop_oneof![Just(Filter::Bilinear), Just(Filter::Bicubic)]
    }

    proptest! {
        #[test]
        fn is_the_oracle_rounded(picture in pictures(), height in 1..20_usize, width in 1..20_usize, filter in filters()) {
            let made = resize(&picture, [height, width], filter);
            let exact = oracle(&picture, [height, width], filter);
            // Half a level a pass; the second pass's weights, of which some are negative, blow up the first's.
            let bound = match filter {
                Filter::Bilinear => 1.05,
                Filter::Bicubic => 1.3,
            };
            for (byte, exact) in made.bytes().iter().zip(exact) {
                prop_assert!((f64::from(*byte) - exact).abs() <= bound, "{byte} is not {exact}");
            }
        }

        #[test]
        fn its_own_size_is_itself(picture in pictures(), filter in filters()) {
            prop_assert_eq!(&resize(&picture, picture.size(), filter), &picture);
        }

        #[test]
        fn one_colour_stays(level: u8, from in 1..40_usize, to in 1..40_usize, filter in filters()) {
            let picture = Picture::new([from, to], vec![level; from * to * 3]).unwrap();
            let made = resize(&picture, [to, from], filter);
            prop_assert!(made.bytes().iter().all(|byte| *byte == level));
        }
    }

    #[test]
    fn halving_averages_neighbours() {
        let picture = Picture::new([1, 4], [0, 100, 200, 40].iter().flat_map(|&v| [v; 3]).collect()).unwrap();
        // A triangle over two pixels each way: weights 1, 3, 3, 1, those beyond the edge left out.
        let made = resize(&picture, [1, 2], Filter::Bilinear);
        assert_eq!(made.bytes(), [71, 71, 71, 117, 117, 117]);
    }
}
