//! How much memory weights take at a precision, by the layout that quantised weights have.

use webmatrix_wire::Precision;

/// Weights in a group that shares a scale.
const GROUP: u64 = 32;
/// Weights in a block whose groups' scales are scaled once more, at 2 and 3 bits.
const SUPER_BLOCK: u64 = 256;
/// A float16 scale and a float16 minimum.
const SCALE_BYTES: u64 = 4;
/// A group's 6-bit scale and 6-bit minimum within a super-block.
const SUB_SCALE_BITS: u64 = 12;

/// Bytes of weights of these shapes, scales included; none for a precision that is a mixture of others.
///
/// Matrices are quantised along their rows, in groups of 32, the last one filled up. What is no matrix (norms,
/// biases), and rows shorter than a group, stay in float16.
pub(super) fn footprint(shapes: &[&[usize]], precision: Precision) -> Option<u64> {
    let bits = match precision {
        Precision::Fp32 => return Some(4 * elements(shapes)),
        Precision::Fp16 => return Some(2 * elements(shapes)),
        Precision::Int8 => 8,
        Precision::Int4 => 4,
        Precision::Int3 => 3,
        Precision::Int2 => 2,
        Precision::Mixed => return None,
    };
    let one = |shape: &&[usize]| {
        let weights = shape.iter().product::<usize>() as u64;
        match shape {
            [rows, rest @ ..] if !rest.is_empty() => {
                let row = rest.iter().product::<usize>() as u64;
                if row < GROUP { 2 * weights } else { *rows as u64 * packed(row, bits) }
            }
            _ => 2 * weights,
        }
    };
    Some(shapes.iter().map(one).sum())
}

fn elements(shapes: &[&[usize]]) -> u64 {
    shapes.iter().map(|shape| shape.iter().product::<usize>() as u64).sum()
}

/// Bytes of a row of so many weights.
fn packed(row: u64, bits: u64) -> u64 {
    let groups = row.div_ceil(GROUP);
    let weights = groups * GROUP * bits / 8;
    let scales = if bits > 3 {
        groups * SCALE_BYTES
    } else {
        (groups * SUB_SCALE_BITS).div_ceil(8) + row.div_ceil(SUPER_BLOCK) * SCALE_BYTES
    };
    weights + scales
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
