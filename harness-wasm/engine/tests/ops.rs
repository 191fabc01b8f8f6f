//! Every op case on every backend that runs on the host, against the oracle.

mod support;

use support::Decomposed;
use webmatrix_engine::backend::Backend;
use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::ops::cases::{Case, all};
use webmatrix_engine::ops::{Attention, Op};
use webmatrix_engine::plan::decompose::decompose;
use webmatrix_engine::weights::Weights;

fn run_all<B: Backend>(backend: B) -> B {
    run_these(backend, all())
}

fn run_these<B: Backend>(mut backend: B, cases: Vec<Case>) -> B {
    let weights = Weights::Twin { seed: 0 };
    let mut faults = Vec::new();
    for case in cases {
        let graph = case.graph().unwrap();
        let got = pollster::block_on(async {
            let program = backend.compile(&graph, &weights).await?;
            backend.run(program, &case.named_inputs()).await
        });
        let verdict = match got {
            Ok(outputs) => case.check(&outputs["y"]),
            Err(error) => Err(error.to_string()),
        };
        if let Err(fault) = verdict {
            faults.push(format!("{}: {fault}", case.name));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    backend
}

#[test]
fn simd_agrees_with_the_oracle() {
    assert!(run_all(Cpu::new(Kernels::Simd)).kernels().is_empty());
}

#[test]
fn dot_products_of_bytes_agree_with_the_oracle() {
    let backend = run_all(Cpu::new(Kernels::Simd).with_relaxed_dot(true));
    assert_eq!(backend.kernels().keys().collect::<Vec<_>>(), ["qgemv+relaxed-dot"]);
}

#[test]
fn cases_have_unique_names() {
    let mut names: Vec<String> = all().into_iter().map(|case| case.name).collect();
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[cfg(feature = "native-gpu")]
#[test]
fn wgsl_agrees_with_the_oracle() {
    use webmatrix_engine::backend::webgpu::{NativeDevice, WebGpu};
    run_all(WebGpu::new(pollster::block_on(NativeDevice::create()).unwrap()));
}

/// Kernels that use what an adapter has beyond core WebGPU, where this machine's has it, and every layout of workgroups.
#[cfg(feature = "native-gpu")]
#[expect(clippy::print_stderr, reason = "says what this machine's adapter lacks")]
#[test]
fn variants_of_kernels_agree_with_the_oracle() {
    use webmatrix_engine::backend::webgpu::{Extension, NativeDevice, Tuning, WebGpu};
    let extensions = Extension::ALL.map(|extension| extension.name().to_owned());
    let lanes = Tuning::LANES.map(|lanes| format!("lanes-{lanes}"));
    let tiles = Tuning::TILES.map(|[x, y]| format!("tile-{x}x{y}"));
    let making = ["shaders-ahead", "shaders-lazy"].map(str::to_owned);
    for feature in extensions.into_iter().chain(lanes).chain(tiles).chain(making) {
        let tuning = Tuning::named(std::slice::from_ref(&feature));
        assert_ne!(tuning, Tuning::default(), "{feature}");
        match pollster::block_on(NativeDevice::with(tuning)) {
            Ok(device) => {
                let ran = run_all(WebGpu::new(device));
                let made = ran.pipelines().unwrap_or_default();
                assert_eq!(
                    (made.ahead > 0, made.within > 0),
                    (feature != "shaders-lazy", feature == "shaders-lazy")
                );
                if feature.starts_with("shaders-") {
                    // One graph a case, with more than one pipeline in some.
                    assert_eq!(made.together > 1, feature == "shaders-ahead", "{made:?}");
                    continue;
                }
                let mark = feature.replace("lanes-", "@").replace("tile-", "@");
                let used = ran.kernels().keys().filter(|name| name.ends_with(&mark)).count();
                assert!(used > 0, "{feature}: {:?}", ran.kernels());
            }
            Err(error) => eprintln!("not tested: {error}"),
        }
    }
}

fn is_ring(case: &Case) -> bool {
    matches!(case.op, Op::KvAppend { ring: true } | Op::Attention(Attention { ring: Some(_), .. }))
}

/// The oracle on decomposed graphs: what the extensions mean is what they compute. Rings mean nothing there, and are refused.
#[test]
fn decompositions_agree_with_the_oracle() {
    let (rings, others): (Vec<Case>, Vec<Case>) = all().into_iter().partition(is_ring);
    run_these(Decomposed(Cpu::new(Kernels::Oracle)), others);
    assert!(!rings.is_empty());
    for case in rings {
        let told = decompose(&case.graph().unwrap()).unwrap_err().to_string();
        assert!(told.contains("rings of keys and values"), "{}: {told}", case.name);
    }
}
