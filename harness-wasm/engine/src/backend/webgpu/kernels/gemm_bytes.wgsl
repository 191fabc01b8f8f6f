// activation(a · wᵀ + c) of activations as bytes by tiles of results; a thread computes 4×4 of them, block of 32 by block of 32:
// whole numbers within a block, floats from block to block.
override HAS_BIAS: bool;
override ACTIVATION: u32;

const ROWS = 4u * TILE_Y;
const COLUMNS = 4u * TILE_X;
const THREADS = TILE_X * TILE_Y;
// Along K, of which the tile's operands are held at a time: words of four codes.
const QUADS = DEPTH / 2u;

struct Params { m: u32, n: u32, k: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// By quad, so that the inner loop reads neighbours; units and sums, scales and offsets of the block.
var<workgroup> a_tile: array<vec4<u32>, ROWS * QUADS>;
var<workgroup> w_tile: array<u32, COLUMNS * QUADS>;
var<workgroup> a_scale: array<vec2<f32>, ROWS>;
var<workgroup> w_scale: array<vec2<f32>, COLUMNS>;

@compute @workgroup_size(TILE_X, TILE_Y)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first_row = group.y * ROWS;
    let first_column = group.x * COLUMNS;
    let blocks = (p.k + 31u) / 32u;
    let scaled = (p.k + GROUP - 1u) / GROUP;
    var results: array<vec4<f32>, 4>;
    for (var block = 0u; block < blocks; block++) {
        for (var i = lane; i < ROWS; i += THREADS) {
            var scale = vec2<f32>();
            if (first_row + i < p.m) {
                let words = ((first_row + i) * blocks + block) * BLOCK_WORDS + 32u;
                scale = vec2<f32>(bitcast<f32>(a[words]), bitcast<f32>(a[words + 1u]));
            }
            a_scale[i] = scale;
        }
        for (var i = lane; i < COLUMNS; i += THREADS) {
            var scale = vec2<f32>();
            if (first_column + i < p.n) {
                scale = middle(first_column + i, 32u * block / GROUP, scaled);
            }
            w_scale[i] = scale;
        }
        var upper = array<vec4<i32>, 4>();
        var lower = array<vec4<i32>, 4>();
        for (var quad0 = 0u; quad0 < 8u; quad0 += QUADS) {
            for (var i = lane; i < ROWS * QUADS; i += THREADS) {
                let row = first_row + i / QUADS;
                var words = vec4<u32>();
                if (row < p.m) {
                    let at = (row * blocks + block) * BLOCK_WORDS + 4u * (quad0 + i % QUADS);
                    words = vec4<u32>(a[at], a[at + 1u], a[at + 2u], a[at + 3u]);
                }
                a_tile[i % QUADS * ROWS + i / QUADS] = words;
            }
            for (var i = lane; i < COLUMNS * QUADS; i += THREADS) {
                let column = first_column + i / QUADS;
                var codes = 0u;
                if (column < p.n) {
                    codes = weight_bytes(column, 8u * block + quad0 + i % QUADS, scaled);
                }
                w_tile[i % QUADS * COLUMNS + i / QUADS] = codes;
            }
            workgroupBarrier();
            for (var quad = 0u; quad < QUADS; quad++) {
                let at = quad * COLUMNS + 4u * local.x;
                let codes = vec4<u32>(w_tile[at], w_tile[at + 1u], w_tile[at + 2u], w_tile[at + 3u]);
                for (var r = 0u; r < 4u; r++) {
                    let numbers = a_tile[quad * ROWS + 4u * local.y + r];
                    upper[r] += 256 * four(numbers.x, codes) + four(numbers.y, codes);
                    lower[r] += 256 * four(numbers.z, codes) + four(numbers.w, codes);
                }
            }
            workgroupBarrier();
        }
        let at = 4u * local.x;
        let scales = vec4<f32>(w_scale[at].x, w_scale[at + 1u].x, w_scale[at + 2u].x, w_scale[at + 3u].x);
        let offsets = vec4<f32>(w_scale[at].y, w_scale[at + 1u].y, w_scale[at + 2u].y, w_scale[at + 3u].y);
        for (var r = 0u; r < 4u; r++) {
            let left = a_scale[4u * local.y + r];
            let dots = vec4<f32>(upper[r]) + vec4<f32>(lower[r]) / LOWER;
            results[r] += left.x * scales * dots + left.y * offsets;
        }
        // The next block's scales are written over these.
        workgroupBarrier();
    }
    for (var r = 0u; r < 4u; r++) {
        let row = first_row + 4u * local.y + r;
        for (var s = 0u; s < 4u; s++) {
            let column = first_column + 4u * local.x + s;
            if (row < p.m && column < p.n) {
                var value = results[r][s];
                if (HAS_BIAS) {
                    value += c[column];
                }
                y[row * p.n + column] = activate(ACTIVATION, value);
            }
        }
    }
}
