//! Where a backend leaves the oracle's way: the first op whose result is not the oracle's.
//!
//! Ops are compared in the order in which they ran, by the tolerance of outputs. The first that differs
//! had operands that agree, so the fault is its own, or in what it was given to compute with.

use safetensors::SafeTensors;

use super::agreement::{compare, output};
use crate::collect::{Reference, Step, Traced};

/// What comparing two traces showed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Course {
    /// Every step of this many agrees.
    Same(usize),
    /// This step is the first that does not, after this many that do.
    Leaves { step: Step, after: usize, fault: String },
    /// The oracle itself computes no number at this step, after this many that agree.
    NoNumber { step: Step, after: usize },
}

/// What a trace says about a backend that disagreed, in a sentence for people.
pub fn explain(traced: &Traced) -> String {
    let (backend, oracle) = match (&traced.backend, &traced.oracle) {
        (Err(why), _) => return format!("cannot be traced: {why}"),
        (_, Err(why)) => return format!("cannot be traced without the oracle: {why}"),
        (Ok(backend), Ok(oracle)) => (backend, oracle),
    };
    let course = match course(oracle, backend) {
        Ok(course) => course,
        Err(why) => return format!("cannot be traced: {why}"),
    };
    match course {
        Course::Leaves { step, after, fault } => {
            format!("first leaves the oracle at {}, after {after} that agree: {fault}", place(&step))
        }
        Course::NoNumber { step, after } => {
            let place = place(&step);
            format!("the oracle itself gives NaN at {place}, after {after} that agree: the model overflows")
        }
        Course::Same(ops) => same(ops, traced.reference.as_ref(), oracle, backend),
    }
}

fn place(step: &Step) -> String {
    let scope = if step.scope.is_empty() { "the model" } else { &step.scope };
    let run = if step.run == 0 { String::new() } else { format!(", token step {}", step.run) };
    format!("op {} of {scope} (node {}{run})", step.op, step.node)
}

/// The backend does what the oracle does, and yet its outputs were wrong.
fn same(ops: usize, reference: &Result<Reference, String>, oracle: &[u8], backend: &[u8]) -> String {
    let fault = |outputs: &[u8]| match reference {
        Err(why) => Some(why.clone()),
        Ok(reference) => match compare(outputs, reference) {
            Err(why) => Some(why),
            Ok(agreement) => agreement
                .outputs
                .into_iter()
                .find_map(|output| Some(format!("output {}: {}", output.name, output.fault?))),
        },
    };
    match (fault(oracle), fault(backend)) {
        (Some(fault), _) => format!(
            "does what the oracle does, in all {ops} ops, and the oracle disagrees with the expected outputs too \
             ({fault}): the files do not belong together, or the model is built wrongly; the backend is not at fault"
        ),
        (None, Some(fault)) => {
            format!("all {ops} ops agree with the oracle, within tolerance each, and yet {fault}")
        }
        (None, None) => format!(
            "with every intermediate result kept, all {ops} ops and the outputs agree: the fault needs buffers to \
             be used again, or does not show every time"
        ),
    }
}

/// Compares two traces step by step.
fn course(oracle: &[u8], backend: &[u8]) -> Result<Course, String> {
    let parse = |who: &str, bytes| {
        SafeTensors::deserialize(bytes)
            .map_err(|error| format!("the trace of {who} is no safetensors file: {error}"))
    };
    let (oracle, backend) = (parse("the oracle", oracle)?, parse("the backend", backend)?);
    let mut names: Vec<&str> = oracle.names();
    names.sort_unstable();
    let mut after = 0;
    for name in names {
        let Some(step) = Step::parse(name) else { continue };
        let expected = oracle.tensor(name).map_err(|error| error.to_string())?;
        // What the backend had no room for is the end of what can be compared.
        let Ok(actual) = backend.tensor(name) else { break };
        let agreement = output(name, &actual, &expected)?;
        if !agreement.ok && expected.shape().iter().all(|size| *size > 0) {
            if output(name, &expected, &expected)?.ok {
                let fault = agreement.fault.unwrap_or_default();
                return Ok(Course::Leaves { step, after, fault });
            }
            // Not even equal to itself.
            return Ok(Course::NoNumber { step, after });
        }
        after += 1;
    }
    if after == 0 { Err("no op is in both traces".to_owned()) } else { Ok(Course::Same(after)) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use bytes::Bytes;
    use safetensors::{Dtype, tensor::TensorView};

    use super::*;

    fn step(run: usize, node: usize, op: &str, scope: &str) -> String {
        Step { run, node, op: op.to_owned(), scope: scope.to_owned() }.to_string()
    }

    /// Two steps of the prompt, one of a token, one output.
    fn file(values: [f32; 4]) -> Bytes {
        let names = [
            step(0, 0, "gemm", "layer.0.attention"),
            step(0, 10, "softmax", "layer.0.attention"),
            step(1, 0, "add", ""),
            "logits".to_owned(),
        ];
        let data = values.map(f32::to_le_bytes);
        let views: BTreeMap<&String, TensorView<'_>> = names
            .iter()
            .zip(&data)
            .map(|(name, data)| {
                (name, TensorView::new(Dtype::F32, vec![1], data).unwrap_or_else(|error| panic!("{error}")))
            })
            .collect();
        safetensors::serialize(views, None).unwrap_or_else(|error| panic!("{error}")).into()
    }

    fn say(oracle: [f32; 4], backend: Result<[f32; 4], &str>, expected: f32) -> String {
        let reference = Reference { source: "given".to_owned(), tensors: file([9.0, 9.0, 9.0, expected]) };
        // Only the output is expected of anybody.
        let tensors = SafeTensors::deserialize(&reference.tensors).unwrap_or_else(|error| panic!("{error}"));
        let logits = tensors.tensor("logits").unwrap_or_else(|error| panic!("{error}"));
        let only =
            safetensors::serialize([("logits", logits)], None).unwrap_or_else(|error| panic!("{error}"));
        let reference = Reference { tensors: only.into(), ..reference };
        explain(&Traced {
            backend: backend.map(file).map_err(str::to_owned),
            oracle: Ok(file(oracle)),
            reference: Arc::new(Ok(reference)),
        })
    }

    #[test]
    fn the_first_op_that_differs_is_named_with_its_layer() {
        let oracle = [1.0, 2.0, 3.0, 4.0];
        insta::assert_snapshot!(say(oracle, Ok([1.0, 2.5, 3.5, 4.5]), 4.0), @"first leaves the oracle at op softmax of layer.0.attention (node 10), after 1 that agree: 1 of 1 elements out of tolerance, first 0: 2.5, expected 2");
        insta::assert_snapshot!(say(oracle, Ok([1.0, 2.0, f32::NAN, 4.5]), 4.0), @"first leaves the oracle at op add of the model (node 0, token step 1), after 2 that agree: 1 of 1 elements out of tolerance, first 0: NaN, expected 3");
    }

    #[test]
    fn a_backend_that_does_what_the_oracle_does_is_not_blamed() {
        let oracle = [1.0, 2.0, 3.0, 4.0];
        insta::assert_snapshot!(say(oracle, Ok(oracle), 5.0), @"does what the oracle does, in all 3 ops, and the oracle disagrees with the expected outputs too (output logits: 1 of 1 elements out of tolerance, first 0: 4, expected 5): the files do not belong together, or the model is built wrongly; the backend is not at fault");
        insta::assert_snapshot!(say(oracle, Ok(oracle), 4.0), @"with every intermediate result kept, all 3 ops and the outputs agree: the fault needs buffers to be used again, or does not show every time");
        insta::assert_snapshot!(say(oracle, Ok([1.0, 2.0, 3.0, 4.5]), 4.0), @"all 3 ops agree with the oracle, within tolerance each, and yet output logits: 1 of 1 elements out of tolerance, first 0: 4.5, expected 4");
    }

    #[test]
    fn what_cannot_be_traced_says_so() {
        insta::assert_snapshot!(say([1.0; 4], Err("trace: webnn cannot run this"), 1.0), @"cannot be traced: trace: webnn cannot run this");
        insta::assert_snapshot!(say([1.0, f32::NAN, 1.0, 1.0], Ok([1.0, f32::NAN, 1.0, 1.0]), 1.0), @"the oracle itself gives NaN at op softmax of layer.0.attention (node 10), after 1 that agree: the model overflows");
    }
}
