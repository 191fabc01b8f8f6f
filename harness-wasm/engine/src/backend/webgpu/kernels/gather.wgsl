// Rows as words, whatever their type.
struct Params { n: u32, rows: u32, run: u32, picks: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> indices: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear_group(group, groups) * LANES + lane;
    if (i >= p.n) {
        return;
    }
    let column = i % p.run;
    let pick = i / p.run % p.picks;
    let outer = i / (p.run * p.picks);
    let row = u32(clamp(indices[pick], 0, i32(p.rows) - 1));
    y[i] = x[(outer * p.rows + row) * p.run + column];
}
