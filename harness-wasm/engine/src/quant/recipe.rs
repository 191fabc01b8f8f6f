//! Which matrix of a model is stored how.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Activations, Fit, Group, Matrix, Scheme};
use crate::error::Result;
use crate::weights::Weights;

/// Whom long work tells the name of every matrix before it is made; an error ends the work, and is its error.
pub type Watch<'w> = &'w dyn Fn(&str) -> Result<()>;

/// Where nobody watches.
///
/// # Errors
/// Never.
pub fn unwatched(_matrix: &str) -> Result<()> {
    Ok(())
}

/// A scheme for a model's matrices, and those that get another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// For every matrix that is not named.
    pub scheme: Scheme,
    /// How scales are chosen.
    pub fit: Fit,
    /// Whether calibrated codes and scales are gone through again: better, and about as long once more.
    pub refines: bool,
    /// By the names of their weights.
    pub exceptions: BTreeMap<String, Scheme>,
}

impl Recipe {
    /// The same scheme for every matrix.
    pub fn uniform(scheme: Scheme) -> Self {
        Self { scheme, fit: Fit::default(), refines: true, exceptions: BTreeMap::new() }
    }

    /// What a matrix of rows that long gets: smaller groups where its rows would not fill one, and half precision where they
    /// would fill none, since filling it up costs more than it saves.
    pub fn scheme_of(&self, name: &str, columns: usize) -> Scheme {
        match self.exceptions.get(name) {
            Some(scheme) => *scheme,
            None => match self.scheme {
                Scheme::Half => Scheme::Half,
                Scheme::Grouped { bits, group, asymmetric, nested } => {
                    let mut fit =
                        Group::ALL.into_iter().rev().filter(|fit| *fit <= group && fit.size() <= columns);
                    fit.next().map_or(Scheme::Half, |group| Scheme::Grouped {
                        bits,
                        group,
                        asymmetric,
                        nested,
                    })
                }
            },
        }
    }

    /// The same weights with these matrices, whose shapes are given by name, quantised: with regard to what they are
    /// multiplied with, where that is given.
    ///
    /// # Errors
    /// If a weight cannot be read or is not finite, or an exception names none of them; and what `watch` says.
    pub fn apply(
        &self,
        weights: Weights,
        matrices: &BTreeMap<String, Vec<usize>>,
        activations: &BTreeMap<String, Arc<Activations>>,
        watch: Watch<'_>,
    ) -> Result<Weights> {
        if let Some(name) = self.exceptions.keys().find(|name| !matrices.contains_key(*name)) {
            return Err(crate::Error::Weight {
                name: name.clone(),
                reason: "named by the recipe, but no matrix that can be quantised".into(),
            });
        }
        let mut quantised = BTreeMap::new();
        for (name, shape) in matrices {
            watch(name)?;
            quantised.insert(name.clone(), self.matrix(&weights, name, shape, activations)?);
        }
        Ok(Weights::Quantised { base: Box::new(weights), matrices: Arc::new(quantised) })
    }

    /// One of these matrices.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn matrix(
        &self,
        weights: &Weights,
        name: &str,
        shape: &[usize],
        activations: &BTreeMap<String, Arc<Activations>>,
    ) -> Result<Matrix> {
        let columns = shape[1..].iter().product();
        let tensor = weights.load(name, shape)?;
        let scheme = self.scheme_of(name, columns);
        match activations.get(name) {
            Some(x) => Matrix::calibrated(name, tensor.as_f32(), shape, scheme, self.fit, x, self.refines),
            None => Matrix::quantise(name, tensor.as_f32(), shape, scheme, self.fit),
        }
    }
}
