//! Caches of sliding windows: a ring of as many rows as the window has gives what a whole cache gives through the window's mask.

use proptest::prelude::*;
use webmatrix_engine::backend::Backend;
use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::models::{Config, model, twin_batch};
use webmatrix_engine::ops::{Attention, Op};
use webmatrix_engine::plan::caches::{Caches, Entry, Keeping, keep, rings};
use webmatrix_engine::run::{Loaded, Options, Runner};
use webmatrix_engine::weights::{Weights, twin::Draw};
use webmatrix_engine::{DType, NamedTensors, Tensor};

/// Three layers, of which the last two see no further than `window`.
fn windowed(window: usize, batch: usize, tokens: usize) -> Loaded {
    let config = serde_json::json!({
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
        "sliding_window": window, "use_sliding_window": true, "max_window_layers": 1, "eos_token_id": 2,
    });
    let model =
        model("qwen2", &Config::parse("config.json", config.to_string().as_bytes()).unwrap()).unwrap();
    let inputs = twin_batch(&*model, 5, batch, Some(tokens)).unwrap();
    Loaded { model, weights: Weights::Twin { seed: 5 }, inputs }
}

fn close(what: &str, got: &Tensor, want: &Tensor) {
    assert_eq!(got.shape(), want.shape(), "{what}");
    if got.dtype() == DType::I32 {
        let differ = got.as_i32().iter().zip(want.as_i32()).position(|(y, e)| y != e);
        assert_eq!(differ, None, "{what}");
        return;
    }
    for (at, (y, e)) in got.as_f32().iter().zip(want.as_f32()).enumerate() {
        assert!((y - e).abs() <= 1e-4 * (1.0 + e.abs()), "{what} at {at}: {y} {e}");
    }
}

/// The logits of a text that is taken in so many tokens at a time; the first of them at once from the beginning.
fn logits<B: Backend>(loaded: &Loaded, mut backend: B, chunks: &[usize], ringed: bool) -> Vec<Tensor> {
    let ids = &loaded.inputs["input_ids"];
    let &[batch, tokens] = ids.shape() else { unreachable!("rank 2") };
    let decoder = loaded.model.decoder().unwrap();
    let mut begun = 0;
    let mut results = Vec::new();
    let mut held = None;
    for &count in chunks {
        let piece = (0..batch).flat_map(|b| &ids.as_i32()[b * tokens + begun..][..count]).copied().collect();
        let inputs = NamedTensors::from([
            ("input_ids".to_owned(), Tensor::i32([batch, count], piece)),
            ("position".to_owned(), Tensor::i32([1], vec![begun as i32])),
        ]);
        let ty = webmatrix_engine::ir::TensorType::i32([batch, count]);
        let types = [("input_ids".to_owned(), ty)].into_iter().collect();
        let (graph, entry) = if begun == 0 {
            (decoder.prefill(&loaded.weights, &types, tokens), Entry::Start)
        } else {
            (decoder.step(&loaded.weights, &types, count, tokens), Entry::Later)
        };
        let keeping = Keeping { rings: ringed.then_some(entry), ..Keeping::default() };
        let graph = keep(&graph.unwrap(), keeping).unwrap();
        assert_eq!(rings(&graph).is_some(), ringed);
        let outputs = pollster::block_on(async {
            let program = backend.compile(&graph, &loaded.weights).await.unwrap();
            backend.run(program, &inputs).await.unwrap()
        });
        results.push(outputs["logits"].clone());
        held.get_or_insert(backend.held().states);
        begun += count;
    }
    // A cache neither grows nor moves while its sequence does.
    assert_eq!(held, Some(backend.held().states));
    results
}

/// Texts by how they are taken in: windows wider and narrower than the prompt and than any step.
const TEXTS: [(usize, usize, &[usize]); 6] = [
    (6, 2, &[20, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
    (6, 1, &[3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
    (5, 2, &[4, 2, 3, 1, 9, 1, 5, 4, 17, 1]),
    (1, 1, &[2, 1, 3, 1, 1]),
    (40, 1, &[70, 1, 1, 50, 1, 90, 1]),
    (512, 1, &[2048, 1, 1, 3, 600, 1]),
];

fn every_text_is_right<B: Backend>(backend: impl Fn() -> B) {
    for (window, batch, chunks) in TEXTS {
        let tokens = chunks.iter().sum();
        let loaded = windowed(window, batch, tokens);
        let whole = logits(&loaded, Cpu::new(Kernels::Simd), chunks, false);
        let ringed = logits(&loaded, backend(), chunks, true);
        for (at, (got, want)) in ringed.iter().zip(&whole).enumerate() {
            close(&format!("window {window}, part {at}"), got, want);
        }
        // What whole caches are compared with, where the scalar oracle takes no minutes.
        if tokens < 300 {
            let oracle = logits(&loaded, Cpu::new(Kernels::Oracle), chunks, false);
            for (at, (got, want)) in ringed.iter().zip(&oracle).enumerate() {
                close(&format!("window {window}, part {at} by the oracle"), got, want);
            }
        }
    }
}

#[test]
fn rings_are_right_on_the_cpu() {
    every_text_is_right(|| Cpu::new(Kernels::Simd));
}

/// The definition of a ring, by itself.
#[test]
fn rings_are_right_by_their_definition() {
    for (window, batch, chunks) in &TEXTS[..5] {
        let loaded = windowed(*window, *batch, chunks.iter().sum());
        let whole = logits(&loaded, Cpu::new(Kernels::Oracle), chunks, false);
        let ringed = logits(&loaded, Cpu::new(Kernels::Oracle), chunks, true);
        for (got, want) in ringed.iter().zip(&whole) {
            // The same sums in float64, in another order.
            for (y, e) in got.as_f32().iter().zip(want.as_f32()) {
                assert!((y - e).abs() <= 1e-6 * (1.0 + e.abs()), "window {window}: {y} {e}");
            }
        }
    }
}

#[cfg(feature = "native-gpu")]
#[test]
fn rings_are_right_on_the_gpu() {
    use webmatrix_engine::backend::webgpu::{NativeDevice, WebGpu};
    every_text_is_right(|| WebGpu::new(pollster::block_on(NativeDevice::create()).unwrap()));
}

fn options(feature: &str, new: usize) -> Options {
    Options { caches: Caches::of_feature(feature), ..Options::greedy(new) }
}

/// Outputs of an inference with what its caches were given, and bytes of its states.
fn judged<B: Backend>(mut runner: Runner<'_, B>, loaded: &Loaded) -> (NamedTensors, u64, bool) {
    pollster::block_on(async {
        runner.compile(&loaded.inputs).await.unwrap();
        let mut outputs = runner.infer(&loaded.inputs).await.unwrap();
        let states = runner.backend().held().states;
        outputs.extend(runner.kept(&loaded.inputs).await.unwrap());
        (outputs, states, runner.rings().is_some())
    })
}

/// Every width of caches, prompts longer and shorter than the window, several times round.
fn every_width_is_right<B: Backend>(backend: impl Fn() -> B) {
    for (window, batch, prompt, new) in [(6, 2, 20, 15), (7, 1, 3, 30)] {
        let loaded = windowed(window, batch, prompt);
        let run = |feature: &str| {
            let runner = Runner::new(&*loaded.model, &loaded.weights, backend(), options(feature, new));
            let (outputs, states, ringed) = judged(runner, &loaded);
            assert!(ringed, "{feature}");
            let oracle = Cpu::new(Kernels::Oracle);
            let oracle = Runner::new(&*loaded.model, &loaded.weights, oracle, options(feature, new));
            let (answer, _, ringed) = judged(oracle.adopting(&outputs), &loaded);
            assert!(!ringed, "the oracle shares no ring");
            assert_eq!(outputs.keys().collect::<Vec<_>>(), answer.keys().collect::<Vec<_>>(), "{feature}");
            for (name, output) in &outputs {
                close(&format!("{feature} {name}"), output, &answer[name]);
            }
            states
        };
        // One layer keeps every row of 16 numbers, two keep a window: keys and values, four bytes each.
        let rows = batch * (prompt + new - 1 + 2 * window);
        assert_eq!(run("none"), (2 * 4 * 16 * rows) as u64);
        for (feature, bytes) in
            [("kv-fp16", 32), ("kv-int8", 36), ("kv-int4", 20), ("kv-int3", 20), ("kv-int2", 16)]
        {
            assert_eq!(run(feature), (2 * bytes * rows) as u64, "{feature}");
        }
    }
}

#[test]
fn packed_rings_are_right_on_the_cpu() {
    every_width_is_right(|| Cpu::new(Kernels::Simd));
}

#[cfg(feature = "native-gpu")]
#[test]
fn packed_rings_are_right_on_the_gpu() {
    use webmatrix_engine::backend::webgpu::{NativeDevice, WebGpu};
    every_width_is_right(|| WebGpu::new(pollster::block_on(NativeDevice::create()).unwrap()));
}

/// A longer context costs only what the layers without a window need.
#[test]
fn bytes_follow_from_the_window() {
    let loaded = windowed(512, 1, 2048);
    let states = |new: usize| {
        let mut runner =
            Runner::new(&*loaded.model, &loaded.weights, Cpu::new(Kernels::Simd), options("none", new));
        pollster::block_on(runner.infer(&loaded.inputs)).unwrap();
        assert_eq!(runner.rings(), Some((512, 2 * 2 * 4 * 16 * 512)));
        runner.backend().held().states
    };
    assert_eq!(states(1), 2 * 4 * 16 * (2048 + 2 * 512));
    assert_eq!(states(5) - states(1), 4 * 2 * 4 * 16);
}

fn floats(seed: u64, shape: &[usize]) -> Tensor {
    let mut draw = Draw::new(seed, "ring");
    Tensor::f32(shape, (0..shape.iter().product()).map(|_| draw.normal()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Rows appended in pieces, then attended to: the ring is what a whole cache is, seen through the window.
    #[test]
    fn a_ring_is_a_cache_behind_a_window(
        window in 1_usize..9, more in 0_usize..4, pieces in prop::collection::vec(1_usize..7, 1..6), seed: u64,
        inside: bool,
    ) {
        let written: usize = pieces.iter().sum();
        let (&tokens, before) = pieces.split_last().unwrap();
        let position = written - tokens;
        let ring = if inside { window + tokens - 1 + more } else { window + more };
        let rows = [floats(seed, &[2, written, 8]), floats(seed ^ 1, &[2, written, 8])];
        let query = floats(seed ^ 2, &[2, tokens, 16]);
        let at = Tensor::i32([1], vec![position as i32]);
        let cut = |rows: &Tensor, from: usize, size: usize| {
            Op::Slice { starts: vec![0, from, 0], sizes: vec![2, size, 8] }.eval(&[rows])
        };
        let kept = rows.each_ref().map(|rows| {
            let mut cache = Tensor::f32([2, ring, 8], vec![9.0; 2 * ring * 8]);
            let mut from = 0;
            for &piece in before.iter().chain(inside.then_some(&tokens)) {
                let at = Tensor::i32([1], vec![from as i32]);
                cache = Op::KvAppend { ring: true }.eval(&[&cache, &cut(rows, from, piece), &at]);
                from += piece;
            }
            if inside {
                return cache;
            }
            Op::Concat { axis: 1 }.eval(&[&cache, &cut(rows, position, tokens)])
        });
        let whole = Attention { causal: true, window: Some(window), ..Attention::new(4, 2, 4) };
        let want = Op::Attention(whole).eval(&[&query, &rows[0], &rows[1], &at]);
        let ringed = Op::Attention(Attention { ring: Some(ring), ..whole });
        let types: Vec<_> = [&query, &kept[0], &kept[1], &at]
            .map(|x| webmatrix_engine::ir::TensorType::new(x.dtype(), x.shape()))
            .into();
        prop_assert!(ringed.infer(&types.iter().collect::<Vec<_>>()).is_ok());
        let got = ringed.eval(&[&query, &kept[0], &kept[1], &at]);
        for (y, e) in got.as_f32().iter().zip(want.as_f32()) {
            prop_assert!((y - e).abs() <= 1e-6, "{y} {e}");
        }
    }
}

/// A ring that has lost what a query sees is refused, whatever stands in it.
#[test]
fn too_short_a_ring_is_refused() {
    use webmatrix_engine::ir::TensorType;
    let refused = |ring: usize, keys: usize, tokens: usize, window: Option<usize>, masked: bool| {
        let op = Op::Attention(Attention {
            causal: true,
            window,
            ring: Some(ring),
            masked,
            ..Attention::new(2, 2, 4)
        });
        let [q, k] = [TensorType::f32([1, tokens, 8]), TensorType::f32([1, keys, 8])];
        let (mask, position) = (TensorType::i32([1, keys]), TensorType::i32([1]));
        let operands = if masked { vec![&q, &k, &k, &mask, &position] } else { vec![&q, &k, &k, &position] };
        op.infer(&operands).is_err()
    };
    assert!(!refused(5, 5, 1, Some(5), false) && !refused(5, 5, 2, Some(4), false));
    assert!(!refused(4, 7, 3, Some(5), false), "the query's own row is behind the ring");
    assert!(refused(5, 5, 2, Some(5), false) && refused(4, 4, 1, Some(5), false));
    assert!(refused(3, 6, 3, Some(5), false) && refused(5, 7, 3, Some(5), false));
    assert!(refused(5, 5, 1, None, false) && refused(5, 5, 1, Some(5), true));
}
