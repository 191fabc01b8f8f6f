//! When a promise is confirmed, and when it is refuted.

use std::collections::BTreeMap;

use super::settled::{Pair, Stand, Verdict};
use super::words::{count, told};
use crate::analyse::stats::{self, Estimate};
use crate::plan::{Bound, Query};

/// A verdict rests on so many pairs, of as many models: one may be luck.
const LEAST: usize = 2;

/// What is concluded from pairs.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) why: String,
    pub(super) mean: Option<Estimate>,
    pub(super) worst: Option<usize>,
}

/// What an interval says of a bound. None says nothing.
pub(super) fn stand(bound: Bound, value: Estimate) -> Stand {
    let (Some(lo), Some(hi)) = (value.lo, value.hi) else { return Stand::Open };
    if !(lo.is_finite() && hi.is_finite()) {
        return Stand::Open;
    }
    let keeps = bound.at_most.is_none_or(|most| hi <= most) && bound.at_least.is_none_or(|least| lo >= least);
    let breaks =
        bound.at_most.is_some_and(|most| lo > most) || bound.at_least.is_some_and(|least| hi < least);
    match (keeps, breaks) {
        (true, _) => Stand::Keeps,
        (_, true) => Stand::Breaks,
        _ => Stand::Open,
    }
}

/// How far beyond a bound a value lies; below 0 within.
fn beyond(bound: Bound, value: f64) -> f64 {
    let above = bound.at_most.map_or(f64::NEG_INFINITY, |most| value - most);
    let below = bound.at_least.map_or(f64::NEG_INFINITY, |least| least - value);
    above.max(below)
}

/// The rule, as the module's page says it.
pub(super) fn judge(query: &Query, pairs: &[Pair]) -> Judged {
    let bound = query.bound;
    let worst = (0..pairs.len())
        .max_by(|a, b| beyond(bound, pairs[*a].value.value).total_cmp(&beyond(bound, pairs[*b].value.value)));
    let (sure, silent): (Vec<&Pair>, Vec<&Pair>) = pairs.iter().partition(|pair| pair.value.lo.is_some());
    let of_ratios = query.against.is_some();
    let (models, noun) = (by_model(&sure), if of_ratios { "pair" } else { "cell" });
    let of = |stand: Stand| sure.iter().filter(|pair| pair.stands == stand).count();
    let (keep, breaks, open) = (of(Stand::Keeps), of(Stand::Breaks), of(Stand::Open));
    let all = format!("{} of {}", count(sure.len(), noun), count(models.len(), "model"));
    let parts = format!("{breaks} break it, {keep} keep it, {open} leave it open");
    let known = mean(&models, of_ratios);
    let stands = known.map_or(Stand::Open, |mean| stand(bound, mean));
    let (verdict, why) = if sure.len() < LEAST || models.len() < LEAST {
        (Verdict::Unmeasurable, too_few(pairs, &silent, noun))
    } else if keep == sure.len() {
        (Verdict::Confirmed, format!("kept by all {all}"))
    } else if breaks == sure.len() {
        (Verdict::Refuted, format!("kept by none of {all}"))
    } else if stands == Stand::Keeps && breaks == 0 {
        let text = format!(
            "kept by the mean of {all}, and contradicted by none: {keep} keep it, {open} leave it open"
        );
        (Verdict::Confirmed, text)
    } else if stands == Stand::Breaks {
        (Verdict::Refuted, format!("broken by the mean of {all}: {parts}"))
    } else if breaks > 0 {
        (Verdict::Unmeasurable, format!("{all} contradict one another: {parts}"))
    } else {
        let text = format!(
            "{all}: {keep} keep it, and the intervals of {open} are too wide to tell; more inferences narrow them"
        );
        (Verdict::Unmeasurable, text)
    };
    // What has no interval decides nothing, but is not passed over where it says otherwise.
    let says_no = |pair: &&Pair| match verdict {
        Verdict::Confirmed => beyond(bound, pair.value.value) > 0.0,
        Verdict::Refuted => beyond(bound, pair.value.value) <= 0.0,
        Verdict::Unmeasurable => false,
    };
    let otherwise = silent.iter().copied().filter(|pair| says_no(pair)).count();
    let (verdict, why) = match otherwise {
        0 if verdict != Verdict::Unmeasurable && !silent.is_empty() => {
            (verdict, format!("{why}; {} without an interval say the same", silent.len()))
        }
        0 => (verdict, why),
        n => (Verdict::Unmeasurable, format!("{why}, but {n} without an interval say otherwise")),
    };
    let why = match worst.filter(|_| pairs.len() > 1) {
        Some(at) => format!("{why}; the worst is {} at {}", told(pairs[at].value), pairs[at].cell),
        None => why,
    };
    // A mean of what has no interval has none either.
    let bare = |mean: Estimate| Estimate { lo: None, hi: None, ..mean };
    let mean = known.or_else(|| mean(&by_model(&silent), of_ratios).map(bare));
    Judged { verdict, why, mean, worst }
}

/// Why so few pairs with intervals decide nothing: the reason that most have for having none.
fn too_few(pairs: &[Pair], silent: &[&Pair], noun: &str) -> String {
    let mut notes: BTreeMap<&str, usize> = BTreeMap::new();
    for note in silent.iter().filter_map(|pair| pair.note) {
        *notes.entry(note).or_default() += 1;
    }
    let models = by_model(&pairs.iter().collect::<Vec<_>>()).len();
    let all = format!("{} of {}", count(pairs.len(), noun), count(models, "model"));
    match notes.into_iter().max_by_key(|(_, times)| *times) {
        Some((note, times)) => format!("{all}, {times} without an interval: {note}"),
        None => format!("{all}: a verdict rests on {LEAST} models at least, since one may be luck"),
    }
}

/// The values of each model's pairs.
fn by_model(pairs: &[&Pair]) -> Vec<Vec<f64>> {
    let mut models: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for pair in pairs {
        models.entry(&pair.model).or_default().push(pair.value.value);
    }
    models.into_values().collect()
}

/// The mean over models of the means of their pairs, with the interval of drawing models anew: of ratios the geometric one.
fn mean(models: &[Vec<f64>], of_ratios: bool) -> Option<Estimate> {
    let there = |value: f64| if of_ratios { value.ln() } else { value };
    let back = |value: f64| if of_ratios { value.exp() } else { value };
    let means: Vec<f64> = models
        .iter()
        .map(|values| values.iter().map(|value| there(*value)).sum::<f64>() / values.len() as f64)
        .collect();
    let mean = stats::mean(&means)?;
    Some(Estimate {
        value: back(mean.value),
        lo: mean.lo.map(back),
        hi: mean.hi.map(back),
        count: mean.count,
    })
}
