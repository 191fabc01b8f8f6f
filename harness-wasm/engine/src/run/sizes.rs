//! How large a twin's weights are, told without making any of them.

use std::collections::BTreeMap;

use super::{Loaded, types};
use crate::error::Result;
use crate::ir::Source;

/// The shapes of the weights that a class's twin of this size computes with, by their names in the
/// checkpoint. A weight that is used twice, as tied embeddings are, is one.
///
/// # Errors
/// If the class or the size is not built.
pub fn weight_shapes(class: &str, size: &str) -> Result<BTreeMap<String, Vec<usize>>> {
    let Loaded { model, weights, inputs } = Loaded::twin(class, size, 0)?;
    // A graph names its weights; only a backend loads them.
    let graph = model.forward(&weights, &types(&model.prepare(&inputs)?))?;
    let weight = |value: &crate::ir::Value| match &value.source {
        Source::Weight(name) => Some((name.clone(), value.ty.shape.clone())),
        _ => None,
    };
    Ok(graph.values().iter().filter_map(weight).collect())
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
