// activation(a · wᵀ + c) by tiles of results; a thread computes 4×4 of them.
override HAS_BIAS: bool;
override ACTIVATION: u32;

const ROWS = 4u * TILE_Y;
const COLUMNS = 4u * TILE_X;
const THREADS = TILE_X * TILE_Y;
// Along K, of which the tile's operands are held at a time.
const QUADS = DEPTH / 4u;

struct Params { m: u32, n: u32, k: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// By depth, so that the inner loop reads neighbours.
var<workgroup> a_tile: array<f32, ROWS * DEPTH>;
var<workgroup> w_tile: array<Stored, COLUMNS * DEPTH>;

fn a_quad(at: u32) -> vec4<f32> {
    return vec4<f32>(a_tile[at], a_tile[at + 1u], a_tile[at + 2u], a_tile[at + 3u]);
}

fn w_quad(at: u32) -> vec4<f32> {
    return vec4<f32>(vec4<Stored>(w_tile[at], w_tile[at + 1u], w_tile[at + 2u], w_tile[at + 3u]));
}

@compute @workgroup_size(TILE_X, TILE_Y)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first_row = group.y * ROWS;
    let first_column = group.x * COLUMNS;
    var sums: array<vec4<f32>, 4>;
    for (var k0 = 0u; k0 < p.k; k0 += DEPTH) {
        for (var quad = lane; quad < ROWS * QUADS; quad += THREADS) {
            let row = first_row + quad / QUADS;
            let depth = 4u * (quad % QUADS);
            let k = k0 + depth;
            for (var i = 0u; i < 4u; i++) {
                var x = 0.0;
                if (row < p.m && k + i < p.k) {
                    x = a[row * p.k + k + i];
                }
                a_tile[(depth + i) * ROWS + quad / QUADS] = x;
            }
        }
        for (var quad = lane; quad < COLUMNS * QUADS; quad += THREADS) {
            let column = first_column + quad / QUADS;
            let depth = 4u * (quad % QUADS);
            let k = k0 + depth;
            var w = vec4<f32>();
            if (column < p.n && k < p.k) {
                w = weight_quad(column, k, p.k);
            }
            for (var i = 0u; i < 4u; i++) {
                w_tile[(depth + i) * COLUMNS + quad / QUADS] = Stored(select(0.0, w[i], k + i < p.k));
            }
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            let rows = a_quad(k * ROWS + 4u * local.y);
            let columns = w_quad(k * COLUMNS + 4u * local.x);
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
