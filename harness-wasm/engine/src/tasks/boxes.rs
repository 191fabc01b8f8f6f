//! Objects found in pictures: DETR's logits and boxes.

use serde::Serialize;

use super::scores::Labels;
use super::{floats, not_a_number, softmax};
use crate::error::{Error, Result};
use crate::tensor::NamedTensors;

/// An object found in a picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Detection {
    /// Its class.
    pub index: usize,
    /// Its class's name.
    pub label: String,
    /// The class's probability.
    pub score: f64,
    /// Left, top, right and bottom, in pixels.
    pub corners: [f64; 4],
}

/// Objects that are surer than `threshold`, by picture, surest first: `logits [batch, queries, classes + 1]`, whose last
/// class means that there is no object, and `pred_boxes [batch, queries, 4]`, centres and sizes relative to the
/// picture, whose `[height, width]` are `sizes`.
///
/// # Errors
/// If there are no such outputs, sizes are not one a picture, or values are not numbers.
pub fn detections(
    outputs: &NamedTensors,
    labels: &Labels,
    sizes: &[[usize; 2]],
    threshold: f64,
) -> Result<Vec<Vec<Detection>>> {
    let ([batch, queries, classes], logits) = floats(outputs, "logits")?;
    let (shape, boxes) = floats(outputs, "pred_boxes")?;
    if shape != [batch, queries, 4] || sizes.len() != batch {
        let reason =
            format!("are {shape:?}, for logits [{batch}, {queries}, {classes}] and {} sizes", sizes.len());
        return Err(Error::input("pred_boxes", reason));
    }
    let pictures = logits.chunks_exact(queries * classes).zip(boxes.chunks_exact(queries * 4)).zip(sizes);
    let picture = |((logits, boxes), size): ((&[f32], &[f32]), &[usize; 2])| {
        let mut found = Vec::new();
        for (logits, corners) in logits.chunks_exact(classes).zip(boxes.as_chunks::<4>().0) {
            let scores = softmax(logits);
            if scores.iter().any(|score| score.is_nan()) || corners.iter().any(|v| !v.is_finite()) {
                return Err(not_a_number("logits or pred_boxes"));
            }
            // The first of equals.
            let objects = scores[..classes - 1].iter().copied().enumerate();
            let best = objects.reduce(|best, next| if next.1 > best.1 { next } else { best });
            if let Some((index, score)) = best.filter(|(_, score)| *score > threshold) {
                found.push(Detection {
                    index,
                    label: labels.name(index),
                    score,
                    corners: corner(*corners, *size),
                });
            }
        }
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(found)
    };
    pictures.map(picture).collect()
}

/// Centre and size, relative, to corners in pixels.
fn corner(relative: [f32; 4], size: [usize; 2]) -> [f64; 4] {
    let [x, y, wide, high] = relative.map(f64::from);
    let [height, width] = size.map(|side| side as f64);
    [(x - wide / 2.0) * width, (y - high / 2.0) * height, (x + wide / 2.0) * width, (y + high / 2.0) * height]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;

    #[test]
    fn sure_objects_have_boxes_in_pixels() {
        // Odds for two classes and for nothing: 1 2 1, 1 1 6, 8 1 1.
        let odds: [f32; 9] = [1.0, 2.0, 1.0, 1.0, 1.0, 6.0, 8.0, 1.0, 1.0];
        let boxes = [0.5, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1, 0.25, 0.75, 0.5, 0.5];
        let outputs = NamedTensors::from([
            ("logits".to_owned(), Tensor::f32([1, 3, 3], odds.map(f32::ln).to_vec())),
            ("pred_boxes".to_owned(), Tensor::f32([1, 3, 4], boxes.to_vec())),
        ]);
        let found = detections(&outputs, &Labels::default(), &[[40, 80]], 0.4).unwrap();
        let [found] = &found[..] else { panic!("one picture") };
        assert_eq!(found.iter().map(|object| object.index).collect::<Vec<_>>(), [0, 1]);
        assert!((found[0].score - 0.8).abs() < 1e-6 && (found[1].score - 0.5).abs() < 1e-6);
        assert_eq!(found[0].corners, [0.0, 20.0, 40.0, 40.0]);
        assert_eq!(found[1].corners, [20.0, 10.0, 60.0, 30.0]);
        assert_eq!(found[1].label, "LABEL_1");
        assert!(detections(&outputs, &Labels::default(), &[[40, 80]], 0.9).unwrap()[0].is_empty());
        assert!(detections(&outputs, &Labels::default(), &[], 0.5).is_err());
    }
}
