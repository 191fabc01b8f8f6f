//! What stands behind a claim: the page's facts, graded.

use webmatrix_wire::{
    AdapterFacts, Backend, BackendFacts, Challenge, EvidenceGrade, Implementation, OpCase, OpCount,
};

use crate::plan::{Cell, HostOps, Runtime};

/// Evidence with the kind of implementation, and what keeps it from being better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grade {
    /// The grade.
    pub evidence: EvidenceGrade,
    /// What kind of implementation answered, if that much is proven.
    pub implementation: Option<Implementation>,
    /// Why it is not better.
    pub reason: Option<String>,
}

impl Grade {
    fn none(reason: impl Into<String>) -> Self {
        Self { evidence: EvidenceGrade::None, implementation: None, reason: Some(reason.into()) }
    }
}

/// Ops that only move, name or count data, in WebNN's words and ONNX's: a backend that ran nothing else computed nothing.
const MOVES_ONLY: &[&str] = &[
    "constant",
    "input",
    "identity",
    "reshape",
    "cast",
    "flatten",
    "memcpyFromHost",
    "memcpyToHost",
    "shape",
    "size",
    "squeeze",
    "unsqueeze",
];

/// Grades what a page says about the backend that ran its model.
///
/// The claims are checked in the order in which they could be false: did it compute what only a
/// computation from this attempt's nonce gives, was it the backend asked for, did that backend run
/// every op but those that `host` lets the host run, and is it hardware.
pub fn grade(cell: &Cell, nonce: u32, facts: Option<&BackendFacts>, host: HostOps) -> Grade {
    let grade = grade_backend(cell.backend, nonce, facts, host);
    match facts {
        Some(facts) if cell.runtime == Runtime::OrtWeb => with_its_word(facts, grade),
        _ => grade,
    }
}

/// Says what of another runtime's device work is its own word, and what the page saw itself.
fn with_its_word(facts: &BackendFacts, grade: Grade) -> Grade {
    if grade.implementation.is_none() || !matches!(facts.backend, Backend::WebGpu | Backend::WebNn) {
        return grade;
    }
    let seen = format!(
        "which nodes ran there is onnxruntime's word, its {} dispatches the page saw",
        facts.dispatches
    );
    let reasons: Vec<String> = grade.reason.into_iter().chain([seen]).collect();
    Grade { reason: Some(reasons.join("; ")), ..grade }
}

/// As [`grade`], of whatever was to run on the backend asked for.
pub fn grade_backend(asked: Backend, nonce: u32, facts: Option<&BackendFacts>, host: HostOps) -> Grade {
    let Some(facts) = facts else { return Grade::none("the page never said what ran") };
    if let Some(nothing) = unanswered(nonce, facts) {
        return nothing;
    }
    if !facts.ops.iter().any(computes) {
        return Grade::none("no computing op was run");
    }
    let helpers = others(asked, facts);
    if helpers.is_empty() || !let_pass(asked, facts, &helpers, host) {
        return by_backend(asked, facts);
    }
    let own = facts.ops.iter().filter(|op| op.backend == asked).cloned().collect();
    let grade = by_backend(asked, &BackendFacts { ops: own, ..facts.clone() });
    let helped = format!("within the thresholds, {}", named(asked, &helpers));
    let reasons: Vec<String> = std::iter::once(helped).chain(grade.reason).collect();
    Grade { reason: Some(reasons.join("; ")), ..grade }
}

/// Whether an op was run that does more than move or name data.
fn computes(op: &OpCount) -> bool {
    op.count > 0 && !MOVES_ONLY.iter().any(|moves| moves.eq_ignore_ascii_case(&op.op))
}

/// The ops that ran elsewhere than on the backend asked for.
fn others(asked: Backend, facts: &BackendFacts) -> Vec<&OpCount> {
    facts.ops.iter().filter(|op| op.backend != asked && op.count > 0).collect()
}

/// How others took part, op by op.
fn named(asked: Backend, others: &[&OpCount]) -> String {
    let names: Vec<String> =
        others.iter().map(|op| format!("{} x{} on {}", op.op, op.count, op.backend)).collect();
    format!("not all ran on {asked}: {}", names.join(", "))
}

/// Whether the backend asked for computed, and what the host did in its place is little enough.
fn let_pass(asked: Backend, facts: &BackendFacts, others: &[&OpCount], host: HostOps) -> bool {
    let helped: u64 = others.iter().map(|op| op.count).sum();
    let all: u64 = facts.ops.iter().map(|op| op.count).sum();
    facts.backend == asked
        && facts.ops.iter().any(|op| op.backend == asked && computes(op))
        && others.iter().all(|op| matches!(op.backend, Backend::Wasm | Backend::NativeCpu))
        && host.allow(helped, all)
}

/// Grades what a page says about one op case: as [`grade`], but what was run is the case's own.
///
/// A reshape gives a buffer another name, of which a device never hears: what proves the others proves
/// that the device held it.
pub fn grade_op_case(asked: Backend, nonce: u32, facts: Option<&BackendFacts>, case: &OpCase) -> Grade {
    let Some(facts) = facts else { return Grade::none("the page never said what ran") };
    if let Some(nothing) = unanswered(nonce, facts) {
        return nothing;
    }
    let renames = case.case.split(' ').next() == Some("reshape");
    let (dispatches, ops) =
        if renames { (facts.dispatches, facts.ops.clone()) } else { (case.dispatches, case.ops.clone()) };
    if ops.iter().all(|op| op.count == 0) {
        return Grade::none("no op was run for it");
    }
    by_backend(asked, &BackendFacts { dispatches, ops, ..facts.clone() })
}

/// The grade of a backend that did not do the known-answer computation.
fn unanswered(nonce: u32, facts: &BackendFacts) -> Option<Grade> {
    match &facts.challenge {
        // On the CPU the model's own outputs are the known answer: no device stands between.
        None if matches!(facts.backend, Backend::Wasm | Backend::NativeCpu) => None,
        None => Some(Grade::none("no known-answer computation was done")),
        Some(challenge) if challenge.answer != Challenge::expected(nonce) => Some(Grade::none(format!(
            "{} gave a wrong answer to the known-answer computation",
            facts.backend
        ))),
        Some(_) => None,
    }
}

/// The grade of a backend that computes, by what it is and by what took part.
fn by_backend(asked: Backend, facts: &BackendFacts) -> Grade {
    if let Some(fallback) = fallback(asked, facts) {
        return fallback;
    }
    match facts.backend {
        Backend::Wasm => real(EvidenceGrade::Cpu, Implementation::RealWasm, None),
        Backend::NativeCpu => real(EvidenceGrade::Cpu, Implementation::Native, None),
        Backend::WebNn if facts.dispatches == 0 => Grade::none("no graph was dispatched"),
        Backend::WebNn => real(
            EvidenceGrade::Cpu,
            Implementation::RealWebNn,
            Some("WebNN does not tell what it ran on: a device type is a wish".to_owned()),
        ),
        Backend::WebGpu | Backend::NativeGpu => gpu(facts),
    }
}

const fn real(evidence: EvidenceGrade, implementation: Implementation, reason: Option<String>) -> Grade {
    Grade { evidence, implementation: Some(implementation), reason }
}

/// Whether anything but the backend asked for did work.
fn fallback(asked: Backend, facts: &BackendFacts) -> Option<Grade> {
    let others = others(asked, facts);
    let reason = if facts.backend != asked {
        let steps: Vec<String> =
            facts.steps_down.iter().map(|s| format!("{}: {}", s.from, s.reason)).collect();
        let why = if steps.is_empty() { "no reason was given".to_owned() } else { steps.join("; ") };
        format!("{} ran in place of {} ({why})", facts.backend, asked)
    } else if others.is_empty() {
        return None;
    } else {
        named(asked, &others)
    };
    // Named after the weakest that took part.
    let took_part = |backend| facts.backend == backend || others.iter().any(|op| op.backend == backend);
    let implementation = if asked.is_native() {
        Implementation::Native
    } else if took_part(Backend::Wasm) || !took_part(Backend::WebGpu) {
        Implementation::FallbackWasm
    } else {
        Implementation::RealWebGpu
    };
    Some(Grade {
        evidence: EvidenceGrade::Fallback,
        implementation: Some(implementation),
        reason: Some(reason),
    })
}

fn gpu(facts: &BackendFacts) -> Grade {
    let implementation = match facts.backend {
        Backend::NativeGpu => Implementation::Native,
        _ => Implementation::RealWebGpu,
    };
    if facts.dispatches == 0 {
        return Grade::none("no GPU dispatch was made");
    }
    let Some(adapter) = &facts.adapter else {
        return real(EvidenceGrade::Software, implementation, Some("the adapter is not known".to_owned()));
    };
    match not_hardware(adapter) {
        Some(reason) => real(EvidenceGrade::Software, implementation, Some(reason)),
        None => real(EvidenceGrade::Hardware, implementation, None),
    }
}

/// Adapters that are programs, by what they call themselves.
const SOFTWARE: &[&str] =
    &["swiftshader", "llvmpipe", "lavapipe", "softpipe", "basic render", "warp", "software", "cpu"];

/// Why an adapter is not, or is not proven to be, hardware.
pub(super) fn not_hardware(adapter: &AdapterFacts) -> Option<String> {
    if adapter.is_fallback {
        return Some("the browser calls its adapter a fallback adapter".to_owned());
    }
    let words = [&adapter.vendor, &adapter.architecture, &adapter.device, &adapter.description];
    let named = words.map(|word| word.to_lowercase());
    for software in SOFTWARE {
        let found = named.iter().any(|name| {
            // Short names must stand alone: "warp" is a renderer, "warped" is not.
            name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == *software)
                || (software.len() > 5 && name.contains(software))
        });
        if found {
            return Some(format!("the adapter is {software}, a program"));
        }
    }
    if named.iter().all(String::is_empty) {
        return Some("the adapter does not tell what it is".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use webmatrix_wire::StepDown;

    use super::*;

    const NONCE: u32 = 77;

    fn cell(backend: Backend) -> Cell {
        let browser = if backend.is_native() { "native" } else { "chromium" };
        format!("{browser}/bert@tiny/webmatrix/{backend}/fp32/default")
            .parse()
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn facts(backend: Backend) -> BackendFacts {
        BackendFacts {
            backend,
            steps_down: vec![],
            adapter: Some(AdapterFacts {
                vendor: "nvidia".into(),
                architecture: "hopper".into(),
                ..AdapterFacts::default()
            }),
            webnn_device_type: None,
            challenge: Some(Challenge { answer: Challenge::expected(NONCE) }),
            ops: vec![OpCount { op: "matmul".into(), backend, count: 4 }],
            dispatches: 10,
            ..BackendFacts::new(backend)
        }
    }

    fn graded(
        backend: Backend,
        change: impl FnOnce(&mut BackendFacts),
    ) -> (EvidenceGrade, Option<Implementation>) {
        let mut facts = facts(backend);
        change(&mut facts);
        let grade = grade(&cell(backend), NONCE, Some(&facts), HostOps::default());
        (grade.evidence, grade.implementation)
    }

    #[test]
    fn honest_facts_get_their_grade() {
        use {EvidenceGrade as E, Implementation as I};
        for (backend, evidence, implementation) in [
            (Backend::Wasm, E::Cpu, I::RealWasm),
            (Backend::WebGpu, E::Hardware, I::RealWebGpu),
            (Backend::WebNn, E::Cpu, I::RealWebNn),
            (Backend::NativeCpu, E::Cpu, I::Native),
            (Backend::NativeGpu, E::Hardware, I::Native),
        ] {
            assert_eq!(graded(backend, |_| ()), (evidence, Some(implementation)), "{backend}");
        }
    }

    #[test]
    fn claims_without_proof_are_nothing() {
        let none = (EvidenceGrade::None, None);
        assert_eq!(
            grade(&cell(Backend::Wasm), NONCE, None, HostOps::default()).evidence,
            EvidenceGrade::None
        );
        for backend in Backend::ALL.iter().copied() {
            let on_cpu = matches!(backend, Backend::Wasm | Backend::NativeCpu);
            assert_eq!(graded(backend, |f| f.challenge = None) == none, !on_cpu, "{backend}");
            let canned = Challenge { answer: Challenge::expected(NONCE + 2) };
            assert_eq!(graded(backend, |f| f.challenge = Some(canned)), none, "{backend}");
            assert_eq!(graded(backend, |f| f.ops.clear()), none, "{backend}");
            assert_eq!(graded(backend, |f| f.ops[0].count = 0), none, "{backend}");
            assert_eq!(graded(backend, |f| f.ops[0].op = "reshape".into()), none, "{backend}");
        }
        for backend in [Backend::WebGpu, Backend::WebNn, Backend::NativeGpu] {
            assert_eq!(graded(backend, |f| f.dispatches = 0), none, "{backend}");
        }
    }

    #[test]
    fn work_done_elsewhere_is_a_fallback() {
        let fallback = (EvidenceGrade::Fallback, Some(Implementation::FallbackWasm));
        let whole = graded(Backend::WebGpu, |f| {
            f.backend = Backend::Wasm;
            f.steps_down = vec![StepDown { from: Backend::WebGpu, reason: "no adapter".into() }];
        });
        assert_eq!(whole, fallback);
        let part = graded(Backend::WebNn, |f| {
            f.ops.push(OpCount { op: "gelu".into(), backend: Backend::Wasm, count: 2 });
        });
        assert_eq!(part, fallback);
        let gpu = graded(Backend::WebNn, |f| {
            f.backend = Backend::WebGpu;
            f.ops[0].backend = Backend::WebGpu;
        });
        assert_eq!(gpu, (EvidenceGrade::Fallback, Some(Implementation::RealWebGpu)));
    }

    #[test]
    fn thresholds_let_little_pass_and_say_what() {
        let mut helped = facts(Backend::WebNn);
        helped.ops.push(OpCount { op: "gelu".into(), backend: Backend::Wasm, count: 2 });
        let of = |facts: &BackendFacts, most, share| {
            let grade = grade(&cell(Backend::WebNn), NONCE, Some(facts), HostOps { most, share });
            (grade.evidence, grade.reason.unwrap_or_default())
        };
        for (most, share, evidence) in [
            (0, 0.0, EvidenceGrade::Fallback),
            (1, 0.3, EvidenceGrade::Fallback),
            (2, 0.0, EvidenceGrade::Cpu),
            (0, 0.34, EvidenceGrade::Cpu),
        ] {
            let (graded, reason) = of(&helped, most, share);
            assert_eq!(graded, evidence, "{most} {share}");
            assert!(reason.contains("not all ran on webnn: gelu x2 on wasm"), "{reason}");
        }
        // Whatever is allowed, the backend itself must compute, and be the one asked for.
        helped.ops[0].op = "reshape".into();
        assert_eq!(of(&helped, 9, 0.9).0, EvidenceGrade::Fallback);
        assert_eq!(of(&facts(Backend::Wasm), 9, 0.9).0, EvidenceGrade::Fallback);
    }

    /// What onnxruntime-web tells of its nodes, with what the page saw.
    #[test]
    fn another_runtimes_word_is_called_its_word() {
        let cell = "chromium/bert@file/ort-web/webgpu/fp32/default".parse::<Cell>();
        let cell = cell.unwrap_or_else(|error| panic!("{error}"));
        let of = |change: fn(&mut BackendFacts)| {
            let mut facts = facts(Backend::WebGpu);
            facts.ops = vec![OpCount { op: "node".into(), backend: Backend::WebGpu, count: 4 }];
            change(&mut facts);
            let Grade { evidence, reason, .. } = grade(&cell, NONCE, Some(&facts), HostOps::default());
            format!("{evidence}: {}", reason.unwrap_or_default())
        };
        let lines = [
            of(|_| {}),
            of(|facts| facts.ops.push(OpCount { op: "Gather".into(), backend: Backend::Wasm, count: 2 })),
            of(|facts| facts.dispatches = 0),
            of(|facts| facts.challenge = None),
            of(|facts| facts.ops.clear()),
            of(|facts| {
                facts.ops = vec![OpCount { op: "Reshape".into(), backend: Backend::WebGpu, count: 4 }]
            }),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        hardware: which nodes ran there is onnxruntime's word, its 10 dispatches the page saw
        fallback: not all ran on webgpu: Gather x2 on wasm; which nodes ran there is onnxruntime's word, its 10 dispatches the page saw
        none: no GPU dispatch was made
        none: no known-answer computation was done
        none: no computing op was run
        none: no computing op was run
        ");
    }

    #[test]
    fn software_adapters_are_recognised() {
        let adapters = |vendor: &str, architecture: &str, description: &str, is_fallback| AdapterFacts {
            vendor: vendor.into(),
            architecture: architecture.into(),
            description: description.into(),
            is_fallback,
            ..AdapterFacts::default()
        };
        for adapter in [
            adapters("google", "swiftshader", "", false),
            adapters("", "", "", true),
            adapters("", "", "", false),
            adapters("mesa", "", "llvmpipe (LLVM 15.0.6, 256 bits)", false),
            adapters("microsoft", "", "Microsoft Basic Render Driver", false),
            adapters("intel", "gen-12lp", "", true),
        ] {
            let graded = graded(Backend::WebGpu, |f| f.adapter = Some(adapter.clone()));
            assert_eq!(graded, (EvidenceGrade::Software, Some(Implementation::RealWebGpu)), "{adapter:?}");
        }
        for adapter in [
            adapters("nvidia", "ampere", "", false),
            adapters("apple", "common-3", "", false),
            adapters("intel", "gen-12lp", "Intel(R) UHD Graphics", false),
        ] {
            let graded = graded(Backend::WebGpu, |f| f.adapter = Some(adapter.clone()));
            assert_eq!(graded.0, EvidenceGrade::Hardware, "{adapter:?}");
        }
    }
}
