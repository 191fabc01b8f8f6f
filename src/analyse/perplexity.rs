//! How surprised a model is by a text that it was given, from the logits that its page uploaded.

use safetensors::SafeTensors;

use super::agreement::{Elements, elements};
use super::divergence;
use super::stats::{Estimate, of_sums};
use crate::collect::{Estimated, Perplexity};

/// How surprised the outputs are by every token of the texts but the first of each, in nats.
pub(super) fn surprisals(outputs: &[u8], texts: &[Vec<i64>]) -> Option<Vec<f64>> {
    let outputs = SafeTensors::deserialize(outputs).ok()?;
    let logits = outputs.tensor("logits").ok()?;
    let &[_, _, row] = logits.shape() else { return None };
    match elements(&logits)? {
        Elements::Floats(logits) => divergence::surprisals(&logits, row, texts),
        Elements::Integers(_) => None,
    }
}

/// e to the mean, with its interval.
pub(super) fn perplexity(nats: &[f64]) -> Option<Estimate> {
    let rows: Vec<[f64; 1]> = nats.iter().map(|nats| [*nats]).collect();
    of_sums(&rows, |[sum], count| Some((sum / count as f64).exp()))
}

/// The perplexity of one over that of another, drawn token by token.
pub(super) fn ratio(own: &[f64], full: &[f64]) -> Option<Estimate> {
    let apart: Vec<f64> = own.iter().zip(full).map(|(own, full)| own - full).collect();
    if own.len() == full.len() { perplexity(&apart) } else { None }
}

/// What is kept of a cell that was given texts to be scored by: `full` is the answer at full precision, with its source; none
/// where that is the cell's own.
pub(super) fn scored(outputs: &[u8], texts: &[Vec<i64>], full: Option<(&str, &[u8])>) -> Option<Perplexity> {
    let own = surprisals(outputs, texts)?;
    let Estimate { value, lo, hi, count } = perplexity(&own)?;
    let beside = full.and_then(|(source, full)| Some((source, ratio(&own, &surprisals(full, texts)?)?)));
    Some(Perplexity {
        perplexity: Estimated { value, lo, hi },
        tokens: count as u64,
        ratio: beside.map(|(_, Estimate { value, lo, hi, .. })| Estimated { value, lo, hi }),
        reference: beside.map(|(source, _)| source.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use safetensors::{Dtype, tensor::TensorView};

    use super::*;

    /// Logits of six tokens in a row of a vocabulary of two, each with so much more for the first.
    fn logits(more: f32) -> Vec<u8> {
        let bytes: Vec<u8> = [more, 0.0].repeat(6).iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![1, 6, 2], &bytes).unwrap_or_else(|e| panic!("{e}"));
        safetensors::serialize([("logits", view)], None).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn a_text_is_scored_beside_full_precision() {
        let texts = [vec![1, 0, 0, 0, 0, 0]];
        // Certain of nothing: as surprised as by a coin.
        let scored = |outputs: &[u8], full| scored(outputs, &texts, full).unwrap_or_else(|| panic!("none"));
        let coin = scored(&logits(0.0), None);
        assert_eq!((coin.tokens, coin.ratio, coin.reference.as_deref()), (5, None, None));
        let Estimated { value, lo: Some(lo), hi: Some(hi) } = coin.perplexity else { panic!("{coin:?}") };
        assert!((value - 2.0).abs() < 1e-9 && lo <= value && value <= hi);
        // Three of four on what comes: surprised by 4/3.
        let sure = scored(&logits(3.0_f32.ln()), Some(("oracle", &logits(0.0))));
        assert!((sure.perplexity.value - 4.0 / 3.0).abs() < 1e-6, "{sure:?}");
        assert!(sure.ratio.is_some_and(|ratio| (ratio.value - 2.0 / 3.0).abs() < 1e-6), "{sure:?}");
        assert_eq!(sure.reference.as_deref(), Some("oracle"));
        // Texts that the outputs are not of score nothing.
        assert_eq!(super::scored(&logits(0.0), &[vec![1, 0]], None), None);
    }
}
