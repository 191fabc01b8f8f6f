// A weight in half precision, [n, k] with rows of whole words, and the bias behind it.
alias Stored = f16;

@group(0) @binding(3) var<storage, read> halves: array<vec2<f16>>;
@group(0) @binding(4) var<storage, read> c: array<f32>;

// Four neighbours of a row, of which the caller leaves out those behind its end; `column` is a multiple of 4.
fn weight_quad(row: u32, column: u32, columns: u32) -> vec4<f32> {
    let at = row * ((columns + 1u) / 2u) + column / 2u;
    return vec4<f32>(vec2<f32>(halves[at]), vec2<f32>(halves[at + 1u]));
}
