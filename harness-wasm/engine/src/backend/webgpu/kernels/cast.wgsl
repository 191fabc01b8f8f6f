override OP: u32;

struct Params { n: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear_group(group, groups) * LANES + lane;
    if (i >= p.n) {
        return;
    }
    switch OP {
        case 1u: { y[i] = bitcast<u32>(i32(bitcast<f32>(x[i]))); }
        case 2u: { y[i] = bitcast<u32>(f32(bitcast<i32>(x[i]))); }
        default: { y[i] = x[i]; }
    }
}
