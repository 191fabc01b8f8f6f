// Keys and values in packed rows (the engine's `quant` says what lies where): groups of 32, or half precision. A shader has
// eight buffers at most, so mask and bias share one: there is never both.
override BITS: u32;
override ASYMMETRIC: bool;

@group(0) @binding(2) var<storage, read> k: array<u32>;
@group(0) @binding(3) var<storage, read> v: array<u32>;
@group(0) @binding(4) var<storage, read> added: array<u32>;
@group(0) @binding(5) var<storage, read> k_scales: array<u32>;
@group(0) @binding(8) var<storage, read> v_scales: array<u32>;

// For kernels that take a query at a time: the query, scaled.
var<workgroup> query: array<f32, 256>;

fn word(values: bool, at: u32) -> u32 {
    if (values) {
        return v[at];
    }
    return k[at];
}

fn scale_pair(values: bool, at: u32) -> vec2<f32> {
    if (values) {
        return unpack2x16float(v_scales[at]);
    }
    return unpack2x16float(k_scales[at]);
}

// Scale and minimum of a row's group.
fn group_of(values: bool, row: u32, at: u32, groups: u32) -> vec2<f32> {
    let width = (groups + 1u) / 2u;
    let first = row * width * select(1u, 2u, ASYMMETRIC) + at / 2u;
    let scale = scale_pair(values, first)[at % 2u];
    if (ASYMMETRIC) {
        return vec2<f32>(scale, scale_pair(values, first + width)[at % 2u]);
    }
    return vec2<f32>(scale, -f32(1u << (BITS - 1u)) * scale);
}

// A column's code in the lowest byte, those of its neighbours in the same quad above it.
fn codes_from(values: bool, row: u32, column: u32, groups: u32) -> u32 {
    let first = (row * groups + column / 32u) * BITS;
    let j = column % 32u / 4u;
    let shift = 8u * (column % 4u);
    if (BITS == 8u) {
        return word(values, first + j) >> shift;
    }
    if (BITS == 4u) {
        return ((word(values, first + j / 2u) >> (4u * (j & 1u))) & 0x0f0f0f0fu) >> shift;
    }
    var quad = (word(values, first + j / 4u) >> (2u * (j & 3u))) & 0x03030303u;
    if (BITS == 3u) {
        quad |= ((word(values, first + 2u) >> j) & 0x01010101u) << 2u;
    }
    return quad >> shift;
}

fn number_at(values: bool, row: u32, column: u32, columns: u32) -> f32 {
    if (BITS == 16u) {
        return unpack2x16float(word(values, row * ((columns + 1u) / 2u) + column / 2u))[column % 2u];
    }
    let groups = (columns + 31u) / 32u;
    let group = group_of(values, row, column / 32u, groups);
    return group.x * f32(codes_from(values, row, column, groups) & 255u) + group.y;
}

fn dot_key(row: u32, column: u32) -> f32 {
    let columns = p.kv_heads * p.d;
    var sum = 0.0;
    if (BITS == 16u) {
        for (var i = 0u; i < p.d; i++) {
            sum += query[i] * number_at(false, row, column + i, columns);
        }
        return sum;
    }
    let groups = (columns + 31u) / 32u;
    var i = 0u;
    while (i < p.d) {
        // To the end of the group or of the head; within it a quad at a time.
        let group = group_of(false, row, (column + i) / 32u, groups);
        let end = min(p.d, i + 32u - (column + i) % 32u);
        while (i < end) {
            var quad = codes_from(false, row, column + i, groups);
            let last = min(end, i + 4u - (column + i) % 4u);
            while (i < last) {
                sum += query[i] * (group.x * f32(quad & 255u) + group.y);
                quad >>= 8u;
                i++;
            }
        }
    }
    return sum;
}

fn key_at(row: u32, column: u32) -> f32 {
    return number_at(false, row, column, p.kv_heads * p.d);
}

fn value_at(row: u32, column: u32) -> f32 {
    return number_at(true, row, column, p.kv_heads * p.e);
}

fn open_at(at: u32) -> bool {
    return added[at] != 0u;
}

fn bias_at(at: u32) -> f32 {
    return bitcast<f32>(added[at]);
}
