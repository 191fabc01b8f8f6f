//! What is held against another runtime.

use webmatrix_wire::Backend;

/// How a subject is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Inferences of both sides in turn, in one page.
    Pairs,
    /// The whole way from the runtime's first byte to the first outputs, each time in a fresh browser.
    Cold,
}

/// Everything that is measured, in the order in which it is told. Names are those of the subjects' folders.
pub const SUBJECTS: &[(&str, Measure)] = &[
    ("gemm_f32", Measure::Pairs),
    ("gemv_f32", Measure::Pairs),
    ("softmax", Measure::Pairs),
    ("layer_norm", Measure::Pairs),
    ("conv1d", Measure::Pairs),
    ("gemm_q4", Measure::Pairs),
    ("gemv_q8", Measure::Pairs),
    ("gemv_q4", Measure::Pairs),
    ("gemv_q2", Measure::Pairs),
    ("gemv_f32_wide", Measure::Pairs),
    ("gemv_q8_wide", Measure::Pairs),
    ("gemv_q4_wide", Measure::Pairs),
    ("model_minilm", Measure::Pairs),
    ("cold_start", Measure::Cold),
];

/// The backends that a page can run on both sides.
pub const BACKENDS: [Backend; 3] = [Backend::Wasm, Backend::WebGpu, Backend::WebNn];
