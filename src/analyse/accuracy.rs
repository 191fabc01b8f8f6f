//! What a precision costs: a cell's outputs beside those at full precision.
//!
//! No verdict rests on this. Whether a quantised cell computed what its weights say is for [`super::compare`]; how far
//! that is from the model as it was trained is told here.

use safetensors::{SafeTensors, tensor::TensorView};

use super::agreement::{Elements, elements};
use super::divergence::{choices, cosine, divergences, products};
use super::stats::part;
use crate::collect::{Accuracy, OutputAccuracy, Quantisation, Reference};

/// Measures outputs against the answer at full precision; none where the two cannot be compared.
pub fn accuracy(how: &Quantisation, full: &Reference, outputs: &[u8]) -> Option<Accuracy> {
    let expected = SafeTensors::deserialize(&full.tensors).ok()?;
    let outputs = SafeTensors::deserialize(outputs).ok()?;
    let mut names = expected.names();
    names.sort_unstable();
    let each = names.into_iter().filter_map(|name| {
        let (expected, actual) = (expected.tensor(name).ok()?, outputs.tensor(name).ok()?);
        output(name, &actual, &expected)
    });
    Some(Accuracy { quantisation: how.clone(), reference: full.source.clone(), outputs: each.collect() })
}

fn output(name: &str, actual: &TensorView<'_>, expected: &TensorView<'_>) -> Option<OutputAccuracy> {
    if actual.shape() != expected.shape() {
        return None;
    }
    let name = name.to_owned();
    let none = OutputAccuracy { name, cosine: None, relative_error: None, agreement: None, divergence: None };
    match (elements(actual)?, elements(expected)?) {
        (Elements::Floats(y), Elements::Floats(e)) => {
            let row = expected.shape().last().copied().unwrap_or(1);
            let classes = none.name.ends_with("logits") && row > 1;
            Some(OutputAccuracy {
                cosine: products(&y, &e, y.len()).first().copied().and_then(cosine),
                relative_error: relative_error(&y, &e),
                agreement: if classes { part(&choices(&y, &e, row)).map(|same| same.value) } else { None },
                divergence: if classes { mean(&divergences(&y, &e, row)) } else { None },
                ..none
            })
        }
        (Elements::Integers(y), Elements::Integers(e)) => {
            let same = y.iter().zip(&e).filter(|(y, e)| y == e).count();
            Some(OutputAccuracy { agreement: Some(same as f64 / e.len().max(1) as f64), ..none })
        }
        _ => None,
    }
}

/// `‖y - e‖ / ‖e‖`.
fn relative_error(y: &[f64], e: &[f64]) -> Option<f64> {
    let energy: f64 = e.iter().map(|e| e * e).sum();
    let error: f64 = y.iter().zip(e).map(|(y, e)| (y - e).powi(2)).sum();
    (energy > 0.0 && error.is_finite()).then(|| (error / energy).sqrt())
}

/// The mean; none of nothing, or where it is no number.
fn mean(values: &[f64]) -> Option<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    mean.is_finite().then_some(mean)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use safetensors::Dtype;

    use super::*;

    fn file(logits: [f32; 4], ids: [i32; 2]) -> Vec<u8> {
        let bytes = logits.map(f32::to_le_bytes).concat();
        let ids = ids.map(i32::to_le_bytes).concat();
        let view = |dtype, shape, bytes| {
            TensorView::new(dtype, shape, bytes).unwrap_or_else(|error| panic!("{error}"))
        };
        let views = [
            ("logits", view(Dtype::F32, vec![2, 2], &bytes)),
            ("generated_ids", view(Dtype::I32, vec![2], &ids)),
        ];
        safetensors::serialize(views, None).unwrap_or_else(|error| panic!("{error}"))
    }

    fn measured(outputs: &[u8]) -> Accuracy {
        let how = Quantisation {
            schemes: BTreeMap::from([("int4-g32".to_owned(), 3)]),
            fit: "mse".to_owned(),
            calibration: None,
            bits_per_weight: 4.5,
            bytes: 9,
            weights: 16,
            model_bits_per_weight: 5.0,
            caches: None,
        };
        let full = Reference {
            source: "pytorch-golden".to_owned(),
            tensors: file([1.0, 2.0, 3.0, -1.0], [4, 5]).into(),
        };
        accuracy(&how, &full, outputs).unwrap_or_else(|| panic!("nothing to compare"))
    }

    #[test]
    fn what_is_the_same_loses_nothing() {
        let told = measured(&file([1.0, 2.0, 3.0, -1.0], [4, 5]));
        assert_eq!(told.outputs[1].cosine, Some(1.0));
        assert_eq!(told.outputs[1].relative_error, Some(0.0));
        assert_eq!((told.outputs[1].agreement, told.outputs[1].divergence), (Some(1.0), Some(0.0)));
        assert_eq!(told.outputs[0].agreement, Some(1.0));
        assert_eq!(told.cosine(), Some(1.0));
    }

    #[test]
    fn what_differs_is_measured() {
        let told = measured(&file([2.0, 1.0, 3.0, -1.0], [4, 7]));
        // One of two rows chooses otherwise, and one of two tokens is another.
        assert_eq!((told.outputs[0].agreement, told.outputs[1].agreement), (Some(0.5), Some(0.5)));
        // Of the first row: p = (1, e) / (1 + e) against its mirror image; half of that for two rows.
        let p = std::f64::consts::E / (1.0 + std::f64::consts::E);
        let divergence = (2.0 * p - 1.0) / 2.0;
        assert!((told.outputs[1].divergence.unwrap_or(0.0) - divergence).abs() < 1e-12);
        assert!((told.cosine().unwrap_or(0.0) - 14.0 / 15.0).abs() < 1e-12);
        assert!((told.outputs[1].relative_error.unwrap_or(0.0) - (2.0_f64 / 15.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_number_has_no_measure() {
        let told = measured(&file([f32::NAN, 1.0, 3.0, -1.0], [4, 5]));
        let logits = &told.outputs[1];
        assert_eq!((logits.cosine, logits.relative_error, logits.divergence), (None, None, None));
    }
}
