//! The verdicts on the op cases of one attempt.

use std::collections::BTreeMap;

use webmatrix_engine::Tensor;
use webmatrix_engine::ops::cases::{Case, all};
use webmatrix_engine::tensor::read_safetensors;
use webmatrix_wire::{OpCase, Status};

use super::ending::{failure, unfinished};
use super::grade_op_case;
use crate::collect::{End, OpVerdict, OpsRun, is_real};

/// A verdict on every case, in the engine's order: a case passes only if its result agrees with the scalar
/// oracle within the op's tolerance, and what made it is proven.
pub(super) fn judge(run: &OpsRun<'_>) -> Vec<OpVerdict> {
    let results = match run.outputs {
        Some(bytes) if matches!(run.end, End::Done(_)) => {
            read_safetensors("outputs", bytes).map_err(|error| error.to_string())
        }
        _ => Err("no results came".to_owned()),
    };
    let told: BTreeMap<&str, &OpCase> = run.cases.iter().map(|case| (case.case.as_str(), case)).collect();
    let one = |case: &Case| {
        let told = told.get(case.name.as_str()).copied();
        let result = results.as_ref().map(|results| results.get(&case.name)).map_err(String::as_str);
        judge_one(run, case, told, result)
    };
    all().iter().map(one).collect()
}

fn judge_one(
    run: &OpsRun<'_>,
    case: &Case,
    told: Option<&OpCase>,
    result: Result<Option<&Tensor>, &str>,
) -> OpVerdict {
    if let Some(failed) = told.and_then(|told| told.failed.as_ref()) {
        let (status, reason) = failure(failed);
        return ran(run, case, told, status, reason);
    }
    if !matches!(run.end, End::Done(_)) {
        let (status, reason) = unfinished(run.end);
        let reason = match run.cases.last() {
            Some(last) => format!("{reason} (after {})", last.case),
            None => reason,
        };
        return ran(run, case, told, status, reason);
    }
    let (told, result) = match (told, result) {
        (_, Err(error)) => return ran(run, case, told, Status::Wrong, error.to_owned()),
        (Some(told), Ok(Some(result))) => (told, result),
        _ => {
            let reason = "neither a result nor a reason came".to_owned();
            return ran(run, case, told, Status::Error, reason);
        }
    };
    let comparison = case.compare(result);
    let (status, reason) = match comparison.fault {
        Some(fault) => (Status::Wrong, fault),
        None => (Status::Pass, String::new()),
    };
    let verdict = ran(run, case, Some(told), status, reason);
    OpVerdict { max_abs: comparison.max_abs, ratio: comparison.ratio, ..verdict }
}

/// A verdict with the grade of whatever ran; a pass that nothing proves is none.
fn ran(run: &OpsRun<'_>, case: &Case, told: Option<&OpCase>, status: Status, reason: String) -> OpVerdict {
    let mut verdict = OpVerdict::nothing_ran(case, status, reason);
    if matches!(status, Status::Unsupported | Status::NotImplemented | Status::Skipped) {
        return verdict;
    }
    let untold = OpCase { case: case.name.clone(), ops: Vec::new(), dispatches: 0, failed: None };
    let grade = grade_op_case(run.target.backend, run.nonce, run.facts, told.unwrap_or(&untold));
    (verdict.evidence, verdict.implementation) = (grade.evidence, grade.implementation);
    if status == Status::Pass {
        verdict.error = None;
        if !is_real(grade.evidence) {
            let why = grade.reason.unwrap_or_default();
            verdict.status = Status::Error;
            verdict.error = Some(format!("right result, but nothing proves what made it: {why}"));
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use webmatrix_engine::tensor::{NamedTensors, write_safetensors};
    use webmatrix_wire::{
        Backend, BackendFacts, Challenge, Done, EvidenceGrade, Failed, FailureKind, OpCount,
    };

    use super::*;
    use crate::collect::Mortal;
    use crate::plan::OpsTarget;

    const NONCE: u32 = 9;

    /// An attempt at which every case passes, to be spoilt.
    struct Attempt {
        end: End,
        facts: Option<BackendFacts>,
        cases: Vec<OpCase>,
        results: NamedTensors,
    }

    impl Attempt {
        fn good() -> Self {
            let backend = Backend::WebGpu;
            let count = |op: &str| OpCount { op: op.to_owned(), backend, count: 1 };
            let told = |case: &Case| {
                let ops = if case.op.name() == "reshape" { vec![] } else { vec![count(case.op.name())] };
                OpCase { case: case.name.clone(), dispatches: ops.len() as u64, ops, failed: None }
            };
            let result = |case: &Case| {
                let result = case.expected().unwrap_or_else(|error| panic!("{error}"));
                (case.name.clone(), result)
            };
            let facts = BackendFacts {
                challenge: Some(Challenge { answer: Challenge::expected(NONCE) }),
                ops: vec![count("gemm")],
                dispatches: 7,
                ..BackendFacts::new(backend)
            };
            Self {
                end: End::Done(Done { page_ms: 1.0, outputs: vec![] }),
                facts: Some(facts),
                cases: all().iter().map(told).collect(),
                results: all().iter().map(result).collect(),
            }
        }

        fn verdicts(&self) -> Vec<OpVerdict> {
            let outputs = write_safetensors(&self.results).unwrap_or_else(|error| panic!("{error}"));
            judge(&OpsRun {
                target: &OpsTarget { browser: "chromium".into(), backend: Backend::WebGpu },
                nonce: NONCE,
                end: &self.end,
                facts: self.facts.as_ref(),
                cases: &self.cases,
                outputs: Some(&outputs),
            })
        }

        /// What the page says of `gemm 1x64x33`.
        fn told(&mut self) -> &mut OpCase {
            self.cases
                .iter_mut()
                .find(|case| case.case == "gemm 1x64x33")
                .unwrap_or_else(|| panic!("no gemm"))
        }
    }

    /// The verdict on one case after `spoil`, as a line; with `alone`, every other case is still green.
    fn spoilt(alone: bool, spoil: impl FnOnce(&mut Attempt)) -> String {
        let mut attempt = Attempt::good();
        spoil(&mut attempt);
        let verdicts = attempt.verdicts();
        assert_eq!(verdicts.len(), all().len());
        let green = verdicts.iter().filter(|verdict| verdict.is_green()).count();
        assert_eq!(green, if alone { verdicts.len() - 1 } else { 0 });
        let one = verdicts.iter().find(|verdict| verdict.case == "gemm 1x64x33");
        let one = one.unwrap_or_else(|| panic!("no gemm"));
        format!("{} {} {}", one.status, one.evidence, one.error.clone().unwrap_or_default())
    }

    #[test]
    fn what_agrees_and_is_proven_is_green() {
        for verdict in Attempt::good().verdicts() {
            assert!(verdict.is_green(), "{verdict:?}");
            assert_eq!(
                (verdict.evidence, verdict.max_abs, verdict.ratio, verdict.error),
                (EvidenceGrade::Software, Some(0.0), Some(0.0), None)
            );
        }
    }

    #[test]
    fn every_single_fault_turns_it_red() {
        let gemm = || "gemm 1x64x33".to_owned();
        let failed = |kind| Failed { kind, stage: "op case".into(), text: "no".into() };
        let verdicts = [
            spoilt(true, |a| {
                let (shape, mut values) = (vec![1, 33], a.results[&gemm()].as_f32().to_vec());
                values[32] += 0.01;
                a.results.insert(gemm(), Tensor::f32(shape, values));
            }),
            spoilt(true, |a| {
                a.results.insert(gemm(), Tensor::f32([1, 33], vec![f32::NAN; 33]));
            }),
            spoilt(true, |a| {
                a.results.insert(gemm(), Tensor::f32([33], vec![0.0; 33]));
            }),
            spoilt(true, |a| drop(a.results.remove(&gemm()))),
            spoilt(true, |a| a.told().ops.clear()),
            spoilt(true, |a| a.told().dispatches = 0),
            spoilt(true, |a| a.told().failed = Some(failed(FailureKind::Unsupported))),
            spoilt(true, |a| a.told().failed = Some(failed(FailureKind::Error))),
            spoilt(true, |a| a.cases.retain(|case| case.case != gemm())),
            spoilt(false, |a| a.facts = None),
            spoilt(false, |a| a.facts.iter_mut().for_each(|facts| facts.challenge = None)),
            spoilt(false, |a| a.results.clear()),
            spoilt(false, |a| a.end = End::Failed(failed(FailureKind::Unsupported))),
            spoilt(false, |a| {
                a.cases.truncate(3);
                a.end = End::Died { who: Mortal::Page, stage: "run".into(), text: "trap".into() };
            }),
            spoilt(false, |a| a.end = End::Deadline { stage: "run".into(), alive: false }),
        ];
        insta::assert_snapshot!(verdicts.join("\n"), @r"
        wrong software [32]: 0.13380979001522064 is not 0.12380978465080261 within 3.064e-5
        wrong software [0]: NaN is not 1.0631675720214844 within 3.158e-5
        wrong software (F32, [33]) is not (F32, [1, 33])
        error software neither a result nor a reason came
        error none right result, but nothing proves what made it: no op was run for it
        error none right result, but nothing proves what made it: no GPU dispatch was made
        unsupported none op case: no
        error software op case: no
        error none neither a result nor a reason came
        error none right result, but nothing proves what made it: the page never said what ran
        error none right result, but nothing proves what made it: no known-answer computation was done
        error software neither a result nor a reason came
        unsupported none op case: no (after attention int2-g32-asym ring by parts)
        crash none run: the page died: trap (after erf)
        timeout software run: not done by the deadline, no sign of life (after attention int2-g32-asym ring by parts)
        ");
    }

    #[test]
    fn what_another_backend_computed_is_a_fallback() {
        let mut attempt = Attempt::good();
        attempt.told().ops[0].backend = Backend::Wasm;
        let verdicts = attempt.verdicts();
        let one = verdicts.iter().find(|verdict| verdict.evidence == EvidenceGrade::Fallback);
        assert_eq!(one.map(|verdict| verdict.case.as_str()), Some("gemm 1x64x33"));
    }
}
