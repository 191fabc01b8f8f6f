//! Every twin: the small ones run, and the graphs of the base ones, whose weights are too many for a test, type-check.

mod classes;

use std::collections::BTreeMap;

use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::ir::TensorType;
use webmatrix_engine::quant::{Recipe, unwatched};
use webmatrix_engine::run::{Loaded, Options, Runner, loss};
use webmatrix_engine::weights::Weights;
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

/// Positions are folded into constants, which are made of what their packed rows say.
#[test]
fn tables_of_positions_are_packed_and_read() {
    let loaded = Loaded::twin("bert", "tiny", 1).unwrap();
    let tables = loaded.tables().unwrap();
    let names: Vec<&str> = tables.keys().map(String::as_str).collect();
    assert!(names.len() == 1 && names[0].ends_with("position_embeddings.weight"), "{names:?}");
    assert!(loaded.matrices().unwrap().contains_key(names[0]));
    let outputs = |weights: &Weights| {
        let mut runner = Runner::new(&*loaded.model, weights, Cpu::new(Kernels::Simd), Options::default());
        pollster::block_on(runner.infer(&loaded.inputs)).unwrap()
    };
    let packed = |scheme: &str| {
        let recipe = Recipe::uniform(scheme.parse().unwrap());
        recipe.apply(loaded.weights.clone(), &tables, &BTreeMap::new(), &unwatched).unwrap()
    };
    let plain = outputs(&loaded.weights);
    let (fine, coarse) = (outputs(&packed("int8-g32")), outputs(&packed("int2-g32")));
    let losses = [loss(&plain, &fine), loss(&plain, &coarse)];
    assert!(losses[0] > 0.0 && losses[0] < 1e-3 && losses[1] > 20.0 * losses[0], "{losses:?}");
}
