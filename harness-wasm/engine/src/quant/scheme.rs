//! How many bits a weight takes, and how the numbers beside the bits are kept.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Bits of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bits {
    /// `q` in 0..4.
    Two,
    /// `q` in 0..8.
    Three,
    /// `q` in 0..16.
    Four,
    /// `q` in 0..256.
    Eight,
}

impl Bits {
    /// Every width, fewest first.
    pub const ALL: [Self; 4] = [Self::Two, Self::Three, Self::Four, Self::Eight];

    /// As a number.
    pub const fn count(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Three => 3,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// The largest `q`.
    pub const fn most(self) -> u32 {
        (1 << self.count()) - 1
    }

    /// The `q` that a symmetric scheme takes for zero.
    pub const fn zero(self) -> u32 {
        1 << (self.count() - 1)
    }
}

/// How the rows of a matrix are stored.
///
/// But for [`Self::Half`], a row is cut into groups and a weight is `scale · q + min` with its group's numbers. A
/// symmetric scheme keeps no minimum: it is `-2^(bits-1) · scale`. A scale may be negative, so that the one
/// code more that lies below zero can serve either sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// IEEE half precision, no groups.
    Half,
    /// Groups of [`Group`] weights.
    Grouped {
        /// Bits of a `q`.
        bits: Bits,
        /// Weights that share a scale.
        group: Group,
        /// Whether every group keeps a minimum.
        asymmetric: bool,
        /// Whether scales and minimums are 6 bits wide, relative to two float16 numbers that
        /// [`SUPER_BLOCK`] weights share. Groups are then of 32.
        nested: bool,
    },
}

/// Weights that share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// 32.
    Of32,
    /// 64.
    Of64,
    /// 128.
    Of128,
}

/// Weights that share float16 numbers where scales are nested.
pub const SUPER_BLOCK: usize = 256;

/// Weights whose bits lie in whole words.
pub const BLOCK: usize = 32;

impl Group {
    /// Every size.
    pub const ALL: [Self; 3] = [Self::Of32, Self::Of64, Self::Of128];

    /// As a number.
    pub const fn size(self) -> usize {
        match self {
            Self::Of32 => 32,
            Self::Of64 => 64,
            Self::Of128 => 128,
        }
    }
}

impl Scheme {
    /// A scale of its own for every group, no minimum.
    pub const fn symmetric(bits: Bits, group: Group) -> Self {
        Self::Grouped { bits, group, asymmetric: false, nested: false }
    }

    /// A scale and a minimum of its own for every group.
    pub const fn asymmetric(bits: Bits, group: Group) -> Self {
        Self::Grouped { bits, group, asymmetric: true, nested: false }
    }

    /// Groups of 32 whose scales, and minimums if it has them, are 6 bits wide.
    pub const fn nested(bits: Bits, asymmetric: bool) -> Self {
        Self::Grouped { bits, group: Group::Of32, asymmetric, nested: true }
    }

    /// Every scheme.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Half];
        for bits in Bits::ALL {
            for asymmetric in [false, true] {
                let plain = |group| Self::Grouped { bits, group, asymmetric, nested: false };
                all.extend(Group::ALL.map(plain));
                all.push(Self::nested(bits, asymmetric));
            }
        }
        all
    }
}

/// `fp16`, or such as `int4-g32`, `int4-g64-asym`, `int2-g32-asym-super`.
impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Half => f.write_str("fp16"),
            Self::Grouped { bits, group, asymmetric, nested } => {
                write!(f, "int{}-g{}", bits.count(), group.size())?;
                f.write_str(if *asymmetric { "-asym" } else { "" })?;
                f.write_str(if *nested { "-super" } else { "" })
            }
        }
    }
}

impl FromStr for Scheme {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::all().into_iter().find(|scheme| scheme.to_string() == text).ok_or_else(|| Error::Data {
            file: "quantisation scheme".into(),
            reason: format!(
                "{text:?} is none: write fp16 or such as int4-g32, int4-g64-asym, int2-g32-asym-super \
                 (2, 3, 4 or 8 bits; groups of 32, 64 or 128; super-blocks only with groups of 32)"
            ),
        })
    }
}

/// A scheme for rows of so many weights: what lies where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Packing {
    /// The scheme.
    pub scheme: Scheme,
    /// Weights of a row.
    pub columns: usize,
}

impl Packing {
    /// Weights of a group; a whole row where there are none.
    pub const fn group(self) -> usize {
        match self.scheme {
            Scheme::Half => self.columns,
            Scheme::Grouped { group, .. } => group.size(),
        }
    }

    /// Groups of a row, the last one filled up.
    pub const fn groups(self) -> usize {
        match self.scheme {
            Scheme::Half => 0,
            Scheme::Grouped { group, .. } => self.columns.div_ceil(group.size()),
        }
    }

    /// Words that hold a block of [`BLOCK`] weights.
    pub const fn block_words(self) -> usize {
        match self.scheme {
            Scheme::Half => BLOCK / 2,
            Scheme::Grouped { bits, .. } => bits.count(),
        }
    }

    /// Words that hold a row's weights.
    pub const fn words(self) -> usize {
        match self.scheme {
            Scheme::Half => self.columns.div_ceil(2),
            Scheme::Grouped { .. } => self.groups() * self.group() / BLOCK * self.block_words(),
        }
    }

    /// Words that hold a row's scales and minimums.
    pub const fn scale_words(self) -> usize {
        match self.scheme {
            Scheme::Half => 0,
            Scheme::Grouped { asymmetric, nested: false, .. } => {
                self.groups().div_ceil(2) * if asymmetric { 2 } else { 1 }
            }
            Scheme::Grouped { asymmetric, nested: true, .. } => {
                self.groups().div_ceil(SUPER_BLOCK / BLOCK) * if asymmetric { 4 } else { 2 }
            }
        }
    }

    /// Bits that a weight takes, with everything that is stored for it.
    pub fn bits_per_weight(self) -> f64 {
        32.0 * (self.words() + self.scale_words()) as f64 / self.columns.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_spelled_and_read() {
        for scheme in Scheme::all() {
            assert_eq!(scheme.to_string().parse::<Scheme>().unwrap(), scheme);
        }
        for wrong in ["", "int5-g32", "int4", "int4-g64-super", "int4-g32-super-asym", "INT4-g32"] {
            let told = wrong.parse::<Scheme>().unwrap_err().to_string();
            assert!(told.contains("int4-g64-asym"), "{told}");
        }
    }

    #[test]
    fn bits_are_counted_with_their_scales() {
        let bits =
            |scheme: &str, columns| Packing { scheme: scheme.parse().unwrap(), columns }.bits_per_weight();
        let told: Vec<f64> = [
            "fp16",
            "int8-g128",
            "int8-g32",
            "int4-g32",
            "int4-g64-asym",
            "int4-g32-asym",
            "int3-g32-super",
            "int3-g32-asym-super",
            "int2-g32-asym-super",
        ]
        .iter()
        .map(|scheme| bits(scheme, 1024))
        .collect();
        assert_eq!(told, [16.0, 8.125, 8.5, 4.5, 4.5, 5.0, 3.25, 3.5, 2.5]);
        // A row that fills no group pays for the whole of it.
        assert_eq!(bits("int4-g32", 16), 10.0);
        assert_eq!(bits("int4-g32", 96), 4.0 + 64.0 / 96.0);
    }
}
