//! What people promise, beside what a run measured: each promise is confirmed, refuted or, here, unmeasurable.
//!
//! A promise's query chooses cells and, for each, the one that it is held against, which is the same but for one axis. Only
//! proven cells count; times only of hardware and the CPU, of cells that were run in turn, round by round, or of which both were
//! run in several rounds. What is left are pairs, each with its 95 % interval; what is counted, such as bytes, is exact.
//!
//! **The rule.** A verdict rests on pairs with intervals, two at least, of two models. It is *confirmed* if every such pair's interval
//! keeps the bound, or if the interval of the mean over models keeps it and no pair's interval breaks it. It is *refuted* if every
//! pair's interval breaks it, or if that of the mean does. Everything else is *unmeasurable here*, with the reason, and so is
//! what a pair without an interval speaks against. The mean is of models, each with the mean of its pairs, so that a model that ran in many
//! places counts once; it is the geometric one of ratios, and has an interval from five models on.

mod figures;
mod rule;
pub mod settled;
#[cfg(test)]
mod tests;
mod words;

use std::collections::{BTreeMap, BTreeSet};

pub use self::figures::Uploaded;
use self::figures::{Figure, Figures};
use self::settled::{LeftOut, Pair, Settled, Verdict};
use super::dossier::Dossier;
use super::ratios::MOST_SAMPLES;
use crate::plan::{Claim, Claims, MetricKind, Query};

/// Judges every promise by what the run measured.
pub fn settle(ledger: &Claims, dossier: &Dossier, uploaded: &Uploaded) -> Vec<Settled> {
    let figures = Figures::of(dossier, uploaded);
    ledger.claims.iter().map(|claim| one(claim, &figures)).collect()
}

fn one(claim: &Claim, figures: &Figures<'_>) -> Settled {
    let mut settled = Settled {
        id: claim.id.clone(),
        promise: claim.promise.clone(),
        whose: claim.whose.clone(),
        verdict: Verdict::Unmeasurable,
        why: claim.reason.clone().unwrap_or_default(),
        asked: None,
        value: None,
        models: Vec::new(),
        pairs: Vec::new(),
        worst: None,
        left_out: Vec::new(),
        decide: None,
    };
    let Some(query) = &claim.query else { return settled };
    let Found { pairs, left_out, chosen } = find(query, figures);
    let judged = rule::judge(query, &pairs);
    (settled.verdict, settled.why, settled.value) = (judged.verdict, judged.why, judged.mean);
    if pairs.is_empty() {
        settled.why = words::nothing(query, chosen, &left_out);
    }
    settled.asked = Some(words::asked(query));
    settled.worst = judged.worst;
    settled.models =
        pairs.iter().map(|pair| pair.model.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    settled.decide = (judged.verdict == Verdict::Unmeasurable).then(|| words::command(query));
    (settled.pairs, settled.left_out) = (pairs, left_out);
    settled
}

/// What a query found in a run.
struct Found {
    pairs: Vec<Pair>,
    left_out: Vec<LeftOut>,
    /// Cells that it chose.
    chosen: usize,
}

fn find(query: &Query, figures: &Figures<'_>) -> Found {
    let mut left_out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut chosen = 0;
    let mut sides = Vec::new();
    for at in figures.chosen(&query.cells) {
        chosen += 1;
        match others(query, figures, at) {
            Ok(others) => sides.extend(others.into_iter().map(|other| (at, other))),
            Err(why) => left_out.entry(why).or_default().push(figures.id(at).to_owned()),
        }
    }
    let timed = query.metric.kind() == MetricKind::Time;
    // Intervals are drawn from every sample many times over.
    let samples: usize = sides
        .iter()
        .map(|&(at, other)| figures.samples(at) + other.map_or(0, |other| figures.samples(other)))
        .sum();
    let draw = !timed || samples <= MOST_SAMPLES;
    let mut pairs = Vec::new();
    for (at, other) in sides {
        let figure = match other {
            Some(other) => figures.ratio(at, other, query.metric, draw),
            None => figures.alone(at, query.metric),
        };
        match figure {
            Ok(Figure { value, note }) => pairs.push(Pair {
                cell: figures.id(at).to_owned(),
                against: other.map(|other| figures.id(other).to_owned()),
                stands: rule::stand(query.bound, value),
                note: note.filter(|_| value.lo.is_none()),
                model: figures.model(at),
                value,
            }),
            Err(why) => {
                let why = format!("{} {why}", query.metric.as_str());
                left_out.entry(why).or_default().push(figures.id(at).to_owned());
            }
        }
    }
    let left_out = left_out.into_iter().map(|(why, cells)| LeftOut { why, cells }).collect();
    Found { pairs, left_out, chosen }
}

/// The cells that a cell is held against, `None` where its figure stands for itself; else why it does not count.
fn others(query: &Query, figures: &Figures<'_>, at: usize) -> Result<Vec<Option<usize>>, String> {
    let kind = query.metric.kind();
    figures.counts(at, kind)?;
    let Some(against) = &query.against else { return Ok(vec![None]) };
    let there = figures.beside(at, against);
    if there.is_empty() {
        return Err(format!("nothing {} to hold it against", words::other(against)));
    }
    let first = figures.counts(there[0], kind);
    let counted: Vec<_> =
        there.into_iter().filter(|other| figures.counts(*other, kind).is_ok()).map(Some).collect();
    match first {
        Err(why) if counted.is_empty() => Err(format!("what it is held against: {why}")),
        _ => Ok(counted),
    }
}
