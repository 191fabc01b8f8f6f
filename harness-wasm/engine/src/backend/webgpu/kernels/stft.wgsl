// A workgroup per frame: windowed, transformed by Stockham's self-sorting FFT in workgroup memory, a pass a
// radix, and squared. Roots of unity come from the host: WGSL promises sines to 2^-11 only.
struct Params {
    total: u32, frames: u32, samples: u32,
    frame: u32, hop: u32, passes: u32,
    radices_low: u32, radices_high: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> window: array<f32>;
@group(0) @binding(3) var<storage, read> roots: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

// Two halves of 1024 points, read and written in turn.
var<workgroup> points: array<vec2<f32>, 2048>;

// a times the conjugate of b: the transform's exponents are negative.
fn turned(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    return vec2(a.x * b.x + a.y * b.y, a.y * b.x - a.x * b.y);
}

fn mirrored(i: u32) -> u32 {
    let half = p.frame / 2u;
    let at = select(i - half, half - i, i < half);
    return select(2u * (p.samples - 1u) - at, at, at < p.samples);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = linear_group(group, groups);
    if (at >= p.total) {
        return;
    }
    let first = at / p.frames * p.samples;
    let start = at % p.frames * p.hop;
    for (var i = lane; i < p.frame; i += LANES) {
        points[i] = vec2(x[first + mirrored(start + i)] * window[i], 0.0);
    }
    workgroupBarrier();

    var source = 0u;
    var stride = 1u;
    var rest = p.frame;
    for (var pass_index = 0u; pass_index < p.passes; pass_index++) {
        let word = select(p.radices_low, p.radices_high, pass_index >= 8u);
        let radix = (word >> (4u * (pass_index % 8u))) & 15u;
        let m = rest / radix;
        let destination = 1024u - source;
        for (var b = lane; b < p.frame / radix; b += LANES) {
            let q = b % stride;
            let row = b / stride;
            for (var j = 0u; j < radix; j++) {
                var sum = vec2<f32>();
                for (var k = 0u; k < radix; k++) {
                    let root = roots[j * k % radix * (p.frame / radix)];
                    sum += turned(points[source + q + stride * (row + m * k)], root);
                }
                points[destination + q + stride * (radix * row + j)] = turned(sum, roots[row * j * stride]);
            }
        }
        workgroupBarrier();
        source = destination;
        stride *= radix;
        rest = m;
    }
    let bins = p.frame / 2u + 1u;
    for (var bin = lane; bin < bins; bin += LANES) {
        let value = points[source + bin];
        y[at * bins + bin] = dot(value, value);
    }
}
