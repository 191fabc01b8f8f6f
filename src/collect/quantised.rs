//! A model with its weights at another precision: made once on the host, and served to every page like any checkpoint.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use pollster::block_on;
use serde::{Deserialize, Serialize};
use webmatrix_engine::models::{items, repeated, twin_batch, twin_text};
use webmatrix_engine::quant::{Activations, Bits, Choice, Fit, Group, Recipe, Scheme, allot};
use webmatrix_engine::run::{Loaded, activations, sensitivities};
use webmatrix_engine::tensor::write_safetensors;
use webmatrix_engine::weights::plain_bytes;
use webmatrix_engine::{Error, NamedTensors};
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
/// Items of calibration inputs that sensitivity is measured on.
const MEASURED_ITEMS: usize = 12;

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
    /// Bits that a weight takes on average over the whole model, with what is not quantised.
    #[serde(default)]
    pub model_bits_per_weight: f64,
}

/// A quantised model.
#[derive(Clone, Debug)]
pub(super) struct Quantised {
    pub(super) material: Material,
    pub(super) how: Arc<Quantisation>,
}

/// Something that is made once, by whom needs it first; others wait for it.
type Once<T> = Arc<Mutex<Option<Result<T, String>>>>;
/// Such things, by what they are made for.
type Known<K, T> = Mutex<HashMap<K, Once<T>>>;

fn once<K: std::hash::Hash + Eq, T: Clone>(
    known: &Known<K, T>,
    key: K,
    make: impl FnOnce() -> Result<T, String>,
) -> Result<T, String> {
    let cell = {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(key).or_default())
    };
    let mut cell = cell.lock().unwrap_or_else(PoisonError::into_inner);
    cell.get_or_insert_with(make).clone()
}

/// A model whatever its precision.
type Subject = (ModelClass, Size, Shape);

/// Models that were quantised, and what was learnt of them: each once a run.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    made: Known<(Subject, Precision), Quantised>,
    studied: Known<Subject, Arc<Studied>>,
}

impl Shelf {
    /// The material at the cell's precision. May take long.
    pub(super) fn get(&self, class: ModelClass, cell: &Cell, plain: &Material) -> Result<Quantised, String> {
        let told = |error: Error| format!("quantising: {error}");
        let subject = (class, cell.size, cell.shape);
        once(&self.made, (subject, cell.precision), || {
            let study = || Studied::new(class, plain).map(Arc::new).map_err(told);
            let studied = once(&self.studied, subject, study)?;
            make(class, cell.precision, plain, &studied).map_err(told)
        })
    }
}

/// A model and what quantising it must know.
#[derive(Debug)]
struct Studied {
    /// At full precision, on calibration inputs.
    loaded: Loaded,
    /// What these inputs are.
    about: String,
    /// What the model is judged on.
    inputs: NamedTensors,
    shapes: BTreeMap<String, Vec<usize>>,
    matrices: BTreeMap<String, Vec<usize>>,
    /// Weights of these matrices.
    weights: usize,
    /// Weights of the whole model, and bytes of those that are no matrix's.
    all: usize,
    rest: usize,
    /// None for models that are too large for calibration.
    activations: OnceLock<BTreeMap<String, Arc<Activations>>>,
    choices: OnceLock<BTreeMap<String, Vec<Choice>>>,
}

impl Studied {
    fn new(class: ModelClass, plain: &Material) -> Result<Self, Error> {
        let mut loaded = native::load(class.as_str(), &plain.model, &plain.files)?;
        let (shapes, matrices) = (loaded.weight_shapes()?, loaded.matrices()?);
        let count = |shape: &Vec<usize>| shape.iter().product::<usize>();
        let weights = matrices.values().map(count).sum();
        let all = shapes.values().map(count).sum();
        let others = shapes.iter().filter(|(name, _)| !matrices.contains_key(*name));
        let rest = others.map(|(_, shape)| plain_bytes(shape)).sum();
        let (calibration, about) = calibration(&loaded, plain)?;
        let inputs = std::mem::replace(&mut loaded.inputs, calibration);
        let (activations, choices) = (OnceLock::new(), OnceLock::new());
        Ok(Self { loaded, about, inputs, shapes, matrices, weights, all, rest, activations, choices })
    }

    fn activations(&self) -> Result<&BTreeMap<String, Arc<Activations>>, Error> {
        if self.activations.get().is_none() {
            let calibrates = self.weights <= MOST_CALIBRATED;
            let made = if calibrates { block_on(activations(&self.loaded))? } else { BTreeMap::new() };
            let _known = self.activations.set(made);
        }
        Ok(self.activations.get().expect("set above"))
    }

    /// What every matrix costs under the schemes that bits are allotted among.
    fn choices(&self) -> Result<&BTreeMap<String, Vec<Choice>>, Error> {
        if self.choices.get().is_none() {
            // A few items tell matrices apart as well as many do.
            let model = &*self.loaded.model;
            let items = items(model, &self.loaded.inputs).min(MEASURED_ITEMS);
            let inputs = repeated(model, self.loaded.inputs.clone(), Some(items), None)?;
            let made = sensitivities(&self.loaded, &inputs, &ALLOTTED, Fit::Mse, self.activations()?);
            let _known = self.choices.set(block_on(made)?);
        }
        Ok(self.choices.get().expect("set above"))
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

/// What bits are allotted among, fewest first.
const ALLOTTED: [Scheme; 5] = [
    Scheme::nested(Bits::Three, true),
    Scheme::symmetric(Bits::Four, Group::Of64),
    Scheme::nested(Bits::Four, true),
    Scheme::asymmetric(Bits::Four, Group::Of32),
    Scheme::symmetric(Bits::Eight, Group::Of128),
];

/// Bits a weight that a model may take on average at a precision, with all that is not quantised, and the fewest bits that a
/// matrix may get. At 4 bits the model takes 70 % less than at half precision.
const fn allotment(precision: Precision) -> Option<(f64, Bits)> {
    match precision {
        Precision::Int4 => Some((4.78, Bits::Four)),
        Precision::Mixed => Some((4.2, Bits::Two)),
        _ => None,
    }
}

fn make(
    class: ModelClass,
    precision: Precision,
    plain: &Material,
    studied: &Studied,
) -> Result<Quantised, Error> {
    let none = BTreeMap::new();
    let coarse = !matches!(precision, Precision::Fp32 | Precision::Fp16 | Precision::Int8);
    let activations = if coarse { studied.activations()? } else { &none };
    let recipe = if coarse { recipe(precision, studied)? } else { Recipe::uniform(scheme(precision)) };
    let quantised = recipe.apply(studied.loaded.weights.clone(), &studied.matrices, activations)?;
    let mut how = Quantisation {
        fit: recipe.fit.to_string(),
        calibration: (!activations.is_empty()).then(|| studied.about.clone()),
        weights: studied.weights as u64,
        ..Quantisation::default()
    };
    for matrix in studied.matrices.keys().filter_map(|name| quantised.matrix(name)) {
        *how.schemes.entry(matrix.packing().scheme.to_string()).or_default() += 1;
        how.bytes += matrix.bytes() as u64;
    }
    how.bits_per_weight = 8.0 * how.bytes as f64 / studied.weights.max(1) as f64;
    how.model_bits_per_weight = 8.0 * (how.bytes as f64 + studied.rest as f64) / studied.all.max(1) as f64;

    let file = |name: &str, bytes: Vec<u8>| (name.to_owned(), FileSource::Bytes(Bytes::from(bytes)));
    // The answer that came with the model is one to its own weights.
    let mut material = Material { expected: None, ..plain.clone() };
    let preprocessor = match &plain.model {
        ModelSource::Files { preprocessor, weights, .. } => {
            weights.iter().for_each(|shard| drop(material.files.remove(shard)));
            preprocessor.clone()
        }
        ModelSource::Twin { size, .. } => {
            material.files.extend([
                file(CONFIG, twin_text(class.as_str(), size.as_str())?.as_bytes().to_vec()),
                file(INPUTS, write_safetensors(&studied.inputs)?),
            ]);
            None
        }
        ModelSource::Onnx { model, .. } => {
            let reason = "is of its own precision".to_owned();
            return Err(Error::Data { file: model.clone(), reason });
        }
    };
    material.model = files_source(preprocessor, vec![WEIGHTS.to_owned()]);
    material.files.extend([file(WEIGHTS, quantised.to_safetensors(&studied.shapes)?)]);
    Ok(Quantised { material, how: Arc::new(how) })
}

/// Whether a scheme has so many bits.
fn has(scheme: Scheme, fewest: Bits) -> bool {
    match scheme {
        Scheme::Half => true,
        Scheme::Grouped { bits, .. } => bits >= fewest,
    }
}

/// Which matrix gets what.
fn recipe(precision: Precision, studied: &Studied) -> Result<Recipe, Error> {
    let mut recipe = Recipe::uniform(scheme(precision));
    if let Some((bits, fewest)) = allotment(precision).filter(|_| studied.weights <= MOST_MEASURED) {
        let choices = studied.choices()?.iter().map(|(name, choices)| {
            let kept: Vec<Choice> =
                choices.iter().filter(|choice| has(choice.scheme, fewest)).cloned().collect();
            (name.clone(), kept)
        });
        let budget = (studied.all as f64 * bits / 8.0) as usize;
        let picked = allot(&choices.collect(), budget.saturating_sub(studied.rest));
        recipe.exceptions = picked.into_iter().map(|(name, choice)| (name, choice.scheme)).collect();
        return Ok(recipe);
    }
    let small = |shape: &[usize]| {
        let columns: usize = shape[1..].iter().product();
        shape[0] * columns * SMALL < studied.weights && columns >= Group::Of128.size()
    };
    let kept = studied.matrices.iter().filter(|(_, shape)| small(shape));
    recipe.exceptions = kept.map(|(name, _)| (name.clone(), scheme(Precision::Int8))).collect();
    Ok(recipe)
}

/// Inputs that are none of those which will be judged, and what they are.
fn calibration(loaded: &Loaded, plain: &Material) -> Result<(NamedTensors, String), Error> {
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
