// Functions by number, in the order of `Binary::ALL`. Elements are words: floats or integers alike.
override OP: u32;
override INTEGERS: bool;

struct Params {
    shape: array<vec4<u32>, 2>,
    a_steps: array<vec4<u32>, 2>,
    b_steps: array<vec4<u32>, 2>,
    n: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read> b: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;

fn float(u: f32, v: f32) -> u32 {
    var r = 0.0;
    switch OP {
        case 0u: { r = u + v; }
        case 1u: { r = u - v; }
        case 2u: { r = u * v; }
        case 3u: { r = u / v; }
        case 4u: { r = max(u, v); }
        case 5u: { r = min(u, v); }
        case 6u: { r = u / (1.0 + exp(-u)) * v; }
        case 7u: { return select(0u, 1u, u == v); }
        default: { return select(0u, 1u, u <= v); }
    }
    return bitcast<u32>(r);
}

fn integer(u: i32, v: i32) -> u32 {
    var r = 0;
    switch OP {
        case 0u: { r = u + v; }
        case 1u: { r = u - v; }
        case 2u: { r = u * v; }
        case 4u: { r = max(u, v); }
        case 5u: { r = min(u, v); }
        case 7u: { r = select(0, 1, u == v); }
        default: { r = select(0, 1, u <= v); }
    }
    return bitcast<u32>(r);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear_group(group, groups) * LANES + lane;
    if (i >= p.n) {
        return;
    }
    var rest = i;
    var ia = 0u;
    var ib = 0u;
    for (var axis = 7u; axis >= 2u; axis--) {
        let size = p.shape[axis / 4u][axis % 4u];
        let at = rest % size;
        rest = rest / size;
        ia += at * p.a_steps[axis / 4u][axis % 4u];
        ib += at * p.b_steps[axis / 4u][axis % 4u];
    }
    if (INTEGERS) {
        y[i] = integer(bitcast<i32>(a[ia]), bitcast<i32>(b[ib]));
    } else {
        y[i] = float(bitcast<f32>(a[ia]), bitcast<f32>(b[ib]));
    }
}
