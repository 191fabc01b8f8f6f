//! Choosing the next token from logits.

use crate::error::{Error, Result};
use crate::models::End;
use crate::run::Options;
use crate::tensor::Tensor;
use crate::weights::twin::Draw;

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Sampling {
    /// The likeliest; the lower id wins a tie, as in PyTorch.
    #[default]
    Greedy,
    /// Drawn from the softmax of the logits, the same on every machine for the same seed.
    Drawn {
        /// Divides the logits; positive.
        temperature: f32,
        /// Only so many likeliest tokens are in the draw; 0 for all.
        top_k: usize,
        /// Only the likeliest tokens whose probabilities sum up to this are in the draw; 1 for all.
        top_p: f32,
        /// Of the draws.
        seed: u64,
    },
}

/// Chooses tokens for every row of a batch, step by step.
pub(super) struct Chooser<'e> {
    options: Options,
    end: &'e End,
    draws: Vec<Draw>,
    ended: Vec<bool>,
    first: bool,
}

impl<'e> Chooser<'e> {
    pub(super) fn new(options: Options, end: &'e End, batch: usize) -> Self {
        let seed = match options.sampling {
            Sampling::Drawn { seed, .. } => seed,
            Sampling::Greedy => 0,
        };
        let draws = (0..batch).map(|row| Draw::new(seed, &format!("tokens of row {row}"))).collect();
        Self { options, end, draws, ended: vec![false; batch], first: true }
    }

    /// Whether no row goes on.
    pub(super) fn all_ended(&self) -> bool {
        self.ended.iter().all(|ended| *ended)
    }

    /// A token for each row from `logits [batch, tokens, vocabulary]` of its last position.
    pub(super) fn choose(&mut self, logits: &Tensor) -> Result<Vec<i32>> {
        let &[_, tokens, vocabulary] = logits.shape() else {
            unreachable!("logits are [batch, tokens, vocabulary]")
        };
        let mut chosen = Vec::with_capacity(self.ended.len());
        for (row, logits) in logits.as_f32().chunks_exact(tokens * vocabulary).enumerate() {
            let mut last = logits[(tokens - 1) * vocabulary..].to_vec();
            if last.iter().any(|v| v.is_nan()) {
                return Err(Error::Device {
                    backend: "model",
                    reason: "logits hold NaN: there is no next token".into(),
                });
            }
            let stop = if self.options.stops { &[][..] } else { &self.end.stop };
            let first = if self.first { &self.end.suppressed_first[..] } else { &[] };
            for &token in stop.iter().chain(&self.end.suppressed).chain(first) {
                if let Some(logit) = last.get_mut(token as usize) {
                    *logit = f32::NEG_INFINITY;
                }
            }
            let token = match (self.ended[row], self.options.sampling) {
                (true, _) => self.end.stop.first().copied().unwrap_or(0),
                (false, Sampling::Greedy) => greedy(&last),
                (false, Sampling::Drawn { temperature, top_k, top_p, .. }) => {
                    drawn(&last, temperature, top_k, top_p, &mut self.draws[row])
                }
            };
            self.ended[row] |= self.options.stops && self.end.stop.contains(&token);
            chosen.push(token);
        }
        self.first = false;
        Ok(chosen)
    }
}

fn greedy(logits: &[f32]) -> i32 {
    (1..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best }) as i32
}

fn drawn(logits: &[f32], temperature: f32, top_k: usize, top_p: f32, draw: &mut Draw) -> i32 {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    // Ties by id: the order, and so the draw, is the same everywhere.
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    if top_k > 0 {
        order.truncate(top_k);
    }
    let top = f64::from(logits[order[0]]);
    let scale = 1.0 / f64::from(temperature.max(f32::MIN_POSITIVE));
    let weights: Vec<f64> =
        order.iter().map(|&id| libm::exp((f64::from(logits[id]) - top) * scale)).collect();
    let total: f64 = weights.iter().sum();
    let mut kept = 0;
    let mut mass = 0.0;
    while kept < weights.len() && (kept == 0 || mass < f64::from(top_p) * total) {
        mass += weights[kept];
        kept += 1;
    }
    // 53 bits: every float in [0, 1) that far apart is as likely.
    let mut at = (draw.bits() >> 11) as f64 / (1_u64 << 53) as f64 * mass;
    for (&id, weight) in order[..kept].iter().zip(&weights) {
        at -= weight;
        if at < 0.0 {
            return id as i32;
        }
    }
    order[kept - 1] as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(options: Options, end: &End, logits: &[f32]) -> i32 {
        let logits = Tensor::f32([1, 1, logits.len()], logits.to_vec());
        Chooser::new(options, end, 1).choose(&logits).unwrap()[0]
    }

    #[test]
    fn end_tokens_are_masked_unless_they_stop() {
        let end = End { stop: vec![1], suppressed: vec![2], suppressed_first: vec![3] };
        let logits = [0.0, 9.0, 8.0, 7.0, 1.0];
        assert_eq!(choose(Options::default(), &end, &logits), 4);
        let stopping = Options { stops: true, ..Options::default() };
        let mut chooser = Chooser::new(stopping, &end, 1);
        let logits = Tensor::f32([1, 1, 5], logits.to_vec());
        assert_eq!(chooser.choose(&logits).unwrap(), [1]);
        assert!(chooser.all_ended());
        assert_eq!(choose(Options::default(), &End::default(), &[5.0, 5.0]), 0);
    }

    #[test]
    fn draws_follow_the_distribution_and_the_seed() {
        let logits = [0.0_f32, libm::logf(3.0), f32::NEG_INFINITY];
        let sampling = Sampling::Drawn { temperature: 1.0, top_k: 0, top_p: 1.0, seed: 5 };
        let options = Options { sampling, ..Options::default() };
        let end = End::default();
        let tensor = Tensor::f32([1, 1, 3], logits.to_vec());
        let run = || {
            let mut chooser = Chooser::new(options, &end, 1);
            (0..4000).map(|_| chooser.choose(&tensor).unwrap()[0]).collect::<Vec<_>>()
        };
        let tokens = run();
        assert_eq!(tokens, run());
        let ones = tokens.iter().filter(|&&t| t == 1).count();
        assert!(!tokens.contains(&2) && (2900..3100).contains(&ones), "{ones}");
        let narrow = Sampling::Drawn { temperature: 1.0, top_k: 0, top_p: 0.7, seed: 5 };
        assert_eq!(choose(Options { sampling: narrow, ..options }, &end, &logits), 1);
        let few = Sampling::Drawn { temperature: 9.0, top_k: 1, top_p: 1.0, seed: 5 };
        assert_eq!(choose(Options { sampling: few, ..options }, &end, &logits), 1);
    }

    #[test]
    fn nan_logits_are_an_error() {
        let end = End::default();
        let mut chooser = Chooser::new(Options::default(), &end, 1);
        assert!(chooser.choose(&Tensor::f32([1, 1, 2], vec![0.0, f32::NAN])).is_err());
    }
}
