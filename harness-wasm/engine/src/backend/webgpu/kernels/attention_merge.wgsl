// What parts of the keys have come to, put together: of each part the mixed values, the largest score and the sum of
// weights, which are relative to it.
struct Params { n: u32, e: u32, parts: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> found: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = linear_group(group, groups) * 64u + lane;
    if (at >= p.n) {
        return;
    }
    let stride = p.e + 2u;
    let first = at / p.e * p.parts * stride;
    let channel = at % p.e;
    var top = found[first + p.e];
    for (var part = 1u; part < p.parts; part++) {
        top = max(top, found[first + part * stride + p.e]);
    }
    var sum = 0.0;
    var mixed = 0.0;
    for (var part = 0u; part < p.parts; part++) {
        let place = first + part * stride;
        let weight = exp(found[place + p.e] - top);
        sum += weight * found[place + p.e + 1u];
        mixed += weight * found[place + channel];
    }
    y[at] = select(mixed / sum, 0.0, sum == 0.0);
}
