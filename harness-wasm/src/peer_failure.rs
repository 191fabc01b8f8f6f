//! What another runtime's words amount to.

use webmatrix_wire::FailureKind;

use crate::report::Failure;
use crate::sys::device_was_lost;

/// What people know it by.
pub(crate) const NAME: &str = "onnxruntime-web";

/// How it says that it does not know an op, or an opset.
const LACKS: &[&str] = &[
    "could not find an implementation for",
    "is not a registered function/op",
    "official support for domain",
];

/// Sorts the runtime's words into the kinds that the controller tells apart.
pub(crate) fn failed(stage: &'static str, words: impl Into<String>) -> Failure {
    let words = words.into();
    let lower = words.to_ascii_lowercase();
    let says = |signs: &[&str]| signs.iter().any(|sign| lower.contains(sign));
    let kind = if device_was_lost(None) {
        FailureKind::DeviceLost
    } else if says(&["bad_alloc", "out of memory", "allocation failed"]) {
        FailureKind::Oom
    } else if says(LACKS) {
        FailureKind::Unsupported
    } else {
        FailureKind::Error
    };
    Failure::new(kind, stage, format!("{NAME}: {}", words.trim()))
}
