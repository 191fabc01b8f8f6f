//! What people promise, judged, as a table.

use std::fmt::Write;

use super::{code, escape};
use crate::analyse::claims::settled::{Settled, Verdict};
use crate::render::rows::range;

/// Digits of a figure behind the point.
const PLACES: usize = 4;

/// A line a promise, what is settled first.
pub(super) fn claims(text: &mut String, claims: &[Settled]) -> std::fmt::Result {
    if claims.is_empty() {
        return Ok(());
    }
    writeln!(text, "## Claims\n\n| promise | verdict | measured | why | rests on |\n|---|---|---|---|---|")?;
    for verdict in [Verdict::Confirmed, Verdict::Refuted, Verdict::Unmeasurable] {
        for settled in claims.iter().filter(|settled| settled.verdict == verdict) {
            let measured = settled.value.map(|value| range(value, PLACES)).unwrap_or_default();
            let (promise, why) = (escape(&settled.promise), escape(&why(settled)));
            writeln!(
                text,
                "| {promise} | {} | {measured} | {why} | {} |",
                verdict.as_str(),
                rests_on(settled)
            )?;
        }
    }
    writeln!(
        text,
        "\nMeasured is the mean over models: of ratios the geometric one, in brackets its 95 % interval. A verdict rests on two pairs \
         of two models at least; the JSON of this report names every pair.\n"
    )
}

/// Why, and which cells do not count although they were meant.
fn why(settled: &Settled) -> String {
    let left = settled.left_out.iter().map(|left| format!("{} left out: {}", left.cells.len(), left.why));
    let all: Vec<String> = std::iter::once(settled.why.clone()).chain(left).collect();
    all.join("; ")
}

/// The pair that is furthest from keeping the promise, and how many others there are.
fn rests_on(settled: &Settled) -> String {
    let Some(pair) = settled.worst.and_then(|worst| settled.pairs.get(worst)) else { return String::new() };
    let over = pair.against.as_ref().map(|against| format!(" over {}", code(against))).unwrap_or_default();
    let rest = match settled.pairs.len() - 1 {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!("{}{over}{rest}", code(&pair.cell))
}
