//! What pairs of inferences, ours and another runtime's, come to.

use serde::Serialize;
use webmatrix_wire::{Backend, BackendFacts, EvidenceGrade, Pair, PeerFacts, ProbeReport, Side};

use super::agreement::compare;
use super::evidence::{grade_backend, not_hardware};
use super::stats::{Ratio, median, ratio_of_medians};
use crate::collect::{End, PageSaid, Reference};
use crate::plan::HostOps;

/// One line of a comparison with another runtime.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeerRow {
    /// What was measured.
    pub name: String,
    /// On which backend, of both.
    pub backend: Backend,
    /// In which browser.
    pub browser: String,
    /// Threads of each side.
    pub threads: u32,
    /// Median of ours.
    pub ours: Option<f64>,
    /// Median of the other's.
    pub peer: Option<f64>,
    /// Of both.
    pub unit: &'static str,
    /// The other's over ours: more than 1 means that ours is better.
    pub ratio: Option<f64>,
    /// The lower end of the ratio's 95 % interval.
    pub lo: Option<f64>,
    /// Its upper end.
    pub hi: Option<f64>,
    /// How many pairs.
    pub pairs: usize,
    /// Why there are no numbers, or what qualifies them.
    pub note: Option<String>,
}

impl PeerRow {
    /// A row without numbers.
    pub fn without(name: &str, backend: Backend, browser: &str, why: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            backend,
            browser: browser.to_owned(),
            threads: 1,
            ours: None,
            peer: None,
            unit: "ms",
            ratio: None,
            lo: None,
            hi: None,
            pairs: 0,
            note: Some(why.into()),
        }
    }

    /// The row of these times, each of ours with the other's beside it.
    fn of(name: &str, backend: Backend, browser: &str, times: &[(f64, f64)]) -> Result<Self, String> {
        let Ratio { ratio, lo, hi } = ratio_of_medians(times).ok_or("no pair was timed")?;
        let side = |of: fn(&(f64, f64)) -> f64| median(&times.iter().map(of).collect::<Vec<_>>());
        Ok(Self {
            ours: side(|pair| pair.0),
            peer: side(|pair| pair.1),
            ratio: Some(ratio),
            lo: Some(lo),
            hi: Some(hi),
            pairs: times.len(),
            note: None,
            ..Self::without(name, backend, browser, "")
        })
    }
}

/// The row of a job of pairs. Times are believed only after both sides' outputs agreed with the independent answer,
/// and the backend was proven to be what it says.
///
/// # Errors
/// Why there is no row: a fast wrong kernel is a fault.
pub fn pairs_row(
    name: &str,
    backend: Backend,
    browser: &str,
    said: &PageSaid,
    expected: &Reference,
) -> Result<PeerRow, String> {
    done(&said.end)?;
    agrees(said, &[Side::Ours, Side::Peer], expected)?;
    let mut notes = graded(backend, said.nonce, said.facts.as_ref())?;
    let peer = said.peer.as_ref().ok_or("the other runtime never said what it is")?;
    notes.extend(elsewhere(backend, peer));
    if backend == Backend::Wasm {
        let ours = said.facts.as_ref().and_then(|facts| facts.threads).unwrap_or(1);
        if ours != peer.threads {
            notes.push(format!("{ours} threads of ours computed, the other has {}", peer.threads));
        }
    }
    let times: Vec<(f64, f64)> =
        said.pairs.iter().map(|Pair { ours_ms, peer_ms, .. }| (*ours_ms, *peer_ms)).collect();
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    Ok(PeerRow { note, threads: peer.threads, ..PeerRow::of(name, backend, browser, &times)? })
}

/// The row of cold starts, one of each side after the other.
///
/// # Errors
/// Why there is no row.
pub fn cold_row(
    name: &str,
    backend: Backend,
    browser: &str,
    starts: &[(PageSaid, PageSaid)],
    expected: &Reference,
) -> Result<PeerRow, String> {
    let one = |said: &PageSaid, side: Side| -> Result<f64, String> {
        done(&said.end)?;
        agrees(said, &[side], expected)?;
        said.samples.first().copied().ok_or_else(|| "the start was not timed".to_owned())
    };
    let times = starts.iter().map(|(ours, peer)| Ok((one(ours, Side::Ours)?, one(peer, Side::Peer)?)));
    PeerRow::of(name, backend, browser, &times.collect::<Result<Vec<_>, String>>()?)
}

fn done(end: &End) -> Result<(), String> {
    match end {
        End::Done(_) => Ok(()),
        End::Failed(failed) => Err(format!("{}: {}", failed.stage, failed.text)),
        end => Err(format!("it came to no end: {end:?}")),
    }
}

/// Whether every expected output came from each side, and is right.
fn agrees(said: &PageSaid, sides: &[Side], expected: &Reference) -> Result<(), String> {
    let outputs = said.outputs.as_deref().ok_or("no outputs came")?;
    for side in sides {
        let agreement = compare(outputs, &under(*side, expected)?)?;
        if let Some(wrong) = agreement.outputs.iter().find(|output| !output.ok) {
            let fault = wrong.fault.as_deref().unwrap_or("out of tolerance");
            return Err(format!("{} is wrong: {fault}", wrong.name));
        }
    }
    Ok(())
}

/// What is expected, by the names that one side's outputs have.
fn under(side: Side, expected: &Reference) -> Result<Reference, String> {
    let fault = |error: safetensors::SafeTensorError| format!("the {} answer: {error}", expected.source);
    let tensors = safetensors::SafeTensors::deserialize(&expected.tensors).map_err(fault)?;
    let named = tensors.iter().map(|(name, view)| (side.output(name), view));
    let tensors = safetensors::serialize(named, None).map_err(fault)?.into();
    Ok(Reference { source: expected.source.clone(), tensors })
}

/// What must be said of the backend that our side ran on.
fn graded(backend: Backend, nonce: u32, facts: Option<&BackendFacts>) -> Result<Vec<String>, String> {
    let grade = grade_backend(backend, nonce, facts, HostOps::default());
    let why = grade.reason.unwrap_or_default();
    match grade.evidence {
        EvidenceGrade::Hardware | EvidenceGrade::Cpu => Ok(Vec::new()),
        EvidenceGrade::Fallback => Ok(vec![format!("ours: {why}")]),
        grade => Err(format!("evidence {grade}: {why}")),
    }
}

/// The other's own name of the provider that runs a backend.
const fn provider(backend: Backend) -> &'static str {
    match backend {
        Backend::WebGpu => "WebGpuExecutionProvider",
        Backend::WebNn => "WebNNExecutionProvider",
        Backend::Wasm | Backend::NativeCpu | Backend::NativeGpu => "CPUExecutionProvider",
    }
}

/// What the other runtime did elsewhere than it was asked to.
fn elsewhere(backend: Backend, peer: &PeerFacts) -> Option<String> {
    if peer.placed.is_empty() {
        return Some("peer: it does not say where its nodes ran".to_owned());
    }
    let all: u64 = peer.placed.iter().map(|placed| placed.nodes).sum();
    let others = peer.placed.iter().filter(|placed| placed.provider != provider(backend));
    let others: Vec<String> =
        others.map(|placed| format!("{} of {all} nodes on {}", placed.nodes, placed.provider)).collect();
    (!others.is_empty()).then(|| format!("peer: {}", others.join(", ")))
}

/// Why a browser's WebGPU is not worth timing, if it is not.
pub fn software_gpu(probe: &ProbeReport) -> Option<String> {
    let facts = || probe.webgpu.iter().filter_map(|tried| tried.facts.as_ref());
    // The preference that jobs ask for comes first; where any adapter is hardware, what ran is judged by its own facts.
    let reasons: Option<Vec<String>> = facts().map(|facts| not_hardware(&facts.adapter)).collect();
    reasons?.into_iter().next().map(|why| format!("not measured on hardware: {why}"))
}

#[cfg(test)]
mod tests {
    use webmatrix_wire::{Done, OpCount, Placed};

    use super::*;

    fn file(tensors: &[(&str, &[f32])]) -> bytes::Bytes {
        let bytes: Vec<Vec<u8>> =
            tensors.iter().map(|(_, data)| data.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
        let views = tensors.iter().zip(&bytes).map(|((name, data), bytes)| {
            let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![data.len()], bytes);
            ((*name).to_owned(), view.unwrap_or_else(|error| panic!("{error}")))
        });
        safetensors::serialize(views, None).unwrap_or_else(|error| panic!("{error}")).into()
    }

    fn said(ours: f32, peer: f32) -> PageSaid {
        let count = OpCount { op: "gemm".into(), backend: Backend::Wasm, count: 1 };
        PageSaid {
            nonce: 1,
            end: End::Done(Done { page_ms: 1.0, outputs: vec![] }),
            facts: Some(BackendFacts { ops: vec![count], ..BackendFacts::new(Backend::Wasm) }),
            peer: Some(PeerFacts {
                runtime: "onnxruntime-web".into(),
                version: "1".into(),
                provider: "wasm".into(),
                threads: 1,
                placed: vec![Placed { provider: "CPUExecutionProvider".into(), nodes: 1 }],
            }),
            pairs: (0..10)
                .map(|index| Pair { index, warmup: false, ours_first: true, ours_ms: 2.0, peer_ms: 3.0 })
                .collect(),
            samples: vec![],
            outputs: Some(file(&[("ours/y", &[ours]), ("peer/y", &[peer])])),
        }
    }

    fn row(said: &PageSaid) -> Result<PeerRow, String> {
        let expected = Reference { source: "numpy".into(), tensors: file(&[("y", &[1.0])]) };
        pairs_row("x", Backend::Wasm, "chromium", said, &expected)
    }

    #[test]
    fn a_faster_kernel_has_a_ratio_above_one() {
        let row = row(&said(1.0, 1.0)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((row.ours, row.peer, row.ratio, row.note), (Some(2.0), Some(3.0), Some(1.5), None));
    }

    #[test]
    fn a_wrong_result_of_either_side_is_no_row() {
        let fault = row(&said(1.1, 1.0)).unwrap_err();
        assert!(fault.starts_with("ours/y is wrong"), "{fault}");
        let fault = row(&said(1.0, 1.1)).unwrap_err();
        assert!(fault.starts_with("peer/y is wrong"), "{fault}");
        let mut silent = said(1.0, 1.0);
        silent.outputs = None;
        assert_eq!(row(&silent), Err("no outputs came".to_owned()));
    }

    #[test]
    fn a_backend_that_ran_nothing_is_no_row() {
        let mut idle = said(1.0, 1.0);
        idle.facts = Some(BackendFacts::new(Backend::Wasm));
        assert!(row(&idle).unwrap_err().contains("no computing op was run"));
    }

    #[test]
    fn nodes_elsewhere_are_told() {
        let mut other = said(1.0, 1.0);
        if let Some(peer) = &mut other.peer {
            peer.placed.push(Placed { provider: "WebNNExecutionProvider".into(), nodes: 2 });
        }
        let note = row(&other).map(|row| row.note);
        assert_eq!(note, Ok(Some("peer: 2 of 3 nodes on WebNNExecutionProvider".to_owned())));
    }
}
