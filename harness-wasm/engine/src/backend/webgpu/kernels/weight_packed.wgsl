// A weight in packed rows (the engine's `quant` says what lies where), and the bias behind it.
alias Stored = f32;

override BITS: u32;
override GROUP: u32;
override ASYMMETRIC: bool;
override NESTED: bool;

@group(0) @binding(3) var<storage, read> words: array<u32>;
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read> c: array<f32>;

// Scale and minimum of a row's group.
fn affine(row: u32, at: u32, groups: u32) -> vec2<f32> {
    let zero = f32(1u << (BITS - 1u));
    if (NESTED) {
        let blocks = (groups + 7u) / 8u;
        let i = at % 8u;
        if (ASYMMETRIC) {
            let first = (row * blocks + at / 8u) * 4u;
            let units = unpack2x16float(scales[first]);
            let high = scales[first + 3u];
            let scale = ((scales[first + 1u] >> (4u * i)) & 15u) | (((high >> (2u * i)) & 3u) << 4u);
            let low = ((scales[first + 2u] >> (4u * i)) & 15u) | (((high >> (16u + 2u * i)) & 3u) << 4u);
            return units * vec2<f32>(vec2<u32>(scale, low));
        }
        let first = (row * blocks + at / 8u) * 2u;
        let head = scales[first];
        let number = ((scales[first + 1u] >> (4u * i)) & 15u) | (((head >> (16u + 2u * i)) & 3u) << 4u);
        let scale = unpack2x16float(head & 0xffffu).x * (f32(number) - 32.0);
        return vec2<f32>(scale, -zero * scale);
    }
    let width = (groups + 1u) / 2u;
    let first = row * width * select(1u, 2u, ASYMMETRIC) + at / 2u;
    let scale = unpack2x16float(scales[first])[at % 2u];
    if (ASYMMETRIC) {
        return vec2<f32>(scale, unpack2x16float(scales[first + width])[at % 2u]);
    }
    return vec2<f32>(scale, -zero * scale);
}

// Four neighbouring codes of a row, a byte each; `column` is a multiple of 4.
fn code_quad(row: u32, column: u32, groups: u32) -> u32 {
    let first = (row * (groups * GROUP / 32u) + column / 32u) * BITS;
    let j = column % 32u / 4u;
    if (BITS == 8u) {
        return words[first + j];
    }
    if (BITS == 4u) {
        return (words[first + j / 2u] >> (4u * (j & 1u))) & 0x0f0f0f0fu;
    }
    var quad = (words[first + j / 4u] >> (2u * (j & 3u))) & 0x03030303u;
    if (BITS == 3u) {
        quad |= ((words[first + 2u] >> j) & 0x01010101u) << 2u;
    }
    return quad;
}

// Four neighbours of a row, of which the caller leaves out those behind its end; `column` is a multiple of 4.
fn weight_quad(row: u32, column: u32, columns: u32) -> vec4<f32> {
    if (BITS == 16u) {
        let at = row * ((columns + 1u) / 2u) + column / 2u;
        return vec4<f32>(unpack2x16float(words[at]), unpack2x16float(words[at + 1u]));
    }
    let groups = (columns + GROUP - 1u) / GROUP;
    let quad = code_quad(row, column, groups);
    let group = affine(row, column / GROUP, groups);
    let q = vec4<f32>(vec4<u32>(quad & 255u, (quad >> 8u) & 255u, (quad >> 16u) & 255u, quad >> 24u));
    return group.x * q + group.y;
}
