//! The WebGPU calls on the hot path, bound by type; the others go through [`super::call`].

use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// `GPUCommandEncoder`.
    pub(crate) type Encoder;

    #[wasm_bindgen(method, js_name = beginComputePass)]
    pub(crate) fn begin_compute_pass(this: &Encoder) -> Pass;

    #[wasm_bindgen(method, js_name = copyBufferToBuffer)]
    pub(crate) fn copy(this: &Encoder, from: &JsValue, from_at: f64, to: &JsValue, to_at: f64, size: f64);

    #[wasm_bindgen(method)]
    pub(crate) fn finish(this: &Encoder) -> JsValue;

    /// `GPUComputePassEncoder`.
    pub(crate) type Pass;

    #[wasm_bindgen(method, js_name = setPipeline)]
    pub(crate) fn set_pipeline(this: &Pass, pipeline: &JsValue);

    #[wasm_bindgen(method, js_name = setBindGroup)]
    pub(crate) fn set_bind_group(this: &Pass, index: u32, group: &JsValue);

    #[wasm_bindgen(method, js_name = dispatchWorkgroups)]
    pub(crate) fn dispatch(this: &Pass, x: u32, y: u32, z: u32);

    #[wasm_bindgen(method)]
    pub(crate) fn end(this: &Pass);
}
