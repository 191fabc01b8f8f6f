// Rows of activations as whole numbers, an invocation a block of 32: in units of the block's widest, 16 bits and 16 more of what
// these leave over, each as an upper and a lower byte, so that dot products of bytes lose nothing that float32 had.
//
// Of a block: by quad four words (upper byte and lower byte of the upper numbers, then of the lower ones), the unit and the sum.
struct Params { n: u32, columns: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

// The widest number of two signed bytes each of which is one: 127 · 256 + 127.
const MOST = 32639.0;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear_group(group, groups) * LANES + lane;
    if (i >= p.n) {
        return;
    }
    let blocks = (p.columns + 31u) / 32u;
    let column = i % blocks * 32u;
    let first = i / blocks * p.columns + column;
    let count = min(32u, p.columns - column);
    var widest = 0.0;
    var sum = 0.0;
    for (var j = 0u; j < count; j++) {
        widest = max(widest, abs(x[first + j]));
        sum += x[first + j];
    }
    // What is so small that its steps would overflow is none.
    let steps = select(0.0, MOST / widest, widest > 1e-30);
    let to = i * 34u;
    for (var quad = 0u; quad < 8u; quad++) {
        var words = vec4<u32>();
        for (var b = 0u; b < 4u; b++) {
            let j = quad * 4u + b;
            if (j < count) {
                let wished = x[first + j] * steps;
                let whole = clamp(round(wished), -MOST, MOST);
                let rest = clamp(round((wished - whole) * (2.0 * MOST)), -MOST, MOST);
                let numbers = vec2<i32>(vec2<f32>(whole, rest));
                // A signed lower byte, and an upper one of what it leaves.
                let upper = (numbers + 128) >> vec2<u32>(8u);
                let lower = numbers - upper * 256;
                let bytes = vec4<u32>(vec4<i32>(upper.x, lower.x, upper.y, lower.y)) & vec4<u32>(255u);
                words |= bytes << vec4<u32>(8u * b);
            }
        }
        y[to + 4u * quad] = words.x;
        y[to + 4u * quad + 1u] = words.y;
        y[to + 4u * quad + 2u] = words.z;
        y[to + 4u * quad + 3u] = words.w;
    }
    y[to + 32u] = bitcast<u32>(widest / MOST);
    y[to + 33u] = bitcast<u32>(sum);
}
