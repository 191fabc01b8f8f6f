// Packed rows as float32: all of them, or those that are picked.
override PICKED: bool;

struct Params { n: u32, rows: u32, columns: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> indices: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let quads = (p.columns + 3u) / 4u;
    let i = linear_group(group, groups) * LANES + lane;
    let column = i % quads * 4u;
    let to = i / quads;
    if (to * p.columns + column >= p.n) {
        return;
    }
    var row = to;
    if (PICKED) {
        row = u32(clamp(indices[to], 0, i32(p.rows) - 1));
    }
    let w = weight_quad(row, column, p.columns);
    for (var j = 0u; j < 4u && column + j < p.columns; j++) {
        y[to * p.columns + column + j] = w[j];
    }
}
