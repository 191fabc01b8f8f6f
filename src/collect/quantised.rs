//! A model with its weights at another precision: made once on the host, and served to every page like any checkpoint.

mod study;
mod wish;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use webmatrix_engine::Error;
use webmatrix_engine::models::twin_text;
use webmatrix_engine::quant::{Scheme, Watch};
use webmatrix_engine::tensor::write_safetensors;
use webmatrix_engine::weights::Weights;
use webmatrix_wire::{ModelSource, Precision};

pub use wish::Wish;

use super::material::{CONFIG, INPUTS, Material, WEIGHTS, files_source};
use super::quantisation::Quantisation;
use super::stop::Stop;
use crate::plan::{Cell, ModelClass, Shape, Size};
use crate::serve::FileSource;
use study::Studied;

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
    made: Known<(Subject, Precision, Option<Scheme>), Quantised>,
    studied: Known<Subject, Arc<Studied>>,
    /// What is stored otherwise than the rest, whatever the cell.
    keep: Vec<(String, Scheme)>,
}

impl Shelf {
    /// Keeps matrices that match a pattern in a scheme of their own.
    pub(super) fn keep(&mut self, keep: Vec<(String, Scheme)>) {
        self.keep = keep;
    }

    /// The material at the cell's precision, its matrices in `scheme` if one is asked for. May take long; ends soon after
    /// `stop` is asked for.
    pub(super) fn get(
        &self,
        class: ModelClass,
        cell: &Cell,
        scheme: Option<Scheme>,
        plain: &Material,
        stop: &Stop,
    ) -> Result<Quantised, String> {
        let told = |error: Error| format!("quantising: {error}");
        let subject = (class, cell.size, cell.shape);
        once(&self.made, (subject, cell.precision, scheme), || {
            let study = || Studied::new(class, plain).map(Arc::new).map_err(told);
            let studied = once(&self.studied, subject, study)?;
            let wish = Wish { scheme, keep: self.keep.clone(), ..Wish::of(cell.precision) };
            let made = pack(&wish, &studied, &|_| stop.checked()).map_err(told)?;
            served(class, plain, &studied, &made).map_err(told)
        })
    }
}

/// A model with its weights quantised.
#[derive(Debug)]
pub(super) struct PackedModel {
    pub(super) weights: Weights,
    pub(super) precision: Precision,
    pub(super) how: Quantisation,
    /// Shapes of all weights, of which the matrices are some.
    pub(super) shapes: BTreeMap<String, Vec<usize>>,
}

/// Learns what must be known of the model, and quantises it as is wished.
pub(super) fn packed(
    class: ModelClass,
    plain: &Material,
    wish: &Wish,
    watch: Watch<'_>,
) -> Result<PackedModel, Error> {
    pack(wish, &Studied::new(class, plain)?, watch)
}

fn pack(wish: &Wish, studied: &Studied, watch: Watch<'_>) -> Result<PackedModel, Error> {
    watch("")?;
    let (recipe, activations) = wish.fit(studied, watch)?;
    let none = BTreeMap::new();
    let known = activations.unwrap_or(&none);
    let weights = recipe.apply(studied.loaded.weights.clone(), &studied.matrices, known, watch)?;
    let mut how = Quantisation {
        fit: recipe.fit.to_string(),
        calibration: activations.filter(|known| !known.is_empty()).map(|_| studied.about.clone()),
        weights: studied.weights as u64,
        ..Quantisation::default()
    };
    let mut schemes: Vec<Scheme> = Vec::new();
    for matrix in studied.matrices.keys().filter_map(|name| weights.matrix(name)) {
        let scheme = matrix.packing().scheme;
        *how.schemes.entry(scheme.to_string()).or_default() += 1;
        how.bytes += matrix.bytes() as u64;
        schemes.push(scheme);
    }
    how.bits_per_weight = 8.0 * how.bytes as f64 / studied.weights.max(1) as f64;
    how.model_bits_per_weight = 8.0 * (how.bytes as f64 + studied.rest as f64) / studied.all.max(1) as f64;
    if let Some(bits) = wish.budget_bits.filter(|bits| how.model_bits_per_weight > *bits) {
        return Err(Error::Data {
            file: format!("a budget of {bits} bits"),
            reason: format!(
                "cannot be met: {:.3} are the fewest that a weight of this model takes on average with what is kept",
                how.model_bits_per_weight
            ),
        });
    }
    let precision = wish::precision_of(wish, schemes.into_iter());
    Ok(PackedModel { weights, precision, how, shapes: studied.shapes.clone() })
}

/// What a page is given of a quantised model.
fn served(
    class: ModelClass,
    plain: &Material,
    studied: &Studied,
    made: &PackedModel,
) -> Result<Quantised, Error> {
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
    let bytes = made.weights.to_safetensors(&made.shapes, &BTreeMap::new())?;
    material.files.extend([file(WEIGHTS, bytes)]);
    Ok(Quantised { material, how: Arc::new(made.how.clone()) })
}
