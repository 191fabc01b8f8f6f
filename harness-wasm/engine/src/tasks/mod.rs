//! From a model's outputs to what a person would check: labels, boxes, text, rankings, embeddings.
//!
//! The opposite of [`crate::frontend`]: pure functions over named tensors. Text that needs a tokenizer is made by a
//! function of the caller's.

mod boxes;
mod ctc;
mod embedding;
mod scores;

use serde::Serialize;

pub use boxes::{Detection, detections};
pub use ctc::Vocabulary;
pub use embedding::{cosines, sentence_embeddings};
pub use scores::{Labels, Scored, classes, rankings};

use crate::error::{Error, Result};
use crate::tensor::{Data, NamedTensors, Tensor};

/// What a model's outputs say, by item of the batch.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "task", content = "items", rename_all = "snake_case")]
pub enum Answer {
    /// The likeliest classes, best first.
    Labels(Vec<Vec<Scored>>),
    /// The candidates by how well they match, best first.
    Rankings(Vec<Vec<Scored>>),
    /// Objects, surest first.
    Boxes(Vec<Vec<Detection>>),
    /// What was said, or what is generated.
    Text(Vec<String>),
    /// Vectors of length 1.
    Embeddings(Vec<Vec<f32>>),
}

/// What an answer needs besides a model's outputs: whatever its class is said to need in [`answer`].
#[derive(Default)]
pub struct Material<'a> {
    /// Names of classes.
    pub labels: Labels,
    /// How many of the likeliest classes are wanted.
    pub top: usize,
    /// Texts that were given to be ranked.
    pub candidates: &'a [&'a str],
    /// Heights and widths of the pictures.
    pub sizes: &'a [[usize; 2]],
    /// The probability that an object must exceed.
    pub threshold: f64,
    /// Letters by number.
    pub vocabulary: Option<&'a Vocabulary>,
    /// Which tokens are no padding.
    pub attention_mask: Option<&'a Tensor>,
    /// Text of tokens.
    pub detokenize: Option<&'a Detokenize<'a>>,
}

/// A tokenizer's way from ids to text.
pub type Detokenize<'a> = dyn Fn(&[i32]) -> String + 'a;

/// What the outputs of a model of this class say.
///
/// | class | answer | needs |
/// |---|---|---|
/// | `bert` | embeddings | `attention_mask` |
/// | `vit` | labels | `labels`, `top` |
/// | `detr` | boxes | `labels`, `sizes`, `threshold` |
/// | `clip` `clap` `xclip` | rankings | `candidates` |
/// | `wav2vec2` | text | `vocabulary` |
/// | the others | text | `detokenize` |
///
/// # Errors
/// If the material or an output is missing, or the outputs are not numbers.
pub fn answer(class: &str, outputs: &NamedTensors, material: &Material<'_>) -> Result<Answer> {
    let missing = |name: &str| Error::input(name, format!("{class} has no answer without it"));
    match class {
        "bert" => {
            let mask = material.attention_mask.ok_or_else(|| missing("attention_mask"))?;
            sentence_embeddings(outputs, mask).map(Answer::Embeddings)
        }
        "vit" => classes(outputs, &material.labels, material.top).map(Answer::Labels),
        "detr" => {
            detections(outputs, &material.labels, material.sizes, material.threshold).map(Answer::Boxes)
        }
        "clip" | "clap" | "xclip" => rankings(outputs, material.candidates).map(Answer::Rankings),
        "wav2vec2" => {
            material.vocabulary.ok_or_else(|| missing("vocab.json"))?.text(outputs).map(Answer::Text)
        }
        _ => {
            let detokenize = material.detokenize.ok_or_else(|| missing("tokenizer.json"))?;
            generated_text(outputs, detokenize).map(Answer::Text)
        }
    }
}

/// `generated_ids [batch, tokens]` as text, by a tokenizer's `detokenize`.
///
/// # Errors
/// If there are no such ids.
pub fn generated_text(outputs: &NamedTensors, detokenize: impl Fn(&[i32]) -> String) -> Result<Vec<String>> {
    let name = "generated_ids";
    let ids = outputs.get(name).ok_or_else(|| Error::input(name, "missing among the outputs"))?;
    match (ids.shape(), ids.data()) {
        (&[_, tokens], Data::I32(values)) if tokens > 0 => {
            Ok(values.chunks_exact(tokens).map(detokenize).collect())
        }
        _ => Err(Error::input(name, "are not integers of [batch, tokens]")),
    }
}

/// An output of floats of this rank.
fn floats<'t, const RANK: usize>(
    outputs: &'t NamedTensors,
    name: &str,
) -> Result<([usize; RANK], &'t [f32])> {
    let tensor = outputs.get(name).ok_or_else(|| Error::input(name, "missing among the outputs"))?;
    floats_of(name, tensor)
}

fn floats_of<'t, const RANK: usize>(name: &str, tensor: &'t Tensor) -> Result<([usize; RANK], &'t [f32])> {
    let shape = <[usize; RANK]>::try_from(tensor.shape());
    match (shape, tensor.data()) {
        (Ok(shape), Data::F32(values)) if !shape.contains(&0) => Ok((shape, values)),
        _ => Err(Error::input(
            name,
            format!("is {:?} {:?}, not floats of rank {RANK}", tensor.dtype(), tensor.shape()),
        )),
    }
}

/// Probabilities in proportion to the exponentials of `logits`.
fn softmax(logits: &[f32]) -> Vec<f64> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|&logit| (f64::from(logit) - f64::from(top)).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// The place of the largest value, the first of equals; none if one is not a number.
fn argmax(values: &[f32]) -> Option<usize> {
    if values.iter().any(|value| value.is_nan()) {
        return None;
    }
    (0..values.len()).reduce(|best, at| if values[at] > values[best] { at } else { best })
}

/// Outputs that are not numbers have no answer.
fn not_a_number(name: &str) -> Error {
    Error::input(name, "holds values that are not numbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_text() {
        let ids = Tensor::i32([2, 2], vec![1, 2, 3, 4]);
        let outputs = NamedTensors::from([("generated_ids".to_owned(), ids)]);
        assert_eq!(generated_text(&outputs, |ids| format!("{ids:?}")).unwrap(), ["[1, 2]", "[3, 4]"]);
        assert!(generated_text(&NamedTensors::new(), |_| String::new()).is_err());
    }

    #[test]
    fn a_class_answers_from_its_own_outputs() {
        let ids = NamedTensors::from([("generated_ids".to_owned(), Tensor::i32([1, 1], vec![7]))]);
        let detokenize = |ids: &[i32]| format!("<{}>", ids[0]);
        let material = Material { detokenize: Some(&detokenize), ..Material::default() };
        assert_eq!(answer("whisper", &ids, &material).unwrap(), Answer::Text(vec!["<7>".into()]));
        let error = answer("llama", &ids, &Material::default()).unwrap_err().to_string();
        assert_eq!(error, "input tokenizer.json: llama has no answer without it");
        for class in ["bert", "vit", "detr", "clip", "wav2vec2"] {
            assert!(answer(class, &ids, &material).is_err(), "{class}");
        }
    }

    #[test]
    fn answers_say_their_task() {
        let answer = Answer::Text(vec!["a".into()]);
        assert_eq!(serde_json::to_string(&answer).unwrap(), r#"{"task":"text","items":["a"]}"#);
        let scored = Answer::Labels(vec![vec![Scored { index: 3, label: "cat".into(), score: 0.5 }]]);
        assert_eq!(
            serde_json::to_string(&scored).unwrap(),
            r#"{"task":"labels","items":[[{"index":3,"label":"cat","score":0.5}]]}"#
        );
    }
}
