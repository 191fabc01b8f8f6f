//! The verdict on one attempt.

use webmatrix_wire::{Backend, BackendFacts, Feature, Precision, ProbeReport, Status, Variant};

use super::accuracy::accuracy;
use super::ending::unfinished;
use super::perplexity::scored;
use super::{compare, grade, ops, unsupported};
use crate::collect::{Case, End, GIVEN, Judge, OpVerdict, OpsRun, Verdict, is_real};
use crate::plan::{CellModel, Thresholds};

/// The rules by which attempts are judged.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    thresholds: Thresholds,
}

impl Rules {
    /// The rules with these thresholds; by default, nothing is let pass.
    pub fn by(thresholds: &Thresholds) -> Self {
        Self { thresholds: thresholds.clone() }
    }
}

impl Judge for Rules {
    fn judge(&self, case: &Case<'_>) -> Verdict {
        let grade = grade(case.cell, case.nonce, case.facts, self.thresholds.of(&case.cell.model));
        let mut verdict = Verdict {
            status: Status::Error,
            evidence: grade.evidence,
            implementation: grade.implementation,
            agreement: None,
            accuracy: None,
            perplexity: None,
            reason: grade.reason,
        };
        let (status, reason) = match case.end {
            End::Done(done) => {
                self.judge_outputs(case, &done.outputs, &mut verdict);
                return verdict;
            }
            end => unfinished(end),
        };
        if matches!(status, Status::Unsupported | Status::NotImplemented | Status::Skipped) {
            // Whatever the page did before it found out, the cell did not run.
            return Verdict::nothing_ran(status, reason);
        }
        verdict.status = status;
        verdict.reason = Some(reason);
        verdict
    }

    fn judge_ops(&self, run: &OpsRun<'_>) -> Vec<OpVerdict> {
        ops::judge(run)
    }

    fn unsupported(&self, backend: Backend, probe: &ProbeReport) -> Option<String> {
        unsupported(backend, probe)
    }
}

/// Whether any op that ran reads weights that are not float32: ours, or WebNN's.
fn reads_packed(facts: &BackendFacts) -> bool {
    const READERS: [&str; 5] = ["qgemm", "qgather", "dequantize", "dequantizeLinear", "cast"];
    facts.ops.iter().any(|op| op.count > 0 && READERS.contains(&op.op.as_str()))
}

/// Whether what ran made use of a feature, where that can be told.
fn switched_on(feature: &Feature, case: &Case<'_>) -> bool {
    let (facts, (variant, loaded)) = (case.facts, case.harness);
    let threads = || facts.and_then(|facts| facts.threads).unwrap_or(1);
    let pipelines = || facts.and_then(|facts| facts.pipelines);
    let kernels = || facts.into_iter().flat_map(|facts| facts.kernels.keys());
    match feature {
        Feature::Threads(number) => *number == Some(1) || threads() > 1,
        Feature::Dp4a | Feature::Offload | Feature::RelaxedDot | Feature::ShaderF16 | Feature::Subgroups => {
            let variant = format!("+{feature}");
            kernels().any(|kernel| kernel.ends_with(&variant))
        }
        // Behind the workgroup's mark there may be that of an extension.
        Feature::Lanes(_) | Feature::Tile(_) => {
            let name = feature.to_string();
            let layout = name.split_once('-').map(|(_, layout)| layout);
            kernels().any(|kernel| {
                let own = kernel.split_once('+').map_or(kernel.as_str(), |(own, _)| own);
                own.split_once('@').map(|(_, layout)| layout) == layout
            })
        }
        Feature::Caches(_) => {
            facts.is_some_and(|facts| facts.ops.iter().any(|op| op.op == "quantize" && op.count > 0))
        }
        Feature::RelaxedSimd => variant.is_some_and(Variant::is_relaxed),
        Feature::Simd128 => variant.is_some_and(|variant| !variant.is_relaxed()),
        Feature::ShadersAhead => pipelines().is_some_and(|made| made.together > 1 && made.within == 0),
        Feature::ShadersLazy => pipelines().is_some_and(|made| made.within > 0 && made.ahead == 0),
        Feature::ParallelLoad => loaded.is_some_and(|loaded| loaded.together > 1),
        // The evidence names every op that the host ran, and every scheme.
        Feature::WebNnHost(_) | Feature::Weights(_) => true,
    }
}

impl Rules {
    /// A page that says it is done passes only if its outputs agree and what made them is proven.
    fn judge_outputs(&self, case: &Case<'_>, promised: &[String], verdict: &mut Verdict) {
        let mut fail = |status, reason: String| {
            verdict.status = status;
            verdict.reason = Some(reason);
        };
        // A file says its precision itself, and nothing was done to it.
        let is_class = case.cell.model.class().is_some();
        if is_class && case.cell.precision != Precision::Fp32 {
            if case.quantised.is_none() {
                return fail(
                    Status::Error,
                    format!("nothing is known of its {} weights", case.cell.precision),
                );
            }
            if !case.facts.is_some_and(reads_packed) {
                return fail(Status::Error, "no op that ran reads packed weights".to_owned());
            }
        }
        let stored = |scheme: &str| case.quantised.is_some_and(|(how, _)| how.schemes.contains_key(scheme));
        if let Some(scheme) = Feature::scheme(case.features).filter(|scheme| !stored(scheme)) {
            return fail(Status::Error, format!("no matrix is stored in {scheme}, which was asked for"));
        }
        if let Some(feature) = Feature::all(case.features).find(|feature| !switched_on(feature, case)) {
            return fail(
                Status::Error,
                format!("{feature} was asked for, and nothing that ran made use of it"),
            );
        }
        let Some(outputs) = case.outputs else {
            return fail(Status::Wrong, format!("no outputs came (promised: {})", promised.join(", ")));
        };
        let reference = match case.reference {
            Ok(reference) => reference,
            Err(error) => return fail(Status::Error, format!("there is no answer to compare with: {error}")),
        };
        verdict.accuracy = case.quantised.and_then(|(how, full)| accuracy(how, full.as_ref().ok()?, outputs));
        let full = case.quantised.and_then(|(_, full)| full.as_ref().ok());
        let full = full.map(|full| (full.source.as_str(), &*full.tensors));
        verdict.perplexity = case.texts.and_then(|texts| scored(outputs, texts, full));
        let mut fail = |status, reason: String| {
            verdict.status = status;
            verdict.reason = Some(reason);
        };
        let agreement = match compare(outputs, reference) {
            Ok(agreement) => agreement,
            Err(error) => return fail(Status::Wrong, error),
        };
        let fault = agreement
            .outputs
            .iter()
            .find_map(|output| Some(format!("output {}: {}", output.name, output.fault.as_ref()?)));
        let ok = agreement.ok;
        verdict.agreement = Some(agreement);
        if !ok {
            let fault = fault.unwrap_or_else(|| "the outputs disagree".to_owned());
            verdict.status = Status::Wrong;
            verdict.reason = Some(match &case.cell.model {
                // Another runtime's float32 is no oracle: who is right may be asked of a third.
                CellModel::File(_) if reference.source != GIVEN => {
                    format!("{fault}; so says {}, and --expected gives another answer", reference.source)
                }
                _ => fault,
            });
        } else if is_real(verdict.evidence) {
            verdict.status = Status::Pass;
        } else {
            let why = verdict.reason.take().unwrap_or_default();
            verdict.status = Status::Error;
            verdict.reason = Some(format!("right outputs, but nothing proves what made them: {why}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use safetensors::{Dtype, tensor::TensorView};
    use webmatrix_wire::{BackendFacts, Challenge, Done, EvidenceGrade, Loaded, OpCount, Pipelines};

    use webmatrix_wire::{Failed, FailureKind};

    use super::*;
    use crate::collect::{Mortal, Quantisation, Reference};
    use crate::plan::Cell;

    const NONCE: u32 = 9;

    fn tensors(values: [f32; 2]) -> Vec<u8> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![2], &bytes).unwrap_or_else(|error| panic!("{error}"));
        safetensors::serialize([("y", view)], None).unwrap_or_else(|error| panic!("{error}"))
    }

    /// An attempt that passes, to be spoilt.
    struct Attempt {
        cell: Cell,
        features: Vec<String>,
        end: End,
        facts: Option<BackendFacts>,
        harness: (Option<Variant>, Option<Loaded>),
        outputs: Option<Vec<u8>>,
        reference: Result<Reference, String>,
        quantised: Option<Quantisation>,
    }

    impl Attempt {
        fn good() -> Self {
            Self {
                cell: "chromium/bert@tiny/webmatrix/wasm/fp32/default"
                    .parse()
                    .unwrap_or_else(|e| panic!("{e}")),
                features: Vec::new(),
                end: End::Done(Done { page_ms: 1.0, outputs: vec!["y".into()] }),
                facts: Some(BackendFacts {
                    backend: Backend::Wasm,
                    steps_down: vec![],
                    adapter: None,
                    webnn_device_type: None,
                    challenge: Some(Challenge { answer: Challenge::expected(NONCE) }),
                    ops: vec![OpCount { op: "matmul".into(), backend: Backend::Wasm, count: 1 }],
                    dispatches: 0,
                    ..BackendFacts::new(Backend::Wasm)
                }),
                harness: (Some(Variant::Relaxed), None),
                outputs: Some(tensors([1.0, 2.0])),
                reference: Ok(Reference { source: "test".into(), tensors: tensors([1.0, 2.0]).into() }),
                quantised: None,
            }
        }

        fn verdict(&self) -> Verdict {
            Rules::default().judge(&Case {
                cell: &self.cell,
                features: &self.features,
                nonce: NONCE,
                end: &self.end,
                facts: self.facts.as_ref(),
                harness: self.harness,
                outputs: self.outputs.as_deref(),
                reference: &self.reference,
                texts: None,
                quantised: self.quantised.as_ref().map(|how| (how, &self.reference)),
            })
        }
    }

    /// The verdict on a good attempt after `spoil`, as one line.
    fn spoilt(spoil: impl FnOnce(&mut Attempt)) -> String {
        let mut attempt = Attempt::good();
        spoil(&mut attempt);
        let verdict = attempt.verdict();
        assert!(!verdict.is_green(), "still green: {verdict:?}");
        format!("{} {} {}", verdict.status, verdict.evidence, verdict.reason.unwrap_or_default())
    }

    #[test]
    fn a_good_attempt_is_green() {
        let verdict = Attempt::good().verdict();
        assert!(verdict.is_green(), "{verdict:?}");
        assert_eq!(
            (verdict.status, verdict.evidence, verdict.reason),
            (Status::Pass, EvidenceGrade::Cpu, None)
        );
    }

    #[test]
    fn threads_are_believed_when_more_than_one_computed() {
        let on = |threads: Option<u32>, feature: &str| {
            let mut attempt = Attempt::good();
            attempt.features = vec![feature.to_owned()];
            attempt.facts.as_mut().unwrap_or_else(|| panic!("facts")).threads = threads;
            attempt.verdict()
        };
        assert!(on(Some(2), "threads").is_green());
        assert!(on(None, "threads-1").is_green());
        for threads in [None, Some(1)] {
            let verdict = on(threads, "threads");
            assert_eq!(verdict.status, Status::Error);
            insta::allow_duplicates! {
                insta::assert_snapshot!(
                    verdict.reason.unwrap_or_default(),
                    @"threads was asked for, and nothing that ran made use of it"
                );
            }
        }
    }

    #[test]
    fn a_variant_is_believed_when_a_kernel_used_it() {
        let with = |kernel: &str| {
            let mut attempt = Attempt::good();
            attempt.features = vec!["subgroups".to_owned()];
            let facts = attempt.facts.as_mut().unwrap_or_else(|| panic!("facts"));
            facts.kernels.insert(kernel.to_owned(), 3);
            attempt.verdict()
        };
        assert!(with("gemv+subgroups").is_green());
        for other in ["gemv", "gemv+shader-f16"] {
            assert!(!with(other).is_green(), "{other}");
        }
        let tiled = |kernel: &str| {
            let mut attempt = Attempt::good();
            attempt.features = vec!["tile-16x16".to_owned()];
            let facts = attempt.facts.as_mut().unwrap_or_else(|| panic!("facts"));
            facts.kernels.insert(kernel.to_owned(), 3);
            attempt.verdict()
        };
        assert!(tiled("gemm@16x16").is_green() && tiled("qgemm@16x16+shader-f16").is_green());
        for other in ["gemm", "gemm@16x8", "gemv@128"] {
            assert!(!tiled(other).is_green(), "{other}");
        }
    }

    #[test]
    fn a_build_is_believed_when_it_ran() {
        let on = |feature: &str, variant: Option<Variant>| {
            let mut attempt = Attempt::good();
            attempt.features = vec![feature.to_owned()];
            attempt.harness.0 = variant;
            attempt.verdict().is_green()
        };
        for relaxed in [Variant::Relaxed, Variant::RelaxedThreads] {
            assert!(on("relaxed-simd", Some(relaxed)) && !on("simd128", Some(relaxed)));
        }
        assert!(on("simd128", Some(Variant::Simd)) && !on("relaxed-simd", Some(Variant::Simd)));
        assert!(!on("simd128", None) && !on("relaxed-simd", None));
    }

    #[test]
    fn when_pipelines_were_made_is_believed_as_it_was_counted() {
        let on = |feature: &str, ahead: u32, within: u32, together: u32| {
            let mut attempt = Attempt::good();
            attempt.features = vec![feature.to_owned()];
            attempt.facts.iter_mut().for_each(|facts| {
                facts.pipelines = Some(Pipelines { ahead, within, together });
            });
            attempt.verdict().is_green()
        };
        assert!(on("shaders-ahead", 9, 0, 9) && on("shaders-lazy", 0, 9, 1));
        // One after another is what is usual; made both ways is neither.
        assert!(!on("shaders-ahead", 9, 0, 1) && !on("shaders-lazy", 9, 0, 1));
        assert!(!on("shaders-ahead", 9, 1, 9) && !on("shaders-lazy", 1, 9, 1));
    }

    #[test]
    fn loading_at_once_is_believed_when_requests_overlapped() {
        let on = |together: Option<u32>| {
            let mut attempt = Attempt::good();
            attempt.features = vec!["parallel-load".to_owned()];
            attempt.harness.1 =
                together.map(|together| Loaded { requests: 3, together, ..Loaded::default() });
            attempt.verdict().is_green()
        };
        assert!(on(Some(3)) && !on(Some(1)) && !on(None));
    }

    #[test]
    fn a_quantised_attempt_is_green_with_its_cost() {
        let mut attempt = Attempt::good();
        attempt.cell.precision = Precision::Int4;
        attempt.quantised = Some(Quantisation::default());
        let op = OpCount { op: "qgemm".into(), backend: Backend::Wasm, count: 1 };
        attempt.facts.iter_mut().for_each(|facts| facts.ops.push(op.clone()));
        let verdict = attempt.verdict();
        assert!(verdict.is_green(), "{verdict:?}");
        assert_eq!(verdict.accuracy.and_then(|accuracy| accuracy.cosine()), Some(1.0));
    }

    #[test]
    fn every_single_fault_turns_it_red() {
        let failed = |kind| {
            move |a: &mut Attempt| {
                a.end = End::Failed(Failed { kind, stage: "compile".into(), text: "no".into() });
            }
        };
        let verdicts = [
            spoilt(|a| a.outputs = Some(tensors([1.0, 2.5]))),
            spoilt(|a| a.outputs = Some(tensors([1.0, f32::NAN]))),
            spoilt(|a| a.outputs = None),
            spoilt(|a| a.outputs = Some(b"junk".to_vec())),
            spoilt(|a| a.reference = Err("the golden is gone".into())),
            spoilt(|a| a.facts = None),
            spoilt(|a| a.facts.iter_mut().for_each(|f| f.challenge = Some(Challenge { answer: vec![] }))),
            spoilt(|a| a.facts.iter_mut().for_each(|f| f.ops.clear())),
            spoilt(|a| a.cell.precision = Precision::Int4),
            // Weights that are said to be packed, and nothing that reads such.
            spoilt(|a| {
                a.cell.precision = Precision::Int4;
                a.quantised = Some(Quantisation::default());
            }),
            spoilt(failed(FailureKind::Unsupported)),
            spoilt(failed(FailureKind::NotImplemented)),
            spoilt(failed(FailureKind::Oom)),
            spoilt(failed(FailureKind::DeviceLost)),
            spoilt(failed(FailureKind::Error)),
            spoilt(|a| a.end = End::Deadline { stage: "run".into(), alive: true }),
            spoilt(|a| {
                a.end = End::Died { who: Mortal::Page, stage: "run".into(), text: "tab crashed".into() }
            }),
            spoilt(|a| a.end = End::NoPage { text: "no display".into() }),
            spoilt(|a| a.end = End::Interrupted {}),
        ];
        insta::assert_snapshot!(verdicts.join("\n"), @r"
        wrong cpu output y: 1 of 2 elements out of tolerance, first 1: 2.5, expected 2
        wrong cpu output y: 1 of 2 elements out of tolerance, first 1: NaN, expected 2
        wrong cpu no outputs came (promised: y)
        wrong cpu the outputs are not a safetensors file: header too small
        error cpu there is no answer to compare with: the golden is gone
        error none right outputs, but nothing proves what made them: the page never said what ran
        error none right outputs, but nothing proves what made them: wasm gave a wrong answer to the known-answer computation
        error none right outputs, but nothing proves what made them: no computing op was run
        error cpu nothing is known of its int4 weights
        error cpu no op that ran reads packed weights
        unsupported none compile: no
        not_implemented none compile: no
        oom cpu compile: no
        device_lost cpu compile: no
        error cpu compile: no
        timeout cpu run: not done by the deadline, still alive
        crash cpu run: the page died: tab crashed
        error cpu the browser never came to the page: no display
        skipped none the run was stopped
        ");
    }

    #[test]
    fn a_fallback_passes_as_a_fallback_only() {
        let mut attempt = Attempt::good();
        attempt.cell.backend = Backend::WebGpu;
        let verdict = attempt.verdict();
        assert_eq!((verdict.status, verdict.evidence), (Status::Pass, EvidenceGrade::Fallback));
    }
}
