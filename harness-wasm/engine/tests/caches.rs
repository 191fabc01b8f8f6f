//! Packed caches: every backend's are right by the oracle, which takes over how they were rounded, and by nothing else.

use webmatrix_engine::backend::Backend;
use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::plan::caches::Caches;
use webmatrix_engine::run::{Loaded, Options, Runner};
use webmatrix_engine::{DType, NamedTensors, Tensor};

/// The classes that generate. The last two write the rows of their decoders' caches twice, and keep what they make of the
/// encoder's result besides.
const CLASSES: [&str; 7] = ["llama", "qwen2", "qwen3", "llava", "llava_next", "t5", "whisper"];

fn options(feature: &str) -> Options {
    Options { caches: Caches::of_feature(feature), ..Options::greedy(5) }
}

fn inferred<B: Backend>(loaded: &Loaded, backend: B, feature: &str) -> NamedTensors {
    judged(Runner::new(&*loaded.model, &loaded.weights, backend, options(feature)), loaded)
}

/// The outputs of an inference, and what its caches hold.
fn judged<B: Backend>(mut runner: Runner<'_, B>, loaded: &Loaded) -> NamedTensors {
    pollster::block_on(async {
        // As a page does it, and then as the oracle does: the same, however it is done.
        let mut outputs = runner.infer(&loaded.inputs).await.unwrap();
        outputs.extend(runner.kept(&loaded.inputs).await.unwrap());
        if runner.overwrites() {
            assert!(runner.infer_kept(&loaded.inputs).await.unwrap() == outputs);
        }
        outputs
    })
}

/// The oracle's answer to what another's inference kept.
fn answer(loaded: &Loaded, kept: &NamedTensors, feature: &str) -> NamedTensors {
    let oracle = Runner::new(&*loaded.model, &loaded.weights, Cpu::new(Kernels::Oracle), options(feature));
    judged(oracle.adopting(kept), loaded)
}

fn agree(what: &str, outputs: &NamedTensors, answer: &NamedTensors) {
    assert_eq!(outputs.keys().collect::<Vec<_>>(), answer.keys().collect::<Vec<_>>(), "{what}");
    for (name, output) in outputs {
        let expected = &answer[name];
        assert_eq!(output.shape(), expected.shape(), "{what} {name}");
        if output.dtype() == DType::I32 {
            let differ = output.as_i32().iter().zip(expected.as_i32()).position(|(y, e)| y != e);
            assert_eq!(differ, None, "{what} {name}");
            continue;
        }
        for (at, (y, e)) in output.as_f32().iter().zip(expected.as_f32()).enumerate() {
            assert!((y - e).abs() <= 1e-4 * (1.0 + e.abs()), "{what} {name} at {at}: {y} {e}");
        }
    }
}

fn every_cache_is_right<B: Backend>(backend: impl Fn() -> B) {
    for class in CLASSES {
        let loaded = Loaded::twin(class, "tiny", 11).unwrap();
        for feature in Caches::FEATURES {
            let outputs = inferred(&loaded, backend(), feature);
            assert!(outputs.keys().any(|name| name.starts_with("cache/")), "{class} {feature}");
            let twice = outputs.keys().any(|name| name.starts_with("cache/forward/"));
            assert_eq!(twice, ["t5", "whisper"].contains(&class), "{class} {feature}");
            agree(&format!("{class} {feature}"), &outputs, &answer(&loaded, &outputs, feature));
        }
    }
}

#[test]
fn simd_caches_are_right() {
    every_cache_is_right(|| Cpu::new(Kernels::Simd));
}

#[cfg(feature = "native-gpu")]
#[test]
fn wgsl_caches_are_right() {
    use webmatrix_engine::backend::webgpu::{NativeDevice, WebGpu};
    every_cache_is_right(|| WebGpu::new(pollster::block_on(NativeDevice::create()).unwrap()));
}

#[test]
fn a_wrong_code_is_not_taken_over() {
    // Of an encoder-decoder, what its forward pass wrote, what generation wrote over it, and what the encoder's result became.
    let caches = [
        ("llama", "layers.0.key"),
        ("t5", "decoder.0.key"),
        ("t5", "forward/decoder.1.value"),
        ("t5", "forward/memory.0.value"),
        ("whisper", "forward/memory.1.key"),
    ];
    for (class, cache) in caches {
        let loaded = Loaded::twin(class, "tiny", 11).unwrap();
        for feature in Caches::FEATURES {
            let right = inferred(&loaded, Cpu::new(Kernels::Simd), feature);
            let parts = if feature == "kv-fp16" { &["words"][..] } else { &["words", "scales"] };
            for part in parts {
                let name = format!("cache/{cache}.{part}");
                let kept = &right[&name];
                let mut wrong = right.clone();
                let mut words = kept.as_i32().to_vec();
                // One bit of the lowest code, or the sign of a scale.
                words[0] ^= if *part == "words" { 1 << 1 } else { 1 << 15 };
                wrong.insert(name.clone(), Tensor::i32(kept.shape(), words));
                let answered = answer(&loaded, &wrong, feature);
                assert_ne!(answered[&name], wrong[&name], "{class} {feature} {name}");
            }
        }
    }
}

/// Fewer bits keep less, and turning heads is worth its products.
#[test]
fn what_a_cache_costs_is_ordered_by_its_bits() {
    let loaded = Loaded::twin("qwen2", "small", 3).unwrap();
    let plain = inferred(&loaded, Cpu::new(Kernels::Simd), "none");
    let error = |feature: &str| {
        let outputs = inferred(&loaded, Cpu::new(Kernels::Simd), feature);
        let pairs = outputs["logits"].as_f32().iter().zip(plain["logits"].as_f32());
        let (sum, all) = pairs.fold((0.0_f64, 0.0_f64), |(sum, all), (y, e)| {
            (sum + f64::from(y - e).powi(2), all + f64::from(*e).powi(2))
        });
        (sum / all).sqrt()
    };
    let errors: Vec<f64> = Caches::FEATURES.iter().map(|feature| error(feature)).collect();
    assert!(errors.is_sorted(), "{errors:?}");
    assert!(errors[0] < 1e-3 && errors[1] < 2e-2 && errors[4] > errors[1], "{errors:?}");
}

/// Packed rows are read as they are: beside them there is no copy of the cache in float32, however long it is.
fn reading_takes_no_room<B: Backend>(backend: impl Fn() -> B) {
    let activations = |feature: &str, new: usize| {
        let loaded = Loaded::twin_of("llama", "tiny", 11, 1, Some(2)).unwrap();
        let options = Options { caches: Caches::of_feature(feature), ..Options::greedy(new) };
        let mut runner = Runner::new(&*loaded.model, &loaded.weights, backend(), options);
        pollster::block_on(runner.compile(&loaded.inputs)).unwrap();
        runner.backend().held().activations.unwrap()
    };
    let plain = activations("none", 200) - activations("none", 20);
    for feature in Caches::FEATURES {
        let grown = activations(feature, 200) - activations(feature, 20);
        assert_eq!(grown, plain, "{feature}: what steps need besides grew with the context");
    }
}

#[test]
fn reading_takes_no_room_on_the_cpu() {
    reading_takes_no_room(|| Cpu::new(Kernels::Simd));
}

#[cfg(feature = "native-gpu")]
#[test]
fn reading_takes_no_room_on_the_gpu() {
    use webmatrix_engine::backend::webgpu::{NativeDevice, WebGpu};
    reading_takes_no_room(|| WebGpu::new(pollster::block_on(NativeDevice::create()).unwrap()));
}

#[test]
fn what_cannot_be_judged_is_refused() {
    let loaded = Loaded::twin("bert", "tiny", 1).unwrap();
    let mut runner =
        Runner::new(&*loaded.model, &loaded.weights, Cpu::new(Kernels::Simd), options("kv-int8"));
    let told = pollster::block_on(runner.compile(&loaded.inputs)).unwrap_err().to_string();
    assert!(told.contains("no caches"), "{told}");
}
