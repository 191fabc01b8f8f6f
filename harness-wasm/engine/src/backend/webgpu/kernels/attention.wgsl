// A workgroup per query and head. Keys go by in blocks of 64, one a lane, with a running maximum and
// sum (online softmax), so that scores never leave the workgroup; each lane owns up to four channels
// of the result. Keys may be shared out among workgroups, in parts: then sums are put together later.
override MASKED: bool;
override BIASED: bool;
override CAUSAL: bool;
override PARTIAL: bool;

struct Params {
    batch: u32, tokens: u32, keys: u32, heads: u32,
    kv_heads: u32, d: u32, e: u32, scale: f32,
    window: u32, bias_sets: u32, ring: u32, parts: u32, span: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(6) var<storage, read> position: array<i32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;

var<workgroup> weights: array<f32, 64>;

const HIDDEN = -3.4028234e38;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let number = linear_group(group, groups);
    let at = number / p.parts;
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
    // Places that the query sees, and how many were written to a ring.
    var earliest = 0u;
    var end = p.keys;
    var written = 0u;
    var first_seen = 0u;
    if (CAUSAL) {
        let base = u32(max(position[0], 0));
        end = base + token + 1u;
        earliest = end - min(end, p.window);
        if (RING) {
            written = base + p.tokens - (p.keys - p.ring);
        } else {
            visible = min(p.keys, end);
            first_seen = earliest / 64u * 64u;
        }
    }
    workgroupBarrier();
    let first_key = max(number % p.parts * p.span, first_seen);
    let last_key = min(number % p.parts * p.span + p.span, visible);

    var top = HIDDEN;
    var sum = 0.0;
    var mixed = vec4<f32>();
    for (var block = first_key; block < last_key; block += 64u) {
        let key = block + lane;
        let place = place_of(key, p.ring, written);
        var seen = key < last_key && place >= earliest && place < end;
        if (MASKED && seen) {
            seen = open_at(batch * p.keys + key);
        }
        var score = HIDDEN;
        if (seen) {
            score = dot_key(batch * p.keys + key, kv_head * p.d);
            if (BIASED) {
                score += bias_at(((batch % p.bias_sets * p.heads + head) * p.tokens + token) * p.keys + key);
            }
        }
        let higher = max(top, workgroup_max(lane, score));
        let weight = select(0.0, exp(score - higher), seen);
        weights[lane] = weight;
        let more = workgroup_sum(lane, weight);
        let rescale = exp(top - higher);
        sum = sum * rescale + more;
        mixed *= rescale;
        let count = min(64u, last_key - block);
        for (var s = 0u; s < count; s++) {
            let w = weights[s];
            // A hidden key's value may be anything, infinities included.
            if (w != 0.0) {
                for (var c = 0u; c < 4u; c++) {
                    let channel = lane + 64u * c;
                    if (channel < p.e) {
                        mixed[c] += w * value_at(batch * p.keys + block + s, kv_head * p.e + channel);
                    }
                }
            }
        }
        top = higher;
        workgroupBarrier();
    }
    if (PARTIAL) {
        let first = number * (p.e + 2u);
        for (var c = 0u; c < 4u; c++) {
            let channel = lane + 64u * c;
            if (channel < p.e) {
                y[first + channel] = mixed[c];
            }
        }
        if (lane == 0u) {
            y[first + p.e] = top;
            y[first + p.e + 1u] = sum;
        }
        return;
    }
    let y_first = ((batch * p.tokens + token) * p.heads + head) * p.e;
    for (var c = 0u; c < 4u; c++) {
        let channel = lane + 64u * c;
        if (channel < p.e) {
            y[y_first + channel] = select(mixed[c] / sum, 0.0, sum == 0.0);
        }
    }
}
