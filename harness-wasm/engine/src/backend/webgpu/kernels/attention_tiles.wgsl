// A workgroup per eight queries of a head. Keys go by in blocks of 32, each read once for all eight, with a running
// maximum and sum a query (online softmax); each lane owns up to four channels of the eight results.
override MASKED: bool;
override BIASED: bool;
override CAUSAL: bool;
// Channels of a value head, in units of 64.
override CHANNELS: u32;

const QUERIES = 8u;
const KEYS = 32u;
// Channels of keys that are in workgroup memory at once, and how far apart keys lie there.
const DEPTH = 16u;
const STRIDE = 17u;
const HIDDEN = -3.4028234e38;

struct Params {
    batch: u32, tokens: u32, keys: u32, heads: u32,
    kv_heads: u32, d: u32, e: u32, scale: f32,
    window: u32, bias_sets: u32, ring: u32, tiles: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(6) var<storage, read> position: array<i32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;

var<workgroup> queries: array<f32, 2048>;
var<workgroup> k_block: array<f32, 544>;
// Scores, then weights: by query, then key.
var<workgroup> weights: array<f32, 256>;
var<workgroup> partial: array<f32, 64>;
var<workgroup> tops: array<f32, 8>;
var<workgroup> sums: array<f32, 8>;
var<workgroup> rescales: array<f32, 8>;

fn four(first: u32, key: u32) -> vec4<f32> {
    let at = first * KEYS + key;
    return vec4<f32>(weights[at], weights[at + KEYS], weights[at + 2u * KEYS], weights[at + 3u * KEYS]);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = linear_group(group, groups);
    if (at >= p.batch * p.heads * p.tiles) {
        return;
    }
    let first = at % p.tiles * QUERIES;
    let head = at / p.tiles % p.heads;
    let batch = at / (p.tiles * p.heads);
    let kv_head = head / (p.heads / p.kv_heads);
    let count = min(QUERIES, p.tokens - first);
    for (var i = lane; i < QUERIES * p.d; i += 64u) {
        let query = i / p.d;
        var x = 0.0;
        if (query < count) {
            x = q[((batch * p.tokens + first + query) * p.heads + head) * p.d + i % p.d] * p.scale;
        }
        queries[i] = x;
    }
    if (lane < QUERIES) {
        tops[lane] = HIDDEN;
        sums[lane] = 0.0;
    }
    // Blocks that none of the queries sees are not read.
    var base = 0u;
    var start = 0u;
    var end = p.keys;
    var written = 0u;
    if (CAUSAL) {
        base = u32(max(position[0], 0));
        if (RING) {
            written = base + p.tokens - (p.keys - p.ring);
        } else {
            end = min(p.keys, base + first + count);
            let reach = base + first + 1u;
            start = min(reach - min(reach, p.window), end) / KEYS * KEYS;
        }
    }
    workgroupBarrier();

    var mixed: array<vec4<f32>, 8>;
    // For scores, a lane has a key and four queries; for maxima and sums, a query and every eighth key.
    let own_key = lane % KEYS;
    let own_first = lane / KEYS * 4u;
    let row = lane / 8u;
    for (var block = start; block < end; block += KEYS) {
        var score = vec4<f32>();
        for (var c0 = 0u; c0 < p.d; c0 += DEPTH) {
            for (var i = lane; i < KEYS * DEPTH; i += 64u) {
                let key = block + i / DEPTH;
                let channel = c0 + i % DEPTH;
                var x = 0.0;
                if (key < end && channel < p.d) {
                    x = key_at(batch * p.keys + key, kv_head * p.d + channel);
                }
                k_block[i / DEPTH * STRIDE + i % DEPTH] = x;
            }
            workgroupBarrier();
            let depth = min(DEPTH, p.d - c0);
            for (var c = 0u; c < depth; c++) {
                let place = own_first * p.d + c0 + c;
                let x = vec4<f32>(queries[place], queries[place + p.d], queries[place + 2u * p.d], queries[place + 3u * p.d]);
                score += k_block[own_key * STRIDE + c] * x;
            }
            workgroupBarrier();
        }
        let key = block + own_key;
        let place = place_of(key, p.ring, written);
        var open = key < end;
        if (MASKED && open) {
            open = open_at(batch * p.keys + key);
        }
        for (var i = 0u; i < 4u; i++) {
            let query = own_first + i;
            let token = first + query;
            var seen = open && query < count;
            if (CAUSAL && seen) {
                let reach = base + token + 1u;
                seen = place < reach && place >= reach - min(reach, p.window);
            }
            var x = HIDDEN;
            if (seen) {
                x = score[i];
                if (BIASED) {
                    x += bias_at(((batch % p.bias_sets * p.heads + head) * p.tokens + token) * p.keys + key);
                }
            }
            weights[query * KEYS + own_key] = x;
        }
        workgroupBarrier();
        let own = row * KEYS + lane % 8u;
        partial[lane] = max(max(weights[own], weights[own + 8u]), max(weights[own + 16u], weights[own + 24u]));
        workgroupBarrier();
        let before = tops[row];
        var top = before;
        for (var i = 0u; i < 8u; i++) {
            top = max(top, partial[row * 8u + i]);
        }
        var sum = 0.0;
        for (var i = 0u; i < 4u; i++) {
            let x = weights[own + 8u * i];
            let weight = select(exp(x - top), 0.0, x == HIDDEN);
            weights[own + 8u * i] = weight;
            sum += weight;
        }
        workgroupBarrier();
        partial[lane] = sum;
        workgroupBarrier();
        if (lane % 8u == 0u) {
            for (var i = 1u; i < 8u; i++) {
                sum += partial[lane + i];
            }
            let rescale = exp(before - top);
            rescales[row] = rescale;
            sums[row] = sums[row] * rescale + sum;
            tops[row] = top;
        }
        workgroupBarrier();
        let low = vec4<f32>(rescales[0], rescales[1], rescales[2], rescales[3]);
        let high = vec4<f32>(rescales[4], rescales[5], rescales[6], rescales[7]);
        for (var c = 0u; c < CHANNELS; c++) {
            mixed[2u * c] *= low;
            mixed[2u * c + 1u] *= high;
        }
        let keys = min(KEYS, end - block);
        for (var s = 0u; s < keys; s++) {
            let low = four(0u, s);
            let high = four(4u, s);
            // The value of a key that nobody sees may be anything, infinities included.
            if (any(low != vec4<f32>()) || any(high != vec4<f32>())) {
                for (var c = 0u; c < CHANNELS; c++) {
                    let channel = lane + 64u * c;
                    if (channel < p.e) {
                        let x = value_at(batch * p.keys + block + s, kv_head * p.e + channel);
                        mixed[2u * c] += low * x;
                        mixed[2u * c + 1u] += high * x;
                    }
                }
            }
        }
        workgroupBarrier();
    }
    for (var query = 0u; query < count; query++) {
        let to = ((batch * p.tokens + first + query) * p.heads + head) * p.e;
        let sum = sums[query];
        for (var c = 0u; c < CHANNELS; c++) {
            let channel = lane + 64u * c;
            if (channel < p.e) {
                y[to + channel] = select(mixed[2u * c + query / 4u][query % 4u] / sum, 0.0, sum == 0.0);
            }
        }
    }
}
