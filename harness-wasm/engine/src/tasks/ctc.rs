//! Speech as text: connectionist temporal classification, decoded greedily.

use std::collections::BTreeMap;

use super::{argmax, floats, not_a_number};
use crate::error::{Error, Result};
use crate::models::Config;
use crate::tensor::NamedTensors;

/// `vocab.json` of wav2vec 2.0: letters by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    letters: BTreeMap<usize, String>,
    blank: usize,
}

impl Vocabulary {
    /// Reads `vocab.json`, numbers by letter; the blank is `pad_token_id` of `config.json`.
    ///
    /// # Errors
    /// If it is not such an object, or knows no blank.
    pub fn read(vocabulary: &[u8], config: &Config) -> Result<Self> {
        let fault = |reason: String| Error::Data { file: "vocab.json".into(), reason };
        let numbers: BTreeMap<String, usize> =
            serde_json::from_slice(vocabulary).map_err(|error| fault(error.to_string()))?;
        let letters: BTreeMap<usize, String> = numbers.into_iter().map(|(letter, id)| (id, letter)).collect();
        let blank = config.count_or("pad_token_id", 0)?;
        if letters.contains_key(&blank) {
            Ok(Self { letters, blank })
        } else {
            Err(fault(format!("has no token {blank}, the config's pad_token_id")))
        }
    }

    /// The text of each row of `logits [batch, frames, letters]`: the likeliest letter of every frame, repeats taken
    /// together, blanks left out, and `|` between words.
    ///
    /// # Errors
    /// If there are no such logits, or they are not numbers.
    pub fn text(&self, outputs: &NamedTensors) -> Result<Vec<String>> {
        let ([_, frames, letters], logits) = floats(outputs, "logits")?;
        let row = |logits: &[f32]| {
            let best: Option<Vec<usize>> = logits.chunks_exact(letters).map(argmax).collect();
            best.map(|ids| self.collapse(ids)).ok_or_else(|| not_a_number("logits"))
        };
        logits.chunks_exact(frames * letters).map(row).collect()
    }

    fn collapse(&self, mut ids: Vec<usize>) -> String {
        ids.dedup();
        let letter = |id: usize| match self.letters.get(&id).map_or("<unk>", String::as_str) {
            "|" => " ",
            letter => letter,
        };
        let text: String = ids.into_iter().filter(|id| *id != self.blank).map(letter).collect();
        text.trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;

    #[test]
    fn repeats_are_one_letter_unless_a_blank_parts_them() {
        let config = Config::parse("config.json", br#"{"pad_token_id": 0}"#).unwrap();
        let vocabulary = Vocabulary::read(br#"{"<pad>": 0, "|": 1, "A": 2, "L": 3}"#, &config).unwrap();
        let ids = [1, 2, 2, 0, 3, 3, 0, 3, 1, 1, 0, 2, 4, 1];
        let logits = ids.iter().flat_map(|&id| (0..5).map(move |i| f32::from(u8::from(i == id)))).collect();
        let outputs = NamedTensors::from([("logits".to_owned(), Tensor::f32([1, ids.len(), 5], logits))]);
        assert_eq!(vocabulary.text(&outputs).unwrap(), ["ALL A<unk>"]);
        let outputs =
            NamedTensors::from([("logits".to_owned(), Tensor::f32([1, 1, 2], vec![0.0, f32::NAN]))]);
        assert!(vocabulary.text(&outputs).is_err());
        assert!(Vocabulary::read(br#"{"A": 2}"#, &config).is_err());
        assert!(Vocabulary::read(b"[]", &config).is_err());
    }
}
