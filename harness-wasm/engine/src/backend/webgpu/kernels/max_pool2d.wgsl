// A thread per result.
struct Params {
    total: u32,
    height: u32, width: u32,
    out_height: u32, out_width: u32,
    window_height: u32, window_width: u32,
    stride_y: u32, stride_x: u32,
    top: u32, left: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear_group(group, groups) * LANES + lane;
    if (i >= p.total) {
        return;
    }
    let column = i % p.out_width;
    let row = i / p.out_width % p.out_height;
    let plane = i / (p.out_width * p.out_height) * p.height;
    var best = -3.4028234e38;
    for (var u = 0u; u < p.window_height; u++) {
        // Unsigned: what lies before the edge wraps to far behind it.
        let r = row * p.stride_y + u - p.top;
        if (r >= p.height) {
            continue;
        }
        for (var v = 0u; v < p.window_width; v++) {
            let s = column * p.stride_x + v - p.left;
            if (s < p.width) {
                best = max(best, x[(plane + r) * p.width + s]);
            }
        }
    }
    y[i] = best;
}
