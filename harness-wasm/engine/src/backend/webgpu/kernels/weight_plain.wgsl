// A weight as float32, [n, k], and the bias behind it.
alias Stored = f32;

@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> c: array<f32>;

// Four neighbours of a row, of which the caller leaves out those behind its end.
fn weight_quad(row: u32, column: u32, columns: u32) -> vec4<f32> {
    let at = row * columns + column;
    return vec4<f32>(weight[at], weight[at + 1u], weight[at + 2u], weight[at + 3u]);
}
