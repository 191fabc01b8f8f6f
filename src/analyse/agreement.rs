//! Do a cell's outputs agree with the independent answer?

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::collect::{Agreement, OutputAgreement, Reference};

/// The tolerance of float32 outputs: `|y-e| <= ABSOLUTE * max(1, std(e)) + RELATIVE * |e|`, as the
/// goldens' README states it.
const ABSOLUTE: f64 = 1e-4;
const RELATIVE: f64 = 1e-4;

/// Compares every expected output with the one that came. Outputs that nobody expects are no fault:
/// they prove nothing.
///
/// # Errors
/// If either side is not a safetensors file, or nothing is expected.
pub fn compare(outputs: &[u8], reference: &Reference) -> Result<Agreement, String> {
    let expected = SafeTensors::deserialize(&reference.tensors)
        .map_err(|error| format!("the {} answer is not a safetensors file: {error}", reference.source))?;
    let outputs = SafeTensors::deserialize(outputs)
        .map_err(|error| format!("the outputs are not a safetensors file: {error}"))?;
    let mut names = expected.names();
    names.sort_unstable();
    if names.is_empty() {
        return Err(format!("the {} answer holds no tensor", reference.source));
    }
    let mut compared = Vec::new();
    for name in names {
        let expected = expected.tensor(name).map_err(|error| error.to_string())?;
        compared.push(match outputs.tensor(name) {
            Ok(actual) => output(name, &actual, &expected)?,
            Err(_) => failed(name, &expected, missing(&outputs)),
        });
    }
    own_to_ties(&mut compared);
    let ok = compared.iter().all(|output| output.ok);
    Ok(Agreement { ok, reference: reference.source.clone(), outputs: compared })
}

/// Tokens that differ where all else agrees may do so for a near tie, or a draw that fell between two tokens. That is no
/// pass, but a reader should know where not to look for a fault.
fn own_to_ties(compared: &mut [OutputAgreement]) {
    let (tokens, others): (Vec<_>, Vec<_>) =
        compared.iter_mut().partition(|output| output.name == "generated_ids");
    let others_agree = !others.is_empty() && others.iter().all(|output| output.ok);
    for fault in tokens.into_iter().filter_map(|output| output.fault.as_mut()).filter(|_| others_agree) {
        fault.push_str("; the other outputs agree, so a near tie or a draw may have fallen otherwise");
    }
}

/// What to say of an output that is not among those that came.
fn missing(outputs: &SafeTensors<'_>) -> String {
    let mut given = outputs.names();
    given.sort_unstable();
    let given = if given.is_empty() { "nothing".to_owned() } else { given.join(", ") };
    format!("missing: the model gave {given}")
}

fn failed(name: &str, expected: &TensorView<'_>, fault: String) -> OutputAgreement {
    OutputAgreement {
        name: name.to_owned(),
        ok: false,
        elements: expected.shape().iter().product::<usize>() as u64,
        max_abs: None,
        max_rel: None,
        cosine: None,
        fault: Some(fault),
    }
}

/// The elements of a tensor in the widest type of its family.
enum Elements {
    Integers(Vec<i64>),
    Floats(Vec<f64>),
}

fn elements(tensor: &TensorView<'_>) -> Option<Elements> {
    fn each<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|chunk| convert(*chunk)).collect()
    }
    let bytes = tensor.data();
    Some(match tensor.dtype() {
        Dtype::F64 => Elements::Floats(each(bytes, f64::from_le_bytes)),
        Dtype::F32 => Elements::Floats(each(bytes, |b| f64::from(f32::from_le_bytes(b)))),
        Dtype::I64 => Elements::Integers(each(bytes, i64::from_le_bytes)),
        Dtype::I32 => Elements::Integers(each(bytes, |b| i64::from(i32::from_le_bytes(b)))),
        Dtype::U8 | Dtype::BOOL => Elements::Integers(bytes.iter().map(|byte| i64::from(*byte)).collect()),
        _ => return None,
    })
}

/// Compares one tensor with the one that is expected.
///
/// # Errors
/// If the type of either cannot be compared.
pub(super) fn output(
    name: &str,
    actual: &TensorView<'_>,
    expected: &TensorView<'_>,
) -> Result<OutputAgreement, String> {
    if actual.shape() != expected.shape() {
        let fault = format!("has shape {:?}, expected {:?}", actual.shape(), expected.shape());
        return Ok(failed(name, expected, fault));
    }
    if expected.shape().contains(&0) {
        return Ok(failed(name, expected, "holds no element: that proves nothing".to_owned()));
    }
    let of = |tensor| {
        elements(tensor).ok_or_else(|| format!("{name}: type {:?} cannot be compared", tensor.dtype()))
    };
    Ok(match (of(actual)?, of(expected)?) {
        (Elements::Integers(actual), Elements::Integers(expected)) => integers(name, &actual, &expected),
        (Elements::Floats(actual), Elements::Floats(expected)) => floats(name, &actual, &expected),
        _ => {
            let fault = format!("has type {:?}, expected {:?}", actual.dtype(), expected.dtype());
            failed(name, expected, fault)
        }
    })
}

/// Integers (token ids, classes) agree if they are equal.
fn integers(name: &str, actual: &[i64], expected: &[i64]) -> OutputAgreement {
    let difference = actual.iter().zip(expected).position(|(y, e)| y != e);
    let fault = difference
        .map(|at| format!("differs first at element {at}: {}, expected {}", actual[at], expected[at]));
    let as_floats = |values: &[i64]| values.iter().map(|value| *value as f64).collect::<Vec<_>>();
    let distance = Distance::between(&as_floats(actual), &as_floats(expected));
    distance.agreement(name, expected.len(), fault)
}

/// Floats agree if every one is within tolerance. An infinity must be expected as such; NaN agrees with
/// nothing, itself included: whatever went wrong on both sides proves neither of them.
fn floats(name: &str, actual: &[f64], expected: &[f64]) -> OutputAgreement {
    let absolute = ABSOLUTE * deviation(expected).max(1.0);
    let agrees = |y: f64, e: f64| {
        if y.is_finite() && e.is_finite() { (y - e).abs() <= absolute + RELATIVE * e.abs() } else { y == e }
    };
    let out: Vec<usize> = (0..expected.len()).filter(|at| !agrees(actual[*at], expected[*at])).collect();
    let fault = out.first().map(|at| {
        let (y, e) = (actual[*at], expected[*at]);
        format!(
            "{} of {} elements out of tolerance, first {at}: {y}, expected {e}",
            out.len(),
            expected.len()
        )
    });
    Distance::between(actual, expected).agreement(name, expected.len(), fault)
}

/// The standard deviation of the finite elements; 0 of none.
fn deviation(values: &[f64]) -> f64 {
    let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    if finite.is_empty() {
        return 0.0;
    }
    let n = finite.len() as f64;
    let mean = finite.iter().sum::<f64>() / n;
    (finite.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt()
}

/// How far apart two tensors are, for people and plots; the verdict does not rest on it. None of the
/// numbers is there where nothing could be compared.
#[derive(Default)]
struct Distance {
    max_abs: Option<f64>,
    max_rel: Option<f64>,
    cosine: Option<f64>,
}

impl Distance {
    fn between(actual: &[f64], expected: &[f64]) -> Self {
        let mut distance = Self::default();
        let larger = |most: &mut Option<f64>, value: f64| *most = Some(most.map_or(value, |m| m.max(value)));
        let (mut dot, mut yy, mut ee) = (0.0, 0.0, 0.0);
        for (y, e) in actual.iter().zip(expected) {
            if !(y.is_finite() && e.is_finite()) {
                continue;
            }
            let apart = (y - e).abs();
            larger(&mut distance.max_abs, apart);
            if *e != 0.0 {
                larger(&mut distance.max_rel, apart / e.abs());
            }
            dot += y * e;
            yy += y * y;
            ee += e * e;
        }
        let norm = (yy * ee).sqrt();
        distance.cosine = (norm > 0.0 && norm.is_finite()).then(|| (dot / norm).clamp(-1.0, 1.0));
        distance
    }

    fn agreement(self, name: &str, elements: usize, fault: Option<String>) -> OutputAgreement {
        let Self { max_abs, max_rel, cosine } = self;
        let ok = fault.is_none();
        OutputAgreement {
            name: name.to_owned(),
            ok,
            elements: elements as u64,
            max_abs,
            max_rel,
            cosine,
            fault,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn file(tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) -> Vec<u8> {
        let views: BTreeMap<&str, TensorView<'_>> = tensors
            .iter()
            .map(|(name, dtype, shape, data)| {
                let view =
                    TensorView::new(*dtype, shape.to_vec(), data).unwrap_or_else(|error| panic!("{error}"));
                (*name, view)
            })
            .collect();
        safetensors::serialize(views, None).unwrap_or_else(|error| panic!("{error}"))
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        file(&[("y", Dtype::F32, &[values.len()], values.iter().flat_map(|v| v.to_le_bytes()).collect())])
    }

    fn ids(values: &[i64]) -> Vec<u8> {
        file(&[("y", Dtype::I64, &[values.len()], values.iter().flat_map(|v| v.to_le_bytes()).collect())])
    }

    fn check(actual: &[u8], expected: Vec<u8>) -> Agreement {
        let reference = Reference { source: "test".to_owned(), tensors: expected.into() };
        compare(actual, &reference).unwrap_or_else(|error| panic!("{error}"))
    }

    fn fault(actual: &[u8], expected: Vec<u8>) -> String {
        let agreement = check(actual, expected);
        assert!(!agreement.ok);
        agreement.outputs.into_iter().find_map(|output| output.fault).unwrap_or_default()
    }

    #[test]
    fn tokens_that_part_alone_are_wrong_and_may_have_tied() {
        let both = |ids: [i32; 2], logit: f32| {
            let ids: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            file(&[
                ("generated_ids", Dtype::I32, &[1, 2], ids),
                ("logits", Dtype::F32, &[1], logit.to_le_bytes().to_vec()),
            ])
        };
        insta::assert_snapshot!(fault(&both([1, 2], 0.5), both([1, 3], 0.5)), @"differs first at element 1: 2, expected 3; the other outputs agree, so a near tie or a draw may have fallen otherwise");
        insta::assert_snapshot!(fault(&both([1, 2], 0.5), both([1, 3], 0.75)), @"differs first at element 1: 2, expected 3");
    }

    #[test]
    fn within_tolerance_agrees() {
        let agreement = check(&floats(&[1.00005, -2.0]), floats(&[1.0, -2.0]));
        assert!(agreement.ok);
        assert!((agreement.max_abs() - 5e-5).abs() < 1e-6, "{}", agreement.max_abs());
        assert!(agreement.cosine() > 0.999_999);
        assert!(check(&ids(&[1, 2]), ids(&[1, 2])).ok);
    }

    #[test]
    fn one_element_out_of_tolerance_is_enough() {
        let mut wrong = vec![0.5; 10_000];
        let right = wrong.clone();
        wrong[4321] = 0.501;
        insta::assert_snapshot!(fault(&floats(&wrong), floats(&right)), @"1 of 10000 elements out of tolerance, first 4321: 0.5009999871253967, expected 0.5");
    }

    #[test]
    fn infinities_agree_only_with_their_like_and_nan_with_nothing() {
        assert!(check(&floats(&[f32::NEG_INFINITY, 1.0]), floats(&[f32::NEG_INFINITY, 1.0])).ok);
        for (y, e) in [
            (f32::NAN, 1.0),
            (1.0, f32::NAN),
            (f32::NAN, f32::NAN),
            (f32::INFINITY, f32::NEG_INFINITY),
            (f32::INFINITY, 3e38),
        ] {
            assert!(!check(&floats(&[y]), floats(&[e])).ok, "{y} {e}");
        }
    }

    #[test]
    fn missing_misshapen_and_mistyped_outputs_are_named() {
        let expected = || floats(&[1.0, 2.0]);
        let other = file(&[("z", Dtype::F32, &[2], vec![0; 8])]);
        let reshaped = file(&[("y", Dtype::F32, &[1, 2], vec![0; 8])]);
        let faults =
            [&other, &reshaped, &floats(&[1.0]), &ids(&[1, 2])].map(|actual| fault(actual, expected()));
        insta::assert_snapshot!(faults.join("\n"), @r"
        missing: the model gave z
        has shape [1, 2], expected [2]
        has shape [1], expected [2]
        has type I64, expected F32
        ");
    }

    #[test]
    fn one_wrong_token_is_told() {
        insta::assert_snapshot!(fault(&ids(&[5, 6, 7]), ids(&[5, 9, 7])), @"differs first at element 1: 6, expected 9");
    }

    #[test]
    fn ids_of_another_width_are_the_same_ids() {
        let narrow =
            file(&[("y", Dtype::I32, &[2], [5_i32, 6].iter().flat_map(|v| v.to_le_bytes()).collect())]);
        assert!(check(&narrow, ids(&[5, 6])).ok);
    }

    #[test]
    fn where_nothing_was_compared_there_are_no_numbers() {
        for (actual, expected) in
            [(floats(&[f32::NAN]), floats(&[1.0])), (ids(&[1]), floats(&[1.0])), (floats(&[]), floats(&[]))]
        {
            let output = check(&actual, expected).outputs.remove(0);
            assert_eq!((output.ok, output.max_abs, output.max_rel, output.cosine), (false, None, None, None));
        }
    }

    #[test]
    fn nothing_to_compare_is_an_error_not_agreement() {
        let reference = |tensors: Vec<u8>| Reference { source: "test".to_owned(), tensors: tensors.into() };
        assert!(compare(&floats(&[1.0]), &reference(file(&[]))).is_err());
        assert!(compare(&floats(&[1.0]), &reference(b"garbage".to_vec())).is_err());
        assert!(compare(b"garbage", &reference(floats(&[1.0]))).is_err());
    }
}
