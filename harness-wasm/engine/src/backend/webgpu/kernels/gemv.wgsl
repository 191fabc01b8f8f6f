// activation(a · wᵀ + c) for few rows: a workgroup per result, its lanes along K.
override HAS_BIAS: bool;
override ACTIVATION: u32;

struct Params { m: u32, n: u32, k: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = linear_group(group, groups);
    if (at >= p.m * p.n) {
        return;
    }
    let row = at / p.n;
    let column = at % p.n;
    var sum = 0.0;
    for (var k = 4u * lane; k < p.k; k += 4u * LANES) {
        let w = weight_quad(column, k, p.k);
        let first = row * p.k + k;
        if (k + 4u <= p.k) {
            sum += dot(vec4<f32>(a[first], a[first + 1u], a[first + 2u], a[first + 3u]), w);
        } else {
            for (var i = 0u; k + i < p.k; i++) {
                sum += a[first + i] * w[i];
            }
        }
    }
    var value = workgroup_sum(lane, sum);
    if (lane == 0u) {
        if (HAS_BIAS) {
            value += c[column];
        }
        y[at] = activate(ACTIVATION, value);
    }
}
