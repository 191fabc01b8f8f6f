// Writes new rows into their cache, in place: as words, for packed rows are no numbers. In a ring they go round and
// round; of more rows than it has, only the last stay, since others would be written at the same time.
override RING: bool;

struct Params { n: u32, tokens: u32, context: u32, width: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> rows: array<u32>;
@group(0) @binding(2) var<storage, read> position: array<i32>;
@group(0) @binding(3) var<storage, read_write> cache: array<u32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear_group(group, groups) * LANES + lane;
    if (i >= p.n) {
        return;
    }
    let channel = i % p.width;
    let token = i / p.width % p.tokens;
    let batch = i / (p.width * p.tokens);
    var at = u32(max(position[0], 0)) + token;
    var stays = at < p.context;
    if (RING) {
        at %= p.context;
        stays = token + p.context >= p.tokens;
    }
    if (stays) {
        cache[(batch * p.context + at) * p.width + channel] = rows[i];
    }
}
