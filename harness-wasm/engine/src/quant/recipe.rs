//! Which matrix of a model is stored how.

use std::collections::BTreeMap;

use super::{Fit, Matrix, Scheme};
use crate::error::Result;
use crate::weights::Weights;

/// A scheme for a model's matrices, and those that get another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// For every matrix that is not named.
    pub scheme: Scheme,
    /// How scales are chosen.
    pub fit: Fit,
    /// By the names of their weights.
    pub exceptions: BTreeMap<String, Scheme>,
}

impl Recipe {
    /// The same scheme for every matrix.
    pub fn uniform(scheme: Scheme) -> Self {
        Self { scheme, fit: Fit::default(), exceptions: BTreeMap::new() }
    }

    /// What a matrix of rows that long gets. Rows that would not fill one group are kept at half precision: filling them up
    /// would cost more than it saves.
    pub fn scheme_of(&self, name: &str, columns: usize) -> Scheme {
        match self.exceptions.get(name) {
            Some(scheme) => *scheme,
            None => match self.scheme {
                Scheme::Grouped { group, .. } if columns < group.len() => Scheme::Half,
                scheme => scheme,
            },
        }
    }

    /// The same weights with these matrices, whose shapes are given by name, quantised.
    ///
    /// # Errors
    /// If a weight cannot be read or is not finite, or an exception names none of them.
    pub fn apply(&self, weights: Weights, matrices: &BTreeMap<String, Vec<usize>>) -> Result<Weights> {
        if let Some(name) = self.exceptions.keys().find(|name| !matrices.contains_key(*name)) {
            return Err(crate::Error::Weight {
                name: name.clone(),
                reason: "named by the recipe, but no matrix that can be quantised".into(),
            });
        }
        let mut quantised = BTreeMap::new();
        for (name, shape) in matrices {
            let columns = shape[1..].iter().product();
            let tensor = weights.load(name, shape)?;
            let scheme = self.scheme_of(name, columns);
            let matrix = Matrix::quantise(name, tensor.as_f32(), columns, scheme, self.fit)?;
            quantised.insert(name.clone(), matrix);
        }
        Ok(Weights::Quantised { base: Box::new(weights), matrices: quantised })
    }
}
