//! A batch of N is N singles, and sequences have the length that is asked for: every class.

use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::models::{items, rows};
use webmatrix_engine::run::{Loaded, Options, Runner};
use webmatrix_engine::{DType, NamedTensors, Tensor};

/// Every class, the length of sequences to ask for, and one that it refuses.
const CLASSES: [(&str, Option<usize>, usize); 14] = [
    ("bert", Some(9), 1 << 20),
    ("clap", Some(5), 1 << 20),
    ("clip", Some(7), 1 << 20),
    ("detr", None, 8),
    ("llama", Some(9), 1 << 20),
    // Fewer than its image has.
    ("llava", Some(24), 3),
    ("llava_next", Some(50), 3),
    ("qwen2", Some(9), 1 << 20),
    ("qwen3", Some(9), 1 << 20),
    ("t5", Some(9), 0),
    ("vit", None, 8),
    ("wav2vec2", None, 8),
    ("whisper", None, 8),
    ("xclip", Some(7), 1 << 20),
];

fn infer(loaded: &Loaded, inputs: &NamedTensors) -> NamedTensors {
    let options = Options { max_new_tokens: 3, ..Options::default() };
    let mut runner = Runner::new(&*loaded.model, &loaded.weights, Cpu::new(Kernels::Simd), options);
    pollster::block_on(runner.infer(inputs)).unwrap()
}

/// The value at `at` of the output that the singles' outputs make, wherever the items lie in it: along the first
/// axis, along the second (texts by pictures), or nowhere, where all items share it.
fn of_singles<'t>(batch: &Tensor, singles: &[&'t Tensor], at: usize) -> (&'t Tensor, usize) {
    let single = singles[0].shape();
    if batch.shape() == single {
        return (singles[0], at);
    }
    let size: usize = single.iter().product();
    if batch.shape()[0] == single[0] * singles.len() {
        return (singles[at / size], at % size);
    }
    assert_eq!(batch.shape(), [single[0], single[1] * singles.len()]);
    let (row, column) = (at / batch.shape()[1], at % batch.shape()[1]);
    (singles[column / single[1]], row * single[1] + column % single[1])
}

#[test]
fn a_batch_is_its_items() {
    for (class, tokens, _) in CLASSES {
        for batch in [2, 3] {
            let loaded =
                Loaded::twin_of(class, "tiny", 5, batch, tokens).unwrap_or_else(|e| panic!("{class}: {e}"));
            let alone = rows(&*loaded.model, &loaded.inputs);
            assert_eq!((items(&*loaded.model, &loaded.inputs), alone.len()), (batch, batch), "{class}");
            let together = infer(&loaded, &loaded.inputs);
            let apart: Vec<NamedTensors> = alone.iter().map(|inputs| infer(&loaded, inputs)).collect();
            let mut differ = false;
            for (name, output) in &together {
                let singles: Vec<&Tensor> = apart.iter().map(|outputs| &outputs[name]).collect();
                differ |= singles[0] != singles[1];
                for at in 0..output.shape().iter().product() {
                    let (single, from) = of_singles(output, &singles, at);
                    if output.dtype() == DType::I32 {
                        assert_eq!(
                            output.as_i32()[at],
                            single.as_i32()[from],
                            "{class} {batch}: {name} at {at}"
                        );
                        continue;
                    }
                    let (y, e) = (output.as_f32()[at], single.as_f32()[from]);
                    assert!(
                        (y - e).abs() <= 1e-5 * (1.0 + e.abs()),
                        "{class} {batch}: {name} at {at}: {y} {e}"
                    );
                }
            }
            assert!(differ, "{class}: the items are alike, so this proves nothing");
        }
    }
}

#[test]
fn sequences_have_the_length_asked_for() {
    for (class, tokens, refused) in CLASSES {
        let refusal =
            Loaded::twin_of(class, "tiny", 5, 1, Some(refused)).err().map(|error| error.to_string());
        assert!(refusal.is_some_and(|text| text.contains("input_ids")), "{class}");
        let Some(tokens) = tokens else { continue };
        let loaded =
            Loaded::twin_of(class, "tiny", 5, 2, Some(tokens)).unwrap_or_else(|e| panic!("{class}: {e}"));
        assert_eq!(loaded.inputs["input_ids"].shape().last(), Some(&tokens), "{class}");
    }
}

#[test]
fn the_first_item_is_the_only_one_of_a_batch_of_one() {
    for (class, ..) in CLASSES {
        let one = Loaded::twin(class, "tiny", 5).unwrap();
        let two = Loaded::twin_of(class, "tiny", 5, 2, None).unwrap();
        assert_eq!(rows(&*two.model, &two.inputs)[0], one.inputs, "{class}");
    }
}
