//! A cell's metric from run to run, and what the gates over those runs told.

use std::collections::BTreeMap;

use super::judgement::{Earlier, Test};
use super::noise::{Noise, adjusted, supposed};
use super::snapshot::{Figure, Snapshot, TakenCell};
use crate::plan::{GateRules, MetricRule};

/// A number of a run, with what fresh browsers made of it.
struct Point {
    /// Which run.
    run: usize,
    /// Logarithm of the run's value.
    value: f64,
    /// Its standard error within the run.
    own: f64,
    /// Logarithms of what fresh browsers gave, one after another.
    again: Vec<f64>,
    /// What the gate over this run told: worse (`true`), better, or nothing.
    told: Option<bool>,
}

impl Point {
    fn new(run: usize, cell: &TakenCell, metric: &str, figure: &Figure) -> Self {
        let again = cell.again.iter().filter_map(|figures| Some(figures.get(metric)?.value.ln())).collect();
        Self { run, value: figure.value.ln(), own: figure.error, again, told: None }
    }

    /// Where the run stood. What was tried again stands where the last fresh browser put it: nobody chose that one for being
    /// off, and by it the gate decided whether the alarm was one.
    fn settled(&self) -> f64 {
        self.again.last().copied().unwrap_or(self.value)
    }
}

/// A number that the run and the baseline have, from the oldest run to the one that is judged.
pub(super) struct Series<'a> {
    pub(super) cell: &'a TakenCell,
    pub(super) metric: &'a str,
    pub(super) after: Figure,
    rule: MetricRule,
    points: Vec<Point>,
}

/// A number with its test.
pub(super) struct Found<'a> {
    pub(super) cell: &'a TakenCell,
    pub(super) metric: &'a str,
    pub(super) after: Figure,
    pub(super) test: Test,
    /// How likely noise alone is so far off, adjusted for all numbers of the run.
    pub(super) adjusted_p: f64,
}

/// The numbers that both runs have and that may be compared, with the tests they are judged by.
pub(super) fn found<'a>(
    candidate: &'a Snapshot,
    baseline: &Snapshot,
    history: &[Snapshot],
    rules: &'a GateRules,
) -> Vec<Found<'a>> {
    let from = history.len().saturating_sub(rules.history as usize);
    let earlier: Vec<&Snapshot> = history[from..].iter().chain([baseline]).collect();
    let mut all = series(candidate, &earlier, rules);
    // A gate is a function of its runs: what earlier ones told is found by asking them again.
    for run in 1..earlier.len() {
        let tests = tests(&all, run, rules);
        for (at, test, adjusted_p) in tests {
            let told = test.side(test.value).filter(|worse| {
                let again = || at_run(&all[at], run).map_or(&[][..], |(_, point)| point.again.as_slice());
                let stands = |fresh: &f64| test.is_seen_again(*fresh, rules.false_share);
                adjusted_p <= rules.false_share && (!worse || again().iter().all(stands))
            });
            let point = all[at].points.iter_mut().find(|point| point.run == run);
            point.into_iter().for_each(|point| point.told = told);
        }
    }
    let tests = tests(&all, earlier.len(), rules);
    let found = |(at, test, adjusted_p): (usize, Test, f64)| {
        let Series { cell, metric, after, .. } = all[at];
        Found { cell, metric, after, test, adjusted_p }
    };
    tests.into_iter().map(found).collect()
}

fn series<'a>(candidate: &'a Snapshot, earlier: &[&Snapshot], rules: &'a GateRules) -> Vec<Series<'a>> {
    let Some((baseline, history)) = earlier.split_last() else { return Vec::new() };
    let by_id = |run: &'_ Snapshot| -> BTreeMap<String, usize> {
        run.cells.iter().enumerate().map(|(at, cell)| (cell.cell.clone(), at)).collect()
    };
    let indices: Vec<BTreeMap<String, usize>> = earlier.iter().map(|run| by_id(run)).collect();
    let of = |run: usize, id: &str| indices[run].get(id).map(|&at| &earlier[run].cells[at]);
    let mut all = Vec::new();
    for cell in &candidate.cells {
        let Some(before) = of(history.len(), &cell.cell).filter(|before| before.is_green()) else { continue };
        for (metric, &rule) in &rules.metrics {
            let comparable = if rule.portable {
                cell.is_green()
            } else {
                cell.is_timed() && before.is_timed() && candidate.machine == baseline.machine
            };
            let (true, Some(&after)) = (comparable, cell.figures.get(metric)) else { continue };
            let Some(base) = before.figures.get(metric) else { continue };
            let point = |run: usize| {
                let same = rule.portable || earlier[run].machine == candidate.machine;
                let cell = of(run, &cell.cell).filter(|cell| same && (cell.is_timed() || rule.portable))?;
                Some(Point::new(run, cell, metric, cell.figures.get(metric)?))
            };
            let mut points: Vec<Point> = (0..history.len()).filter_map(point).collect();
            points.push(Point::new(history.len(), before, metric, base));
            points.push(Point { again: Vec::new(), ..Point::new(earlier.len(), cell, metric, &after) });
            all.push(Series { cell, metric, after, rule, points });
        }
    }
    all
}

fn at_run<'s>(series: &'s Series<'_>, run: usize) -> Option<(usize, &'s Point)> {
    series.points.iter().enumerate().find(|(_, point)| point.run == run)
}

/// The tests of one run's numbers that have earlier ones: which series, the test, and the adjusted probability.
fn tests(all: &[Series<'_>], run: usize, rules: &GateRules) -> Vec<(usize, Test, f64)> {
    let met: Vec<(usize, &Point, Vec<Earlier>)> = all
        .iter()
        .enumerate()
        .filter_map(|(at, series)| {
            let (index, point) = at_run(series, run)?;
            let earlier = |point: &Point| Earlier { value: point.settled(), told: point.told };
            Some((at, point, series.points[..index].iter().map(earlier).collect()))
        })
        .collect();
    let values = |earlier: &[Earlier]| -> Vec<f64> { earlier.iter().map(|run| run.value).collect() };
    let supposed: BTreeMap<&str, f64> = rules
        .metrics
        .iter()
        .map(|(metric, rule)| {
            let of = met.iter().filter(|(at, ..)| all[*at].metric == metric);
            let histories: Vec<Vec<f64>> = of.map(|(_, _, earlier)| values(earlier)).collect();
            (metric.as_str(), supposed(histories.iter().map(Vec::as_slice), rule.run_noise))
        })
        .collect();
    let test = |(at, point, earlier): &(usize, &Point, Vec<Earlier>)| {
        let Series { metric, rule, .. } = &all[*at];
        let noise = Noise::of(&values(earlier), supposed.get(metric).copied().unwrap_or(rule.run_noise));
        Some((*at, Test::new(*rule, noise, earlier, point.value, point.own)?))
    };
    let tests: Vec<(usize, Test)> = met.iter().filter_map(test).collect();
    let probabilities: Vec<f64> = tests.iter().map(|(_, test)| test.probability(test.value)).collect();
    tests.into_iter().zip(adjusted(&probabilities)).map(|((at, test), p)| (at, test, p)).collect()
}
