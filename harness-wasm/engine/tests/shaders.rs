//! Every shader is valid WGSL, whatever machine the tests run on.

use naga::valid::{Capabilities, ValidationFlags, Validator};
use webmatrix_engine::backend::webgpu::Kernel;

#[test]
fn every_shader_validates() {
    for kernel in Kernel::ALL {
        let module = naga::front::wgsl::parse_str(&kernel.wgsl())
            .unwrap_or_else(|error| panic!("{}: {}", kernel.name(), error.emit_to_string(&kernel.wgsl())));
        // No capability beyond core WebGPU: what needs one must be a variant of its own.
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::empty());
        validator.validate(&module).unwrap_or_else(|error| panic!("{}: {error:?}", kernel.name()));
    }
}
