// A workgroup per row: its mean or its largest element.
override MAX: bool;

struct Params { rows: u32, width: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn combine(a: f32, b: f32) -> f32 {
    if (MAX) {
        return max(a, b);
    }
    return a + b;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = linear_group(group, groups);
    if (row >= p.rows) {
        return;
    }
    var part = select(0.0, -3.4028234e38, MAX);
    for (var i = lane; i < p.width; i += LANES) {
        part = combine(part, x[row * p.width + i]);
    }
    if (MAX) {
        part = workgroup_max(lane, part);
    } else {
        part = workgroup_sum(lane, part) / f32(p.width);
    }
    if (lane == 0u) {
        y[row] = part;
    }
}
