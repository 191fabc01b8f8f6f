//! Mel spectra of audio, as Hugging Face's feature extractors define them.

use crate::error::Result;
use crate::ir::{GraphBuilder, ValueId};
use crate::ops::{Binary, Gemm, Op, Stft, Unary};
use crate::tensor::Tensor;

/// Frames of audio through a bank of triangular filters on Slaney's mel scale, each of area 1.
#[derive(Clone, Copy, Debug)]
pub(in crate::models) struct MelBank {
    /// Filters.
    pub(in crate::models) mels: usize,
    /// Samples a second.
    pub(in crate::models) sampling_rate: f64,
    /// Where the first filter begins and the last ends, in Hz.
    pub(in crate::models) range: [f64; 2],
    /// The frames.
    pub(in crate::models) stft: Stft,
}

impl MelBank {
    /// Audio `[batch, samples]` to the base-10 logarithm of its mel power, `[batch, frames, mels]`. Power
    /// below 1e-10 counts as that.
    pub(in crate::models) fn log_power(&self, b: &mut GraphBuilder<'_>, audio: ValueId) -> Result<ValueId> {
        let window = b.constant(self.window());
        let roots = b.constant(self.stft.roots());
        let power = b.op(Op::Stft(self.stft), &[audio, window, roots])?;
        let &[batch, frames, bins] = b.shape(power) else { unreachable!("rank 3: inferred") };
        let flat = b.reshape(power, [batch * frames, bins])?;
        let filters = b.constant(self.filters());
        let mel = b.op(Op::Gemm(Gemm::default()), &[flat, filters])?;
        let floor = b.constant(Tensor::f32([1], vec![1e-10]));
        let mel = b.op(Op::Binary(Binary::Max), &[mel, floor])?;
        let log = b.unary(Unary::Log, mel)?;
        let base = b.constant(Tensor::f32([1], vec![std::f32::consts::LOG10_E]));
        let log = b.mul(log, base)?;
        b.reshape(log, [batch, frames, self.mels])
    }

    /// Hann's window, periodic.
    fn window(&self) -> Tensor {
        let n = self.stft.frame;
        let at = |i: usize| 0.5 - 0.5 * libm::cos(2.0 * std::f64::consts::PI * i as f64 / n as f64);
        Tensor::f32([n], (0..n).map(|i| at(i) as f32).collect())
    }

    /// `[mels, bins]`.
    fn filters(&self) -> Tensor {
        let bins = self.stft.bins();
        let [low, high] = self.range.map(to_mel);
        let edges: Vec<f64> = (0..self.mels + 2)
            .map(|i| from_mel(low + (high - low) * i as f64 / (self.mels + 1) as f64))
            .collect();
        let mut filters = Vec::with_capacity(self.mels * bins);
        for edge in edges.windows(3) {
            for bin in 0..bins {
                let frequency = self.sampling_rate / 2.0 * bin as f64 / (bins - 1) as f64;
                let up = (frequency - edge[0]) / (edge[1] - edge[0]);
                let down = (edge[2] - frequency) / (edge[2] - edge[1]);
                filters.push((up.min(down).max(0.0) * 2.0 / (edge[2] - edge[0])) as f32);
            }
        }
        Tensor::f32([self.mels, bins], filters)
    }
}

/// Slaney's scale is linear up to here, in Hz and mel, and logarithmic beyond.
const BEND: [f64; 2] = [1000.0, 15.0];

/// Mels for each factor e beyond the bend: 27 for a factor of 6.4.
fn steepness() -> f64 {
    27.0 / libm::log(6.4)
}

fn to_mel(hertz: f64) -> f64 {
    if hertz < BEND[0] {
        hertz * BEND[1] / BEND[0]
    } else {
        BEND[1] + libm::log(hertz / BEND[0]) * steepness()
    }
}

fn from_mel(mel: f64) -> f64 {
    if mel < BEND[1] {
        mel * BEND[0] / BEND[1]
    } else {
        BEND[0] * libm::exp((mel - BEND[1]) / steepness())
    }
}
