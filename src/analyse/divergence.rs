//! How far outputs are apart, row by row: what means and intervals are made of.
//!
//! A row is what lies along the last axis: a token's or an item's vector, or its logits.

/// `y·e`, `y·y` and `e·e` of every row: their sums make the cosine of the whole.
pub(super) fn products(y: &[f64], e: &[f64], row: usize) -> Vec<[f64; 3]> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    rows(y, e, row).map(|(y, e)| [dot(y, e), dot(y, y), dot(e, e)]).collect()
}

/// The cosine that sums of [`products`] make; none where one of the two is nothing.
pub(super) fn cosine([dot, y, e]: [f64; 3]) -> Option<f64> {
    let norms = (y * e).sqrt();
    (norms > 0.0 && norms.is_finite()).then(|| dot / norms)
}

/// Of every row whether its largest element is the same.
pub(super) fn choices(y: &[f64], e: &[f64], row: usize) -> Vec<bool> {
    rows(y, e, row).map(|(y, e)| largest(y) == largest(e)).collect()
}

fn largest(row: &[f64]) -> usize {
    (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

/// Kullback–Leibler divergence of each row's distribution from that of `e`, in nats.
pub(super) fn divergences(y: &[f64], e: &[f64], row: usize) -> Vec<f64> {
    let of = |(y, e): (&[f64], &[f64])| -> f64 {
        let (y, e) = (log_softmax(y), log_softmax(e));
        let sum: f64 = e.iter().zip(&y).map(|(e, y)| e.exp() * (e - y)).sum();
        // Rounding may take it below zero; what is no number stays none.
        if sum < 0.0 { 0.0 } else { sum }
    };
    rows(y, e, row).map(of).collect()
}

/// Of texts, `[texts, tokens]`, how surprising every token but the first is to logits `[texts, tokens, row]`, in nats; none
/// if the two do not fit.
pub(super) fn surprisals(logits: &[f64], row: usize, texts: &[Vec<i64>]) -> Option<Vec<f64>> {
    let tokens = texts.first().map_or(0, Vec::len);
    if row == 0 || texts.iter().any(|text| text.len() != tokens) || logits.len() != texts.len() * tokens * row
    {
        return None;
    }
    let mut nats = Vec::with_capacity(texts.len() * tokens.saturating_sub(1));
    for (text, logits) in texts.iter().zip(logits.chunks_exact((tokens * row).max(1))) {
        for (next, logits) in text.iter().skip(1).zip(logits.chunks_exact(row)) {
            nats.push(-*log_softmax(logits).get(usize::try_from(*next).ok()?)?);
        }
    }
    Some(nats)
}

fn log_softmax(row: &[f64]) -> Vec<f64> {
    let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_sum = row.iter().map(|x| (x - most).exp()).sum::<f64>().ln() + most;
    row.iter().map(|x| x - log_sum).collect()
}

fn rows<'a>(y: &'a [f64], e: &'a [f64], row: usize) -> impl Iterator<Item = (&'a [f64], &'a [f64])> {
    y.chunks_exact(row.max(1)).zip(e.chunks_exact(row.max(1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Logits of these probabilities, moved by any constant.
    fn logits(probabilities: &[f64]) -> Vec<f64> {
        probabilities.iter().map(|p| p.ln() + 3.0).collect()
    }

    #[test]
    fn known_divergences() {
        let (p, q) = (logits(&[0.5, 0.25, 0.25]), logits(&[0.25, 0.25, 0.5]));
        // ½ ln 2 + 0 + ¼ ln ½.
        let found = divergences(&q, &p, 3);
        assert!((found[0] - 0.25 * 2.0_f64.ln()).abs() < 1e-12, "{found:?}");
        let (p, q) = (logits(&[0.9, 0.1]), logits(&[0.5, 0.5]));
        let apart = 0.9 * (0.9_f64 / 0.5).ln() + 0.1 * (0.1_f64 / 0.5).ln();
        assert!((divergences(&q, &p, 2)[0] - apart).abs() < 1e-12);
        assert!((divergences(&p, &q, 2)[0] - apart).abs() > 0.1, "it matters which is which");
    }

    #[test]
    fn a_uniform_model_is_as_surprised_as_it_knows_words() {
        let texts = [vec![3, 1, 4], vec![1, 5, 6]];
        let nats = surprisals(&[0.25; 2 * 3 * 7], 7, &texts).unwrap_or_default();
        assert_eq!(nats.len(), 4, "nothing comes before a first token");
        let perplexity = (nats.iter().sum::<f64>() / 4.0).exp();
        assert!((perplexity - 7.0).abs() < 1e-9, "{perplexity}");
    }

    #[test]
    fn a_model_that_knows_the_text_is_not_surprised() {
        let text = vec![2, 0, 1];
        // At each place, nearly all on the next token.
        let sure = [[99.0, 0.0, 0.0], [0.0, 99.0, 0.0], [0.0, 0.0, 0.0]].concat();
        let nats = surprisals(&sure, 3, std::slice::from_ref(&text)).unwrap_or_default();
        assert!(nats.len() == 2 && nats.iter().all(|nats| *nats < 1e-12), "{nats:?}");
        assert_eq!(surprisals(&sure, 3, &[vec![2, 0]]), None, "another length");
        assert_eq!(surprisals(&sure, 3, &[vec![2, 0, 3]]), None, "no such token");
        assert_eq!(surprisals(&sure, 3, &[vec![2, -1, 1]]), None);
    }

    #[test]
    fn choices_are_counted_row_by_row() {
        let (y, e) = ([1.0, 2.0, 5.0, 4.0, 0.0, 0.0], [1.0, 3.0, 4.0, 5.0, 1.0, 0.0]);
        assert_eq!(choices(&y, &e, 2), [true, false, true]);
    }

    proptest! {
        #[test]
        fn a_divergence_is_none_of_oneself_and_never_negative(
            rows in prop::collection::vec((-20.0_f64..20.0, -20.0_f64..20.0), 2..12),
            shift in -50.0_f64..50.0,
        ) {
            let (y, e): (Vec<f64>, Vec<f64>) = rows.into_iter().unzip();
            let row = y.len();
            prop_assert!(divergences(&y, &e, row)[0] >= 0.0);
            // Logits mean the same wherever they begin.
            let moved: Vec<f64> = y.iter().map(|y| y + shift).collect();
            prop_assert!(divergences(&moved, &y, row)[0] < 1e-9);
            prop_assert!((divergences(&moved, &e, row)[0] - divergences(&y, &e, row)[0]).abs() < 1e-9);
        }

        #[test]
        fn rows_make_the_cosine_of_the_whole(
            pairs in prop::collection::vec((0.1_f64..9.0, -9.0_f64..9.0), 6),
        ) {
            let (y, e): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let sums = |row| {
                products(&y, &e, row).iter().fold([0.0; 3], |a, b| [a[0] + b[0], a[1] + b[1], a[2] + b[2]])
            };
            let (whole, parts) = (cosine(sums(6)).unwrap_or(9.0), cosine(sums(2)).unwrap_or(-9.0));
            prop_assert!((whole - parts).abs() < 1e-12 && whole.abs() <= 1.0 + 1e-12);
        }
    }
}
