// A workgroup per row. Two passes: subtracting the mean first keeps the variance exact.
override RMS: bool;

struct Params { rows: u32, width: u32, epsilon: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = linear_group(group, groups);
    if (row >= p.rows) {
        return;
    }
    let first = row * p.width;
    var mean = 0.0;
    if (!RMS) {
        var sum = 0.0;
        for (var i = lane; i < p.width; i += LANES) {
            sum += x[first + i];
        }
        mean = workgroup_sum(lane, sum) / f32(p.width);
    }
    var square = 0.0;
    for (var i = lane; i < p.width; i += LANES) {
        let d = x[first + i] - mean;
        square += d * d;
    }
    let inverse = 1.0 / sqrt(workgroup_sum(lane, square) / f32(p.width) + p.epsilon);
    for (var i = lane; i < p.width; i += LANES) {
        let value = (x[first + i] - mean) * inverse * scale[i];
        if (RMS) {
            y[first + i] = value;
        } else {
            y[first + i] = value + bias[i];
        }
    }
}
