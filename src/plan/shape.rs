//! Two axes that most cells leave alone: how many items an inference takes, and how long its text is.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Items that an inference may have.
pub const BATCHES: RangeInclusive<u32> = 1..=1024;
/// Tokens that its text may have.
pub const SEQUENCE_LENGTHS: RangeInclusive<u32> = 1..=1_000_000;

/// What a cell's inputs are in place of the usual ones. As text it is the tail of a size: `+b4`, `+t64`, `+b4+t64`,
/// and nothing where nothing is asked for, so that ids without it stay what they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shape {
    /// Items of an inference.
    pub batch: Option<u32>,
    /// Tokens of its text.
    pub tokens: Option<u32>,
}

impl Shape {
    /// Whether the inputs are the usual ones.
    pub const fn is_usual(self) -> bool {
        self.batch.is_none() && self.tokens.is_none()
    }

    /// Every combination; an axis without values is left alone.
    pub fn product(batches: &[u32], tokens: &[u32]) -> Vec<Self> {
        let axis = |values: &[u32]| -> Vec<Option<u32>> {
            if values.is_empty() { vec![None] } else { values.iter().copied().map(Some).collect() }
        };
        let tokens = axis(tokens);
        let with = |batch| tokens.iter().map(move |&tokens| Self { batch, tokens });
        axis(batches).into_iter().flat_map(with).collect()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(batch) = self.batch {
            write!(f, "+b{batch}")?;
        }
        if let Some(tokens) = self.tokens {
            write!(f, "+t{tokens}")?;
        }
        Ok(())
    }
}

impl FromStr for Shape {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut shape = Self::default();
        for part in text.split('+').skip(1) {
            let (name, value) = part.split_at_checked(1).ok_or(())?;
            let value: u32 = value.parse().map_err(drop)?;
            match name {
                "b" => shape.batch = Some(value),
                "t" => shape.tokens = Some(value),
                _ => return Err(()),
            }
        }
        // One spelling only: ids are compared as text.
        if shape.to_string() == text && shape.batch != Some(0) && shape.tokens != Some(0) {
            Ok(shape)
        } else {
            Err(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_spelling() {
        for text in ["", "+b4", "+t64", "+b4+t64"] {
            assert_eq!(text.parse::<Shape>().map(|shape| shape.to_string()), Ok(text.to_owned()));
        }
        for text in ["b4", "+", "+b", "+b04", "+b0", "+t4+b4", "+b1+b2", "+x1", "+é", "+b4 "] {
            assert_eq!(text.parse::<Shape>(), Err(()), "{text}");
        }
    }

    #[test]
    fn an_axis_without_values_is_left_alone() {
        let of = |batches: &[u32], tokens: &[u32]| {
            let shapes = Shape::product(batches, tokens);
            shapes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(Shape::product(&[], &[]), [Shape::default()]);
        assert_eq!(of(&[1, 4], &[]), "+b1 +b4");
        assert_eq!(of(&[1, 4], &[8, 64]), "+b1+t8 +b1+t64 +b4+t8 +b4+t64");
    }
}
