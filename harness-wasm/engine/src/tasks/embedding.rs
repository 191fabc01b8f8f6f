//! Embeddings of sentences, and how alike they are.

use super::{floats, floats_of};
use crate::error::{Error, Result};
use crate::tensor::{Data, NamedTensors, Tensor};

/// The mean of `last_hidden_state [batch, tokens, width]` over the tokens that `attention_mask [batch, tokens]` shows,
/// brought to length 1: what sentence encoders such as MiniLM's call an embedding.
///
/// # Errors
/// If there is no such output, the mask has another shape or hides a whole row.
pub fn sentence_embeddings(outputs: &NamedTensors, mask: &Tensor) -> Result<Vec<Vec<f32>>> {
    let ([batch, tokens, width], hidden) = floats(outputs, "last_hidden_state")?;
    let name = "attention_mask";
    let Data::I32(mask) = mask.data() else {
        return Err(Error::input(name, "holds floats where integers belong"));
    };
    if mask.len() != batch * tokens {
        return Err(Error::input(name, format!("has {} places for {batch} by {tokens} tokens", mask.len())));
    }
    let row = |(hidden, mask): (&[f32], &[i32])| {
        let mut sum = vec![0.0_f64; width];
        for (token, _) in hidden.chunks_exact(width).zip(mask).filter(|(_, shown)| **shown != 0) {
            sum.iter_mut().zip(token).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        // The sum points where the mean does.
        unit(&sum).ok_or_else(|| Error::input(name, "hides every token, or what it shows has no direction"))
    };
    hidden.chunks_exact(tokens * width).zip(mask.chunks_exact(tokens)).map(row).collect()
}

/// The vector of length 1 in that direction, if there is one.
fn unit(vector: &[f64]) -> Option<Vec<f32>> {
    let length = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
    (length > 0.0 && length.is_finite()).then(|| vector.iter().map(|v| (v / length) as f32).collect())
}

/// The cosines between every row of `a [n, width]` and every row of `b [m, width]`, `n` rows of `m`.
///
/// # Errors
/// If they are not such tensors, or a row has no direction.
pub fn cosines(a: &Tensor, b: &Tensor) -> Result<Vec<Vec<f64>>> {
    let rows = |name: &str, tensor: &Tensor| -> Result<Vec<Vec<f32>>> {
        let ([_, width], values) = floats_of(name, tensor)?;
        let row = |row: &[f32]| {
            let wide: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
            unit(&wide).ok_or_else(|| Error::input(name, "has a row without a direction"))
        };
        values.chunks_exact(width).map(row).collect()
    };
    let [left, right] = [rows("a", a)?, rows("b", b)?];
    if a.shape()[1] != b.shape()[1] {
        return Err(Error::input("b", format!("is {} wide where a is {}", b.shape()[1], a.shape()[1])));
    }
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    Ok(left.iter().map(|a| right.iter().map(|b| dot(a, b)).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_tokens_do_not_count() {
        let hidden = Tensor::f32([2, 2, 2], vec![1.0, 0.0, 5.0, 8.0, 9.0, 9.0, 0.0, 2.0]);
        let outputs = NamedTensors::from([("last_hidden_state".to_owned(), hidden)]);
        let pooled = |mask: [i32; 4]| sentence_embeddings(&outputs, &Tensor::i32([2, 2], mask.to_vec()));
        assert_eq!(pooled([1, 0, 0, 1]).unwrap(), [[1.0, 0.0], [0.0, 1.0]]);
        // The sum of 1, 0 and 5, 8 is 6, 8.
        assert_eq!(pooled([1, 1, 0, 1]).unwrap()[0], [0.6, 0.8]);
        assert!(pooled([1, 1, 0, 0]).is_err());
        assert!(sentence_embeddings(&outputs, &Tensor::i32([1, 2], vec![1, 1])).is_err());
    }

    #[test]
    fn cosines_are_of_directions() {
        let a = Tensor::f32([1, 2], vec![3.0, 4.0]);
        let b = Tensor::f32([3, 2], vec![6.0, 8.0, -4.0, 3.0, 5.0, 0.0]);
        let found = cosines(&a, &b).unwrap();
        for (cosine, expected) in found[0].iter().zip([1.0, 0.0, 0.6]) {
            assert!((cosine - expected).abs() < 1e-6, "{found:?}");
        }
        assert!(cosines(&a, &Tensor::f32([1, 2], vec![0.0, 0.0])).is_err());
        assert!(cosines(&a, &Tensor::f32([1, 1], vec![1.0])).is_err());
    }
}
