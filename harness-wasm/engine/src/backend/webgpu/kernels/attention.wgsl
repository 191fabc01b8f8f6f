// A workgroup per query and head. Keys go by in blocks of 64, one a lane, with a running maximum and
// sum (online softmax), so that scores never leave the workgroup; each lane owns up to four channels
// of the result.
override MASKED: bool;
override BIASED: bool;
override CAUSAL: bool;

struct Params {
    batch: u32, tokens: u32, keys: u32, heads: u32,
    kv_heads: u32, d: u32, e: u32, scale: f32,
    window: u32, bias_sets: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read> mask: array<i32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read> position: array<i32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;

var<workgroup> query: array<f32, 256>;
var<workgroup> weights: array<f32, 64>;
var<workgroup> reduced: array<f32, 64>;

const HIDDEN = -3.4028234e38;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = linear_group(group, groups);
    if (at >= p.batch * p.tokens * p.heads) {
        return;
    }
    let head = at % p.heads;
    let token = at / p.heads % p.tokens;
    let batch = at / (p.heads * p.tokens);
    let kv_head = head / (p.heads / p.kv_heads);
    let q_first = ((batch * p.tokens + token) * p.heads + head) * p.d;
    for (var i = lane; i < p.d; i += 64u) {
        query[i] = q[q_first + i] * p.scale;
    }
    var visible = p.keys;
    var earliest = 0u;
    if (CAUSAL) {
        // Uniform across the workgroup, though the compiler cannot know: the loop below runs to p.keys.
        let end = u32(max(position[0], 0)) + token + 1u;
        visible = min(p.keys, end);
        earliest = end - min(end, p.window);
    }
    workgroupBarrier();

    var top = HIDDEN;
    var sum = 0.0;
    var mixed = vec4<f32>();
    for (var block = 0u; block < p.keys; block += 64u) {
        let key = block + lane;
        var seen = key >= earliest && key < visible;
        if (MASKED && seen) {
            seen = mask[batch * p.keys + key] != 0;
        }
        var score = HIDDEN;
        if (seen) {
            let first = ((batch * p.keys + key) * p.kv_heads + kv_head) * p.d;
            score = 0.0;
            for (var i = 0u; i < p.d; i++) {
                score += query[i] * k[first + i];
            }
            if (BIASED) {
                score += bias[((batch % p.bias_sets * p.heads + head) * p.tokens + token) * p.keys + key];
            }
        }
        reduced[lane] = score;
        workgroupBarrier();
        for (var step = 32u; step > 0u; step /= 2u) {
            if (lane < step) {
                reduced[lane] = max(reduced[lane], reduced[lane + step]);
            }
            workgroupBarrier();
        }
        let higher = max(top, reduced[0]);
        workgroupBarrier();
        let weight = select(0.0, exp(score - higher), seen);
        weights[lane] = weight;
        reduced[lane] = weight;
        workgroupBarrier();
        for (var step = 32u; step > 0u; step /= 2u) {
            if (lane < step) {
                reduced[lane] += reduced[lane + step];
            }
            workgroupBarrier();
        }
        let rescale = exp(top - higher);
        sum = sum * rescale + reduced[0];
        mixed *= rescale;
        let count = min(64u, p.keys - block);
        for (var s = 0u; s < count; s++) {
            let w = weights[s];
            // A hidden key's value may be anything, infinities included.
            if (w != 0.0) {
                let first = ((batch * p.keys + block + s) * p.kv_heads + kv_head) * p.e;
                for (var c = 0u; c < 4u; c++) {
                    let channel = lane + 64u * c;
                    if (channel < p.e) {
                        mixed[c] += w * v[first + channel];
                    }
                }
            }
        }
        top = higher;
        workgroupBarrier();
    }
    let y_first = ((batch * p.tokens + token) * p.heads + head) * p.e;
    for (var c = 0u; c < 4u; c++) {
        let channel = lane + 64u * c;
        if (channel < p.e) {
            y[y_first + channel] = select(mixed[c] / sum, 0.0, sum == 0.0);
        }
    }
}
