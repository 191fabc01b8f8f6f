// Rows packed as they are computed (the engine's `quant` says what lies where): groups of 32, each group's extremes its
// first and last code.
override BITS: u32;
override ASYMMETRIC: bool;
// Scales and minimums rather than the numbers' bits.
override SCALES: bool;

// `width`: words of a row of the result.
struct Params { n: u32, columns: u32, width: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

// Scale and minimum that a group asks for.
fn wished(row: u32, group: u32) -> vec2<f32> {
    let first = row * p.columns + group * 32u;
    let count = min(32u, p.columns - min(group * 32u, p.columns));
    if (count == 0u) {
        return vec2<f32>();
    }
    var low = x[first];
    var high = low;
    for (var i = 1u; i < count; i++) {
        low = min(low, x[first + i]);
        high = max(high, x[first + i]);
    }
    if (ASYMMETRIC) {
        return vec2<f32>((high - low) / f32((1u << BITS) - 1u), low);
    }
    // The widest becomes code 0, which alone is `zero` steps away; of two as wide, the first.
    var widest = x[first];
    for (var i = 1u; i < count; i++) {
        if (abs(x[first + i]) > abs(widest)) {
            widest = x[first + i];
        }
    }
    return vec2<f32>(-widest / f32(1u << (BITS - 1u)), 0.0);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear_group(group, groups) * LANES + lane;
    if (i >= p.n) {
        return;
    }
    if (BITS == 16u) {
        let column = i % p.width * 2u;
        let at = i / p.width * p.columns + column;
        var pair = vec2<f32>(x[at], 0.0);
        if (column + 1u < p.columns) {
            pair.y = x[at + 1u];
        }
        y[i] = pack2x16float(pair);
        return;
    }
    if (SCALES) {
        let row = i / p.width;
        let halves = p.width / select(1u, 2u, ASYMMETRIC);
        let first = i % p.width % halves * 2u;
        let a = wished(row, first);
        let b = wished(row, first + 1u);
        y[i] = select(pack2x16float(vec2<f32>(a.x, b.x)), pack2x16float(vec2<f32>(a.y, b.y)), i % p.width >= halves);
        return;
    }
    // A block of words from here on.
    let blocks = p.width / BITS;
    let row = i / blocks;
    let block = i % blocks;
    let kept = unpack2x16float(pack2x16float(wished(row, block)));
    let scale = kept.x;
    let low = select(-f32(1u << (BITS - 1u)) * scale, kept.y, ASYMMETRIC);
    var words: array<u32, 8>;
    for (var j = 0u; j < 8u; j++) {
        var quad = 0u;
        for (var b = 0u; b < 4u; b++) {
            let column = block * 32u + j * 4u + b;
            if (column < p.columns && scale != 0.0) {
                let q = clamp(round((x[row * p.columns + column] - low) / scale), 0.0, f32((1u << BITS) - 1u));
                quad |= u32(q) << (8u * b);
            }
        }
        if (BITS == 8u) {
            words[j] = quad;
        } else if (BITS == 4u) {
            words[j / 2u] |= quad << (4u * (j & 1u));
        } else {
            words[j / 4u] |= (quad & 0x03030303u) << (2u * (j & 3u));
            if (BITS == 3u) {
                words[2] |= ((quad >> 2u) & 0x01010101u) << j;
            }
        }
    }
    for (var j = 0u; j < BITS; j++) {
        y[row * p.width + block * BITS + j] = words[j];
    }
}
