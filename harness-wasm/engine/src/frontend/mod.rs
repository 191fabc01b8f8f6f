//! From pictures, videos and sounds to a model's inputs, as the processors that checkpoints name in
//! `preprocessor_config.json` do it. Text is not among them: tokenizers stay outside the engine.

#[cfg(feature = "decode")]
pub mod decode;
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
use crate::models::config::Config;

/// What a `preprocessor_config.json` stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Preprocessor {
    /// Pictures: CLIP, SigLIP, LLaVA, ViT and DETR.
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
        let (field, written, class) = kind(config)?;
        Ok(match class {
            "CLIP" | "Llava" => Self::Images(ImageProcessor::clip(config)?),
            "ViT" => Self::Images(ImageProcessor::vit(config)?),
            "Siglip" => Self::Images(ImageProcessor::siglip(config)?),
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

/// The field that names the processor, what is written there, and its class: what is left of the name.
fn kind(config: &Config) -> Result<(&'static str, &str, &str)> {
    let fields = ["image_processor_type", "feature_extractor_type"];
    let field = fields.into_iter().find(|field| config.get(field).is_some()).unwrap_or(fields[0]);
    let written = config.text_or(field, "")?;
    // The torchvision flavour had its own name before it was the default; extractors of images were processors'.
    let name = written.strip_suffix("Fast").unwrap_or(written);
    let class = ["ImageProcessor", "FeatureExtractor"].iter().find_map(|suffix| name.strip_suffix(suffix));
    Ok((field, written, class.unwrap_or_default()))
}

/// Refuses another class's front end.
fn require_class(config: &Config, class: &str) -> Result<()> {
    match kind(config)? {
        (_, _, written) if written == class => Ok(()),
        (field, written, _) => Err(Error::config(field, written, format!("is not {class}'s front end"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(config: &Value) -> Result<Preprocessor> {
        let text = serde_json::to_vec(config).unwrap();
        Preprocessor::read(&Config::parse("preprocessor_config.json", &text).unwrap())
    }

    #[test]
    fn old_spellings_mean_what_new_ones_do() {
        for (old, new) in [
            (
                json!({"feature_extractor_type": "CLIPFeatureExtractor", "size": 24, "crop_size": 20}),
                json!({
                    "image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 24},
                    "crop_size": {"height": 20, "width": 20},
                }),
            ),
            (
                json!({"feature_extractor_type": "ViTFeatureExtractor", "size": 24}),
                json!({"image_processor_type": "ViTImageProcessorFast", "size": {"height": 24, "width": 24}}),
            ),
            (
                json!({"feature_extractor_type": "DetrFeatureExtractor", "size": 800, "max_size": 1333}),
                json!({"image_processor_type": "DetrImageProcessor"}),
            ),
            (
                json!({"feature_extractor_type": "DetrFeatureExtractor", "pad_and_return_pixel_mask": false}),
                json!({"image_processor_type": "DetrImageProcessor", "do_pad": false}),
            ),
            (
                json!({"feature_extractor_type": "VideoMAEFeatureExtractor", "size": 224}),
                json!({"image_processor_type": "VideoMAEImageProcessor", "image_mean": [0.5, 0.5, 0.5]}),
            ),
            (
                // Filters that were written out are those that are computed.
                json!({"feature_extractor_type": "WhisperFeatureExtractor", "mel_filters": [[0.0]]}),
                json!({"feature_extractor_type": "WhisperFeatureExtractor", "n_fft": 400, "chunk_length": 30}),
            ),
        ] {
            assert_eq!(read(&old).unwrap(), read(&new).unwrap(), "{old}");
        }
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (class, field, value) in [
            ("CLIPImageProcessorPil", "image_processor_type", json!("CLIPImageProcessorPil")),
            ("CLIPImageProcessor", "resample", json!(1)),
            ("CLIPImageProcessor", "size", json!({"longest_edge": 24})),
            ("CLIPImageProcessor", "image_std", json!([0.5, 0.5])),
            ("CLIPImageProcessor", "image_mean", json!("grey")),
            ("CLIPImageProcessor", "rescale_factor", json!(0)),
            ("LlavaImageProcessor", "do_pad", json!(true)),
            ("DetrImageProcessor", "size", json!({"shortest_edge": 24})),
            ("LlavaNextImageProcessor", "crop_size", json!(20)),
            ("WhisperFeatureExtractor", "dither", json!(0.1)),
            ("WhisperFeatureExtractor", "n_fft", json!(401)),
            ("WhisperFeatureExtractor", "chunk_length", json!(1 << 30)),
            ("WhisperFeatureExtractor", "feature_size", json!(1 << 30)),
            ("WhisperFeatureExtractor", "chunk_length", json!(1 << 14)),
            ("ClapFeatureExtractor", "truncation", json!("fusion")),
            ("ClapFeatureExtractor", "padding", json!("mirror")),
            ("Wav2Vec2FeatureExtractor", "padding_side", json!("left")),
        ] {
            let mut config = json!({"truncation": "rand_trunc"});
            let kind =
                if class.contains("Image") { "image_processor_type" } else { "feature_extractor_type" };
            config[kind] = json!(class);
            config[field] = value;
            let error = read(&config).unwrap_err().to_string();
            assert!(error.starts_with(&format!("config field {field} = ")), "{class}: {error}");
        }
        assert!(read(&json!({})).is_err());
    }

    #[test]
    fn pictures_that_make_no_batch_are_refused() {
        let Preprocessor::Images(clip) =
            read(&json!({"image_processor_type": "CLIPImageProcessor"})).unwrap()
        else {
            panic!("an image processor")
        };
        assert!(clip.images(&[]).is_err());
        // Its long side would be 224 * 2^22.
        let thread = Picture::new([1, 1 << 22], vec![0; 3 << 22]).unwrap();
        assert!(clip.images(&[thread]).is_err());
        let uncropped = json!({"image_processor_type": "CLIPImageProcessor", "do_center_crop": false});
        let Preprocessor::Images(uncropped) = read(&uncropped).unwrap() else { panic!("an image processor") };
        let pictures =
            [[4, 4], [4, 8]].map(|size| Picture::new(size, vec![9; size[0] * size[1] * 3]).unwrap());
        assert!(uncropped.images(&pictures[..1]).is_ok());
        assert!(uncropped.images(&pictures).unwrap_err().to_string().contains("no batch"));
    }
}
