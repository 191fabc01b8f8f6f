//! What a safetensors file says of its quantised matrices before any weight is read: its head alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::packed::{Index, KEY};
use super::parts;
use crate::error::{Error, Result};
use crate::quant::{Packing, Scheme};

/// Under which key of a safetensors head its metadata stand.
const METADATA: &str = "__metadata__";

/// What the head of a file tells of the model in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head {
    /// Scheme and shape of every quantised matrix, by its name.
    pub matrices: BTreeMap<String, (Scheme, Vec<usize>)>,
    /// The file's other metadata.
    pub about: BTreeMap<String, String>,
    /// Weights of the matrices, and of the whole model.
    pub weights: [usize; 2],
    /// Bytes that the matrices take with their scales, and all tensors.
    pub bytes: [usize; 2],
}

#[derive(Deserialize)]
struct Tensor {
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

impl Head {
    /// Reads the head of a safetensors file: the JSON behind its first eight bytes. Of a file without quantised matrices
    /// it tells none.
    ///
    /// # Errors
    /// If it is no head, or what it says of a matrix cannot be.
    pub fn read(file: &str, json: &[u8]) -> Result<Self> {
        let fault = |reason: String| Error::Data { file: file.to_owned(), reason };
        let mut entries: BTreeMap<String, serde_json::Value> = serde_json::from_slice(json)
            .map_err(|error| fault(format!("not a valid safetensors file: {error}")))?;
        let mut about: BTreeMap<String, String> = match entries.remove(METADATA) {
            None => BTreeMap::new(),
            Some(metadata) => serde_json::from_value(metadata).map_err(|error| fault(error.to_string()))?,
        };
        let index = about.remove(KEY).map(|text| Index::parse(file, &text)).transpose()?.unwrap_or_default();
        let mut head = Self { about, ..Self::default() };
        let mut packed = BTreeSet::new();
        for (name, entry) in index.matrices {
            let (scheme, shape) =
                entry.checked().map_err(|reason| fault(format!("matrix {name}: {reason}")))?;
            let packing = Packing { scheme, columns: shape[1..].iter().product() };
            let words = shape[0].saturating_mul(packing.words() + packing.scale_words());
            head.bytes[0] = head.bytes[0].saturating_add(words.saturating_mul(4));
            head.weights[0] = head.weights[0].saturating_add(elements(&shape));
            packed.extend(parts(&name));
            head.matrices.insert(name, (scheme, shape));
        }
        head.weights[1] = head.weights[0];
        for (name, entry) in entries {
            let tensor: Tensor =
                serde_json::from_value(entry).map_err(|error| fault(format!("tensor {name}: {error}")))?;
            let [from, to] = tensor.data_offsets;
            head.bytes[1] = head.bytes[1].saturating_add(to.saturating_sub(from));
            if !packed.contains(&name) {
                head.weights[1] = head.weights[1].saturating_add(elements(&tensor.shape));
            }
        }
        Ok(head)
    }
}

/// A head may say anything, so that nothing here may overflow.
fn elements(shape: &[usize]) -> usize {
    shape.iter().fold(1, |product: usize, &n| product.saturating_mul(n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::{Recipe, unwatched};
    use crate::weights::Weights;

    fn head(about: &BTreeMap<String, String>) -> Head {
        let matrix = BTreeMap::from([("a.weight".to_owned(), vec![4, 64])]);
        let recipe = Recipe::uniform("int4-g32".parse().unwrap());
        let weights = recipe.apply(Weights::Twin { seed: 1 }, &matrix, &BTreeMap::new(), &unwatched).unwrap();
        let mut all = matrix;
        all.extend([("bias".to_owned(), vec![4]), ("table".to_owned(), vec![2, 3])]);
        let bytes = weights.to_safetensors(&all, about).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        Head::read("q", &bytes[8..8 + length]).unwrap()
    }

    #[test]
    fn bits_are_counted_from_the_head() {
        let about = BTreeMap::from([("precision".to_owned(), "int4".to_owned())]);
        let head = head(&about);
        assert_eq!(head.matrices["a.weight"].0.to_string(), "int4-g32");
        // 256 weights of 4.5 bits; beside them four floats and six halves.
        assert_eq!((head.weights, head.bytes), ([256, 266], [144, 144 + 16 + 12]));
        assert_eq!(head.about, about);
    }

    #[test]
    fn a_plain_file_has_no_matrices_and_junk_is_refused() {
        let plain = br#"{"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#;
        let head = Head::read("p", plain).unwrap();
        assert_eq!((head.matrices.len(), head.weights, head.bytes), (0, [0, 4], [0, 16]));
        let index = |shape: &str| {
            let matrix = format!(r#"{{"matrices":{{"w":{{"scheme":"int2-g32","shape":{shape}}}}}}}"#);
            format!(r#"{{"__metadata__":{{"webmatrix":"{}"}}}}"#, matrix.replace('"', "\\\""))
        };
        assert_eq!(Head::read("j", index("[2, 64]").as_bytes()).unwrap().weights, [128, 128]);
        for shape in ["[2]", "[2, 0]", "[1, 18446744073709551615]", "[9223372036854775807, 1]"] {
            assert!(Head::read("j", index(shape).as_bytes()).is_err(), "{shape}");
        }
        for junk in [&b"[]"[..], b"{", br#"{"w":{}}"#, br#"{"__metadata__":{"webmatrix":"x"}}"#] {
            assert!(Head::read("j", junk).is_err());
        }
    }
}
