//! A model with its weights at another precision: made once on the host, and served to every page like any checkpoint.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use pollster::block_on;
use serde::{Deserialize, Serialize};
use webmatrix_engine::Error;
use webmatrix_engine::models::{twin_batch, twin_text};
use webmatrix_engine::quant::{Activations, Bits, Choice, Fit, Group, Recipe, Scheme, allot};
use webmatrix_engine::run::{Loaded, activations, sensitivities};
use webmatrix_engine::tensor::write_safetensors;
use webmatrix_wire::{ModelSource, Precision};

use super::native;
use super::source::{CONFIG, INPUTS, Material, WEIGHTS, files_source};
use super::text;
use crate::plan::{Cell, ModelClass, Shape, Size};
use crate::serve::FileSource;

/// Calibration is left out for models of more weights in matrices than this: it takes the cube of their width.
const MOST_CALIBRATED: usize = 200_000_000;
/// Sensitivity is measured for models of at most so many: every matrix costs an inference for each scheme.
const MOST_MEASURED: usize = 60_000_000;
/// A matrix with less than this part of all weights is kept at 8 bits: what it would save is nothing.
const SMALL: usize = 500;
/// The seed of calibration inputs that nobody gives.
const SEED: u64 = 0x5eed_ca11;
/// Items of such inputs.
const ITEMS: usize = 4;

/// How a model's weights were quantised.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantisation {
    /// How many matrices have each scheme, by its spelling, such as `int4-g32`.
    pub schemes: BTreeMap<String, u32>,
    /// How scales were chosen.
    pub fit: String,
    /// What codes were chosen with regard to; none if each was chosen by itself.
    pub calibration: Option<String>,
    /// Bits that a weight of these matrices takes, scales included.
    pub bits_per_weight: f64,
    /// Bytes that these matrices take.
    pub bytes: u64,
    /// Their weights.
    pub weights: u64,
}

/// A quantised model.
#[derive(Clone, Debug)]
pub(super) struct Quantised {
    pub(super) material: Material,
    pub(super) how: Arc<Quantisation>,
}

type Made = Arc<Mutex<Option<Result<Quantised, String>>>>;

/// Models that were quantised, each once a run.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<HashMap<(ModelClass, Size, Shape, Precision), Made>>);

impl Shelf {
    /// The material at the cell's precision. May take long.
    pub(super) fn get(&self, cell: &Cell, plain: &Material) -> Result<Quantised, String> {
        let key = (cell.model, cell.size, cell.shape, cell.precision);
        let made = {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(key).or_default())
        };
        // Held while it is made, so that lanes that need the same model wait for it; others go on.
        let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
        made.get_or_insert_with(|| {
            make(cell.model, cell.precision, plain).map_err(|error| format!("quantising: {error}"))
        })
        .clone()
    }
}

/// The scheme of a precision's matrices. `mixed` has no one scheme.
const fn scheme(precision: Precision) -> Scheme {
    match precision {
        Precision::Fp32 | Precision::Fp16 => Scheme::Half,
        Precision::Int8 => Scheme::symmetric(Bits::Eight, Group::Of128),
        Precision::Int4 | Precision::Mixed => Scheme::symmetric(Bits::Four, Group::Of32),
        Precision::Int3 => Scheme::nested(Bits::Three, true),
        Precision::Int2 => Scheme::nested(Bits::Two, true),
    }
}

/// What a precision whose bits are allotted chooses from, and the bits a weight that it may take on average. At 4 bits
/// no matrix gets fewer, and all of them together take 70 % less than at half precision.
const fn allotment(precision: Precision) -> Option<(&'static [Scheme], f64)> {
    const FOUR: [Scheme; 4] = [
        Scheme::symmetric(Bits::Four, Group::Of64),
        Scheme::nested(Bits::Four, true),
        Scheme::asymmetric(Bits::Four, Group::Of32),
        Scheme::symmetric(Bits::Eight, Group::Of128),
    ];
    const MIXED: [Scheme; 4] = [
        Scheme::nested(Bits::Three, true),
        Scheme::nested(Bits::Four, true),
        Scheme::asymmetric(Bits::Four, Group::Of32),
        Scheme::symmetric(Bits::Eight, Group::Of128),
    ];
    match precision {
        Precision::Int4 => Some((&FOUR, 4.75)),
        Precision::Mixed => Some((&MIXED, 4.2)),
        _ => None,
    }
}

fn make(class: ModelClass, precision: Precision, plain: &Material) -> Result<Quantised, Error> {
    let loaded = native::load(class.as_str(), &plain.model, &plain.files)?;
    let shapes = loaded.weight_shapes()?;
    let matrices = loaded.matrices()?;
    let weights: usize = matrices.values().map(|shape| shape.iter().product::<usize>()).sum();
    let coarse = !matches!(precision, Precision::Fp32 | Precision::Fp16 | Precision::Int8);
    let calibrated = coarse && weights <= MOST_CALIBRATED;
    let (inputs, about) = calibration(&loaded, plain)?;
    let calibration = Loaded { inputs, model: loaded.model, weights: loaded.weights };
    let activations = if calibrated { block_on(activations(&calibration))? } else { BTreeMap::new() };
    let recipe = recipe(precision, &calibration, &matrices, weights, &activations)?;
    let fit = recipe.fit;
    let quantised = recipe.apply(calibration.weights, &matrices, &activations)?;
    let mut how = Quantisation {
        schemes: BTreeMap::new(),
        fit: fit.to_string(),
        calibration: calibrated.then_some(about),
        bits_per_weight: 0.0,
        bytes: 0,
        weights: weights as u64,
    };
    for matrix in matrices.keys().filter_map(|name| quantised.matrix(name)) {
        *how.schemes.entry(matrix.packing().scheme.to_string()).or_default() += 1;
        how.bytes += matrix.bytes() as u64;
    }
    how.bits_per_weight = 8.0 * how.bytes as f64 / weights.max(1) as f64;

    let file = |name: &str, bytes: Vec<u8>| (name.to_owned(), FileSource::Bytes(Bytes::from(bytes)));
    // The answer that came with the model is one to its own weights.
    let mut material = Material { expected: None, ..plain.clone() };
    match &plain.model {
        ModelSource::Files { preprocessor, weights, .. } => {
            weights.iter().for_each(|shard| drop(material.files.remove(shard)));
            material.model = files_source(preprocessor.clone(), vec![WEIGHTS.to_owned()]);
        }
        ModelSource::Twin { size, .. } => {
            material.files.extend([
                file(CONFIG, twin_text(class.as_str(), size.as_str())?.as_bytes().to_vec()),
                file(INPUTS, write_safetensors(&loaded.inputs)?),
            ]);
            material.model = files_source(None, vec![WEIGHTS.to_owned()]);
        }
    }
    material.files.extend([file(WEIGHTS, quantised.to_safetensors(&shapes)?)]);
    Ok(Quantised { material, how: Arc::new(how) })
}

/// Which matrix gets what.
fn recipe(
    precision: Precision,
    calibration: &Loaded,
    matrices: &BTreeMap<String, Vec<usize>>,
    weights: usize,
    activations: &BTreeMap<String, Arc<Activations>>,
) -> Result<Recipe, Error> {
    let mut recipe = Recipe::uniform(scheme(precision));
    if matches!(precision, Precision::Fp32 | Precision::Fp16 | Precision::Int8) {
        return Ok(recipe);
    }
    let eight = scheme(Precision::Int8);
    if let Some((schemes, bits)) = allotment(precision).filter(|_| weights <= MOST_MEASURED) {
        let choices = block_on(sensitivities(calibration, schemes, Fit::Mse, activations, &mut |_, _| ()))?;
        let picked: BTreeMap<String, Choice> = allot(&choices, (weights as f64 * bits / 8.0) as usize);
        recipe.exceptions = picked.into_iter().map(|(name, choice)| (name, choice.scheme)).collect();
        return Ok(recipe);
    }
    let small = |shape: &[usize]| {
        let columns: usize = shape[1..].iter().product();
        shape[0] * columns * SMALL < weights && columns >= Group::Of128.size()
    };
    let kept = matrices.iter().filter(|(_, shape)| small(shape));
    recipe.exceptions = kept.map(|(name, _)| (name.clone(), eight)).collect();
    Ok(recipe)
}

/// Inputs that are none of those which will be judged, and what they are.
fn calibration(loaded: &Loaded, plain: &Material) -> Result<(webmatrix_engine::NamedTensors, String), Error> {
    let seeded = twin_batch(&*loaded.model, SEED, ITEMS, None)?;
    let tokenizer = plain.folder.as_ref().map(|folder| folder.join(text::TOKENIZER));
    match tokenizer.filter(|tokenizer| tokenizer.is_file() && text::is_read(&*loaded.model, &seeded)) {
        Some(tokenizer) => {
            let made = text::calibration(&*loaded.model, seeded, &tokenizer);
            let made = made.map_err(|reason| Error::Data { file: text::TOKENIZER.into(), reason })?;
            Ok((made, "built-in sentences and random words".to_owned()))
        }
        None => Ok((seeded, format!("{ITEMS} seeded items"))),
    }
}
