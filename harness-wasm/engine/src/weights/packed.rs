//! Quantised weights as a safetensors file.
//!
//! A matrix `NAME` is the two int32 tensors `NAME.words` and `NAME.scales`; what it is, the file's metadata says under
//! [`KEY`]: `{"matrices": {"NAME": {"scheme": "int4-g32", "shape": [384, 1536]}}}`. Everything else is as in any
//! checkpoint.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use half::f16;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::{Checkpoint, Weights, parts};
use crate::error::{Error, Result};
use crate::quant::{Matrix, Scheme};
use crate::tensor::{Tensor, elements};

/// Under which key of a file's metadata its matrices are told.
pub(super) const KEY: &str = "webmatrix";
/// More axes than any weight has.
const MOST_AXES: usize = 8;
/// More elements than any weight has: what packing them takes can still be counted.
const MOST_ELEMENTS: usize = isize::MAX as usize / 64;

#[derive(Default, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) matrices: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Entry {
    scheme: String,
    shape: Vec<usize>,
}

impl Index {
    /// What a file's metadata say under [`KEY`].
    pub(super) fn parse(file: &str, text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::Data {
            file: file.to_owned(),
            reason: format!("its metadata {KEY:?} tells no quantised matrices: {error}"),
        })
    }
}

impl Entry {
    /// Scheme and shape, if they are a matrix's.
    pub(super) fn checked(self) -> std::result::Result<(Scheme, Vec<usize>), String> {
        let Self { scheme, shape } = self;
        let scheme: Scheme = scheme.parse().map_err(|error: Error| error.to_string())?;
        let elements = shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n));
        if shape.len() < 2 || shape.len() > MOST_AXES || elements.is_none_or(|n| n == 0 || n > MOST_ELEMENTS)
        {
            return Err(format!("{shape:?} is no matrix's shape"));
        }
        Ok((scheme, shape))
    }
}

/// The weights that these shards hold, quantised ones as such.
///
/// # Errors
/// If a shard is not valid, two hold the same tensor, or what is said of a matrix does not fit its tensors.
pub(super) fn read(shards: Vec<(String, Vec<u8>)>) -> Result<Weights> {
    let mut told = BTreeMap::new();
    for (file, bytes) in &shards {
        for (name, entry) in index(file, bytes)?.matrices {
            told.insert(name, (file.clone(), entry));
        }
    }
    let checkpoint = Checkpoint::new(shards)?;
    if told.is_empty() {
        return Ok(Weights::Files(Arc::new(checkpoint)));
    }
    let mut matrices = BTreeMap::new();
    for (name, (file, entry)) in told {
        let fault =
            |reason: String| Error::Data { file: file.clone(), reason: format!("matrix {name}: {reason}") };
        let (scheme, shape) = entry.checked().map_err(fault)?;
        let [words, scales] = parts(&name);
        let matrix = Matrix::from_parts(
            scheme,
            &shape,
            integers(&checkpoint, &words)?,
            integers(&checkpoint, &scales)?,
        );
        matrices.insert(name.clone(), matrix.map_err(fault)?);
    }
    // Matrices have copies of theirs.
    let taken: BTreeSet<String> = matrices.keys().flat_map(|name| parts(name)).collect();
    let base = Weights::Files(Arc::new(checkpoint.without(|name| taken.contains(name))));
    Ok(Weights::Quantised { base: Box::new(base), matrices: Arc::new(matrices) })
}

fn index(file: &str, bytes: &[u8]) -> Result<Index> {
    let fault = |reason: String| Error::Data { file: file.to_owned(), reason };
    let (_, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|error| fault(format!("not a valid safetensors file: {error}")))?;
    match metadata.metadata().as_ref().and_then(|map| map.get(KEY)) {
        None => Ok(Index::default()),
        Some(text) => Index::parse(file, text),
    }
}

/// A tensor of words.
fn integers(files: &Checkpoint, name: &str) -> Result<Tensor> {
    let fault = |reason: String| Error::Weight { name: name.to_owned(), reason };
    let entry = files.index.get(name).ok_or_else(|| fault("not in the checkpoint".into()))?;
    if entry.dtype != Dtype::I32 {
        return Err(fault(format!("has type {:?} where words are I32", entry.dtype)));
    }
    let (file, bytes) = &files.shards[entry.shard];
    crate::tensor::convert(file, name, entry.dtype, &entry.shape, &bytes[entry.bytes.clone()])
}

/// Bytes that [`Weights::to_safetensors`] takes for a weight of this shape that is not quantised, where half precision holds it.
pub fn plain_bytes(shape: &[usize]) -> usize {
    elements(shape) * if is_halved(shape) { 2 } else { 4 }
}

fn is_halved(shape: &[usize]) -> bool {
    shape.len() > 1
}

/// A table at half precision; none of vectors, which are small and divided by, and none of what it cannot hold.
fn halves(tensor: &Tensor) -> Option<Vec<u8>> {
    let halves: Vec<f16> = tensor.as_f32().iter().map(|x| f16::from_f32(*x)).collect();
    let holds = is_halved(tensor.shape()) && halves.iter().all(|half| half.is_finite());
    holds.then(|| halves.iter().flat_map(|half| half.to_le_bytes()).collect())
}

impl Weights {
    /// The weights as one safetensors file: quantised matrices packed, and beside them those of `plain`, whose shapes are given
    /// by name: tables that nothing multiplies by at half precision where it can hold them, vectors as float32. `about` goes
    /// into the file's metadata, for whoever reads the file's head.
    ///
    /// # Errors
    /// If a weight cannot be read.
    pub fn to_safetensors(
        &self,
        plain: &BTreeMap<String, Vec<usize>>,
        about: &BTreeMap<String, String>,
    ) -> Result<Vec<u8>> {
        let none = BTreeMap::new();
        let matrices = match self {
            Self::Quantised { matrices, .. } => &**matrices,
            Self::Files(_) | Self::Twin { .. } => &none,
        };
        let entry = |matrix: &Matrix| Entry {
            scheme: matrix.packing().scheme.to_string(),
            shape: matrix.shape().to_vec(),
        };
        let index = Index { matrices: matrices.iter().map(|(name, m)| (name.clone(), entry(m))).collect() };
        let fault = |reason: String| Error::Data { file: "quantised weights".into(), reason };
        let text = serde_json::to_string(&index).map_err(|error| fault(error.to_string()))?;
        let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        for (name, matrix) in matrices {
            for (name, part) in parts(name).into_iter().zip([matrix.words(), matrix.scales()]) {
                tensors.push((name, Dtype::I32, part.shape().to_vec(), part.bytes().to_vec()));
            }
        }
        for (name, shape) in plain.iter().filter(|(name, _)| !matrices.contains_key(*name)) {
            let tensor = self.load(name, shape)?;
            let (dtype, bytes) = match halves(&tensor) {
                Some(halves) => (Dtype::F16, halves),
                None => (Dtype::F32, tensor.bytes().to_vec()),
            };
            tensors.push((name.clone(), dtype, shape.clone(), bytes));
        }
        let views = tensors
            .iter()
            .map(|(name, dtype, shape, bytes)| {
                let view = TensorView::new(*dtype, shape.clone(), bytes);
                Ok((name.as_str(), view.map_err(|error| fault(error.to_string()))?))
            })
            .collect::<Result<Vec<_>>>()?;
        let mut metadata: HashMap<String, String> = about.clone().into_iter().collect();
        metadata.insert(KEY.to_owned(), text);
        safetensors::serialize(views, Some(metadata)).map_err(|error| fault(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::{Fit, Recipe, unwatched};

    fn made() -> (Weights, BTreeMap<String, Vec<usize>>) {
        let shapes = BTreeMap::from([
            ("a.weight".to_owned(), vec![5, 70]),
            ("conv.weight".to_owned(), vec![3, 4, 3, 3]),
            ("odd.weight".to_owned(), vec![2, 7]),
        ]);
        let recipe = Recipe { fit: Fit::Nearest, ..Recipe::uniform("int3-g32-asym-super".parse().unwrap()) };
        let weights = recipe.apply(Weights::Twin { seed: 4 }, &shapes, &BTreeMap::new(), &unwatched).unwrap();
        let mut all = shapes;
        all.insert("a.bias".to_owned(), vec![5]);
        (weights, all)
    }

    #[test]
    fn a_file_holds_what_was_written() {
        let (weights, shapes) = made();
        let bytes = weights.to_safetensors(&shapes, &BTreeMap::new()).unwrap();
        let read = read(vec![("q".into(), bytes.clone())]).unwrap();
        for (name, shape) in &shapes {
            assert_eq!(read.load(name, shape).unwrap(), weights.load(name, shape).unwrap(), "{name}");
            assert_eq!(read.matrix(name), weights.matrix(name));
        }
        assert_eq!(read.to_safetensors(&shapes, &BTreeMap::new()).unwrap().len(), bytes.len());
        let told = read.check("conv.weight", &[3, 36]).unwrap_err().to_string();
        assert_eq!(told, "weight conv.weight: has shape [3, 4, 3, 3] where config.json implies [3, 36]");
    }

    #[test]
    fn tables_are_halved_where_halves_hold_them() {
        let shapes = BTreeMap::from([("table".to_owned(), vec![2, 3]), ("bias".to_owned(), vec![4])]);
        let table = |wide: f32| {
            crate::NamedTensors::from([
                ("table".to_owned(), Tensor::f32([2, 3], vec![0.1, -2.0, 3.0, wide, 0.0, 1.0])),
                ("bias".to_owned(), Tensor::f32([4], vec![0.1; 4])),
            ])
        };
        for (wide, first) in [(1.0, f16::from_f32(0.1).to_f32()), (1e6, 0.1)] {
            let bytes = crate::tensor::write_safetensors(&table(wide)).unwrap();
            let plain = read(vec![("p".into(), bytes)]).unwrap();
            let again =
                read(vec![("q".into(), plain.to_safetensors(&shapes, &BTreeMap::new()).unwrap())]).unwrap();
            assert_eq!(again.load("table", &[2, 3]).unwrap().as_f32()[0], first);
            assert_eq!(again.load("bias", &[4]).unwrap().as_f32(), [0.1; 4]);
            assert_eq!(again.stored_bytes("table", 6), if wide > 9.0 { 24 } else { 12 });
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let (weights, shapes) = made();
        let bytes = weights.to_safetensors(&shapes, &BTreeMap::new()).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // Same lengths, so that offsets stay right.
        for (from, to, told) in [
            ("int3-g32-asym-super", "int9-g32-asym-super", "is none: write fp16 or such as"),
            (
                "int3-g32-asym-super",
                "int2-g32-asym-super",
                "words [5, 9] and scales [5, 4] are no rows of 70",
            ),
            ("[5,70]", "[7,70]", "words [5, 9] and scales [5, 4]"),
            ("[5,70]", "[5,00]", "tells no quantised matrices"),
            ("a.weight.words", "b.weight.words", "weight a.weight.words: not in the checkpoint"),
        ] {
            assert!(text.contains(from), "{from}");
            let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
            let mut spoilt = bytes.clone();
            spoilt[at..at + to.len()].copy_from_slice(to.as_bytes());
            let error = read(vec![("q".into(), spoilt)]).unwrap_err().to_string();
            assert!(error.contains(told), "{from} -> {to}: {error}");
        }
    }
}
