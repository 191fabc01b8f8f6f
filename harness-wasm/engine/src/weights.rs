//! Where weights come from: a checkpoint's safetensors shards, or a twin's seed.

mod head;
mod packed;

pub use head::Head;
pub use packed::plain_bytes;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use safetensors::Dtype;

use crate::error::{Error, Result};
use crate::quant::Matrix;
use crate::tensor::{DType, Tensor, convert, parse_safetensors};

/// The weights of one model, by their names in the checkpoint. A clone shares them.
#[derive(Clone, Debug)]
pub enum Weights {
    /// Safetensors shards.
    Files(Arc<Checkpoint>),
    /// Seeded synthetic weights: every name exists, with whatever shape is asked for.
    Twin {
        /// The seed.
        seed: u64,
    },
    /// Another's weights, some of them quantised.
    Quantised {
        /// What they were made from, and where the others are.
        base: Box<Self>,
        /// By the names that their weights have.
        matrices: Arc<BTreeMap<String, Matrix>>,
    },
}

/// The names of a quantised matrix's words and scales.
pub fn parts(name: &str) -> [String; 2] {
    [format!("{name}.words"), format!("{name}.scales")]
}

/// Safetensors shards, kept as they came and converted on demand.
#[derive(Debug)]
pub struct Checkpoint {
    shards: Vec<(String, Vec<u8>)>,
    index: BTreeMap<String, Entry>,
}

/// Where a tensor lies.
#[derive(Debug)]
struct Entry {
    shard: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Range<usize>,
}

impl Checkpoint {
    /// Indexes the shards; each comes with the name that errors call it by.
    ///
    /// # Errors
    /// If a shard is not valid or two hold the same tensor.
    pub fn new(shards: Vec<(String, Vec<u8>)>) -> Result<Self> {
        let mut index = BTreeMap::new();
        for (shard, (file, bytes)) in shards.iter().enumerate() {
            for (name, view) in parse_safetensors(file, bytes)?.iter() {
                let start = view.data().as_ptr().addr() - bytes.as_ptr().addr();
                let entry = Entry {
                    shard,
                    dtype: view.dtype(),
                    shape: view.shape().to_vec(),
                    bytes: start..start + view.data().len(),
                };
                if index.insert(name.to_owned(), entry).is_some() {
                    return Err(Error::Weight {
                        name: name.to_owned(),
                        reason: format!("stored twice, again in {file}"),
                    });
                }
            }
        }
        Ok(Self { shards, index })
    }

    /// The same without some of its tensors, and without the memory that they took.
    fn without(mut self, leave: impl Fn(&str) -> bool) -> Self {
        self.index.retain(|name, _| !leave(name));
        for (at, (_, bytes)) in self.shards.iter_mut().enumerate() {
            let mut kept = Vec::new();
            for entry in self.index.values_mut().filter(|entry| entry.shard == at) {
                let start = kept.len();
                kept.extend_from_slice(&bytes[entry.bytes.clone()]);
                entry.bytes = start..kept.len();
            }
            *bytes = kept;
        }
        self
    }
}

impl Weights {
    /// The weights of safetensors shards; each comes with the name that errors call it by.
    ///
    /// # Errors
    /// If a shard is not valid, two hold the same tensor, or quantised matrices are not as the file says.
    pub fn of_shards(shards: Vec<(String, Vec<u8>)>) -> Result<Self> {
        packed::read(shards)
    }

    /// Whether the checkpoint has a tensor of that name. A twin has every one.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::Files(files) => files.index.contains_key(name),
            Self::Twin { .. } => true,
            Self::Quantised { base, matrices } => {
                matrices.contains_key(name) || self.part(name).is_some() || base.has(name)
            }
        }
    }

    /// A quantised matrix's words or scales.
    fn part(&self, name: &str) -> Option<&Tensor> {
        let Self::Quantised { matrices, .. } = self else { return None };
        let of = |ending| matrices.get(name.strip_suffix(ending)?);
        of(".words").map(Matrix::words).or_else(|| of(".scales").map(Matrix::scales))
    }

    /// Bytes of a weight of so many elements as it was given: what is quantised packed, what was made of a seed as float32.
    pub fn stored_bytes(&self, name: &str, elements: usize) -> usize {
        match self {
            Self::Files(files) => files.index.get(name).map_or(4 * elements, |entry| entry.bytes.len()),
            Self::Twin { .. } => 4 * elements,
            Self::Quantised { base, matrices } => {
                matrices.get(name).map_or_else(|| base.stored_bytes(name, elements), Matrix::bytes)
            }
        }
    }

    /// Bytes of everything that is kept of the checkpoint, whatever a model reads of it; none for a twin.
    pub fn kept_bytes(&self) -> usize {
        match self {
            Self::Files(files) => files.shards.iter().map(|(_, bytes)| bytes.len()).sum(),
            Self::Twin { .. } => 0,
            Self::Quantised { base, matrices } => {
                base.kept_bytes() + matrices.values().map(Matrix::bytes).sum::<usize>()
            }
        }
    }

    /// Whether any weight is quantised.
    pub fn is_quantised(&self) -> bool {
        matches!(self, Self::Quantised { matrices, .. } if !matrices.is_empty())
    }

    /// The weight's matrix, if it is quantised.
    pub fn matrix(&self, name: &str) -> Option<&Matrix> {
        match self {
            Self::Quantised { matrices, .. } => matrices.get(name),
            Self::Files(_) | Self::Twin { .. } => None,
        }
    }

    /// Whether a checkpoint has a tensor of that name: a twin, which could make any, holds none.
    pub fn holds(&self, name: &str) -> bool {
        match self {
            Self::Files(files) => files.index.contains_key(name),
            Self::Twin { .. } => false,
            Self::Quantised { base, matrices } => matrices.contains_key(name) || base.holds(name),
        }
    }

    /// The first of `names` that the checkpoint has: checkpoints of different ages spell the same
    /// weight differently. A twin uses the first.
    ///
    /// # Errors
    /// If it has none of them.
    pub fn first_of<'n>(&self, names: &[&'n str]) -> Result<&'n str> {
        names.iter().copied().find(|name| self.has(name)).ok_or_else(|| Error::Weight {
            name: names.first().copied().unwrap_or_default().to_owned(),
            reason: match names {
                [_] | [] => "not in the checkpoint".to_owned(),
                [_, others @ ..] => format!("not in the checkpoint, nor under {}", others.join(", ")),
            },
        })
    }

    /// Checks that the weight exists with that shape.
    ///
    /// # Errors
    /// If it is missing or has another shape.
    pub fn check(&self, name: &str, shape: &[usize]) -> Result<()> {
        let found = match self {
            Self::Files(files) => files.index.get(name).map(|entry| &entry.shape[..]),
            Self::Twin { .. } => Some(shape),
            Self::Quantised { base, matrices } => match (self.part(name), matrices.get(name)) {
                (Some(part), _) => Some(part.shape()),
                (None, Some(matrix)) => Some(matrix.shape()),
                (None, None) => return base.check(name, shape),
            },
        };
        match found {
            None => Err(Error::Weight { name: name.to_owned(), reason: "not in the checkpoint".into() }),
            Some(found) if found != shape => Err(Error::Weight {
                name: name.to_owned(),
                reason: format!("has shape {found:?} where config.json implies {shape:?}"),
            }),
            Some(_) => Ok(()),
        }
    }

    /// The shape of a weight, if the checkpoint fixes one.
    pub fn shape_of(&self, name: &str) -> Option<&[usize]> {
        match self {
            Self::Files(files) => files.index.get(name).map(|entry| entry.shape.as_slice()),
            Self::Twin { .. } => None,
            Self::Quantised { base, matrices } => {
                matrices.get(name).map(Matrix::shape).or_else(|| base.shape_of(name))
            }
        }
    }

    /// The weight as float32: what a quantised one stands for. Its words and scales are integers.
    ///
    /// # Errors
    /// If it is missing, has another shape, or is not of a float type.
    pub fn load(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.check(name, shape)?;
        match self {
            Self::Twin { seed } => Ok(twin::tensor(*seed, name, shape)),
            Self::Quantised { base, matrices } => match (self.part(name), matrices.get(name)) {
                (Some(part), _) => Ok(part.clone()),
                (None, Some(matrix)) => Ok(Tensor::f32(shape, matrix.dequantised())),
                (None, None) => base.load(name, shape),
            },
            Self::Files(files) => {
                let entry = &files.index[name];
                let (file, bytes) = &files.shards[entry.shard];
                let tensor = convert(file, name, entry.dtype, &entry.shape, &bytes[entry.bytes.clone()])?;
                match tensor.dtype() {
                    DType::F32 => Ok(tensor),
                    DType::I32 => Err(Error::Weight {
                        name: name.to_owned(),
                        reason: format!("has type {:?} where a float type belongs", entry.dtype),
                    }),
                }
            }
        }
    }
}

/// Seeded synthetic tensors: the same bits on every machine, because only integer mixing and exact
/// float operations are used.
pub mod twin {
    use crate::tensor::{Tensor, elements};

    /// A generator keyed by seed and name (SplitMix64, Steele et al. 2014).
    #[derive(Debug)]
    pub struct Draw(u64);

    impl Draw {
        /// The stream of `name` under `seed`.
        pub fn new(seed: u64, name: &str) -> Self {
            // FNV-1a: stable across platforms and releases, unlike the standard hasher.
            let hash = name
                .bytes()
                .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
            Self(seed ^ hash)
        }

        /// 64 uniform bits.
        pub fn bits(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        /// A whole number in `0..n`.
        pub fn below(&mut self, n: usize) -> usize {
            ((u128::from(self.bits()) * n as u128) >> 64) as usize
        }

        /// Nearly normal, mean 0, deviation 1: the sum of four uniform 16-bit numbers, exact in float32.
        pub fn normal(&mut self) -> f32 {
            let bits = self.bits();
            let sum: i32 = (0..4).map(|i| ((bits >> (16 * i)) & 0xffff) as i32).sum();
            // Each has variance 65536²/12, four of them 65536²/3.
            (sum - 2 * 65535) as f32 * (1.732_050_8 / 65536.0)
        }
    }

    /// A weight initialised as its name and rank suggest, so that activations keep a sane scale.
    pub(super) fn tensor(seed: u64, name: &str, shape: &[usize]) -> Tensor {
        let mut draw = Draw::new(seed, name);
        let lower = name.to_ascii_lowercase();
        let fan_in = elements(shape.get(1..).unwrap_or_default()).max(1) as f32;
        // A variance is divided by the root of, a weight norm's magnitude scales a direction: both stay positive.
        let positive = ["running_var", "weight_g", "parametrizations.weight.original0"];
        let scale = shape.len() < 2 && lower.contains("norm") && lower.ends_with("weight");
        let (mean, deviation) = if scale || positive.iter().any(|ending| lower.ends_with(ending)) {
            (1.0, 0.1)
        } else if shape.len() < 2 {
            (0.0, 0.1)
        } else if lower.contains("embed") || lower.contains("shared") {
            (0.0, 0.5)
        } else {
            (0.0, 1.0 / fan_in.sqrt())
        };
        Tensor::f32(shape, (0..elements(shape)).map(|_| mean + deviation * draw.normal()).collect())
    }

    #[cfg(test)]
    mod tests {
        use super::{Draw, tensor};

        #[test]
        fn variances_and_magnitudes_are_positive() {
            for name in ["a.running_var", "a.weight_g", "a.parametrizations.weight.original0"] {
                assert!(
                    tensor(3, name, &[1, 1, 500]).as_f32().iter().all(|v| (0.5..1.5).contains(v)),
                    "{name}"
                );
            }
        }

        #[test]
        fn draws_are_the_same_everywhere() {
            let mut draw = Draw::new(7, "a.weight");
            assert_eq!([draw.bits(), draw.bits()], [Draw::new(7, "a.weight").bits(), draw_second()]);
            let n = 20_000;
            let values: Vec<f32> = (0..n).map(|_| draw.normal()).collect();
            let mean = values.iter().sum::<f32>() / n as f32;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n as f32;
            assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        }

        fn draw_second() -> u64 {
            let mut draw = Draw::new(7, "a.weight");
            draw.bits();
            draw.bits()
        }
    }
}
