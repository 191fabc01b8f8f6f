//! `stft`: the power spectrum of a signal, frame by frame.

use super::{operands, require};
use crate::error::{Error, Result};
use crate::ir::TensorType;
use crate::tensor::{DType, Tensor};

/// `|X[f]|²` of windowed frames: `x [batch, samples]`, `window [frame]` and `roots [frame, 2]` (cosine and sine
/// of `2πk / frame`) to `[batch, 1 + samples / hop, frame / 2 + 1]`.
///
/// Frame `t` is centred on sample `t * hop`; beyond its ends the signal is mirrored without repeating the
/// end, as `torch.stft` and Hugging Face's feature extractors do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stft {
    /// Samples in a frame, even; factors 2, 3 and 5 only, so that it can be computed in passes.
    pub frame: usize,
    /// Samples from a frame to the next.
    pub hop: usize,
}

impl Stft {
    /// Frequencies.
    pub const fn bins(self) -> usize {
        self.frame / 2 + 1
    }

    /// Frames of a signal.
    pub const fn frames(self, samples: usize) -> usize {
        1 + samples / self.hop
    }

    /// The operand `roots`.
    pub fn roots(self) -> Tensor {
        let angle = |k: usize| 2.0 * std::f64::consts::PI * k as f64 / self.frame as f64;
        let pairs = (0..self.frame).flat_map(|k| [libm::cos(angle(k)) as f32, libm::sin(angle(k)) as f32]);
        Tensor::f32([self.frame, 2], pairs.collect())
    }

    /// Where place `i` of the padded signal lies in one of `samples`: mirrored at both ends.
    pub const fn mirrored(self, i: usize, samples: usize) -> usize {
        let half = self.frame / 2;
        let at = i.abs_diff(half);
        if at < samples { at } else { 2 * (samples - 1) - at }
    }

    /// The radices of its passes.
    pub fn radices(self) -> Option<Vec<usize>> {
        let (mut rest, mut radices) = (self.frame, Vec::new());
        for radix in [4, 2, 3, 5] {
            while rest > 0 && rest.is_multiple_of(radix) {
                rest /= radix;
                radices.push(radix);
            }
        }
        (rest == 1).then_some(radices)
    }

    pub(super) fn infer(self, inputs: &[&TensorType]) -> Result<TensorType> {
        let fault = |reason: String| Error::shape("stft", reason);
        let [x, window, roots] = operands("stft", inputs)?;
        for ty in inputs {
            require("stft", "every operand", ty, DType::F32)?;
        }
        if self.hop == 0 || !self.frame.is_multiple_of(2) || self.radices().is_none() {
            return Err(fault(format!("frames of {} every {} samples", self.frame, self.hop)));
        }
        let &[batch, samples] = &x.shape[..] else {
            return Err(fault(format!("x must be [batch, samples], not {:?}", x.shape)));
        };
        if samples <= self.frame / 2 {
            return Err(fault(format!(
                "{samples} samples are too few to mirror half a frame of {}",
                self.frame
            )));
        }
        if window.shape != [self.frame] || roots.shape != [self.frame, 2] {
            return Err(fault(format!(
                "window {:?} and roots {:?} of {}",
                window.shape, roots.shape, self.frame
            )));
        }
        Ok(TensorType::f32([batch, self.frames(samples), self.bins()]))
    }

    /// By the definition of the discrete Fourier transform; the roots are computed anew.
    pub(super) fn eval(self, inputs: &[&Tensor]) -> Tensor {
        let &[batch, samples] = inputs[0].shape() else { unreachable!("rank 2: inferred") };
        let window = inputs[1].as_f32();
        let roots: Vec<(f64, f64)> = (0..self.frame)
            .map(|k| {
                let angle = 2.0 * std::f64::consts::PI * k as f64 / self.frame as f64;
                (libm::cos(angle), libm::sin(angle))
            })
            .collect();
        let mut y = Vec::with_capacity(batch * self.frames(samples) * self.bins());
        for signal in inputs[0].as_f32().chunks_exact(samples) {
            for t in 0..self.frames(samples) {
                let place = |i: usize| self.mirrored(t * self.hop + i, samples);
                let frame: Vec<f64> =
                    (0..self.frame).map(|i| f64::from(signal[place(i)]) * f64::from(window[i])).collect();
                for bin in 0..self.bins() {
                    let (mut re, mut im) = (0.0, 0.0);
                    for (i, v) in frame.iter().enumerate() {
                        let (cos, sin) = roots[i * bin % self.frame];
                        re += v * cos;
                        im -= v * sin;
                    }
                    y.push((re * re + im * im) as f32);
                }
            }
        }
        Tensor::f32([batch, self.frames(samples), self.bins()], y)
    }
}
