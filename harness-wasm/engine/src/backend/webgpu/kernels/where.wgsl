// Choices as words, whatever their type.
struct Params {
    shape: array<vec4<u32>, 2>,
    c_steps: array<vec4<u32>, 2>,
    a_steps: array<vec4<u32>, 2>,
    b_steps: array<vec4<u32>, 2>,
    n: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> c: array<i32>;
@group(0) @binding(2) var<storage, read> a: array<u32>;
@group(0) @binding(3) var<storage, read> b: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear_group(group, groups) * LANES + lane;
    if (i >= p.n) {
        return;
    }
    var rest = i;
    var ic = 0u;
    var ia = 0u;
    var ib = 0u;
    for (var axis = 7u; axis >= 2u; axis--) {
        let size = p.shape[axis / 4u][axis % 4u];
        let at = rest % size;
        rest = rest / size;
        ic += at * p.c_steps[axis / 4u][axis % 4u];
        ia += at * p.a_steps[axis / 4u][axis % 4u];
        ib += at * p.b_steps[axis / 4u][axis % 4u];
    }
    // Not `select`, which would read both.
    if (c[ic] != 0) {
        y[i] = a[ia];
    } else {
        y[i] = b[ib];
    }
}
