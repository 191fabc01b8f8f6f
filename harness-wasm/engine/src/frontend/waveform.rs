//! Waveforms with zero mean and unit variance: wav2vec 2.0's feature extractor.

use super::require_class;
use crate::error::{Error, Result};
use crate::models::config::Config;
use crate::tensor::{NamedTensors, Tensor};

/// wav2vec 2.0's feature extractor.
#[derive(Clone, Debug, PartialEq)]
pub struct Waveform {
    normalized: bool,
    padding: f32,
    masked: bool,
    rate: usize,
}

/// What most wav2vec 2.0 were trained with.
impl Default for Waveform {
    fn default() -> Self {
        Self { normalized: true, padding: 0.0, masked: false, rate: 16_000 }
    }
}

impl Waveform {
    /// The `preprocessor_config.json` beside a wav2vec 2.0's config.
    pub(crate) fn of_wav2vec2(config: &Config) -> Result<Self> {
        require_class(config, "Wav2Vec2")?;
        Self::read(config)
    }

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
        let length = |sound: &&[f32]| if self.masked { sound.len() } else { samples };
        self.settle(&mut values, samples, &sounds.iter().map(length).collect::<Vec<_>>());
        let mut named = NamedTensors::from([("input_values".to_owned(), Tensor::f32(shape, values))]);
        if self.masked {
            named.insert("attention_mask".to_owned(), Tensor::i32(shape, mask));
        }
        Ok(named)
    }

    /// Gives the first `lengths` values of rows of `samples` zero mean and unit variance, and sets the others to the
    /// padding: what the extractor does to a batch that is padded already.
    pub(crate) fn settle(&self, values: &mut [f32], samples: usize, lengths: &[usize]) {
        if !self.normalized {
            return;
        }
        for (row, &length) in values.chunks_exact_mut(samples).zip(lengths) {
            let (real, padding) = row.split_at_mut(length);
            let n = real.len().max(1) as f64;
            let mean = real.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
            let variance = real.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
            let inverse = 1.0 / (variance + 1e-7).sqrt();
            real.iter_mut().for_each(|v| *v = ((f64::from(*v) - mean) * inverse) as f32);
            padding.fill(self.padding);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_is_normalized_up_to_its_padding() {
        let front = Waveform { masked: true, padding: 0.5, ..Waveform::default() };
        let made = front.values(&[&[1.0, 3.0], &[2.0, 2.0, 2.0]]).unwrap();
        let want = [-1.0, 1.0, 0.5, 0.0, 0.0, 0.0];
        let values = made["input_values"].as_f32();
        assert!(values.iter().zip(want).all(|(y, e)| (y - e).abs() < 1e-6), "{values:?}");
        assert_eq!(made["attention_mask"], Tensor::i32([2, 3], vec![1, 1, 0, 1, 1, 1]));
        // Without a mask, padding is sound.
        let made = Waveform::default().values(&[&[1.0, 2.0, 2.0], &[3.0]]).unwrap();
        let values = made["input_values"].as_f32();
        assert!((values[3] - 2.0_f32.sqrt()).abs() < 1e-6 && (values[5] + 0.5_f32.sqrt()).abs() < 1e-6);
        assert!(front.values(&[]).is_err() && front.values(&[&[]]).is_err());
    }
}
