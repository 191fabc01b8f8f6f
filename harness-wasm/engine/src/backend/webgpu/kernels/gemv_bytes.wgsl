// activation(a · wᵀ + c) for few rows of activations as bytes: a workgroup per result, its lanes along blocks of 32.
override HAS_BIAS: bool;
override ACTIVATION: u32;

struct Params { m: u32, n: u32, k: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = linear_group(group, groups);
    if (at >= p.m * p.n) {
        return;
    }
    let row = at / p.n;
    let column = at % p.n;
    let blocks = (p.k + 31u) / 32u;
    let scaled = (p.k + GROUP - 1u) / GROUP;
    var sum = 0.0;
    for (var block = lane; block < blocks; block += LANES) {
        let first = (row * blocks + block) * BLOCK_WORDS;
        var sums = vec2<i32>();
        for (var quad = 0u; quad < 8u; quad++) {
            let i = first + 4u * quad;
            sums += whole(vec4<u32>(a[i], a[i + 1u], a[i + 2u], a[i + 3u]), weight_bytes(column, 8u * block + quad, scaled));
        }
        let weight = middle(column, 32u * block / GROUP, scaled);
        sum += weight.x * bitcast<f32>(a[first + 32u]) * together(sums) + weight.y * bitcast<f32>(a[first + 33u]);
    }
    var value = workgroup_sum(lane, sum);
    if (lane == 0u) {
        if (HAS_BIAS) {
            value += c[column];
        }
        y[at] = activate(ACTIVATION, value);
    }
}
