// activation(a · bᵀ + c) by tiles of 32×32 results; a thread computes 4×4 of them.
override HAS_BIAS: bool;
override ACTIVATION: u32;

const TILE = 32u;
const DEPTH = 16u;

struct Params { m: u32, n: u32, k: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> c: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

// Transposed, so that the inner loop reads neighbours.
var<workgroup> a_tile: array<vec4<f32>, 128>;
var<workgroup> b_tile: array<vec4<f32>, 128>;

fn a_at(row: u32, k: u32) -> f32 {
    if (row < p.m && k < p.k) {
        return a[row * p.k + k];
    }
    return 0.0;
}

fn b_at(column: u32, k: u32) -> f32 {
    if (column < p.n && k < p.k) {
        return b[column * p.k + k];
    }
    return 0.0;
}

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first_row = group.y * TILE;
    let first_column = group.x * TILE;
    var sums: array<vec4<f32>, 4>;
    for (var k0 = 0u; k0 < p.k; k0 += DEPTH) {
        // 128 quads of each operand, two a thread: quad q holds depth q / 8, rows 4·(q % 8)….
        for (var half = 0u; half < 2u; half++) {
            let quad = lane + 64u * half;
            let k = k0 + quad / 8u;
            let row = first_row + 4u * (quad % 8u);
            let column = first_column + 4u * (quad % 8u);
            a_tile[quad] = vec4<f32>(a_at(row, k), a_at(row + 1u, k), a_at(row + 2u, k), a_at(row + 3u, k));
            b_tile[quad] = vec4<f32>(b_at(column, k), b_at(column + 1u, k), b_at(column + 2u, k), b_at(column + 3u, k));
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            let rows = a_tile[k * 8u + local.y];
            let columns = b_tile[k * 8u + local.x];
            sums[0] += rows.x * columns;
            sums[1] += rows.y * columns;
            sums[2] += rows.z * columns;
            sums[3] += rows.w * columns;
        }
        workgroupBarrier();
    }
    for (var r = 0u; r < 4u; r++) {
        let row = first_row + 4u * local.y + r;
        for (var s = 0u; s < 4u; s++) {
            let column = first_column + 4u * local.x + s;
            if (row < p.m && column < p.n) {
                var value = sums[r][s];
                if (HAS_BIAS) {
                    value += c[column];
                }
                y[row * p.n + column] = activate(ACTIVATION, value);
            }
        }
    }
}
