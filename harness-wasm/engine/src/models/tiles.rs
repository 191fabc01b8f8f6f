//! Which tiles an image of any size is cut into, and which of their rows stand for it, as Hugging Face computes it for
//! LLaVA-NeXT. Sizes are `[height, width]`.

use crate::error::{Error, Result};
use crate::models::config::Config;

/// `image_grid_pinpoints`, each a number of whole tiles.
pub(crate) fn resolutions(config: &Config, tile: usize) -> Result<Vec<[usize; 2]>> {
    let name = "image_grid_pinpoints";
    let Some(written) = config.get(name) else {
        let defaults = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]];
        return check_resolutions(defaults.to_vec(), tile);
    };
    let side = |side: &serde_json::Value| side.as_u64().and_then(|side| usize::try_from(side).ok());
    let pair = |pair: &serde_json::Value| match pair.as_array().map(Vec::as_slice) {
        Some([height, width]) => Some([side(height)?, side(width)?]),
        _ => None,
    };
    let pairs: Option<Vec<_>> = written.as_array().and_then(|pairs| pairs.iter().map(pair).collect());
    match pairs {
        Some(pairs) if !pairs.is_empty() => check_resolutions(pairs, tile),
        _ => Err(Error::config(name, written, "must list heights and widths")),
    }
}

/// Hugging Face cuts tiles of `tile` pixels, and cannot put together those of a resolution that they do not fill.
fn check_resolutions(resolutions: Vec<[usize; 2]>, tile: usize) -> Result<Vec<[usize; 2]>> {
    let fits = |side: &usize| *side > 0 && *side < 1 << 16 && side.is_multiple_of(tile);
    match resolutions.iter().find(|resolution| !resolution.iter().all(fits)) {
        None => Ok(resolutions),
        Some(bad) => {
            let reason = format!("must hold multiples, below 65536, of a tile's {tile} pixels");
            Err(Error::config("image_grid_pinpoints", format!("{bad:?}"), reason))
        }
    }
}

/// The resolution among `choices` in which an image of this size keeps most of its pixels and, of several such, wastes
/// least; the first of equals. None if there is no choice.
pub(crate) fn select_best_resolution(size: [u32; 2], choices: &[[usize; 2]]) -> Option<[usize; 2]> {
    let [height, width] = size.map(f64::from);
    // Exact where it decides: no more is kept than there is in a choice.
    let pixels = |[height, width]: [f64; 2]| height * width;
    let mut best: Option<([usize; 2], f64, f64)> = None;
    for &choice in choices {
        let [tall, wide] = choice.map(|side| side as f64);
        let scale = (wide / width).min(tall / height);
        let kept = pixels([(height * scale).floor(), (width * scale).floor()]).min(pixels([height, width]));
        let wasted = tall * wide - kept;
        let (most, least) = best.map_or((0.0, f64::INFINITY), |(_, kept, wasted)| (kept, wasted));
        if kept > most || (kept == most && wasted < least) {
            best = Some((choice, kept, wasted));
        }
    }
    best.map(|(choice, ..)| choice)
}

/// The rows and columns of a `grid` of patches that show the image and not what was padded around it.
fn unpad(size: [u32; 2], grid: [usize; 2]) -> [std::ops::Range<usize>; 2] {
    let [height, width] = size.map(f64::from);
    let [tall, wide] = grid.map(|side| side as f64);
    // Rounded to seven places, then towards zero.
    let whole = |x: f64| ((x * 1e7).round() / 1e7) as usize;
    let inner = |all: usize, kept: usize| {
        let padding = all.saturating_sub(kept) / 2;
        padding..all - padding
    };
    if width / height > wide / tall {
        [inner(grid[0], whole(height * (wide / width))), 0..grid[1]]
    } else {
        [0..grid[0], inner(grid[1], whole(width * (tall / height)))]
    }
}

/// The rows that stand for an image, in order: the whole image at low resolution, then the lines of patches across its
/// `tiles` (down, across), each ended by `newline`. Tiles are squares of `side` patches whose rows begin at `first`.
pub(super) fn image_rows(
    size: [u32; 2],
    tiles: [usize; 2],
    side: usize,
    newline: i32,
    first: usize,
) -> Vec<i32> {
    let tile = side * side;
    let [lines, columns] = unpad(size, tiles.map(|count| count * side));
    let mut rows: Vec<i32> = (0..tile).map(|patch| (first + patch) as i32).collect();
    for y in lines {
        rows.extend(columns.clone().map(|x| {
            let (at, patch) = (y / side * tiles[1] + x / side, y % side * side + x % side);
            (first + (1 + at) * tile + patch) as i32
        }));
        rows.push(newline);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of transformers' `select_best_resolution`.
    const EXPECTED_BEST: &[([u32; 2], [usize; 2])] = &[
        ([40, 60], [336, 672]),
        ([336, 336], [336, 672]),
        ([480, 640], [672, 672]),
        ([640, 480], [672, 672]),
        ([1080, 1920], [672, 672]),
        ([31, 90], [336, 672]),
        ([90, 31], [336, 672]),
        ([3000, 500], [1008, 336]),
        ([500, 3000], [336, 1008]),
        ([1, 1], [336, 672]),
        ([667, 1], [672, 336]),
        ([336, 672], [336, 672]),
        ([1000, 1000], [672, 672]),
        ([7, 11], [336, 672]),
        ([551, 2332], [336, 1008]),
        ([3472, 3287], [672, 672]),
        ([3129, 259], [1008, 336]),
        ([1045, 483], [1008, 336]),
        ([2030, 3117], [672, 672]),
        ([1842, 1935], [672, 672]),
    ];

    /// Of transformers' `unpad_image`: an image's size, the grid, and the shape that is left of it.
    const EXPECTED_LEFT: &[([u32; 2], [usize; 2], [usize; 2])] = &[
        ([40, 60], [8, 8], [6, 8]),
        ([20, 64], [3, 9], [3, 9]),
        ([90, 31], [12, 4], [12, 4]),
        ([480, 640], [48, 48], [36, 48]),
        ([640, 480], [48, 24], [32, 24]),
        ([1, 1000], [48, 48], [0, 48]),
        ([1000, 1], [48, 48], [48, 0]),
        ([3, 7], [21, 49], [21, 49]),
        ([667, 1001], [72, 24], [16, 24]),
        ([336, 672], [24, 48], [24, 48]),
        ([49, 7], [7, 1], [7, 1]),
        ([1, 3], [24, 24], [8, 24]),
        ([10, 30], [3, 9], [3, 9]),
        ([29, 87], [1, 3], [1, 3]),
        ([7, 21], [24, 72], [24, 72]),
        ([1335, 778], [8, 8], [8, 4]),
        ([1000, 59], [24, 24], [24, 2]),
        ([1245, 1562], [8, 48], [8, 10]),
        ([913, 546], [48, 8], [14, 8]),
        ([1211, 1936], [8, 24], [8, 12]),
        ([63, 46], [8, 48], [8, 6]),
        ([1109, 19], [24, 48], [24, 0]),
        ([444, 1985], [24, 48], [10, 48]),
        ([60, 1081], [8, 24], [2, 24]),
        ([1924, 1016], [48, 8], [16, 8]),
    ];

    #[test]
    fn the_resolution_that_keeps_most_is_chosen() {
        let choices = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]];
        for (size, best) in EXPECTED_BEST {
            assert_eq!(select_best_resolution(*size, &choices), Some(*best), "{size:?}");
        }
        // It vanishes in all of them.
        assert_eq!(select_best_resolution([1, 100_000], &[[672, 672], [336, 336]]), Some([336, 336]));
        assert_eq!(select_best_resolution([1, 1], &[]), None);
    }

    #[test]
    fn padding_is_cut_off() {
        for (size, grid, left) in EXPECTED_LEFT {
            assert_eq!(unpad(*size, *grid).map(|range| range.len()), *left, "{size:?} in {grid:?}");
        }
    }

    #[test]
    fn lines_run_across_tiles() {
        // One tile down, two across, of 2 by 2 patches, no padding: 2 lines of 4.
        let rows = image_rows([10, 20], [1, 2], 2, 7, 100);
        assert_eq!(rows, [100, 101, 102, 103, 104, 105, 108, 109, 7, 106, 107, 110, 111, 7]);
        // Square: the outer columns are padding.
        let rows = image_rows([10, 10], [1, 2], 2, 7, 100);
        assert_eq!(rows, [100, 101, 102, 103, 105, 108, 7, 107, 110, 7]);
    }
}
