// Weights as bytes beside activations as bytes: what is common to products of few rows and of many.

// Words of a block of activations: those of its numbers, its unit and its sum.
const BLOCK_WORDS = 34u;
// What the lower numbers are parts of.
const LOWER = 65278.0;

// Four codes less the middle one, as signed bytes; `quad` counts along the row.
fn weight_bytes(row: u32, quad: u32, groups: u32) -> u32 {
    let q = code_quad(row, 4u * quad, groups);
    return (q + (128u - (1u << (BITS - 1u))) * 0x01010101u) ^ 0x80808080u;
}

// What a code's distance from the middle one is worth, and what is added for each activation.
fn middle(row: u32, at: u32, groups: u32) -> vec2<f32> {
    let kept = affine(row, at, groups);
    // Otherwise the sum of two numbers that should be none.
    return vec2<f32>(kept.x, select(0.0, kept.y + f32(1u << (BITS - 1u)) * kept.x, ASYMMETRIC));
}

// Products with the upper and with the lower numbers.
fn whole(numbers: vec4<u32>, codes: u32) -> vec2<i32> {
    return vec2<i32>(
        256 * dot4I8Packed(numbers.x, codes) + dot4I8Packed(numbers.y, codes),
        256 * dot4I8Packed(numbers.z, codes) + dot4I8Packed(numbers.w, codes),
    );
}

// Products of the same numbers with the codes of four columns.
fn four(numbers: u32, codes: vec4<u32>) -> vec4<i32> {
    return vec4<i32>(
        dot4I8Packed(numbers, codes.x),
        dot4I8Packed(numbers, codes.y),
        dot4I8Packed(numbers, codes.z),
        dot4I8Packed(numbers, codes.w),
    );
}

// The dot product of a block, in units of its activations.
fn together(sums: vec2<i32>) -> f32 {
    return f32(sums.x) + f32(sums.y) / LOWER;
}
