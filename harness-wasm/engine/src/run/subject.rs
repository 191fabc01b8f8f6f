//! Single ops of the size that matters, to be held against another runtime's.
//!
//! `ci/peer/ops.py` makes the same ones as ONNX models, with the weights and inputs that both sides read.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::ir::{Graph, GraphBuilder, ValueId};
use crate::ops::{Conv2d, Gemm, Op};
use crate::plan::fold::fold;
use crate::plan::quantise::{quantise, weights_of};
use crate::quant::{Bits, Fit, Group, Recipe, Scheme, unwatched};
use crate::tensor::DType;
use crate::weights::Weights;

/// A subject: its name, the shape of its input `x`, what is done to it, and how its weights are stored.
struct Subject {
    name: &'static str,
    x: &'static [usize],
    build: fn(&mut GraphBuilder<'_>, ValueId) -> Result<ValueId>,
    scheme: Option<Scheme>,
}

impl Subject {
    const fn new(
        name: &'static str,
        x: &'static [usize],
        build: fn(&mut GraphBuilder<'_>, ValueId) -> Result<ValueId>,
    ) -> Self {
        Self { name, x, build, scheme: None }
    }

    /// In groups of 32 with a scale each and no minimum, as the other runtime's are.
    const fn with_bits(mut self, bits: Bits) -> Self {
        self.scheme = Some(Scheme::symmetric(bits, Group::Of32));
        self
    }
}

/// What [`prepare`] builds.
const SUBJECTS: [Subject; 12] = [
    Subject::new("gemm_f32", &[512, 1024], |b, x| linear(b, x, 1024)),
    Subject::new("gemv_f32", &[1, 2048], |b, x| linear(b, x, 2048)),
    Subject::new("softmax", &[6144, 512], |b, x| b.op(Op::Softmax { axis: 1 }, &[x])),
    Subject::new("layer_norm", &[512, 768], layer_norm),
    Subject::new("conv1d", &[1, 384, 1500], conv1d),
    Subject::new("gemm_q4", &[128, 2048], |b, x| linear(b, x, 2048)).with_bits(Bits::Four),
    Subject::new("gemv_q8", &[1, 2048], |b, x| linear(b, x, 2048)).with_bits(Bits::Eight),
    Subject::new("gemv_q4", &[1, 2048], |b, x| linear(b, x, 2048)).with_bits(Bits::Four),
    Subject::new("gemv_q2", &[1, 2048], |b, x| linear(b, x, 2048)).with_bits(Bits::Two),
    // Weights that no cache holds.
    Subject::new("gemv_f32_wide", &[1, 4096], |b, x| linear(b, x, 8192)),
    Subject::new("gemv_q8_wide", &[1, 4096], |b, x| linear(b, x, 8192)).with_bits(Bits::Eight),
    Subject::new("gemv_q4_wide", &[1, 4096], |b, x| linear(b, x, 8192)).with_bits(Bits::Four),
];

/// Names of the ops that can be held against another runtime's.
pub fn subjects() -> impl Iterator<Item = &'static str> {
    SUBJECTS.iter().map(|subject| subject.name)
}

/// A subject, ready to be compiled: its graph from `x` to `y`, and its weights as they are stored.
///
/// # Errors
/// If there is no such subject, or its weights have another shape.
pub fn prepare(name: &str, weights: Weights) -> Result<(Graph, Weights)> {
    let subject = SUBJECTS.iter().find(|subject| subject.name == name).ok_or_else(|| Error::Data {
        file: "job".into(),
        reason: format!("no subject {name}: use one of {}", subjects().collect::<Vec<_>>().join(", ")),
    })?;
    let mut b = GraphBuilder::new(&weights);
    let x = b.input("x", DType::F32, subject.x);
    let y = (subject.build)(&mut b, x)?;
    b.output("y", y);
    let graph = b.finish();
    let Some(scheme) = subject.scheme else { return Ok((fold(&graph, &weights)?, weights)) };
    // The weights of the file lie on a grid, which this way of choosing scales finds again: nothing is lost.
    let recipe = Recipe { fit: Fit::Nearest, ..Recipe::uniform(scheme) };
    let weights = recipe.apply(weights, &weights_of(&graph), &BTreeMap::new(), &unwatched)?;
    Ok((fold(&quantise(&graph, &weights)?, &weights)?, weights))
}

fn linear(b: &mut GraphBuilder<'_>, x: ValueId, out: usize) -> Result<ValueId> {
    let depth = b.shape(x)[1];
    let w = b.weight(&["w"], [out, depth])?;
    b.op(Op::Gemm(Gemm::default()), &[x, w])
}

fn layer_norm(b: &mut GraphBuilder<'_>, x: ValueId) -> Result<ValueId> {
    let width = b.shape(x)[1];
    let (scale, bias) = (b.weight(&["scale"], [width])?, b.weight(&["bias"], [width])?);
    b.op(Op::LayerNormalization { epsilon: 1e-5 }, &[x, scale, bias])
}

/// Three taps, padded to keep the width: `conv2d` of height 1, as models build it.
fn conv1d(b: &mut GraphBuilder<'_>, x: ValueId) -> Result<ValueId> {
    let &[batch, channels, width] = b.shape(x) else { return Err(Error::shape("conv1d", "x has rank 3")) };
    let (w, bias) = (b.weight(&["w"], [channels, channels, 3])?, b.weight(&["bias"], [channels])?);
    let flat = b.reshape(x, [batch, channels, 1, width])?;
    let filter = b.reshape(w, [channels, channels, 1, 3])?;
    let op = Conv2d { padding: [0, 0, 1, 1], ..Conv2d::default() };
    let y = b.op(Op::Conv2d(op), &[flat, filter, bias])?;
    b.reshape(y, [batch, channels, width])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_is_a_graph_of_its_own_name() {
        let names: std::collections::BTreeSet<_> = subjects().collect();
        assert_eq!(names.len(), SUBJECTS.len());
        for name in names {
            let (graph, _) = prepare(name, Weights::Twin { seed: 1 }).unwrap();
            assert_eq!(graph.outputs()[0].0, "y", "{name}");
            let ops: Vec<&str> = graph.nodes().iter().map(|node| node.op.name()).collect();
            assert_eq!(ops.contains(&"qgemm"), name.contains("_q"), "{name}: {ops:?}");
        }
        assert!(
            prepare("gemm", Weights::Twin { seed: 1 })
                .unwrap_err()
                .to_string()
                .contains("use one of gemm_f32")
        );
    }
}
