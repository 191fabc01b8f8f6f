//! Every golden on the backends that run on the host.

use std::fs;
use std::path::PathBuf;

use webmatrix_engine::backend::Backend;
use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::models::{Config, model};
use webmatrix_engine::run::{Options, Runner};
use webmatrix_engine::tensor::{NamedTensors, read_safetensors};
use webmatrix_engine::weights::{Checkpoint, Weights};

fn folder(class: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/goldens").join(class)
}

fn read(class: &str, file: &str) -> Vec<u8> {
    fs::read(folder(class).join(file)).unwrap_or_else(|error| panic!("{class}/{file}: {error}"))
}

fn run<B: Backend>(class: &str, backend: B) -> (NamedTensors, NamedTensors) {
    let config = Config::parse("config.json", &read(class, "config.json")).unwrap();
    let model = model(class, &config).unwrap();
    let shard = ("model.safetensors".to_owned(), read(class, "model.safetensors"));
    let weights = Weights::Files(Checkpoint::new(vec![shard]).unwrap());
    let inputs = read_safetensors("inputs", &read(class, "inputs.safetensors")).unwrap();
    let expected = read_safetensors("expected", &read(class, "expected.safetensors")).unwrap();
    let max_new_tokens = match (expected.get("generated_ids"), inputs.get("input_ids")) {
        (Some(all), Some(prompt)) => all.shape()[1] - prompt.shape()[1],
        _ => 0,
    };
    let mut runner = Runner::new(&*model, &weights, backend, Options { max_new_tokens });
    (pollster::block_on(runner.infer(&inputs)).unwrap(), expected)
}

/// The tolerance of the goldens' README: `|y-e| <= 1e-4 * max(1, std(e)) + 1e-4 * |e|`, ids equal.
fn check(class: &str, got: &NamedTensors, expected: &NamedTensors) {
    for (name, want) in expected {
        let have = got.get(name).unwrap_or_else(|| panic!("{class}: no output {name}"));
        assert_eq!(have.shape(), want.shape(), "{class}/{name}");
        if want.dtype() == webmatrix_engine::DType::I32 {
            assert_eq!(have, want, "{class}/{name}");
            continue;
        }
        let want = want.as_f32();
        let n = want.len() as f64;
        let mean = want.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let deviation = (want.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n).sqrt();
        for (i, (&y, &e)) in have.as_f32().iter().zip(want).enumerate() {
            let bound = 1e-4 * deviation.max(1.0) + 1e-4 * f64::from(e.abs());
            let error = (f64::from(y) - f64::from(e)).abs();
            // Written so that a NaN fails.
            assert!(error <= bound, "{class}/{name}[{i}]: {y} is not {e}");
        }
    }
}

#[test]
fn oracle_agrees_with_pytorch() {
    for class in ["bert", "vit", "llama"] {
        let (got, expected) = run(class, Cpu::new(Kernels::Oracle));
        check(class, &got, &expected);
    }
}

#[test]
fn simd_agrees_with_pytorch() {
    for class in ["bert", "vit", "llama"] {
        let (got, expected) = run(class, Cpu::new(Kernels::Simd));
        check(class, &got, &expected);
    }
}

#[cfg(feature = "native-gpu")]
#[test]
fn wgsl_agrees_with_pytorch() {
    use webmatrix_engine::backend::webgpu::{NativeDevice, WebGpu};
    for class in ["bert", "vit", "llama"] {
        let device = pollster::block_on(NativeDevice::create()).unwrap();
        let (got, expected) = run(class, WebGpu::new(device));
        check(class, &got, &expected);
    }
}
