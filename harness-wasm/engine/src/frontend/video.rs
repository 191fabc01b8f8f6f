//! Videos: which frames of a video are looked at, and what becomes of them.

use serde_json::json;

use super::image::Steps;
use super::picture::Picture;
use crate::error::{Error, Result};
use crate::models::config::Config;
use crate::tensor::{NamedTensors, Tensor};

/// VideoMAE's processor, which X-CLIP's checkpoints name.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoProcessor(Steps);

impl VideoProcessor {
    pub(super) fn read(config: &Config) -> Result<Self> {
        let defaults = json!({
            "do_resize": true, "do_center_crop": true, "do_rescale": true, "do_normalize": true, "resample": 2,
            "size": {"shortest_edge": 224}, "crop_size": 224, "image_mean": 0.5, "image_std": 0.5,
        });
        config.require_flag("do_pad", false)?;
        Steps::read(&config.clone().with_defaults(defaults), false).map(Self)
    }

    /// Videos of the same number of frames to `pixel_values [videos, frames, 3, height, width]`.
    ///
    /// # Errors
    /// If there are none, or they do not become alike.
    pub fn videos(&self, videos: &[&[Picture]]) -> Result<NamedTensors> {
        let frames = videos.first().map_or(0, |video| video.len());
        if let Some(other) = videos.iter().find(|video| video.len() != frames) {
            let reason = format!("of {frames} and {} frames make no batch", other.len());
            return Err(Error::input("videos", reason));
        }
        let ([height, width], planes) = self.0.stack(&videos.concat())?;
        let pixels = Tensor::f32([videos.len(), frames, 3, height, width], planes);
        Ok(NamedTensors::from([("pixel_values".to_owned(), pixels)]))
    }
}

/// The `wanted` frames of a clip that runs from frame `start` up to `end`, evenly spread: `numpy.linspace(start, end,
/// wanted)`, brought into the clip and towards zero, as X-CLIP's examples have it. The first frame is always among
/// them and, of two or more, the last. Fewer frames than wanted are repeated.
///
/// # Panics
/// If the clip has no frame.
pub fn sample_frames(start: usize, end: usize, wanted: usize) -> Vec<usize> {
    assert!(start < end, "a clip has a frame");
    let step = if wanted > 1 { (end - start) as f64 / (wanted - 1) as f64 } else { 0.0 };
    let place =
        |i: usize| if i > 0 && i == wanted - 1 { end } else { (i as f64 * step + start as f64) as usize };
    (0..wanted).map(|i| place(i).min(end - 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `np.clip(np.linspace(start, end, num=wanted), start, end - 1).astype(np.int64)`.
    #[test]
    fn frames_are_spread_evenly() {
        for (start, end, wanted, frames) in EXPECTED {
            assert_eq!(sample_frames(*start, *end, *wanted), *frames, "{start}..{end}");
        }
    }

    const EXPECTED: &[(usize, usize, usize, &[usize])] = &[
        (0, 8, 8, &[0, 1, 2, 3, 4, 5, 6, 7]),
        (0, 32, 8, &[0, 4, 9, 13, 18, 22, 27, 31]),
        (10, 130, 8, &[10, 27, 44, 61, 78, 95, 112, 129]),
        (
            0,
            250,
            32,
            &[
                0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 129, 137, 145, 153, 161,
                169, 177, 185, 193, 201, 209, 217, 225, 233, 241, 249,
            ],
        ),
        (3, 5, 4, &[3, 3, 4, 4]),
        (0, 1, 3, &[0, 0, 0]),
        (7, 100, 1, &[7]),
        (5, 300, 2, &[5, 299]),
        (0, 7, 16, &[0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 6]),
    ];
}
