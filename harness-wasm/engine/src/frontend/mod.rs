//! From pictures, videos and sounds to a model's inputs, as the processors that checkpoints name in
//! `preprocessor_config.json` do it. Text is not among them: tokenizers stay outside the engine.

mod image;
mod log_mel;
mod mel;
mod picture;
mod resize;
mod size;
mod tiles;
mod video;
mod waveform;

pub use image::ImageProcessor;
pub use log_mel::LogMel;
pub use picture::Picture;
pub use tiles::TileProcessor;
pub use video::{VideoProcessor, sample_frames};
pub use waveform::Waveform;

use crate::error::{Error, Result};
use crate::models::Config;

/// What a `preprocessor_config.json` stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Preprocessor {
    /// Pictures: CLIP, LLaVA, ViT and DETR.
    Images(ImageProcessor),
    /// Pictures in tiles: LLaVA-NeXT.
    Tiles(TileProcessor),
    /// Videos: X-CLIP.
    Videos(VideoProcessor),
    /// Spectra of sounds: Whisper and CLAP.
    LogMel(LogMel),
    /// Sounds as they are: wav2vec 2.0.
    Waveform(Waveform),
}

impl Preprocessor {
    /// Reads a `preprocessor_config.json`, in its spelling of today or an older one.
    ///
    /// # Errors
    /// Names the field that is missing or that cannot be honoured.
    pub fn read(config: &Config) -> Result<Self> {
        let fields = ["image_processor_type", "feature_extractor_type"];
        let field = fields.into_iter().find(|field| config.get(field).is_some()).unwrap_or(fields[0]);
        let written = config.text_or(field, "")?;
        // The torchvision flavour had its own name before it was the default; extractors of images were processors'.
        let name = written.strip_suffix("Fast").unwrap_or(written);
        let class =
            ["ImageProcessor", "FeatureExtractor"].iter().find_map(|suffix| name.strip_suffix(suffix));
        Ok(match class.unwrap_or_default() {
            "CLIP" | "Llava" => Self::Images(ImageProcessor::clip(config)?),
            "ViT" => Self::Images(ImageProcessor::vit(config)?),
            "Detr" => Self::Images(ImageProcessor::detr(config)?),
            "LlavaNext" => Self::Tiles(TileProcessor::read(config)?),
            "VideoMAE" => Self::Videos(VideoProcessor::read(config)?),
            "Whisper" => Self::LogMel(LogMel::read_whisper(config)?),
            "Clap" => Self::LogMel(LogMel::read_clap(config)?),
            "Wav2Vec2" => Self::Waveform(Waveform::read(config)?),
            _ => return Err(Error::config(field, written, "this processor is not implemented")),
        })
    }
}
