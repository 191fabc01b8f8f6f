mod histories;
mod order;

use std::collections::BTreeMap;

use webmatrix_wire::{EvidenceGrade, Status};

use super::*;
use crate::plan::KnownFailure;

fn rules() -> GateRules {
    GateRules::embedded().unwrap_or_else(|error| panic!("{error}"))
}

fn taken(cell: &str, latency: f64) -> TakenCell {
    let figure = Figure { value: latency, error: 0.01, count: 10 };
    TakenCell {
        cell: cell.to_owned(),
        status: Some(Status::Pass),
        evidence: EvidenceGrade::Cpu,
        flaky: false,
        reason: None,
        browser_version: "150.0".to_owned(),
        figures: BTreeMap::from([("latency".to_owned(), figure)]),
        again: Vec::new(),
    }
}

fn snapshot(run: usize, cells: Vec<TakenCell>) -> Snapshot {
    Snapshot {
        run: format!("R{run:03}"),
        matrix: "quick".to_owned(),
        started_at: "2026-11-21T00:00:00Z".to_owned(),
        branch: Some("main".to_owned()),
        commit: None,
        machine: BTreeMap::from([("cpu".to_owned(), "x".to_owned())]),
        cells,
    }
}

fn day(text: &str) -> Date {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn judge(candidate: &Snapshot, earlier: &[Snapshot], rules: &GateRules, known: &KnownFailures) -> Gate {
    let (baseline, history) = earlier.split_last().unwrap_or_else(|| panic!("a baseline"));
    gate(&Judged { candidate, baseline, history, rules, known, today: day("2026-11-21") })
}

fn with(cell: TakenCell, change: impl FnOnce(&mut TakenCell)) -> TakenCell {
    let mut cell = cell;
    change(&mut cell);
    cell
}

fn failed(cell: &str, status: Status) -> TakenCell {
    with(taken(cell, 1.0), |cell| {
        cell.status = Some(status);
        cell.evidence = EvidenceGrade::None;
        cell.figures.clear();
    })
}

fn told(gate: &Gate) -> String {
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let line = |line: &StatusLine| {
        format!(
            "{:?} {:?} {}: {} -> {}{}",
            line.change,
            line.meaning,
            line.cell,
            or(&line.before),
            or(&line.after),
            line.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default()
        )
    };
    gate.statuses.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn statuses_are_told_apart() {
    let before = vec![
        taken("same", 1.0),
        taken("crashes", 1.0),
        with(taken("weaker", 1.0), |cell| cell.evidence = EvidenceGrade::Hardware),
        taken("gone", 1.0),
        taken("lacking", 1.0),
        taken("lacking for no reason", 1.0),
        failed("fixed", Status::Wrong),
        failed("lacked", Status::Unsupported),
        failed("still wrong", Status::Wrong),
        taken("waited for", 1.0),
    ];
    let after = vec![
        taken("same", 1.0),
        failed("crashes", Status::Crash),
        with(taken("weaker", 1.0), |cell| cell.evidence = EvidenceGrade::Fallback),
        taken("new", 1.0),
        with(failed("lacking", Status::Unsupported), |cell| {
            cell.browser_version = "151.0".to_owned();
            cell.reason = Some("NotSupportedError".to_owned());
        }),
        failed("lacking for no reason", Status::Unsupported),
        taken("fixed", 1.0),
        failed("lacked", Status::Crash),
        failed("still wrong", Status::Error),
        failed("waited for", Status::Timeout),
    ];
    let entry = |cells: &str, until: &str| KnownFailure {
        cells: cells.to_owned(),
        statuses: vec![],
        metrics: vec![],
        reason: "bug 1".to_owned(),
        until: day(until),
    };
    let known = KnownFailures {
        failures: vec![
            entry("waited*", "2027-01-01"),
            entry("same", "2027-01-01"),
            entry("crashes", "2026-11-21"),
        ],
    };
    let mut gate = judge(&snapshot(2, after), &[snapshot(1, before)], &rules(), &known);
    insta::assert_snapshot!(told(&gate), @r"
    Changed Regression crashes: pass (cpu) -> crash
    Changed Regression lacking for no reason: pass (cpu) -> unsupported
    Changed Regression lacked: unsupported -> crash
    Changed Weaker weaker: pass (hardware) -> pass (fallback)
    Changed BrowserChanged lacking: pass (cpu) -> unsupported (151.0 was 150.0: NotSupportedError)
    Changed Known waited for: pass (cpu) -> timeout (known until 2027-01-01: bug 1)
    Changed Fixed fixed: wrong -> pass (cpu)
    Added Other new: - -> pass (cpu)
    Changed Other still wrong: wrong -> error
    Deleted Other gone: pass (cpu) -> -
    ");
    assert_eq!((gate.unchanged, gate.compared), (1, 2));
    let cells = |list: &[KnownFailure]| list.iter().map(|entry| entry.cells.clone()).collect::<Vec<_>>();
    assert_eq!(
        (cells(&gate.expired), cells(&gate.passed)),
        (vec!["crashes".to_owned()], vec!["same".to_owned()])
    );
    assert_eq!(gate.exit_status(), ExitStatus::Unexpected);
    // In fresh browsers all is well, but for what is over.
    let well = ["crashes", "lacking for no reason", "lacked"].map(|cell| taken(cell, 1.0));
    let weaker = with(taken("weaker", 1.0), |cell| cell.evidence = EvidenceGrade::Hardware);
    gate.confirm(&snapshot(3, well.into_iter().chain([weaker]).collect()), &rules());
    assert!(gate.alarming().is_empty(), "{:?}", gate.alarming());
    assert_eq!(gate.exit_status(), ExitStatus::Unexpected, "an entry that is over fails");
    gate.expired.clear();
    assert_eq!(gate.exit_status(), ExitStatus::AsExpected);
}

#[test]
fn a_wrong_output_is_not_made_right_by_a_second_try() {
    let mut gate = judge(
        &snapshot(2, vec![failed("a", Status::Wrong)]),
        &[snapshot(1, vec![taken("a", 1.0)])],
        &rules(),
        &KnownFailures::default(),
    );
    gate.confirm(&snapshot(3, vec![taken("a", 1.0)]), &rules());
    assert_eq!(gate.exit_status(), ExitStatus::Unexpected);
}

#[test]
fn times_are_compared_on_one_machine_and_of_what_is_timed_only() {
    let before = snapshot(1, vec![taken("a", 1.0)]);
    let mut other = snapshot(2, vec![taken("a", 9.0)]);
    other.machine.insert("cpu".to_owned(), "y".to_owned());
    let gate = judge(&other, std::slice::from_ref(&before), &rules(), &KnownFailures::default());
    assert!(gate.figures.is_empty());
    assert_eq!(gate.no_times.as_deref(), Some("another machine: cpu is \"y\", the baseline's \"x\""));
    let software = snapshot(2, vec![with(taken("a", 9.0), |cell| cell.evidence = EvidenceGrade::Software)]);
    let gate = judge(&software, std::slice::from_ref(&before), &rules(), &KnownFailures::default());
    assert!(gate.figures.is_empty(), "{:?}", gate.figures);
    // Nothing in common is no success.
    let gate = judge(&snapshot(2, vec![taken("b", 1.0)]), &[before], &rules(), &KnownFailures::default());
    assert_eq!(gate.exit_status(), ExitStatus::TooLittleEvidence);
}

#[test]
fn a_known_slowness_is_no_alarm_and_without_noise_any_change_is_one() {
    let bytes = |bytes: f64| {
        with(taken("a", 1.0), |cell| {
            let figure = Figure { value: bytes, error: 0.0, count: 1 };
            cell.figures = BTreeMap::from([("weight_bytes".to_owned(), figure)]);
        })
    };
    let of = |after: f64, known: &KnownFailures| {
        let before = snapshot(1, vec![bytes(1000.0)]);
        judge(&snapshot(2, vec![bytes(after)]), &[before], &rules(), known).figures[0].conclusion
    };
    let none = KnownFailures::default();
    assert_eq!(of(1000.0, &none), Conclusion::Unchanged);
    assert_eq!(of(1005.0, &none), Conclusion::Unchanged, "less than matters");
    assert_eq!(of(1020.0, &none), Conclusion::Regression);
    assert_eq!(of(980.0, &none), Conclusion::Improvement);
    let failure = KnownFailure {
        cells: "a".to_owned(),
        statuses: vec![],
        metrics: vec!["weight_bytes".to_owned()],
        reason: "padding".to_owned(),
        until: day("2027-01-01"),
    };
    assert_eq!(of(1020.0, &KnownFailures { failures: vec![failure] }), Conclusion::Known);
}
