//! LLaVA-NeXT's image processor: a picture whole and, in the resolution that suits it best, in tiles.

use super::image::{Levels, clip_defaults, filter, resized};
use super::picture::{Picture, check_size};
use super::resize::Filter;
use super::size::{Size, pair};
use crate::error::{Error, Result};
use crate::models::config::Config;
use crate::models::tiles::{resolutions, select_best_resolution};
use crate::tensor::{NamedTensors, Tensor};

/// LLaVA-NeXT's processor.
#[derive(Clone, Debug, PartialEq)]
pub struct TileProcessor {
    levels: Levels,
    filter: Filter,
    /// Pixels of a tile's side, and of the whole picture's.
    side: usize,
    /// `image_grid_pinpoints`.
    resolutions: Vec<[usize; 2]>,
}

impl TileProcessor {
    pub(super) fn read(config: &Config) -> Result<Self> {
        config.require_flag("do_pad", true)?;
        let config = config.clone().with_defaults(clip_defaults());
        let [side, width] = pair(&config, "crop_size")?;
        let square = match Size::read(&config, false)? {
            Size::Shortest(size) => [size; 2],
            Size::Exact(size) => size,
            Size::Bounded { .. } => [0; 2],
        };
        if [side, width] != square || side != width {
            let reason = "only squares of the same size as size are implemented: tiles are neither resized nor cropped";
            return Err(Error::config("crop_size", format!("{side} by {width}"), reason));
        }
        let levels = Levels::read(&config)?;
        Ok(Self { levels, filter: filter(&config)?, side, resolutions: resolutions(&config, side)? })
    }

    /// Pictures to `pixel_values [pictures, tiles, 3, side, side]`, where the whole picture comes first and pictures of
    /// fewer tiles than others are filled up with zeros, and `image_sizes [pictures, 2]`, their own heights and widths.
    ///
    /// # Errors
    /// If there are none, or one is too large.
    pub fn images(&self, pictures: &[Picture]) -> Result<NamedTensors> {
        let tile = 3 * self.side * self.side;
        let made: Vec<Vec<f32>> =
            pictures.iter().map(|picture| self.tiles(picture)).collect::<Result<_>>()?;
        let Some(longest) = made.iter().map(Vec::len).max() else {
            return Err(Error::input("pictures", "there are none"));
        };
        let mut pixels = Vec::with_capacity(made.len() * longest);
        for tiles in &made {
            pixels.extend_from_slice(tiles);
            pixels.resize(pixels.len() + longest - tiles.len(), 0.0);
        }
        let sizes = pictures.iter().flat_map(Picture::size).map(|side| side as i32).collect();
        let shape = [made.len(), longest / tile, 3, self.side, self.side];
        Ok(NamedTensors::from([
            ("pixel_values".to_owned(), Tensor::f32(shape, pixels)),
            ("image_sizes".to_owned(), Tensor::i32([made.len(), 2], sizes)),
        ]))
    }

    /// `[tiles, 3, side, side]` of one picture.
    fn tiles(&self, picture: &Picture) -> Result<Vec<f32>> {
        let size = picture.size();
        let best = select_best_resolution(size.map(|side| side as u32), &self.resolutions)
            .expect("there is a resolution: read");
        check_size("image_grid_pinpoints", best)?;
        let mut planes = Vec::new();
        self.levels.numbers(&resized(picture, [self.side; 2], self.filter)?, &mut planes);
        let inner = fitted(size, best);
        let shown = resized(picture, inner, self.filter)?;
        // Black around it, the odd line below or on the right, before levels become numbers.
        let from = [0, 1].map(|axis| -((best[axis] - inner[axis]) as isize / 2));
        for top in (0..best[0]).step_by(self.side) {
            for left in (0..best[1]).step_by(self.side) {
                let at = [from[0] + top as isize, from[1] + left as isize];
                self.levels.numbers(&shown.window(at, [self.side; 2]), &mut planes);
            }
        }
        Ok(planes)
    }
}

/// The largest size of this aspect ratio within another, rounded up.
fn fitted([height, width]: [usize; 2], within: [usize; 2]) -> [usize; 2] {
    let scale = |axis: usize, side: usize| within[axis] as f64 / side as f64;
    let [down, across] = [scale(0, height), scale(1, width)];
    if across < down {
        [((height as f64 * across).ceil() as usize).min(within[0]), within[1]]
    } else {
        [within[0], ((width as f64 * down).ceil() as usize).min(within[1])]
    }
}
