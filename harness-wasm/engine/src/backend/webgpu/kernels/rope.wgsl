struct Params { n: u32, tokens: u32, width: u32, head: u32, half: u32, positions: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> cosines: array<f32>;
@group(0) @binding(3) var<storage, read> sines: array<f32>;
@group(0) @binding(4) var<storage, read> position: array<i32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear_group(group, groups) * LANES + lane;
    if (i >= p.n) {
        return;
    }
    let channel = i % p.width % p.head;
    let token = i / p.width % p.tokens;
    let at = min(u32(max(position[0], 0)) + token, p.positions - 1u) * p.half;
    if (channel < p.half) {
        y[i] = x[i] * cosines[at + channel] - x[i + p.half] * sines[at + channel];
    } else if (channel < 2u * p.half) {
        let c = channel - p.half;
        y[i] = x[i] * cosines[at + c] + x[i - p.half] * sines[at + c];
    } else {
        y[i] = x[i];
    }
}
