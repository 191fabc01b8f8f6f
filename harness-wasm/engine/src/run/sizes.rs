//! How large a twin's weights are, told without making any of them.

use std::collections::BTreeMap;

use super::{Loaded, types};
use crate::error::Result;
use crate::ir::Source;
use crate::tensor::elements;

/// The shapes of the weights that a class's twin of this size computes with, by their names in the
/// checkpoint. A weight that is used twice, as tied embeddings are, is one.
///
/// # Errors
/// If the class or the size is not built.
pub fn weight_shapes(class: &str, size: &str) -> Result<BTreeMap<String, Vec<usize>>> {
    Loaded::twin(class, size, 0)?.weight_shapes()
}

impl Loaded {
    /// The shapes of the weights that the model computes with, by name.
    ///
    /// # Errors
    /// If the inputs or the weights do not fit the model.
    pub fn weight_shapes(&self) -> Result<BTreeMap<String, Vec<usize>>> {
        // A graph names its weights; only a backend loads them.
        let graph = self.model.forward(&self.weights, &types(&self.model.prepare(&self.inputs)?))?;
        let weight = |value: &crate::ir::Value| match &value.source {
            Source::Weight(name) => Some((name.clone(), value.ty.shape.clone())),
            _ => None,
        };
        Ok(graph.values().iter().filter_map(weight).collect())
    }

    /// Bytes that the weights take as they were given, and bits that a weight takes on average, scales included.
    ///
    /// # Errors
    /// As [`Self::weight_shapes`].
    pub fn weight_size(&self) -> Result<(usize, f64)> {
        let shapes = self.weight_shapes()?;
        let count: usize = shapes.values().map(|shape| elements(shape)).sum();
        let bytes = shapes.iter().map(|(name, shape)| self.weights.stored_bytes(name, elements(shape))).sum();
        Ok((bytes, 8.0 * bytes as f64 / count.max(1) as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::weight_shapes;

    fn parameters(class: &str, size: &str) -> usize {
        let shapes = weight_shapes(class, size).unwrap();
        shapes.values().map(|shape| shape.iter().product::<usize>()).sum()
    }

    /// The well-known checkpoints say how many parameters they have.
    #[test]
    fn base_twins_are_as_large_as_the_checkpoints() {
        for (class, published) in [("llama", 1.1e9), ("bert", 109.5e6), ("vit", 86.6e6)] {
            let counted = parameters(class, "base") as f64;
            assert!((counted / published - 1.0).abs() < 0.02, "{class}: {counted}");
        }
    }
}
