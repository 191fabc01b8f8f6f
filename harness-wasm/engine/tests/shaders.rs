//! Every shader is valid WGSL, whatever machine the tests run on.

use naga::valid::{Capabilities, ValidationFlags, Validator};
use webmatrix_engine::backend::webgpu::Kernel;

/// What core WebGPU has: two halves of a word as floats need no extension there, which naga counts as a capability.
const CORE: Capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;

#[test]
fn every_shader_validates() {
    for kernel in Kernel::ALL {
        let module = naga::front::wgsl::parse_str(&kernel.wgsl())
            .unwrap_or_else(|error| panic!("{}: {}", kernel.name(), error.emit_to_string(&kernel.wgsl())));
        // No capability beyond core WebGPU: what needs one must be a variant of its own.
        let mut validator = Validator::new(ValidationFlags::all(), CORE);
        validator.validate(&module).unwrap_or_else(|error| panic!("{}: {error:?}", kernel.name()));
    }
}
