//! What people promise, judged: for the page's view of it.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use crate::analyse::Estimate;
use crate::analyse::claims::settled::{Pair, Settled, Stand};
use crate::analyse::dossier::Dossier;
use crate::render::text::rounded;

/// A promise with its verdict.
#[derive(Debug, Serialize)]
pub(super) struct Claim<'a> {
    id: &'a str,
    /// The promise.
    says: &'a str,
    whose: &'a str,
    verdict: &'static str,
    why: &'a str,
    asked: Option<&'a str>,
    value: Option<Told>,
    models: &'a [String],
    pairs: Vec<Beside<'a>>,
    /// Why cells do not count, and how many.
    left_out: Vec<(&'a str, usize)>,
    decide: Option<&'a str>,
    /// The cells that it rests on, by their places in the run.
    cells: Vec<usize>,
}

/// A figure and the ends of its interval.
type Told = [Option<f64>; 3];

#[derive(Debug, Serialize)]
struct Beside<'a> {
    cell: usize,
    against: Option<usize>,
    value: Told,
    stands: Stand,
    note: Option<&'a str>,
}

/// The claims of a run, in the ledger's order.
pub(super) fn claims(dossier: &Dossier) -> Vec<Claim<'_>> {
    let cells = dossier.view.cells.iter().enumerate();
    let places: HashMap<&str, usize> = cells.map(|(at, cell)| (cell.id.as_str(), at)).collect();
    dossier.view.claims.iter().map(|settled| claim(settled, &places)).collect()
}

fn claim<'a>(settled: &'a Settled, places: &HashMap<&str, usize>) -> Claim<'a> {
    let place = |id: &String| places.get(id.as_str()).copied();
    let beside = |pair: &'a Pair| {
        let against = pair.against.as_ref().and_then(place);
        Some(Beside {
            cell: place(&pair.cell)?,
            against,
            value: told(pair.value),
            stands: pair.stands,
            note: pair.note,
        })
    };
    let pairs: Vec<Beside<'_>> = settled.pairs.iter().filter_map(beside).collect();
    let cells: BTreeSet<usize> =
        pairs.iter().flat_map(|pair| pair.against.into_iter().chain([pair.cell])).collect();
    Claim {
        id: &settled.id,
        says: &settled.promise,
        whose: &settled.whose,
        verdict: settled.verdict.as_str(),
        why: &settled.why,
        asked: settled.asked.as_deref(),
        value: settled.value.map(told),
        models: &settled.models,
        left_out: settled.left_out.iter().map(|left| (left.why.as_str(), left.cells.len())).collect(),
        decide: settled.decide.as_deref(),
        pairs,
        cells: cells.into_iter().collect(),
    }
}

fn told(estimate: Estimate) -> Told {
    [Some(estimate.value), estimate.lo, estimate.hi].map(|end| end.and_then(rounded))
}
