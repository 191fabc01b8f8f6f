//! Single ops of the size that matters, to be held against another runtime's.
//!
//! `ci/peer/ops.py` makes the same ones as ONNX models, with the weights and inputs that both sides read.

use crate::error::{Error, Result};
use crate::ir::{Graph, GraphBuilder, ValueId};
use crate::ops::{Conv2d, Gemm, Op};
use crate::tensor::DType;
use crate::weights::Weights;

/// A subject: its name, the shape of its input `x`, and what is done to it.
struct Subject {
    name: &'static str,
    x: &'static [usize],
    build: fn(&mut GraphBuilder<'_>, ValueId) -> Result<ValueId>,
}

/// What [`graph`] builds.
const SUBJECTS: [Subject; 5] = [
    Subject { name: "gemm_f32", x: &[512, 1024], build: |b, x| linear(b, x, 1024) },
    Subject { name: "gemv_f32", x: &[1, 2048], build: |b, x| linear(b, x, 2048) },
    Subject { name: "softmax", x: &[6144, 512], build: |b, x| b.op(Op::Softmax { axis: 1 }, &[x]) },
    Subject { name: "layer_norm", x: &[512, 768], build: layer_norm },
    Subject { name: "conv1d", x: &[1, 384, 1500], build: conv1d },
];

/// Names of the ops that can be held against another runtime's.
pub fn subjects() -> impl Iterator<Item = &'static str> {
    SUBJECTS.iter().map(|subject| subject.name)
}

/// The graph of a subject: from `x` to `y`, with weights by the names of its file.
///
/// # Errors
/// If there is no such subject, or its weights have another shape.
pub fn graph(name: &str, weights: &Weights) -> Result<Graph> {
    let subject = SUBJECTS.iter().find(|subject| subject.name == name).ok_or_else(|| Error::Data {
        file: "job".into(),
        reason: format!("no subject {name}: use one of {}", subjects().collect::<Vec<_>>().join(", ")),
    })?;
    let mut b = GraphBuilder::new(weights);
    let x = b.input("x", DType::F32, subject.x);
    let y = (subject.build)(&mut b, x)?;
    b.output("y", y);
    Ok(b.finish())
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
        let weights = Weights::Twin { seed: 1 };
        let names: std::collections::BTreeSet<_> = subjects().collect();
        assert_eq!(names.len(), SUBJECTS.len());
        for name in names {
            let graph = graph(name, &weights).unwrap();
            assert_eq!(graph.outputs()[0].0, "y", "{name}");
        }
        assert!(graph("gemm", &weights).unwrap_err().to_string().contains("use one of gemm_f32"));
    }
}
