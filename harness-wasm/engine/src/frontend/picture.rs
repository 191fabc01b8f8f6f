//! Pictures in memory.

use crate::error::{Error, Result};

/// More pixels than this are refused, in what is given and in what is asked for: hostile sizes must not exhaust memory.
pub(super) const MOST_PIXELS: usize = 1 << 28;

/// A picture of 8-bit RGB, `[height, width, 3]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    size: [usize; 2],
    bytes: Vec<u8>,
}

impl Picture {
    /// A picture of this `[height, width]`.
    ///
    /// # Errors
    /// If it has no pixels, or too many, or another number of bytes than they have.
    pub fn new(size: [usize; 2], bytes: Vec<u8>) -> Result<Self> {
        check_size("picture", size)?;
        if bytes.len() != size[0] * size[1] * 3 {
            let reason = format!("has {} bytes where {size:?} pixels of RGB belong", bytes.len());
            return Err(Error::input("picture", reason));
        }
        Ok(Self { size, bytes })
    }

    /// A picture that the front end itself made.
    pub(super) fn made(size: [usize; 2], bytes: Vec<u8>) -> Self {
        debug_assert_eq!(bytes.len(), size[0] * size[1] * 3);
        Self { size, bytes }
    }

    /// Height and width.
    pub const fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Row by row, pixel by pixel, red, green and blue.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The window of this `size` whose upper left corner is `from`; what lies outside the picture is black.
    pub(super) fn window(&self, from: [isize; 2], size: [usize; 2]) -> Self {
        let [height, width] = self.size.map(|side| side as isize);
        let mut bytes = vec![0; size[0] * size[1] * 3];
        let left = from[1].clamp(0, width);
        let right = (from[1] + size[1] as isize).clamp(left, width);
        for (y, row) in bytes.chunks_exact_mut(size[1] * 3).enumerate() {
            let source = from[0] + y as isize;
            if (0..height).contains(&source) && left < right {
                let [start, end] = [left, right].map(|x| (source * width + x) as usize * 3);
                let at = (left - from[1]) as usize * 3;
                row[at..at + end - start].copy_from_slice(&self.bytes[start..end]);
            }
        }
        Self { size, bytes }
    }
}

/// Refuses a `[height, width]` that is empty or too large; `what` names it.
pub(super) fn check_size(what: &str, size: [usize; 2]) -> Result<()> {
    match size[0].checked_mul(size[1]) {
        Some(1..=MOST_PIXELS) => Ok(()),
        _ => Err(Error::input(what, format!("of {} by {} pixels: empty, or too large", size[0], size[1]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greys(size: [usize; 2], levels: &[u8]) -> Picture {
        Picture::new(size, levels.iter().flat_map(|&level| [level; 3]).collect()).unwrap()
    }

    #[test]
    fn windows_reach_beyond_the_edges() {
        let picture = greys([2, 2], &[1, 2, 3, 4]);
        assert_eq!(picture.window([0, 0], [2, 2]), picture);
        assert_eq!(picture.window([1, -1], [2, 2]), greys([2, 2], &[0, 3, 0, 0]));
        assert_eq!(picture.window([-1, 1], [2, 3]), greys([2, 3], &[0, 0, 0, 2, 0, 0]));
        assert_eq!(picture.window([5, 5], [1, 2]), greys([1, 2], &[0, 0]));
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        assert!(Picture::new([2, 2], vec![0; 11]).is_err());
        assert!(Picture::new([0, 2], vec![]).is_err());
        assert!(Picture::new([usize::MAX, 2], vec![]).is_err());
    }
}
