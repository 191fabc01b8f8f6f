// Batched product, a thread per result. Weights go through gemm; this serves what is left.
struct Params {
    batch: array<vec4<u32>, 2>,
    a_steps: array<vec4<u32>, 2>,
    b_steps: array<vec4<u32>, 2>,
    total: u32,
    m: u32,
    n: u32,
    k: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear_group(group, groups) * LANES + lane;
    if (i >= p.total) {
        return;
    }
    let column = i % p.n;
    let row = i / p.n % p.m;
    var rest = i / (p.n * p.m);
    var ia = 0u;
    var ib = 0u;
    for (var axis = 7u; axis >= 2u; axis--) {
        let size = p.batch[axis / 4u][axis % 4u];
        let at = rest % size;
        rest = rest / size;
        ia += at * p.a_steps[axis / 4u][axis % 4u];
        ib += at * p.b_steps[axis / 4u][axis % 4u];
    }
    let x = (ia * p.m + row) * p.k;
    let w = ib * p.k * p.n + column;
    var sum = 0.0;
    for (var k = 0u; k < p.k; k++) {
        sum += a[x + k] * b[w + k * p.n];
    }
    y[i] = sum;
}
