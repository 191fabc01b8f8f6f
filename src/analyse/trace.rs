//! Where a backend leaves the oracle's way: the first op whose result is not the oracle's.
//!
//! Ops are compared in the order in which they ran, by the tolerance of outputs. The first that differs
//! had operands that agree, so the fault is its own, or in what it was given to compute with.

use safetensors::SafeTensors;

use super::agreement::{compare, output};
use crate::collect::{CellTraced, OutputAgreement, Reference, Step, Traced, TracedLayer};
use crate::plan::Cell;

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

/// A step's result beside the oracle's.
struct Compared {
    step: Step,
    agreement: OutputAgreement,
    /// Whether the oracle's is a number: else it does not even agree with itself.
    number: bool,
}

/// What a trace says about a cell: where its backend leaves the oracle, and how far each part of the model is off.
pub fn traced(cell: &Cell, traced: &Traced) -> CellTraced {
    let told = |says: String, layers| CellTraced { cell: cell.clone(), by: None, says, layers };
    let not = |why: String| told(format!("cannot be traced: {why}"), Vec::new());
    let (backend, oracle) = match (&traced.backend, &traced.oracle) {
        (Err(why), _) => return not(why.clone()),
        (_, Err(why)) => {
            return told(format!("cannot be traced without the oracle: {why}"), Vec::new());
        }
        (Ok(backend), Ok(oracle)) => (backend, oracle),
    };
    let compared = match compared(oracle, backend) {
        Ok(compared) => compared,
        Err(why) => return not(why),
    };
    let says = match course(&compared) {
        Course::Leaves { step, after, fault } => {
            format!("first leaves the oracle at {}, after {after} that agree: {fault}", place(&step))
        }
        Course::NoNumber { step, after } => {
            let place = place(&step);
            format!("the oracle itself gives NaN at {place}, after {after} that agree: the model overflows")
        }
        Course::Same(ops) => same(ops, traced.reference.as_ref(), oracle, backend),
    };
    told(says, layers(&compared))
}

/// Steps of one part of the model that follow one another, together.
fn layers(compared: &[Compared]) -> Vec<TracedLayer> {
    let mut layers: Vec<TracedLayer> = Vec::new();
    for Compared { step, agreement, .. } in compared {
        let run = step.run as u64;
        let same = layers.last().is_some_and(|layer| (layer.step, &layer.scope) == (run, &step.scope));
        if !same {
            layers.push(TracedLayer {
                step: run,
                scope: step.scope.clone(),
                ops: 0,
                agree: 0,
                max_abs: None,
                max_rel: None,
                cosine: None,
                first: None,
                fault: None,
            });
        }
        let Some(layer) = layers.last_mut() else { continue };
        layer.ops += 1;
        layer.agree += u64::from(agreement.ok);
        layer.max_abs = of_both(layer.max_abs, agreement.max_abs, f64::max);
        layer.max_rel = of_both(layer.max_rel, agreement.max_rel, f64::max);
        layer.cosine = of_both(layer.cosine, agreement.cosine, f64::min);
        if !agreement.ok && layer.first.is_none() {
            layer.first = Some(format!("{} (node {})", step.op, step.node));
            layer.fault.clone_from(&agreement.fault);
        }
    }
    layers
}

fn of_both(one: Option<f64>, other: Option<f64>, choose: fn(f64, f64) -> f64) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(choose(one, other)),
        (one, other) => one.or(other),
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

/// Compares two traces step by step, to the end.
fn compared(oracle: &[u8], backend: &[u8]) -> Result<Vec<Compared>, String> {
    let parse = |who: &str, bytes| {
        SafeTensors::deserialize(bytes)
            .map_err(|error| format!("the trace of {who} is no safetensors file: {error}"))
    };
    let (oracle, backend) = (parse("the oracle", oracle)?, parse("the backend", backend)?);
    let mut names: Vec<&str> = oracle.names();
    names.sort_unstable();
    let mut steps = Vec::new();
    for name in names {
        let Some(step) = Step::parse(name) else { continue };
        let expected = oracle.tensor(name).map_err(|error| error.to_string())?;
        // What the backend had no room for is the end of what can be compared.
        let Ok(actual) = backend.tensor(name) else { break };
        let mut agreement = output(name, &actual, &expected)?;
        // Of nothing there is nothing to disagree about.
        agreement.ok |= expected.shape().contains(&0);
        let number = agreement.ok || output(name, &expected, &expected)?.ok;
        steps.push(Compared { step, agreement, number });
    }
    if steps.is_empty() { Err("no op is in both traces".to_owned()) } else { Ok(steps) }
}

fn course(compared: &[Compared]) -> Course {
    let Some(after) = compared.iter().position(|one| !one.agreement.ok) else {
        return Course::Same(compared.len());
    };
    let Compared { step, agreement, number } = &compared[after];
    if *number {
        let fault = agreement.fault.clone().unwrap_or_default();
        Course::Leaves { step: step.clone(), after, fault }
    } else {
        Course::NoNumber { step: step.clone(), after }
    }
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

    fn cell() -> Cell {
        "native/bert@tiny/webmatrix/native-cpu/fp32/default".parse().unwrap_or_else(|error| panic!("{error}"))
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
        let both = Traced {
            backend: backend.map(file).map_err(str::to_owned),
            oracle: Ok(file(oracle)),
            reference: Arc::new(Ok(reference)),
        };
        traced(&cell(), &both).says
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

    #[test]
    fn every_part_of_the_model_has_its_error_beyond_the_first_that_differs() {
        let both = Traced {
            backend: Ok(file([1.0, 2.5, 3.0, 9.0])),
            oracle: Ok(file([1.0, 2.0, 3.0, 4.0])),
            reference: Arc::new(Err("not needed".to_owned())),
        };
        let layers = traced(&cell(), &both).layers;
        let told: Vec<_> = layers
            .iter()
            .map(|one| (one.step, one.scope.as_str(), one.ops, one.agree, one.max_abs, one.first.as_deref()))
            .collect();
        let softmax = Some("softmax (node 10)");
        assert_eq!(
            told,
            [(0, "layer.0.attention", 2, 1, Some(0.5), softmax), (1, "", 1, 1, Some(0.0), None)],
            "outputs are no step"
        );
    }
}
