//! Every golden and every variant on the backends that run on the host.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::Decomposed;
use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::backend::{Backend, Split};
use webmatrix_engine::ir::{Graph, Node};
use webmatrix_engine::models::{Config, model};
use webmatrix_engine::run::{Options, Runner, new_tokens};
use webmatrix_engine::tensor::{NamedTensors, read_safetensors};
use webmatrix_engine::weights::Weights;

/// Classes with a golden.
const CLASSES: &[&str] = &[
    "bert",
    "clap",
    "clip",
    "detr",
    "llama",
    "llava",
    "llava_next",
    "qwen2",
    "qwen3",
    "t5",
    "vit",
    "wav2vec2",
    "whisper",
    "xclip",
];

/// The folders to run: all, or those whose name contains `WEBMATRIX_GOLDEN`.
fn folders() -> Vec<PathBuf> {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let mut folders: Vec<PathBuf> =
        CLASSES.iter().map(|class| fixtures.join("goldens").join(class)).collect();
    if let Ok(variants) = fs::read_dir(fixtures.join("variants")) {
        folders.extend(variants.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()));
    }
    let wanted = std::env::var("WEBMATRIX_GOLDEN").unwrap_or_default();
    folders.retain(|folder| CLASSES.contains(&class_of(folder)) && name(folder).contains(&wanted));
    folders.sort();
    assert!(!folders.is_empty(), "no folder is called {wanted}");
    folders
}

fn name(folder: &Path) -> &str {
    folder.file_name().unwrap().to_str().unwrap()
}

/// A variant is called after its class.
fn class_of(folder: &Path) -> &str {
    name(folder).split('-').next().unwrap()
}

fn read(folder: &Path, file: &str) -> Vec<u8> {
    fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{}/{file}: {error}", folder.display()))
}

/// The weights' shards, in order.
fn shards(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("model") && name.ends_with(".safetensors"))
        .collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), read(folder, &file))).collect()
}

fn run<B: Backend>(folder: &Path, backend: B) -> Result<(NamedTensors, NamedTensors), String> {
    let front_end = "preprocessor_config.json";
    let front_end = folder.join(front_end).is_file().then(|| read(folder, front_end));
    let config = Config::of_files(&read(folder, "config.json"), front_end.as_deref()).unwrap();
    let model = model(class_of(folder), &config).map_err(|error| error.to_string())?;
    let weights = Weights::of_shards(shards(folder)).unwrap();
    let inputs = read_safetensors("inputs", &read(folder, "inputs.safetensors")).unwrap();
    let expected = read_safetensors("expected", &read(folder, "expected.safetensors")).unwrap();
    let max_new_tokens =
        expected.get("generated_ids").map_or(0, |ids| new_tokens(&*model, &inputs, ids.shape()[1]));
    let mut runner = Runner::new(&*model, &weights, backend, Options::greedy(max_new_tokens));
    let got = pollster::block_on(async {
        runner.compile(&inputs).await?;
        runner.infer(&inputs).await
    });
    got.map(|got| (got, expected)).map_err(|error| error.to_string())
}

/// The tolerance of the goldens' README: `|y-e| <= 1e-4 * max(1, std(e)) + 1e-4 * |e|`, ids equal.
fn check(got: &NamedTensors, expected: &NamedTensors) -> Result<f64, String> {
    let mut worst: f64 = 0.0;
    for (name, want) in expected {
        let have = got.get(name).ok_or_else(|| format!("no output {name}"))?;
        if have.shape() != want.shape() {
            return Err(format!("{name} has shape {:?}, not {:?}", have.shape(), want.shape()));
        }
        if want.dtype() == webmatrix_engine::DType::I32 {
            if have != want {
                return Err(format!("{name}: {:?} is not {:?}", have.data(), want.data()));
            }
            continue;
        }
        let want = want.as_f32();
        let n = want.len() as f64;
        let mean = want.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let deviation = (want.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n).sqrt();
        for (i, (&y, &e)) in have.as_f32().iter().zip(want).enumerate() {
            let bound = 1e-4 * deviation.max(1.0) + 1e-4 * f64::from(e.abs());
            let error = (f64::from(y) - f64::from(e)).abs();
            // A NaN is within no tolerance.
            if error.is_nan() || error > bound {
                return Err(format!("{name}[{i}]: {y} is not {e}"));
            }
            worst = worst.max(error);
        }
    }
    Ok(worst)
}

#[expect(clippy::print_stderr, reason = "how close each is, for who asks with --nocapture")]
fn all_agree<B: Backend>(backend: impl Fn() -> B) {
    let mut faults = Vec::new();
    for folder in folders() {
        match run(&folder, backend()).and_then(|(got, expected)| check(&got, &expected)) {
            Ok(worst) => eprintln!("{}: max|y-e| {worst:.1e}", name(&folder)),
            Err(fault) => faults.push(format!("{}: {fault}", name(&folder))),
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn oracle_agrees_with_pytorch() {
    all_agree(|| Cpu::new(Kernels::Oracle));
}

#[test]
fn simd_agrees_with_pytorch() {
    all_agree(|| Cpu::new(Kernels::Simd));
}

/// What WebNN is given: the graphs without extensions.
#[test]
fn decompositions_agree_with_pytorch() {
    all_agree(|| Decomposed(Cpu::new(Kernels::Oracle)));
}

#[cfg(feature = "native-gpu")]
#[test]
fn wgsl_agrees_with_pytorch() {
    use webmatrix_engine::backend::webgpu::{NativeDevice, WebGpu};
    all_agree(|| WebGpu::new(pollster::block_on(NativeDevice::create()).unwrap()));
}

/// A device that refuses some ops, with the host beside it: every class comes out the same, whatever is refused.
#[test]
fn split_between_two_backends_agrees_with_pytorch() {
    for refused in [&["softmax", "layerNormalization"][..], &["matmul", "add", "gather", "conv2d"]] {
        all_agree(|| {
            let refusal = move |_: &Graph, node: &Node| {
                refused.contains(&node.op.name()).then(|| format!("no {}", node.op.name()))
            };
            Split::new(Cpu::new(Kernels::Oracle), Box::new(refusal))
        });
    }
}
