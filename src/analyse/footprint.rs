//! How much memory weights take at a precision, by the layout that quantised weights have.

use webmatrix_engine::quant::{Bits, Group, Packing, Scheme};
use webmatrix_wire::Precision;

/// Bytes of weights of these shapes, scales included; none for a precision that is a mixture of others.
///
/// Matrices are quantised along their rows, in groups of 32 with minimums, the last one filled up. What is no matrix
/// (norms, biases), and rows shorter than a group, stay in float16.
pub(super) fn footprint(shapes: &[&[usize]], precision: Precision) -> Option<u64> {
    let scheme = match precision {
        Precision::Fp32 => return Some(4 * elements(shapes)),
        Precision::Fp16 => return Some(2 * elements(shapes)),
        Precision::Int8 => Scheme::asymmetric(Bits::Eight, Group::Of32),
        Precision::Int4 => Scheme::asymmetric(Bits::Four, Group::Of32),
        Precision::Int3 => Scheme::nested(Bits::Three, true),
        Precision::Int2 => Scheme::nested(Bits::Two, true),
        Precision::Mixed => return None,
    };
    let one = |shape: &&[usize]| {
        let row: usize = shape.iter().skip(1).product();
        if shape.len() < 2 || row < Group::Of32.size() {
            return 2 * shape.iter().product::<usize>() as u64;
        }
        let packing = Packing { scheme, columns: row };
        4 * (shape[0] * (packing.words() + packing.scale_words())) as u64
    };
    Some(shapes.iter().map(one).sum())
}

fn elements(shapes: &[&[usize]]) -> u64 {
    shapes.iter().map(|shape| shape.iter().product::<usize>() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_a_part_of_the_bits() {
        let shapes: [&[usize]; 1] = [&[1024, 2048]];
        let bits =
            |precision| footprint(&shapes, precision).map(|bytes| bytes as f64 * 8.0 / (1024.0 * 2048.0));
        let told: Vec<_> = Precision::ALL.iter().map(|precision| bits(*precision)).collect();
        let exact = [Some(32.0), Some(16.0), Some(9.0), Some(5.0), Some(3.5), Some(2.5), None];
        assert_eq!(told, exact);
    }

    #[test]
    fn what_is_no_matrix_stays_in_float16() {
        assert_eq!(footprint(&[&[768]], Precision::Int4), Some(1536));
        assert_eq!(footprint(&[&[64, 1, 3, 3]], Precision::Int4), Some(64 * 9 * 2));
        // A row of 40 takes two groups: the second is filled up.
        assert_eq!(footprint(&[&[1, 40]], Precision::Int8), Some(2 * (32 + 4)));
    }
}
