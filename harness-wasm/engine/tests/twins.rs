//! Every twin: the small ones run, and the graphs of the base ones, whose weights are too many for a test, type-check.

mod classes;

use std::collections::BTreeMap;

use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::ir::TensorType;
use webmatrix_engine::run::{Loaded, Options, Runner};
use webmatrix_engine::{DType, NamedTensors};

fn run(class: &str, size: &str, seed: u64) -> NamedTensors {
    let loaded = Loaded::twin(class, size, seed).unwrap();
    let options = Options { max_new_tokens: 2, ..Options::default() };
    let mut runner = Runner::new(&*loaded.model, &loaded.weights, Cpu::new(Kernels::Simd), options);
    pollster::block_on(runner.infer(&loaded.inputs)).unwrap_or_else(|error| panic!("{class}@{size}: {error}"))
}

#[test]
fn small_twins_compute_something() {
    for class in classes::classes() {
        for size in ["tiny", "small"] {
            let (one, other) = (run(&class, size, 1), run(&class, size, 2));
            for (name, tensor) in one.iter().filter(|(_, tensor)| tensor.dtype() == DType::F32) {
                assert!(tensor.as_f32().iter().all(|v| v.is_finite()), "{class}@{size}: {name}");
                assert_ne!(tensor, &other[name], "{class}@{size}: {name}");
            }
        }
    }
}

#[test]
fn base_twins_type_check() {
    for class in classes::classes() {
        let loaded = Loaded::twin(&class, "base", 1).unwrap();
        let inputs = loaded.model.prepare(&loaded.inputs).unwrap_or_else(|error| panic!("{class}: {error}"));
        let types: BTreeMap<String, TensorType> =
            inputs.iter().map(|(name, t)| (name.clone(), TensorType::new(t.dtype(), t.shape()))).collect();
        let graph =
            loaded.model.forward(&loaded.weights, &types).unwrap_or_else(|error| panic!("{class}: {error}"));
        assert!(!graph.outputs().is_empty(), "{class}");
        if let Some(decoder) = loaded.model.decoder() {
            decoder.step(&loaded.weights, &types, 1, decoder.max_context().min(64)).unwrap();
        }
    }
}
