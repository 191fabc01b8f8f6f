//! Classes and rankings: softmax over logits, best first.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{floats, not_a_number, softmax};
use crate::error::{Error, Result};
use crate::models::Config;
use crate::tensor::NamedTensors;

/// A class or a candidate with its probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scored {
    /// Which of the logits it is.
    pub index: usize,
    /// Its name.
    pub label: String,
    /// Its probability.
    pub score: f64,
}

/// `id2label`: names of classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(BTreeMap<usize, String>);

impl Labels {
    /// Reads `id2label` of a `config.json`; without one, classes have no names but `LABEL_n`, as in transformers.
    ///
    /// # Errors
    /// If it is not an object of names by number.
    pub fn read(config: &Config) -> Result<Self> {
        let field = "id2label";
        let Some(written) = config.get(field) else { return Ok(Self::default()) };
        let fault = || Error::config(field, written, "must hold names by number");
        let entries = written.as_object().ok_or_else(fault)?.iter();
        let entry = |(id, name): (&String, &serde_json::Value)| {
            Ok((id.parse().map_err(|_| fault())?, name.as_str().ok_or_else(fault)?.to_owned()))
        };
        entries.map(entry).collect::<Result<_>>().map(Self)
    }

    /// The name of a class.
    pub fn name(&self, class: usize) -> String {
        self.0.get(&class).cloned().unwrap_or_else(|| format!("LABEL_{class}"))
    }
}

/// The `top` likeliest classes of each row of `logits [batch, classes]`.
///
/// # Errors
/// If there are no such logits, or they are not numbers.
pub fn classes(outputs: &NamedTensors, labels: &Labels, top: usize) -> Result<Vec<Vec<Scored>>> {
    let ([_, classes], logits) = floats(outputs, "logits")?;
    rows("logits", logits, classes, top, |class| labels.name(class))
}

/// How well each of the `candidates` (texts) matches each picture, sound or video: softmax over each row of
/// `logits_per_image`, `logits_per_audio` or `logits_per_video`, whichever there is.
///
/// # Errors
/// If there is none of them, it is for another number of candidates, or holds what is not a number.
pub fn rankings(outputs: &NamedTensors, candidates: &[&str]) -> Result<Vec<Vec<Scored>>> {
    let names = ["logits_per_image", "logits_per_audio", "logits_per_video"];
    let name = names.into_iter().find(|name| outputs.contains_key(*name)).unwrap_or(names[0]);
    let ([_, texts], logits) = floats(outputs, name)?;
    if texts != candidates.len() {
        return Err(Error::input(name, format!("ranks {texts} texts, not {}", candidates.len())));
    }
    rows(name, logits, texts, texts, |text| candidates[text].to_owned())
}

fn rows(
    name: &str,
    logits: &[f32],
    width: usize,
    top: usize,
    label: impl Fn(usize) -> String,
) -> Result<Vec<Vec<Scored>>> {
    let row = |logits: &[f32]| {
        let scores = softmax(logits);
        if scores.iter().any(|score| score.is_nan()) {
            return Err(not_a_number(name));
        }
        let mut order: Vec<usize> = (0..width).collect();
        // Stable: of equals, the first comes first.
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        order.truncate(top);
        Ok(order.into_iter().map(|at| Scored { index: at, label: label(at), score: scores[at] }).collect())
    };
    logits.chunks_exact(width).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;

    fn outputs(name: &str, shape: [usize; 2], values: &[f32]) -> NamedTensors {
        NamedTensors::from([(name.to_owned(), Tensor::f32(shape, values.to_vec()))])
    }

    fn briefly(rows: &[Vec<Scored>]) -> Vec<Vec<(&str, f64)>> {
        let brief = |scored: &Scored| (scored.score * 1e4).round() / 1e4;
        rows.iter().map(|row| row.iter().map(|s| (s.label.as_str(), brief(s))).collect()).collect()
    }

    #[test]
    fn the_likeliest_classes_come_first() {
        let config = Config::parse("config.json", br#"{"id2label": {"0": "cat", "2": "dog"}}"#).unwrap();
        let labels = Labels::read(&config).unwrap();
        // Odds of 1 to 3 to 6, and of 1 to 1 to 2.
        let logits = [0.0, 3.0_f32.ln(), 6.0_f32.ln(), 1000.0, 1000.0, 1000.0 + 2.0_f32.ln()];
        let found = classes(&outputs("logits", [2, 3], &logits), &labels, 2).unwrap();
        assert_eq!(briefly(&found), [[("dog", 0.6), ("LABEL_1", 0.3)], [("dog", 0.5), ("cat", 0.25)]]);
        assert_eq!(found[0][0].index, 2);
        assert!(classes(&outputs("logits", [1, 2], &[0.0, f32::NAN]), &labels, 2).is_err());
        assert!(classes(&outputs("logits", [1, 2], &[0.0, f32::INFINITY]), &labels, 2).is_err());
        assert!(Labels::read(&Config::parse("c", br#"{"id2label": {"x": "cat"}}"#).unwrap()).is_err());
    }

    #[test]
    fn texts_are_ranked() {
        let logits = outputs("logits_per_audio", [1, 2], &[0.0, 4.0_f32.ln()]);
        let found = rankings(&logits, &["rain", "wind"]).unwrap();
        assert_eq!(briefly(&found), [[("wind", 0.8), ("rain", 0.2)]]);
        assert!(rankings(&logits, &["rain"]).is_err());
        assert!(rankings(&NamedTensors::new(), &["rain"]).is_err());
    }
}
