//! Histories are drawn by a seeded generator: the same every time.
#![expect(clippy::print_stdout, reason = "precision, recall and power are what the tests are for")]

use std::collections::BTreeMap;

use super::*;

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
    /// Steps well above what their gate said it would see.
    clear: usize,
    /// Of these, those missed.
    clear_missed: usize,
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

    fn add(&mut self, other: &Self) {
        let Self { right, false_alarms, missed, late, clear, clear_missed, .. } = other;
        self.right += right;
        self.false_alarms += false_alarms;
        self.missed += missed;
        self.late += late;
        self.clear += clear;
        self.clear_missed += clear_missed;
        self.unconfirmed_false += other.unconfirmed_false;
        self.improvements += other.improvements;
        self.false_improvements += other.false_improvements;
        self.numbers += other.numbers;
    }
}

/// A step is clear if it is so many times what its gate said would be seen four times of five.
const CLEAR: f64 = 1.5;

/// Gates over a history, run by run; `known` whether they know what fresh browsers made of earlier runs.
fn over_history(step: f64, seed: u64, known: bool) -> Found {
    let mut draws = Draws(seed);
    let courses = courses(step, &mut draws);
    let mut runs: Vec<Snapshot> = Vec::new();
    let mut found = Found::default();
    let rules = rules();
    let mut missed: BTreeMap<&String, usize> = BTreeMap::new();
    for run in 0..RUNS {
        let all = |draws: &mut Draws| courses.iter().map(|course| course.draw(run, draws)).collect();
        let mut candidate = snapshot(run, all(&mut draws));
        if run >= 5 {
            let mut gate = judge(&candidate, &runs, &rules, &KnownFailures::default());
            let first: Vec<String> = gate.alarming().into_iter().map(str::to_owned).collect();
            let mut trying = first.clone();
            for _ in 0..CONFIRMATIONS {
                let mut fresh = snapshot(run, all(&mut draws));
                gate.confirm(&fresh, &rules);
                let tried =
                    std::mem::replace(&mut trying, gate.alarming().into_iter().map(str::to_owned).collect());
                fresh.cells.retain(|cell| known && tried.contains(&cell.cell));
                candidate = candidate.tried_again(&fresh);
            }
            for course in &courses {
                found.numbers += 1;
                let line = gate.figures.iter().find(|line| line.cell == course.name);
                let line = line.unwrap_or_else(|| panic!("{} was compared", course.name));
                let alarm = line.is_alarm() && line.confirmed == Confirmed::Yes;
                if course.slower.contains(&run) && step >= CLEAR * line.visible {
                    found.clear += 1;
                    found.clear_missed += usize::from(!alarm);
                }
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
    let over = |step: f64, known: bool| {
        let mut all = Found::default();
        seeds.clone().for_each(|seed| all.add(&over_history(step, seed, known)));
        all
    };
    println!(
        "{histories}: step  precision  recall  late  of clear steps missed  false alarms (before trying again)  \
         improvements  false  numbers"
    );
    // A tenth is the least that matters: of steps of just that size few may be found.
    for (step, precision, recall) in
        [(0.10, 0.9, 0.1), (0.15, 0.98, 0.85), (0.20, 0.98, 0.95), (0.30, 0.99, 0.98), (0.50, 0.99, 0.98)]
    {
        for known in [true, false] {
            let all = over(step, known);
            println!(
                "{:.0} %{}  {:.3}  {:.3}  {}  {} of {}  {} ({})  {} of 100  {}  {}",
                100.0 * step,
                if known { "" } else { " (fresh browsers forgotten)" },
                all.precision(),
                all.recall(),
                all.late,
                all.clear_missed,
                all.clear,
                all.false_alarms,
                all.unconfirmed_false,
                all.improvements,
                all.false_improvements,
                all.numbers
            );
            assert!(all.precision() >= precision && all.recall() >= recall, "{step}: {all:?}");
            assert_eq!(all.right + all.missed, 200);
            if known {
                assert_eq!(all.clear_missed, 0, "{step}: {all:?}");
            }
        }
    }
    // Without any step, whatever is told is wrong.
    let still = over(0.0, true);
    println!("no step: {} false alarms in {} numbers", still.false_alarms, still.numbers);
    // One run in a hundred is a third slower for no reason, and so is one in a hundred of those that try it again.
    assert_eq!((still.right + still.false_alarms, still.numbers), (0, 10_000));
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
