//! Files of pictures and sounds, for hosts: PNG and JPEG, and WAV.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};

use super::picture::{MOST_PIXELS, Picture};
use crate::error::{Error, Result};

/// Sound of a file: one channel, between -1 and 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// Samples a second.
    pub sampling_rate: usize,
    /// The mean of the channels.
    pub samples: Vec<f32>,
}

/// Reads a PNG or JPEG, turned upright; `file` names it in errors. What is transparent keeps its colour, as in Pillow's
/// conversion to RGB. PNG of 8 bits is read alike by every decoder; those of JPEG differ by a few levels, and 16 bits of
/// grey are scaled here where Pillow cuts them off.
///
/// # Errors
/// If it is neither, is damaged or too large.
pub fn picture(file: &str, bytes: &[u8]) -> Result<Picture> {
    let fault = |reason: String| Error::Data { file: file.to_owned(), reason };
    let read = || {
        let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
        let mut limits = Limits::default();
        limits.max_alloc = Some(8 * MOST_PIXELS as u64);
        reader.limits(limits);
        let mut decoder = reader.into_decoder()?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut image = DynamicImage::from_decoder(decoder)?;
        image.apply_orientation(orientation);
        Ok(image.into_rgb8())
    };
    let image = read().map_err(|error: image::ImageError| fault(error.to_string()))?;
    let size = [image.height(), image.width()].map(|side| side as usize);
    Picture::new(size, image.into_raw()).map_err(|error| fault(error.to_string()))
}

/// Reads a WAV of whole numbers or floats; `file` names it in errors.
///
/// # Errors
/// If it is none, is damaged or empty.
pub fn sound(file: &str, bytes: &[u8]) -> Result<Sound> {
    let fault = |reason: String| Error::Data { file: file.to_owned(), reason };
    let read = || {
        let mut reader = hound::WavReader::new(Cursor::new(bytes))?;
        let spec = reader.spec();
        let samples: Vec<f32> = match spec.sample_format {
            hound::SampleFormat::Float => reader.samples().collect::<hound::Result<_>>()?,
            hound::SampleFormat::Int if !(1..=32).contains(&spec.bits_per_sample) => {
                return Err(hound::Error::Unsupported);
            }
            hound::SampleFormat::Int => {
                let whole = f64::from(1_u32 << (spec.bits_per_sample - 1));
                let scaled = |sample: i32| (f64::from(sample) / whole) as f32;
                reader.samples().map(|sample| sample.map(scaled)).collect::<hound::Result<_>>()?
            }
        };
        Ok((spec, samples))
    };
    let (spec, samples) = read().map_err(|error: hound::Error| fault(error.to_string()))?;
    let channels = usize::from(spec.channels);
    if samples.is_empty() || channels == 0 || samples.iter().any(|sample| !sample.is_finite()) {
        return Err(fault("holds no sound, or samples that are not numbers".into()));
    }
    let mean = |frame: &[f32]| frame.iter().sum::<f32>() / channels as f32;
    let samples = samples.chunks_exact(channels).map(mean).collect();
    Ok(Sound { sampling_rate: spec.sample_rate as usize, samples })
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, RgbImage, RgbaImage};

    use super::*;

    fn written(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        image.into().write_to(&mut file, format).unwrap();
        file.into_inner()
    }

    #[test]
    fn pictures_are_read() {
        let bytes: Vec<u8> = (0..2 * 3 * 3).map(|i| i * 14).collect();
        let png = written(RgbImage::from_raw(3, 2, bytes.clone()).unwrap(), ImageFormat::Png);
        assert_eq!(picture("a.png", &png).unwrap(), Picture::new([2, 3], bytes).unwrap());
        let clear = written(RgbaImage::from_raw(1, 1, vec![1, 2, 3, 0]).unwrap(), ImageFormat::Png);
        assert_eq!(picture("a.png", &clear).unwrap().bytes(), [1, 2, 3]);
        let jpeg = written(RgbImage::from_pixel(9, 5, image::Rgb([90; 3])), ImageFormat::Jpeg);
        let read = picture("a.jpg", &jpeg).unwrap();
        assert!(read.size() == [5, 9] && read.bytes().iter().all(|level| level.abs_diff(90) <= 1));
        for file in [&png, &jpeg] {
            for end in 0..file.len().min(60) {
                assert!(picture("a", &file[..end]).is_err(), "{end} bytes");
            }
        }
    }

    fn wav<S: hound::Sample + Copy>(bits: u16, format: hound::SampleFormat, samples: &[S]) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        let spec =
            hound::WavSpec { channels: 2, sample_rate: 16_000, bits_per_sample: bits, sample_format: format };
        let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
        samples.iter().for_each(|&sample| writer.write_sample(sample).unwrap());
        writer.finalize().unwrap();
        file.into_inner()
    }

    #[test]
    fn sounds_are_read() {
        let whole = wav(16, hound::SampleFormat::Int, &[16_384_i16, 0, -32_768, -32_768]);
        let read = sound("a.wav", &whole).unwrap();
        assert_eq!(read, Sound { sampling_rate: 16_000, samples: vec![0.25, -1.0] });
        let floats = |samples: [f32; 2]| sound("a.wav", &wav(32, hound::SampleFormat::Float, &samples));
        assert_eq!(floats([0.5, 0.25]).unwrap().samples, [0.375]);
        assert!(floats([f32::NAN, 0.0]).is_err());
        for end in 0..whole.len() {
            assert!(sound("a.wav", &whole[..end]).is_err(), "{end} bytes");
        }
    }
}
