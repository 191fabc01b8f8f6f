//! Waveforms with zero mean and unit variance: wav2vec 2.0's feature extractor.

use crate::error::{Error, Result};
use crate::models::Config;
use crate::tensor::{NamedTensors, Tensor};

/// wav2vec 2.0's feature extractor.
#[derive(Clone, Debug, PartialEq)]
pub struct Waveform {
    normalized: bool,
    padding: f32,
    masked: bool,
    rate: usize,
}

impl Waveform {
    pub(super) fn read(config: &Config) -> Result<Self> {
        config.require_text("padding_side", "right")?;
        match config.size_or("feature_size", 1)? {
            1 => {}
            other => return Err(Error::config("feature_size", other, "only 1 is implemented")),
        }
        Ok(Self {
            normalized: config.flag_or("do_normalize", true)?,
            padding: config.number_or("padding_value", 0.0)? as f32,
            masked: config.flag_or("return_attention_mask", false)?,
            rate: config.size_or("sampling_rate", 16_000)?,
        })
    }

    /// Samples a second that sounds must have.
    pub const fn sampling_rate(&self) -> usize {
        self.rate
    }

    /// Sounds of any lengths to `input_values [sounds, samples]`, padded to the longest, and, where the config asks for
    /// it, `attention_mask` of the same shape. Without a mask, the padding counts as sound.
    ///
    /// # Errors
    /// If there are none, or one is empty.
    pub fn values(&self, sounds: &[&[f32]]) -> Result<NamedTensors> {
        let samples = sounds.iter().map(|sound| sound.len()).max().unwrap_or(0);
        if sounds.iter().any(|sound| sound.is_empty()) || samples == 0 {
            return Err(Error::input("sounds", "there are none, or one is empty"));
        }
        let shape = [sounds.len(), samples];
        let mut values = Vec::with_capacity(sounds.len() * samples);
        let mut mask = Vec::with_capacity(sounds.len() * samples);
        for sound in sounds {
            values.extend_from_slice(sound);
            mask.resize(values.len(), 1);
            values.resize(values.len() + samples - sound.len(), self.padding);
            mask.resize(values.len(), 0);
        }
        if self.normalized {
            let real = |sound: &&[f32]| if self.masked { sound.len() } else { samples };
            for (row, sound) in values.chunks_exact_mut(samples).zip(sounds) {
                normalize(&mut row[..real(sound)]);
            }
        }
        let mut named = NamedTensors::from([("input_values".to_owned(), Tensor::f32(shape, values))]);
        if self.masked {
            named.insert("attention_mask".to_owned(), Tensor::i32(shape, mask));
        }
        Ok(named)
    }
}

/// Gives samples zero mean and unit variance.
fn normalize(samples: &mut [f32]) {
    let n = samples.len().max(1) as f64;
    let mean = samples.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = samples.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    let inverse = 1.0 / (variance + 1e-7).sqrt();
    samples.iter_mut().for_each(|v| *v = ((f64::from(*v) - mean) * inverse) as f32);
}
