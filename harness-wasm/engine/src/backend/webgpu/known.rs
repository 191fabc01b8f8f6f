//! A dispatch whose answer the caller knows: proof that a device computes.

use crate::backend::webgpu::device::{Binding, Device, Usage, Work};
use crate::error::Result;

const WGSL: &str = "
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < arrayLength(&y)) {
        y[id.x] = a[id.x] * b[id.x] + a[id.x];
    }
}
";

/// `a * b + a`, elementwise, as whole numbers.
///
/// # Errors
/// If the device fails.
pub async fn known_answer<D: Device>(device: &D, a: &[f32], b: &[f32]) -> Result<Vec<u32>> {
    let size = size_of_val(a) as u64;
    device.begin_scope();
    let answer = async {
        let buffers = [(); 3].map(|()| device.buffer("known answer", size, Usage::Storage));
        device.write(&buffers[0], bytemuck::cast_slice(a));
        device.write(&buffers[1], bytemuck::cast_slice(b));
        let pipeline = device.asked(device.ask("known answer", WGSL, &[])?).await?;
        let bindings = buffers.each_ref().map(|buffer| Binding { buffer, offset: 0, size });
        let group = device.group(&pipeline, &bindings);
        let workgroups = [a.len().div_ceil(64) as u32, 1, 1];
        device.submit(&[Work::Dispatch { pipeline, group, workgroups }]);
        device.read(&buffers[2], size).await
    }
    .await;
    device.end_scope().await?;
    Ok(answer?.as_chunks::<4>().0.iter().map(|&chunk| f32::from_ne_bytes(chunk) as u32).collect())
}
