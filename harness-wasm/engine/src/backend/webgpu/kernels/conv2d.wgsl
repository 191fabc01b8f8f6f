// A thread per result.
override HAS_BIAS: bool;

struct Params {
    total: u32,
    channels: u32, height: u32, width: u32,
    out_channels: u32, out_height: u32, out_width: u32,
    per_group: u32, kernel_height: u32, kernel_width: u32,
    stride_y: u32, stride_x: u32,
    top: u32, left: u32,
    dilation_y: u32, dilation_x: u32,
    groups: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear_group(group, groups) * LANES + lane;
    if (i >= p.total) {
        return;
    }
    let column = i % p.out_width;
    let row = i / p.out_width % p.out_height;
    let o = i / (p.out_width * p.out_height) % p.out_channels;
    let batch = i / (p.out_width * p.out_height * p.out_channels);
    let first = o / (p.out_channels / p.groups) * p.per_group;
    var sum = 0.0;
    for (var c = 0u; c < p.per_group; c++) {
        let plane = (batch * p.channels + first + c) * p.height;
        let taps = (o * p.per_group + c) * p.kernel_height;
        for (var u = 0u; u < p.kernel_height; u++) {
            // Unsigned: what lies before the edge wraps to far behind it.
            let r = row * p.stride_y + u * p.dilation_y - p.top;
            if (r >= p.height) {
                continue;
            }
            for (var v = 0u; v < p.kernel_width; v++) {
                let s = column * p.stride_x + v * p.dilation_x - p.left;
                if (s < p.width) {
                    sum += x[(plane + r) * p.width + s] * weight[(taps + u) * p.kernel_width + v];
                }
            }
        }
    }
    if (HAS_BIAS) {
        sum += bias[o];
    }
    y[i] = sum;
}
