//! Histories are drawn by a seeded generator: the same every time.
#![expect(clippy::print_stdout, reason = "precision, recall and power are what the tests are for")]

use std::collections::BTreeMap;

use webmatrix_wire::{EvidenceGrade, Status};

use super::*;
use crate::plan::KnownFailure;

/// SplitMix64, and normal numbers by Box and Muller.
struct Draws(u64);

impl Draws {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.uniform(), std::f64::consts::TAU * self.uniform());
        (-2.0 * radius.ln()).sqrt() * angle.cos()
    }
}

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

/// A cell over time: logarithms of its level, run by run.
struct Course {
    name: String,
    noise: f64,
    levels: Vec<f64>,
    /// Runs in which it got slower, and faster.
    slower: Vec<usize>,
    faster: Vec<usize>,
}

impl Course {
    fn draw(&self, run: usize, draws: &mut Draws) -> TakenCell {
        // Now and then the machine does something else.
        let spike = if draws.uniform() < 0.01 { 0.3 } else { 0.0 };
        taken(&self.name, (self.levels[run] + self.noise * draws.normal() + spike).exp())
    }
}

const RUNS: usize = 30;

/// Forty cells: all are noisy, half drift, half step up by `step` once, and of these half step down as much before.
fn courses(step: f64, draws: &mut Draws) -> Vec<Course> {
    let course = |at: usize| {
        let noise = 0.01 + 0.02 * draws.uniform();
        let drift = if at.is_multiple_of(2) { 0.006 * (draws.uniform() - 0.5) } else { 0.0 };
        let up = (at % 4 < 2).then(|| 16 + (draws.uniform() * 13.0) as usize);
        let down = up.filter(|_| at.is_multiple_of(4)).map(|up| up - 6 - (draws.uniform() * 3.0) as usize);
        let level = |run: usize| {
            let is_past = |at: Option<usize>| if at.is_some_and(|at| run >= at) { step.ln_1p() } else { 0.0 };
            3.0 + drift * run as f64 + is_past(up) - is_past(down)
        };
        Course {
            name: format!("chromium/bert@tiny/webmatrix/wasm/fp32/p{at}"),
            noise,
            levels: (0..RUNS).map(level).collect(),
            slower: up.into_iter().collect(),
            faster: down.into_iter().collect(),
        }
    };
    (0..40).map(course).collect()
}

/// What a gate over a whole history found.
#[derive(Debug, Default)]
struct Found {
    right: usize,
    false_alarms: usize,
    missed: usize,
    /// Of these, steps that one of the next three runs showed.
    late: usize,
    /// Alarms before they were tried again.
    unconfirmed_false: usize,
    improvements: usize,
    false_improvements: usize,
    numbers: usize,
}

impl Found {
    fn precision(&self) -> f64 {
        self.right as f64 / (self.right + self.false_alarms).max(1) as f64
    }

    fn recall(&self) -> f64 {
        self.right as f64 / (self.right + self.missed).max(1) as f64
    }
}

fn over_history(step: f64, seed: u64) -> Found {
    let mut draws = Draws(seed);
    let courses = courses(step, &mut draws);
    let mut runs: Vec<Snapshot> = Vec::new();
    let mut found = Found::default();
    let rules = rules();
    let mut missed: BTreeMap<&String, usize> = BTreeMap::new();
    for run in 0..RUNS {
        let all = |draws: &mut Draws| courses.iter().map(|course| course.draw(run, draws)).collect();
        let candidate = snapshot(run, all(&mut draws));
        if run >= 5 {
            let mut gate = judge(&candidate, &runs, &rules, &KnownFailures::default());
            let first: Vec<String> = gate.alarming().into_iter().map(str::to_owned).collect();
            for _ in 0..CONFIRMATIONS {
                gate.confirm(&snapshot(run, all(&mut draws)), &rules);
            }
            for course in &courses {
                found.numbers += 1;
                let line = gate.figures.iter().find(|line| line.cell == course.name);
                let line = line.unwrap_or_else(|| panic!("{} was compared", course.name));
                let alarm = line.is_alarm() && line.confirmed == Confirmed::Yes;
                let just_missed = missed.get(&course.name).is_some_and(|at| run - at <= 3);
                match (course.slower.contains(&run), alarm) {
                    (true, true) => found.right += 1,
                    (true, false) => {
                        found.missed += 1;
                        missed.insert(&course.name, run);
                    }
                    (false, true) if just_missed => {
                        found.late += 1;
                        missed.remove(&course.name);
                    }
                    (false, true) => found.false_alarms += 1,
                    (false, false) => {}
                }
                found.unconfirmed_false +=
                    usize::from(!course.slower.contains(&run) && first.contains(&course.name));
                let better = line.conclusion == Conclusion::Improvement;
                found.improvements += usize::from(better && course.faster.contains(&run));
                found.false_improvements += usize::from(better && !course.faster.contains(&run));
            }
        }
        runs.push(candidate);
    }
    found
}

#[test]
fn steps_of_a_drifting_noisy_history_are_found_and_noise_raises_no_alarm() {
    // What the rules were chosen by, and what nobody had seen when they were.
    steps_are_found("known histories", 1..=10);
    steps_are_found("other histories", 1001..=1010);
}

fn steps_are_found(histories: &str, seeds: std::ops::RangeInclusive<u64>) {
    println!(
        "{histories}: step  precision  recall  late  false alarms (before trying again)  improvements  false  numbers"
    );
    // A tenth is the least that matters: of steps of just that size few may be found.
    for (step, precision, recall) in
        [(0.10, 0.9, 0.1), (0.15, 0.98, 0.85), (0.20, 0.98, 0.95), (0.30, 0.99, 0.98), (0.50, 0.99, 0.98)]
    {
        let mut all = Found::default();
        for seed in seeds.clone() {
            let found = over_history(step, seed);
            all.right += found.right;
            all.false_alarms += found.false_alarms;
            all.missed += found.missed;
            all.late += found.late;
            all.unconfirmed_false += found.unconfirmed_false;
            all.improvements += found.improvements;
            all.false_improvements += found.false_improvements;
            all.numbers += found.numbers;
        }
        println!(
            "{:.0} %  {:.3}  {:.3}  {}  {} ({})  {} of 100  {}  {}",
            100.0 * step,
            all.precision(),
            all.recall(),
            all.late,
            all.false_alarms,
            all.unconfirmed_false,
            all.improvements,
            all.false_improvements,
            all.numbers
        );
        assert!(all.precision() >= precision && all.recall() >= recall, "{step}: {all:?}");
        assert_eq!(all.right + all.missed, 200);
    }
    // Without any step, whatever is told is wrong.
    let still: usize =
        seeds.map(|seed| over_history(0.0, seed)).map(|found| found.right + found.false_alarms).sum();
    println!("no step: {still} false alarms in 10000 numbers");
    // One run in a hundred is a third slower for no reason, and so is one in a hundred of those that try it again.
    assert_eq!(still, 0);
}

/// A run against runs that are the same but for noise.
#[test]
fn of_200_gates_on_nothing_few_find_something() {
    let (mut draws, rules, mut alarms, mut changes) = (Draws(11), rules(), 0, 0);
    for _ in 0..200 {
        let noise = 0.01 + 0.1 * draws.uniform();
        let mut run = |at: usize| {
            snapshot(
                at,
                vec![taken("chromium/bert@tiny/webmatrix/wasm/fp32/default", (noise * draws.normal()).exp())],
            )
        };
        let runs: Vec<Snapshot> = (0..8).map(&mut run).collect();
        let mut gate = judge(&run(8), &runs, &rules, &KnownFailures::default());
        changes += usize::from(
            gate.figures
                .iter()
                .any(|line| matches!(line.conclusion, Conclusion::Regression | Conclusion::Improvement)),
        );
        gate.confirm(&run(9), &rules);
        alarms += usize::from(gate.exit_status() == ExitStatus::Unexpected);
    }
    println!("of 200 gates on nothing: {changes} verdicts of change, {alarms} alarms");
    assert!(changes <= 10 && alarms <= 2, "{changes} {alarms}");
}

/// The size that a gate says it would have seen is seen as often as it says.
#[test]
fn the_power_that_is_told_is_there() {
    let (mut draws, rules) = (Draws(5), rules());
    for (noise, history) in [(0.01, 12), (0.03, 12), (0.03, 3), (0.05, 1)] {
        let (mut seen, mut told) = (0, Vec::new());
        for _ in 0..300 {
            let mut run = |at: usize, change: f64| {
                snapshot(at, vec![taken("a", (noise * draws.normal()).exp() * (1.0 + change))])
            };
            let runs: Vec<Snapshot> = (0..history).map(|at| run(at, 0.0)).collect();
            let none = KnownFailures::default();
            let visible = judge(&run(history, 0.0), &runs, &rules, &none).figures[0].visible;
            told.push(visible);
            let gate = judge(&run(history, visible), &runs, &rules, &none);
            seen += usize::from(gate.figures[0].conclusion == Conclusion::Regression);
        }
        let share = f64::from(seen as u32) / 300.0;
        let visible = median(&told).unwrap_or(0.0);
        println!("noise {noise}, {history} runs: {:.1} % told, seen {share:.3} of the time", 100.0 * visible);
        assert!(share >= POWER - 0.05, "{noise} {history}: {share}");
    }
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
