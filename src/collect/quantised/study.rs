//! A model, and what quantising it must know: learnt once, whatever it is quantised to.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use pollster::block_on;
use webmatrix_engine::models::{items, repeated, twin_batch};
use webmatrix_engine::quant::{Activations, Choice, Fit, Scheme, Watch};
use webmatrix_engine::run::{Loaded, activations, sensitivities};
use webmatrix_engine::weights::plain_bytes;
use webmatrix_engine::{Error, NamedTensors};

use crate::collect::material::Material;
use crate::collect::native;
use crate::collect::text;
use crate::plan::ModelClass;

/// Calibration is left out for models of more weights in matrices than this: it takes the cube of their width.
const MOST_CALIBRATED: usize = 200_000_000;
/// The seed of calibration inputs that nobody gives.
const SEED: u64 = 0x5eed_ca11;
/// Items of such inputs.
const ITEMS: usize = 4;
/// Items of calibration inputs that sensitivity is measured on.
const MEASURED_ITEMS: usize = 12;

/// A model and what quantising it must know.
#[derive(Debug)]
pub(super) struct Studied {
    /// At full precision, on calibration inputs.
    pub(super) loaded: Loaded,
    /// What these inputs are.
    pub(super) about: String,
    /// What the model is judged on.
    pub(super) inputs: NamedTensors,
    pub(super) shapes: BTreeMap<String, Vec<usize>>,
    pub(super) matrices: BTreeMap<String, Vec<usize>>,
    /// Those of them that are tables of positions.
    pub(super) tables: BTreeMap<String, Vec<usize>>,
    /// Weights of these matrices.
    pub(super) weights: usize,
    /// Weights of the whole model, and bytes of those that are no matrix's.
    pub(super) all: usize,
    pub(super) rest: usize,
    activations: OnceLock<BTreeMap<String, Arc<Activations>>>,
    choices: OnceLock<BTreeMap<String, Vec<Choice>>>,
}

impl Studied {
    pub(super) fn new(class: ModelClass, plain: &Material) -> Result<Self, Error> {
        let mut loaded = native::load(class.as_str(), &plain.model, &plain.files)?;
        let (shapes, matrices, tables) = (loaded.weight_shapes()?, loaded.matrices()?, loaded.tables()?);
        let count = |shape: &Vec<usize>| shape.iter().product::<usize>();
        let weights = matrices.values().map(count).sum();
        let all = shapes.values().map(count).sum();
        let others = shapes.iter().filter(|(name, _)| !matrices.contains_key(*name));
        let rest = others.map(|(_, shape)| plain_bytes(shape)).sum();
        let (calibration, about) = calibration(&loaded, plain)?;
        let inputs = std::mem::replace(&mut loaded.inputs, calibration);
        let (activations, choices) = (OnceLock::new(), OnceLock::new());
        Ok(Self { loaded, about, inputs, shapes, matrices, tables, weights, all, rest, activations, choices })
    }

    /// Whether calibration is worth its time.
    pub(super) const fn calibrates(&self) -> bool {
        self.weights <= MOST_CALIBRATED
    }

    /// What the matrices are multiplied with on calibration inputs.
    pub(super) fn activations(&self) -> Result<&BTreeMap<String, Arc<Activations>>, Error> {
        if self.activations.get().is_none() {
            let _known = self.activations.set(block_on(activations(&self.loaded))?);
        }
        Ok(self.activations.get().expect("set above"))
    }

    /// What every matrix costs under these schemes, which are the same for every call; `known` is what it is multiplied
    /// with.
    pub(super) fn choices(
        &self,
        schemes: &[Scheme],
        fit: Fit,
        known: &BTreeMap<String, Arc<Activations>>,
        watch: Watch<'_>,
    ) -> Result<&BTreeMap<String, Vec<Choice>>, Error> {
        if self.choices.get().is_none() {
            // A few items tell matrices apart as well as many do.
            let model = &*self.loaded.model;
            let items = items(model, &self.loaded.inputs).min(MEASURED_ITEMS);
            let inputs = repeated(model, self.loaded.inputs.clone(), Some(items), None)?;
            let made = sensitivities(&self.loaded, &inputs, schemes, fit, known, watch);
            let _known = self.choices.set(block_on(made)?);
        }
        Ok(self.choices.get().expect("set above"))
    }
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
