// A workgroup per lane of the axis: `width` elements, `inner` apart.
struct Params { width: u32, inner: u32, lanes: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = linear_group(group, groups);
    if (at >= p.lanes) {
        return;
    }
    let first = at / p.inner * p.width * p.inner + at % p.inner;
    var top = -3.4028234e38;
    for (var i = lane; i < p.width; i += LANES) {
        top = max(top, x[first + i * p.inner]);
    }
    top = workgroup_max(lane, top);
    var sum = 0.0;
    for (var i = lane; i < p.width; i += LANES) {
        sum += exp(x[first + i * p.inner] - top);
    }
    let scale = 1.0 / workgroup_sum(lane, sum);
    for (var i = lane; i < p.width; i += LANES) {
        y[first + i * p.inner] = exp(x[first + i * p.inner] - top) * scale;
    }
}
