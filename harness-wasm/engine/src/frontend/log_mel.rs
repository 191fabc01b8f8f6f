//! Log-mel features of sound: Whisper's and CLAP's feature extractors.
//!
//! The host brings sounds to their length; everything from the waveform on is a graph, so that it runs wherever the
//! model runs, and models build it into theirs.

use super::mel::MelBank;
use super::require_class;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::ir::{Graph, GraphBuilder, InputTypes, ValueId};
use crate::models::config::Config;
use crate::ops::{Binary, Op, Reduce, Stft};
use crate::tensor::{DType, NamedTensors, Tensor};
use crate::weights::Weights;

/// More numbers than this in a sound, its spectrum or the filters are refused: hostile settings must not exhaust memory.
const MOST: usize = 1 << 28;

/// Whisper's or CLAP's feature extractor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogMel {
    bank: MelBank,
    scale: Scale,
    fill: Option<Fill>,
    masked: bool,
}

/// What becomes of the logarithm, and in which layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    /// Eight orders of magnitude below a sound's loudest, by 4 and around 0: `[batch, mels, frames]`, without the last
    /// frame, which is centred on the end.
    Whisper,
    /// In dB: `[batch, 1, frames, mels]`.
    Decibels,
}

/// How sounds get the length they must have. Longer ones are cut, from their start: CLAP's own extractor would take a
/// random part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fill {
    samples: usize,
    how: Filling,
}

/// How shorter sounds are filled up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filling {
    /// With silence.
    Silence,
    /// With themselves, over and over.
    Repeats,
    /// With whole repeats of themselves, then silence.
    WholeRepeats,
}

impl LogMel {
    /// What every Whisper was trained with, for so many frames of so many mels.
    pub(crate) fn whisper(mels: usize, frames: usize) -> Self {
        let stft = Stft { frame: 400, hop: 160 };
        Self {
            bank: MelBank { mels, sampling_rate: 16_000.0, range: WHISPER_RANGE, stft },
            scale: Scale::Whisper,
            fill: Some(Fill { samples: frames * stft.hop, how: Filling::Silence }),
            masked: false,
        }
    }

    /// What every CLAP was trained with, for sounds of any length.
    pub(crate) fn clap(mels: usize) -> Self {
        let stft = Stft { frame: 1024, hop: 480 };
        Self {
            bank: MelBank { mels, sampling_rate: 48_000.0, range: [50.0, 14_000.0], stft },
            scale: Scale::Decibels,
            fill: None,
            masked: false,
        }
    }

    /// The `preprocessor_config.json` beside a Whisper's config.
    pub(crate) fn of_whisper(config: &Config) -> Result<Self> {
        require_class(config, "Whisper")?;
        Self::read_whisper(config)
    }

    /// The `preprocessor_config.json` beside a CLAP's config.
    pub(crate) fn of_clap(config: &Config) -> Result<Self> {
        require_class(config, "Clap")?;
        Self::read_clap(config)
    }

    /// `WhisperFeatureExtractor`.
    pub(super) fn read_whisper(config: &Config) -> Result<Self> {
        common(config)?;
        config.require_flag("do_normalize", false)?;
        if config.number_or("dither", 0.0)? != 0.0 {
            return Err(Error::config(
                "dither",
                "not 0",
                "noise is not implemented: no two runs would agree",
            ));
        }
        let rate = config.size_or("sampling_rate", 16_000)?;
        let stft = stft(config, "n_fft", 400, 160)?;
        let mels = config.size_or("feature_size", 80)?;
        let samples = length(config, "chunk_length", 30, rate, stft)?;
        Ok(Self {
            bank: bank(mels, rate, WHISPER_RANGE, stft)?,
            scale: Scale::Whisper,
            fill: Some(Fill { samples, how: Filling::Silence }),
            masked: config.flag_or("return_attention_mask", false)?,
        })
    }

    /// `ClapFeatureExtractor`.
    pub(super) fn read_clap(config: &Config) -> Result<Self> {
        common(config)?;
        config.require_flag("return_attention_mask", false)?;
        match config.text_or("truncation", "fusion")? {
            "rand_trunc" => {}
            other => {
                let reason = "only rand_trunc is implemented: fusion draws lots";
                return Err(Error::config("truncation", other, reason));
            }
        }
        if let Some(value) = config.get("top_db") {
            // The library reads it and never uses it.
            config.number("top_db").map_err(|_| Error::config("top_db", value, "must be a number"))?;
        }
        let how = match config.text_or("padding", "repeatpad")? {
            "repeatpad" => Filling::WholeRepeats,
            "repeat" => Filling::Repeats,
            "pad" => Filling::Silence,
            other => {
                let reason = "only repeatpad, repeat and pad are implemented";
                return Err(Error::config("padding", other, reason));
            }
        };
        let rate = config.size_or("sampling_rate", 48_000)?;
        let stft = stft(config, "fft_window_size", 1024, 480)?;
        let mels = config.size_or("feature_size", 64)?;
        let samples = length(config, "max_length_s", 10, rate, stft)?;
        let range = [config.number_or("frequency_min", 0.0)?, config.number_or("frequency_max", 14_000.0)?];
        Ok(Self {
            bank: bank(mels, rate, range, stft)?,
            scale: Scale::Decibels,
            fill: Some(Fill { samples, how }),
            masked: false,
        })
    }

    /// The same, giving `attention_mask` whatever the config says: a choice of the call, in transformers.
    #[must_use]
    pub const fn masked(self, masked: bool) -> Self {
        Self { masked, ..self }
    }

    /// Samples a second that sounds must have.
    pub const fn sampling_rate(&self) -> usize {
        self.bank.sampling_rate as usize
    }

    /// Filters, which are the features of a frame.
    pub(crate) const fn mels(&self) -> usize {
        self.bank.mels
    }

    /// Frames of a sound that has so many samples now.
    pub(crate) fn frames(&self, samples: usize) -> usize {
        let samples = self.fill.map_or(samples, |fill| fill.samples);
        match self.scale {
            Scale::Whisper => samples / self.bank.stft.hop,
            Scale::Decibels => self.bank.stft.frames(samples),
        }
    }

    /// Samples from one frame to the next.
    pub(crate) const fn hop(&self) -> usize {
        self.bank.stft.hop
    }

    /// Sounds as `[sounds, samples]`, of the length that they must have or, where any will do, their own.
    ///
    /// # Errors
    /// If there are none, one is empty, or, where any length will do, they differ in it.
    pub fn fill(&self, sounds: &[&[f32]]) -> Result<Tensor> {
        let own = sounds.first().map_or(0, |sound| sound.len());
        if own == 0 || sounds.iter().any(|sound| sound.is_empty()) {
            return Err(Error::input("audio", "there is none, or one is empty"));
        }
        let Fill { samples, how } = self.fill.unwrap_or(Fill { samples: own, how: Filling::Silence });
        if self.fill.is_none() && sounds.iter().any(|sound| sound.len() != own) {
            return Err(Error::input("audio", "sounds of several lengths make no batch"));
        }
        let mut rows = Vec::with_capacity(sounds.len() * samples);
        for sound in sounds {
            let repeated = match how {
                Filling::Silence => sound.len().min(samples),
                Filling::Repeats => samples,
                // A sound that is too long is cut all the same.
                Filling::WholeRepeats => (samples / sound.len() * sound.len()).max(sound.len().min(samples)),
            };
            rows.extend(sound.iter().cycle().take(repeated));
            rows.resize(rows.len() + samples - repeated, 0.0);
        }
        Ok(Tensor::f32([sounds.len(), samples], rows))
    }

    /// A model's features: those that are given, else those of its `audio`, which are then an output too.
    pub(crate) fn features_of(&self, b: &mut GraphBuilder<'_>, inputs: &InputTypes) -> Result<ValueId> {
        let Some(ty) = inputs.get("audio") else {
            return Ok(b.input("input_features", DType::F32, inputs["input_features"].shape.as_slice()));
        };
        let audio = b.input("audio", DType::F32, ty.shape.as_slice());
        let features = self.build(b, audio)?;
        b.output("input_features", features);
        Ok(features)
    }

    /// Sound `[batch, samples]` to its features, in the scale's layout.
    fn build(&self, b: &mut GraphBuilder<'_>, audio: ValueId) -> Result<ValueId> {
        b.scope("feature_extractor");
        let log = self.bank.log_power(b, audio)?;
        let &[batch, frames, mels] = b.shape(log) else { unreachable!("rank 3: inferred") };
        match self.scale {
            Scale::Decibels => {
                let tenfold = b.constant(Tensor::f32([1], vec![10.0]));
                let decibels = b.mul(log, tenfold)?;
                b.reshape(decibels, [batch, 1, frames, mels])
            }
            Scale::Whisper => {
                let frames = frames - 1;
                let log = b.slice(log, &[0, 0, 0], &[batch, frames, mels])?;
                let flat = b.reshape(log, [batch, frames * mels])?;
                let top = b.op(Op::Reduce(Reduce::Max), &[flat])?;
                let [range, shift, scale] = [-8.0, 4.0, 0.25].map(|v| b.constant(Tensor::f32([1], vec![v])));
                let floor = b.add(top, range)?;
                let kept = b.op(Op::Binary(Binary::Max), &[flat, floor])?;
                let kept = b.add(kept, shift)?;
                let kept = b.mul(kept, scale)?;
                let kept = b.reshape(kept, [batch, frames, mels])?;
                b.transpose(kept, &[0, 2, 1])
            }
        }
    }

    /// The front end alone: `audio [batch, samples]` to `input_features`.
    ///
    /// # Errors
    /// If so few samples make no frame.
    pub fn graph(&self, batch: usize, samples: usize) -> Result<Graph> {
        // There are none: the spectrum and the filters are constants.
        let weights = Weights::Twin { seed: 0 };
        let mut b = GraphBuilder::new(&weights);
        let audio = b.input("audio", DType::F32, [batch, samples]);
        let features = self.build(&mut b, audio)?;
        b.output("input_features", features);
        Ok(b.finish())
    }

    /// Sounds of any lengths to `input_features`, computed by a backend: Whisper's `[sounds, mels, frames]`, and
    /// `attention_mask [sounds, frames]` where it is asked for; CLAP's `[sounds, 1, frames, mels]`, and
    /// `is_longer [sounds, 1]`, 1 for sounds that were cut.
    ///
    /// # Errors
    /// If there are none, one is empty, or the backend fails.
    pub async fn features<B: Backend>(&self, backend: &mut B, sounds: &[&[f32]]) -> Result<NamedTensors> {
        let audio = self.fill(sounds)?;
        let &[batch, samples] = audio.shape() else { unreachable!("rank 2: filled") };
        let program = backend.compile(&self.graph(batch, samples)?, &Weights::Twin { seed: 0 }).await?;
        let mut named = backend.run(program, &NamedTensors::from([("audio".to_owned(), audio)])).await?;
        if self.scale == Scale::Decibels {
            let longer = sounds.iter().map(|sound| i32::from(sound.len() > samples)).collect();
            named.insert("is_longer".to_owned(), Tensor::i32([batch, 1], longer));
        }
        if self.masked {
            let frames = self.frames(samples);
            let row = |sound: &&[f32]| {
                let real = sound.len();
                (0..frames).map(move |frame| i32::from(frame * self.hop() < real))
            };
            let mask = sounds.iter().flat_map(row).collect();
            named.insert("attention_mask".to_owned(), Tensor::i32([batch, frames], mask));
        }
        Ok(named)
    }
}

/// Whisper's filters end there at any sampling rate.
const WHISPER_RANGE: [f64; 2] = [0.0, 8_000.0];

/// What both classes say of padding.
fn common(config: &Config) -> Result<()> {
    config.require_text("padding_side", "right")?;
    if config.number_or("padding_value", 0.0)? != 0.0 {
        return Err(Error::config("padding_value", "not 0", "only silence is implemented"));
    }
    Ok(())
}

/// Frames that can be computed in passes.
fn stft(config: &Config, field: &str, frame: usize, hop: usize) -> Result<Stft> {
    let stft = Stft { frame: config.size_or(field, frame)?, hop: config.size_or("hop_length", hop)? };
    if stft.frame.is_multiple_of(2) && stft.radices().is_some() {
        Ok(stft)
    } else {
        Err(Error::config(field, stft.frame, "must be even and have no factors but 2, 3 and 5"))
    }
}

/// Samples of a sound, whose `field` is in seconds.
fn length(config: &Config, field: &str, seconds: usize, rate: usize, stft: Stft) -> Result<usize> {
    let seconds = config.size_or(field, seconds)?;
    match seconds.checked_mul(rate) {
        Some(samples) if samples <= stft.frame / 2 || samples < stft.hop => {
            Err(Error::config(field, seconds, "makes sounds shorter than a frame"))
        }
        Some(samples) if samples <= MOST && stft.frames(samples).saturating_mul(stft.bins()) <= MOST => {
            Ok(samples)
        }
        _ => Err(Error::config(field, seconds, "makes sounds too long")),
    }
}

fn bank(mels: usize, rate: usize, range: [f64; 2], stft: Stft) -> Result<MelBank> {
    if mels.saturating_mul(stft.bins()) > MOST {
        return Err(Error::config("feature_size", mels, "asks for too many filters"));
    }
    if !(0.0 <= range[0] && range[0] < range[1]) {
        let reason = format!("must be at least 0 and below frequency_max {}", range[1]);
        return Err(Error::config("frequency_min", range[0], reason));
    }
    Ok(MelBank { mels, sampling_rate: rate as f64, range, stft })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(how: Filling, samples: usize, sounds: &[&[f32]]) -> Vec<f32> {
        let front = LogMel { fill: Some(Fill { samples, how }), ..LogMel::clap(64) };
        front.fill(sounds).unwrap().as_f32().to_vec()
    }

    #[test]
    fn sounds_are_filled_up_and_cut() {
        let sound: &[f32] = &[1.0, 2.0, 3.0];
        assert_eq!(filled(Filling::Silence, 5, &[sound]), [1.0, 2.0, 3.0, 0.0, 0.0]);
        assert_eq!(filled(Filling::Repeats, 5, &[sound]), [1.0, 2.0, 3.0, 1.0, 2.0]);
        assert_eq!(filled(Filling::WholeRepeats, 8, &[sound]), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 0.0, 0.0]);
        for how in [Filling::Silence, Filling::Repeats, Filling::WholeRepeats] {
            assert_eq!(filled(how, 2, &[sound, &[4.0]])[..2], [1.0, 2.0], "{how:?}");
            assert_eq!(filled(how, 3, &[sound]), sound, "{how:?}");
        }
        assert!(LogMel::clap(64).fill(&[sound, &[1.0]]).is_err());
        assert!(LogMel::whisper(80, 4).fill(&[]).is_err());
        assert!(LogMel::whisper(80, 4).fill(&[sound, &[]]).is_err());
    }
}
