// transpose, slice, expand, concat: a box of words from one strided place to another.
struct Params {
    shape: array<vec4<u32>, 2>,
    x_steps: array<vec4<u32>, 2>,
    y_steps: array<vec4<u32>, 2>,
    n: u32,
    first: u32,
    start: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear_group(group, groups) * LANES + lane;
    if (i >= p.n) {
        return;
    }
    var rest = i;
    var source = p.first;
    var target_index = p.start;
    for (var axis = 7u; axis >= 2u; axis--) {
        let size = p.shape[axis / 4u][axis % 4u];
        let at = rest % size;
        rest = rest / size;
        source += at * p.x_steps[axis / 4u][axis % 4u];
        target_index += at * p.y_steps[axis / 4u][axis % 4u];
    }
    y[target_index] = x[source];
}
