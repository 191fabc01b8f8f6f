//! What `size` in `preprocessor_config.json` makes of a picture's own size. Sizes are `[height, width]`.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::models::config::Config;

/// How large a picture is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// So large, whatever its aspect ratio.
    Exact([usize; 2]),
    /// Its shortest edge that long, the other as its aspect ratio has it.
    Shortest(usize),
    /// The same, but no edge longer than `longest`.
    Bounded {
        /// The shortest edge, unless the longest would be too long.
        shortest: usize,
        /// What no edge may exceed.
        longest: usize,
    },
}

impl Size {
    /// Reads `size`: an object or, as old configs have it, a number, which means a `square` for some processors and
    /// the shortest edge for others.
    pub(super) fn read(config: &Config, square: bool) -> Result<Self> {
        let field = "size";
        match config.get(field) {
            Some(Value::Number(_)) => {
                let side = config.size(field)?;
                match config.get("max_size") {
                    _ if square => Ok(Self::Exact([side; 2])),
                    None => Ok(Self::Shortest(side)),
                    Some(_) => Ok(Self::Bounded { shortest: side, longest: config.size("max_size")? }),
                }
            }
            Some(Value::Object(written)) => {
                let part = config.object_or_empty(field)?;
                let mut names: Vec<&str> = written
                    .iter()
                    .filter(|(_, side)| !side.is_null())
                    .map(|(name, _)| name.as_str())
                    .collect();
                names.sort_unstable();
                match names[..] {
                    ["height", "width"] => Ok(Self::Exact([part.size("height")?, part.size("width")?])),
                    ["shortest_edge"] => Ok(Self::Shortest(part.size("shortest_edge")?)),
                    ["longest_edge", "shortest_edge"] => Ok(Self::Bounded {
                        shortest: part.size("shortest_edge")?,
                        longest: part.size("longest_edge")?,
                    }),
                    _ => {
                        let reason = "only height and width, or shortest_edge without or with longest_edge, are implemented";
                        Err(Error::config(field, Value::Object(written.clone()), reason))
                    }
                }
            }
            _ => config.size_pair(field).map(Self::Exact),
        }
    }

    /// What a picture of this size becomes.
    pub(super) fn of(self, size: [usize; 2]) -> [usize; 2] {
        match self {
            Self::Exact(size) => size,
            Self::Shortest(side) => along(size, side, side as f64),
            Self::Bounded { shortest, longest } => bounded(size, shortest, longest),
        }
    }
}

/// The shortest edge `side`, the other as long as `raw`, which `side` is rounded from, has it.
fn along([height, width]: [usize; 2], side: usize, raw: f64) -> [usize; 2] {
    if width < height {
        [(raw * height as f64 / width as f64) as usize, side]
    } else {
        [side, (raw * width as f64 / height as f64) as usize]
    }
}

/// DETR's rule. Rounding goes to the even neighbour, as Python does it.
fn bounded([height, width]: [usize; 2], shortest: usize, longest: usize) -> [usize; 2] {
    let [short, long] = [height.min(width) as f64, height.max(width) as f64];
    let (side, raw) = if long / short * shortest as f64 > longest as f64 {
        let raw = longest as f64 * short / long;
        (raw.round_ties_even() as usize, raw)
    } else {
        (shortest, shortest as f64)
    };
    // A picture of that size stays, though its other edge might be computed a pixel shorter.
    if height.min(width) == side { [height, width] } else { along([height, width], side, raw) }
}

/// A `[height, width]` that is written as an object, a list or a number for both.
pub(super) fn pair(config: &Config, field: &str) -> Result<[usize; 2]> {
    match config.object(field) {
        Ok(Some(part)) => Ok([part.size("height")?, part.size("width")?]),
        _ => config.size_pair(field),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, square: bool) -> Result<Size> {
        Size::read(&Config::parse("preprocessor_config.json", text.as_bytes()).unwrap(), square)
    }

    #[test]
    fn sizes_are_written_in_many_ways() {
        let bounded = Size::Bounded { shortest: 800, longest: 1333 };
        for (text, square, size) in [
            (r#"{"size": 224}"#, true, Size::Exact([224, 224])),
            (r#"{"size": 224}"#, false, Size::Shortest(224)),
            (r#"{"size": 800, "max_size": 1333}"#, false, bounded),
            (r#"{"size": [20, 30]}"#, false, Size::Exact([20, 30])),
            (r#"{"size": {"height": 20, "width": 30}}"#, false, Size::Exact([20, 30])),
            (r#"{"size": {"shortest_edge": 24, "longest_edge": null}}"#, true, Size::Shortest(24)),
            (r#"{"size": {"shortest_edge": 800, "longest_edge": 1333}}"#, false, bounded),
        ] {
            assert_eq!(read(text, square).unwrap(), size, "{text}");
        }
        for text in
            ["{}", r#"{"size": {"max_height": 3, "max_width": 4}}"#, r#"{"size": {"height": 0, "width": 4}}"#]
        {
            assert!(read(text, true).is_err(), "{text}");
        }
    }

    /// Of transformers' `get_resize_output_image_size` and `get_size_with_aspect_ratio`.
    #[test]
    fn aspect_ratios_are_kept() {
        for (size, becomes) in
            [([37, 53], [24, 34]), ([90, 60], [36, 24]), ([24, 31], [24, 31]), ([7, 7], [24, 24])]
        {
            assert_eq!(Size::Shortest(24).of(size), becomes, "{size:?}");
        }
        let bounded = Size::Bounded { shortest: 30, longest: 40 };
        for (size, becomes) in EXPECTED_BOUNDED {
            assert_eq!(bounded.of(*size), *becomes, "{size:?}");
        }
    }

    const EXPECTED_BOUNDED: &[([usize; 2], [usize; 2])] = &[
        ([37, 43], [30, 34]),
        ([60, 30], [40, 20]),
        ([30, 40], [30, 40]),
        ([30, 41], [29, 40]),
        ([1, 100], [0, 40]),
        ([480, 640], [30, 40]),
        ([16, 9], [40, 22]),
        ([1080, 1920], [22, 40]),
        ([799, 601], [39, 30]),
        ([23, 33], [28, 40]),
        ([40, 26], [40, 26]),
        ([13, 36], [14, 40]),
        ([33, 22], [40, 27]),
    ];
}
