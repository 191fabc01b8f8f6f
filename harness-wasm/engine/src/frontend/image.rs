//! Image processors: pictures to `pixel_values`, as transformers' default processors (torchvision's arithmetic) do it.

use serde_json::{Value, json};

use super::picture::{Picture, check_size};
use super::resize::{Filter, resize};
use super::size::{Size, pair};
use crate::error::{Error, Result};
use crate::models::config::Config;
use crate::tensor::{NamedTensors, Tensor};

const CLIP_MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const CLIP_STD: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];
const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];

/// What every processor does to a picture: resize it, cut out its centre, make its levels numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Steps {
    resize: Option<(Size, Filter)>,
    /// Height and width of the centre.
    crop: Option<[usize; 2]>,
    levels: Levels,
}

/// How a level of 0 to 255 becomes a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Levels {
    /// `(x - mean) / deviation`, by channel, in the levels' own scale.
    Normalized { mean: [f32; 3], deviation: [f32; 3] },
    /// `x * factor`.
    Scaled(f32),
}

impl Steps {
    /// Reads a config that has its class's defaults filled in.
    pub(super) fn read(config: &Config, square: bool) -> Result<Self> {
        let resized = config.flag_or("do_resize", false)?;
        let cropped = config.flag_or("do_center_crop", false)?;
        Ok(Self {
            resize: if resized { Some((Size::read(config, square)?, filter(config)?)) } else { None },
            crop: if cropped { Some(pair(config, "crop_size")?) } else { None },
            levels: Levels::read(config)?,
        })
    }

    /// The picture resized and cropped.
    fn shape(&self, picture: &Picture) -> Result<Picture> {
        let mut made = match self.resize {
            None => picture.clone(),
            Some((size, filter)) => resized(picture, size.of(picture.size()), filter)?,
        };
        if let Some(crop) = self.crop {
            check_size("crop_size", crop)?;
            let [top, left] = [0, 1].map(|axis| centred(made.size()[axis], crop[axis]));
            made = made.window([top, left], crop);
        }
        Ok(made)
    }

    /// Pictures that become alike in size, one after another, with that size.
    pub(super) fn stack(&self, pictures: &[Picture]) -> Result<([usize; 2], Vec<f32>)> {
        let made: Vec<Picture> = pictures.iter().map(|picture| self.shape(picture)).collect::<Result<_>>()?;
        let size = made.first().ok_or_else(|| Error::input("pictures", "there are none"))?.size();
        let mut planes = Vec::with_capacity(made.len() * 3 * size[0] * size[1]);
        for picture in &made {
            if picture.size() != size {
                let reason = format!("become {size:?} and {:?}: they make no batch", picture.size());
                return Err(Error::input("pictures", reason));
            }
            self.levels.numbers(picture, &mut planes);
        }
        Ok((size, planes))
    }
}

/// The picture in another size, which is checked.
pub(super) fn resized(picture: &Picture, size: [usize; 2], filter: Filter) -> Result<Picture> {
    check_size("resized picture", size)?;
    // What there is between the two passes.
    check_size("resized picture", [picture.size()[0], size[1]])?;
    Ok(resize(picture, size, filter))
}

/// Where a window of `want` begins, centred on `have`: the odd pixel is left behind it, whether cut off or padded.
fn centred(have: usize, want: usize) -> isize {
    if want > have { -((want - have) as isize / 2) } else { ((have - want) / 2) as isize }
}

/// `resample`, by Pillow's numbers.
pub(super) fn filter(config: &Config) -> Result<Filter> {
    match config.count_or("resample", 2)? {
        2 => Ok(Filter::Bilinear),
        3 => Ok(Filter::Bicubic),
        other => Err(Error::config("resample", other, "only 2 (bilinear) and 3 (bicubic) are implemented")),
    }
}

impl Levels {
    pub(super) fn read(config: &Config) -> Result<Self> {
        let rescales = config.flag_or("do_rescale", false)?;
        let factor = if rescales { config.number_or("rescale_factor", 1.0 / 255.0)? } else { 1.0 };
        if !config.flag_or("do_normalize", false)? {
            return Ok(Self::Scaled(factor as f32));
        }
        // Both in one, in single precision, as torchvision has it.
        let levels = |values: [f64; 3]| values.map(|value| value as f32 * (1.0 / factor) as f32);
        let deviation = levels(channels(config, "image_std")?);
        let mean = levels(channels(config, "image_mean")?);
        if deviation.iter().any(|v| *v == 0.0 || !v.is_finite()) || mean.iter().any(|v| !v.is_finite()) {
            let reason = "with image_std and image_mean makes infinite numbers";
            return Err(Error::config("rescale_factor", factor, reason));
        }
        Ok(Self::Normalized { mean, deviation })
    }

    /// `[3, height, width]` of a picture, appended to `planes`.
    pub(super) fn numbers(self, picture: &Picture, planes: &mut Vec<f32>) {
        for channel in 0..3 {
            let (pixels, _) = picture.bytes().as_chunks::<3>();
            planes.extend(pixels.iter().map(|pixel| self.number(pixel[channel], channel)));
        }
    }

    fn number(self, level: u8, channel: usize) -> f32 {
        let x = f32::from(level);
        match self {
            Self::Normalized { mean, deviation } => (x - mean[channel]) / deviation[channel],
            Self::Scaled(factor) => x * factor,
        }
    }
}

/// A number by channel, or one for all.
fn channels(config: &Config, field: &str) -> Result<[f64; 3]> {
    let fault =
        |value: &Value| Error::config(field, value, "must be a number, or one for red, green and blue each");
    match config.get(field) {
        Some(Value::Array(values)) => {
            let numbers: Option<Vec<f64>> = values.iter().map(Value::as_f64).collect();
            numbers
                .and_then(|numbers| numbers.try_into().ok())
                .ok_or_else(|| fault(&Value::Array(values.clone())))
        }
        _ => config.number(field)?.map(|number| [number; 3]).ok_or_else(|| fault(&Value::Null)),
    }
}

/// How a class's pictures make a batch.
#[derive(Clone, Debug, PartialEq)]
enum Batch {
    /// All of one size.
    Stacked,
    /// Padded on the right and below with zeros, to this size or the largest, with a mask.
    Padded(Option<[usize; 2]>),
}

/// The processors of CLIP, SigLIP, LLaVA and ViT, and DETR's.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageProcessor {
    steps: Steps,
    batch: Batch,
}

impl ImageProcessor {
    /// CLIP's, which LLaVA's is too.
    pub(super) fn clip(config: &Config) -> Result<Self> {
        config.require_flag("use_square_size", false)?;
        Self::stacked(&config.clone().with_defaults(clip_defaults()), false)
    }

    /// `ViT`'s.
    pub(super) fn vit(config: &Config) -> Result<Self> {
        let defaults = json!({
            "do_resize": true, "do_rescale": true, "do_normalize": true, "resample": 2,
            "size": {"height": 224, "width": 224}, "image_mean": 0.5, "image_std": 0.5,
        });
        Self::stacked(&config.clone().with_defaults(defaults), true)
    }

    /// `SigLIP`'s, which is that of LLaVAs with its vision tower.
    pub(super) fn siglip(config: &Config) -> Result<Self> {
        let defaults = json!({
            "do_resize": true, "do_rescale": true, "do_normalize": true, "resample": 3,
            "size": {"height": 224, "width": 224}, "image_mean": 0.5, "image_std": 0.5,
        });
        Self::stacked(&config.clone().with_defaults(defaults), false)
    }

    fn stacked(config: &Config, square: bool) -> Result<Self> {
        config.require_flag("do_pad", false)?;
        Ok(Self { steps: Steps::read(config, square)?, batch: Batch::Stacked })
    }

    /// DETR's.
    pub(super) fn detr(config: &Config) -> Result<Self> {
        // `max_size` is the old spelling's default, and means nothing beside a size that is an object.
        let defaults = json!({
            "do_resize": true, "do_rescale": true, "do_normalize": true, "resample": 2, "max_size": 1333,
            "size": {"shortest_edge": 800, "longest_edge": 1333},
            "do_pad": config.flag_or("pad_and_return_pixel_mask", true)?,
            "image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD,
        });
        let config = config.clone().with_defaults(defaults);
        config.require_flag("do_center_crop", false)?;
        let steps = Steps::read(&config, false)?;
        if let Some((size @ Size::Shortest(_), _)) = steps.resize {
            return Err(Error::config(
                "size",
                format!("{size:?}"),
                "DETR's processor bounds the longest edge too",
            ));
        }
        let padded = config.get("pad_size").map(|_| pair(&config, "pad_size")).transpose()?;
        let batch = if config.flag_or("do_pad", false)? { Batch::Padded(padded) } else { Batch::Stacked };
        Ok(Self { steps, batch })
    }

    /// Pictures to `pixel_values [pictures, 3, height, width]`; DETR's also to `pixel_mask [pictures, height, width]`,
    /// 1 where a picture is.
    ///
    /// # Errors
    /// If there are none, or they do not become alike in size where they must.
    pub fn images(&self, pictures: &[Picture]) -> Result<NamedTensors> {
        match self.batch {
            Batch::Stacked => {
                let ([height, width], planes) = self.steps.stack(pictures)?;
                let pixels = Tensor::f32([pictures.len(), 3, height, width], planes);
                Ok(NamedTensors::from([("pixel_values".to_owned(), pixels)]))
            }
            Batch::Padded(size) => self.padded(pictures, size),
        }
    }

    fn padded(&self, pictures: &[Picture], size: Option<[usize; 2]>) -> Result<NamedTensors> {
        let made: Vec<Picture> =
            pictures.iter().map(|picture| self.steps.shape(picture)).collect::<Result<_>>()?;
        let largest = |axis: usize| made.iter().map(|picture| picture.size()[axis]).max();
        let (Some(tallest), Some(widest)) = (largest(0), largest(1)) else {
            return Err(Error::input("pictures", "there are none"));
        };
        let [height, width] = size.unwrap_or([tallest, widest]);
        if height < tallest || width < widest {
            let reason = format!("of {tallest} by {widest} pixels do not fit {height} by {width}");
            return Err(Error::input("pictures", reason));
        }
        check_size("padded picture", [height, width])?;
        let mut pixels = vec![0.0; made.len() * 3 * height * width];
        let mut mask = vec![0; made.len() * height * width];
        for (at, picture) in made.iter().enumerate() {
            let [own, wide] = picture.size();
            let mut planes = Vec::with_capacity(3 * own * wide);
            self.steps.levels.numbers(picture, &mut planes);
            for (i, row) in planes.chunks_exact(wide).enumerate() {
                let [channel, y] = [i / own, i % own];
                let start = ((at * 3 + channel) * height + y) * width;
                pixels[start..start + wide].copy_from_slice(row);
                let start = (at * height + y) * width;
                mask[start..start + wide].fill(1);
            }
        }
        Ok(NamedTensors::from([
            ("pixel_values".to_owned(), Tensor::f32([made.len(), 3, height, width], pixels)),
            ("pixel_mask".to_owned(), Tensor::i32([made.len(), height, width], mask)),
        ]))
    }
}

/// What CLIP's and LLaVA-NeXT's processors do where the config is silent.
pub(super) fn clip_defaults() -> Value {
    json!({
        "do_resize": true, "do_center_crop": true, "do_rescale": true, "do_normalize": true, "resample": 3,
        "size": {"shortest_edge": 224}, "crop_size": 224, "image_mean": CLIP_MEAN, "image_std": CLIP_STD,
    })
}
