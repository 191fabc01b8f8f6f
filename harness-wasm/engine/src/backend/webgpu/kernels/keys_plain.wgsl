// Keys and values as numbers, and what is said of them.
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read> mask: array<i32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;

// For kernels that take a query at a time: the query, scaled.
var<workgroup> query: array<f32, 256>;

fn dot_key(row: u32, column: u32) -> f32 {
    let first = row * p.kv_heads * p.d + column;
    var sum = 0.0;
    for (var i = 0u; i < p.d; i++) {
        sum += query[i] * k[first + i];
    }
    return sum;
}

fn key_at(row: u32, column: u32) -> f32 {
    return k[row * p.kv_heads * p.d + column];
}

fn value_at(row: u32, column: u32) -> f32 {
    return v[row * p.kv_heads * p.e + column];
}

fn open_at(at: u32) -> bool {
    return mask[at] != 0;
}

fn bias_at(at: u32) -> f32 {
    return bias[at];
}
