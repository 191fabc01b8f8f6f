//! Every shader is valid WGSL, whatever machine the tests run on.

use naga::valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use webmatrix_engine::backend::webgpu::{Extension, Kernel, Tuning};

/// What core WebGPU has: two halves of a word as floats need no extension there, which naga counts as a capability.
const CORE: Capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;

const fn capability(extension: Extension) -> Capabilities {
    match extension {
        Extension::Dp4a => Capabilities::empty(),
        Extension::ShaderF16 => Capabilities::SHADER_FLOAT16,
        Extension::Subgroups => Capabilities::SUBGROUP,
    }
}

fn validates(kernel: Kernel, tuning: &Tuning, capabilities: Capabilities) {
    let extension = tuning.extensions.first().copied();
    // naga knows subgroups without the line that the standard asks for.
    let enable =
        extension.filter(|extension| *extension != Extension::Subgroups).map_or("", Extension::enable);
    let (name, wgsl) = (kernel.name(), enable.to_owned() + &kernel.wgsl(extension, tuning.workgroup(kernel)));
    let module = naga::front::wgsl::parse_str(&wgsl)
        .unwrap_or_else(|error| panic!("{name} {extension:?}: {}", error.emit_to_string(&wgsl)));
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    validator.subgroup_stages(ShaderStages::COMPUTE).subgroup_operations(SubgroupOperationSet::all());
    validator.validate(&module).unwrap_or_else(|error| panic!("{name} {extension:?}: {error:?}"));
}

#[test]
fn every_shader_validates() {
    for kernel in Kernel::ALL {
        // No capability beyond core WebGPU: what needs one must be a variant of its own.
        validates(kernel, &Tuning::default(), CORE);
        for extension in Extension::ALL.into_iter().filter(|extension| kernel.has(*extension)) {
            let tuning = Tuning { extensions: vec![extension], ..Tuning::default() };
            validates(kernel, &tuning, CORE | capability(extension));
        }
        for lanes in Tuning::LANES {
            validates(kernel, &Tuning { lanes: Some(lanes), ..Tuning::default() }, CORE);
        }
        for tile in Tuning::TILES {
            validates(kernel, &Tuning { tile: Some(tile), ..Tuning::default() }, CORE);
        }
    }
}
