//! What is told when, in histories of one cell whose spikes and steps come close after one another.

use super::*;

/// Runs that are alike before anything happens.
const QUIET: usize = 10;

/// Whether gates know what fresh browsers made of earlier runs.
#[derive(Clone, Copy, PartialEq)]
enum Tried {
    Again,
    Never,
}

/// Of a cell whose runs take `own` times as long as at first, and its fresh browsers `fresh` times, what was told, by the
/// number of the run after the quiet ones: `+` worse, `-` better.
fn told(tried: Tried, runs: &[(f64, f64)]) -> String {
    let rules = rules();
    // Half a percent to either side: runs are never quite alike.
    let wave = |run: usize| 1.0 + 0.005 * [0.3, -1.0, 0.6, 0.0, 1.0, -0.7, 0.4][run % 7];
    let one = |run: usize, times: f64| snapshot(run, vec![taken("a", 20.0 * times * wave(run))]);
    let all: Vec<(f64, f64)> = std::iter::repeat_n((1.0, 1.0), QUIET).chain(runs.iter().copied()).collect();
    let (mut history, mut told): (Vec<Snapshot>, Vec<String>) = (Vec::new(), Vec::new());
    for (run, &(own, fresh)) in all.iter().enumerate() {
        let mut candidate = one(run, own);
        if run > 0 {
            let mut gate = judge(&candidate, &history, &rules, &KnownFailures::default());
            for number in 0..CONFIRMATIONS {
                if tried == Tried::Again && !gate.alarming().is_empty() {
                    let fresh = one(run + number + 1, fresh);
                    gate.confirm(&fresh, &rules);
                    candidate = candidate.tried_again(&fresh);
                }
            }
            let line = &gate.figures[0];
            let late = line.note.as_ref().is_some_and(|note| note.contains("stood there already"));
            let of = |sign: &str| {
                let at = run.checked_sub(QUIET).map_or_else(|| "quiet".to_owned(), |at| at.to_string());
                format!("{sign}{at}{}", if late { " late" } else { "" })
            };
            match line.conclusion {
                Conclusion::Regression if line.confirmed != Confirmed::No => told.push(of("+")),
                Conclusion::Improvement => told.push(of("-")),
                _ => {}
            }
        }
        history.push(candidate);
    }
    told.join(" ")
}

/// Runs whose fresh browsers show the same.
fn steady(times: f64, runs: usize) -> Vec<(f64, f64)> {
    vec![(times, times); runs]
}

/// A run that was slow or fast by accident: fresh browsers are not.
fn spike(times: f64, level: f64) -> Vec<(f64, f64)> {
    vec![(times, level)]
}

#[test]
fn a_step_is_told_once_whatever_comes_just_before_or_after_it() {
    let again = |runs: &[Vec<(f64, f64)>]| told(Tried::Again, &runs.concat());
    assert_eq!(again(&[steady(1.3, 6)]), "+0");
    assert_eq!(again(&[spike(1.35, 1.0), steady(1.3, 6)]), "+1", "a spike, then a step to the same place");
    assert_eq!(again(&[spike(1.35, 1.0), steady(1.15, 6)]), "+1", "a spike, then a smaller step");
    assert_eq!(again(&[spike(1.35, 1.0), steady(1.6, 6)]), "+1", "a spike, then a larger step");
    assert_eq!(again(&[steady(1.3, 1), spike(1.8, 1.3), steady(1.3, 5)]), "+0", "a step, then a spike");
    assert_eq!(again(&[spike(1.8, 1.3), steady(1.3, 5)]), "+0", "a spike just where the step is");
    assert_eq!(again(&[spike(1.35, 1.0), steady(0.75, 6)]), "-1", "up for a run, then down");
    assert_eq!(again(&[spike(1.35, 1.0), spike(1.4, 1.0), steady(1.0, 5)]), "", "two spikes in a row");
    assert_eq!(again(&[spike(1.35, 1.0), spike(1.4, 1.0), steady(1.3, 5)]), "+2", "two spikes, then a step");
    assert_eq!(again(&[steady(1.3, 3), steady(1.6, 5)]), "+0 +3", "two steps");
    assert_eq!(again(&[steady(1.3, 1), steady(1.6, 5)]), "+0 +1", "two steps, one after the other");
    assert_eq!(again(&[steady(1.3, 1), steady(1.0, 5)]), "+0", "a step that is mended at once");
    assert_eq!(again(&[steady(1.3, 4), steady(1.0, 5)]), "+0 -4", "a step that is mended later");
}

#[test]
fn what_a_gate_could_not_tell_the_next_one_tells() {
    for tried in [Tried::Again, Tried::Never] {
        let of = |runs: &[Vec<(f64, f64)>]| told(tried, &runs.concat());
        // Neither run is off the one before it by what matters, and both are off where the cell stood.
        assert_eq!(of(&[steady(1.08, 1), steady(1.17, 5)]), "+1");
        assert_eq!(of(&[steady(1.09, 1), steady(1.13, 5)]), "+1 late");
        assert_eq!(of(&[steady(0.92, 1), steady(0.86, 5)]), "-1");
        // The step's own run was fast by accident.
        assert_eq!(of(&[spike(1.09, 1.2), steady(1.17, 5)]), "+1");
        assert_eq!(of(&[steady(1.09, 9)]), "", "less than matters");
    }
}

#[test]
fn where_nobody_tried_again_an_alarm_stands_for_the_step_that_follows_it() {
    let never = |runs: &[Vec<(f64, f64)>]| told(Tried::Never, &runs.concat());
    assert_eq!(never(&[steady(1.3, 6)]), "+0");
    assert_eq!(never(&[spike(1.3, 1.0), steady(1.3, 6)]), "+0", "these numbers are those of one step");
    assert_eq!(never(&[spike(1.3, 1.0), steady(1.15, 6)]), "+0");
    assert_eq!(never(&[spike(1.3, 1.0), steady(1.6, 6)]), "+0 +1");
    assert_eq!(never(&[spike(1.3, 1.0), steady(1.0, 6)]), "+0");
    assert_eq!(never(&[spike(0.7, 1.0), steady(1.3, 6)]), "-0 +1", "fast for a run, then slow");
    assert_eq!(never(&[spike(0.7, 1.0), steady(1.0, 6)]), "-0");
}

/// A gate on a branch does not tell what its baseline has: the gate over that told it.
#[test]
fn a_branch_is_not_told_what_its_baseline_brought() {
    let times = [1.0, 1.003, 0.996, 1.001, 0.998, 1.3];
    let runs: Vec<Snapshot> = (0..6).map(|run| snapshot(run, vec![taken("a", 20.0 * times[run])])).collect();
    let gate = judge(&snapshot(9, vec![taken("a", 26.1)]), &runs, &rules(), &KnownFailures::default());
    assert_eq!(gate.figures[0].conclusion, Conclusion::Unchanged, "{:?}", gate.figures);
}
