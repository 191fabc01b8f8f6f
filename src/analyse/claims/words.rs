//! What a promise asks, why nothing answers, and which command would tell more.

use super::settled::LeftOut;
use crate::analyse::stats::Estimate;
use crate::plan::{Against, Metric, ModelClass, NO_FEATURE, Query, Size};

/// So many things.
pub(super) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// A figure with its interval, if it has one that is wider than it.
pub(super) fn told(value: Estimate) -> String {
    // What is next to 1, and known so well, is told to the digits in which it is not.
    let from_one = (value.value - 1.0).abs();
    let width = value.lo.zip(value.hi).map_or(0.0, |(lo, hi)| hi - lo);
    let places = if from_one > 0.0 && from_one < 1e-3 && width < 1e-3 { 7 } else { 4 };
    match (value.lo, value.hi) {
        (Some(lo), Some(hi)) if lo < hi => format!("{:.places$} ({lo:.places$}–{hi:.places$})", value.value),
        _ => format!("{:.places$}", value.value),
    }
}

fn names<T: ToString>(all: &[T], between: &str) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}

/// What cells are held against.
pub(super) fn other(against: &Against) -> String {
    match against {
        Against { precision: Some(precision), .. } => format!("at {precision}"),
        Against { backend: Some(backend), .. } => format!("on {backend}"),
        Against { feature: Some(feature), .. } if feature == NO_FEATURE => "without a feature".to_owned(),
        Against { feature: Some(feature), .. } => format!("with {feature}"),
        Against { browsers, .. } => format!("in {}", names(browsers, " or ")),
    }
}

/// The cells that a query chooses.
fn cells(query: &Query) -> String {
    let chosen = &query.cells;
    let mut said = Vec::new();
    let mut say = |text: String, before: &str| {
        if !text.is_empty() {
            said.push(format!("{before}{text}"));
        }
    };
    say(names(&chosen.models, ", "), "of ");
    say(names(&chosen.takes, " or "), "taking ");
    say(names(&chosen.sizes, ", "), "of size ");
    say(names(&chosen.browsers, ", "), "in ");
    say(names(&chosen.backends, ", "), "on ");
    say(names(&chosen.precisions, ", "), "at ");
    say(chosen.feature.clone().unwrap_or_default(), "with ");
    said.join(" ")
}

/// The query in words: what is measured, of what, over what, and the bound.
pub(super) fn asked(query: &Query) -> String {
    let of = cells(query);
    let of = if of.is_empty() { " of every cell".to_owned() } else { format!(" of cells {of}") };
    let over = query.against.as_ref().map(|against| format!(", over the same {}", other(against)));
    let ends = [("at least", query.bound.at_least), ("at most", query.bound.at_most)];
    let ends: Vec<String> =
        ends.into_iter().filter_map(|(word, end)| Some(format!("{word} {}", end?))).collect();
    format!("{}{of}{}: {}", query.metric.as_str(), over.unwrap_or_default(), ends.join(" and "))
}

/// Why no pair is there.
pub(super) fn nothing(query: &Query, chosen: usize, left_out: &[LeftOut]) -> String {
    if chosen == 0 {
        return format!("this run has no cell {}", cells(query));
    }
    let most = left_out.iter().max_by_key(|left| left.cells.len());
    let why = most.map_or("", |left| left.why.as_str());
    match left_out.len() {
        0 | 1 => format!("{}, and none counts: {why}", count(chosen, "such cell")),
        _ => format!("{}, and none counts: most of all, {why}", count(chosen, "such cell")),
    }
}

/// The command whose run would tell: cells in turn, both sides.
pub(super) fn command(query: &Query) -> String {
    let chosen = &query.cells;
    let mut words = vec!["webmatrix compare".to_owned()];
    let against = query.against.clone().unwrap_or_default();
    let features: Vec<&str> = [chosen.feature.as_deref(), against.feature.as_deref()]
        .into_iter()
        .flatten()
        .filter(|feature| *feature != NO_FEATURE)
        .collect();
    let precisions: Vec<String> =
        chosen.precisions.iter().copied().chain(against.precision).map(|one| one.to_string()).collect();
    let backends: Vec<String> =
        chosen.backends.iter().copied().chain(against.backend).map(|one| one.to_string()).collect();
    let browsers = names(&[&chosen.browsers[..], &against.browsers].concat(), " ");
    let what = if !features.is_empty() {
        format!("features --features {}", features.join(" "))
    } else if against.backend.is_some() || !against.browsers.is_empty() && !backends.is_empty() {
        format!("platforms --platforms {}", backends.join(" "))
    } else {
        "precisions".to_owned()
    };
    let platforms = what.starts_with("platforms");
    words.push(what);
    let mut say = |flag: &str, values: String| {
        if !values.is_empty() {
            words.push(format!("{flag} {values}"));
        }
    };
    say("--precisions", precisions.join(" "));
    if !platforms {
        say("--backends", backends.join(" "));
    }
    say("--browsers", browsers);
    let own = chosen.sizes == [Size::Own];
    let classes: Vec<String> = ModelClass::all()
        .filter(|class| chosen.takes.iter().any(|kind| class.info().takes().any(|taken| taken == kind)))
        .map(|class| class.to_string())
        .chain(chosen.models.iter().cloned())
        .collect();
    say("--models", if classes.is_empty() { usual(query).to_owned() } else { classes.join(" ") });
    if own {
        say("--weights", "hub".to_owned());
    } else {
        say("--size", names(&chosen.sizes, " "));
    }
    words.join(" ")
}

/// Models that have what is asked for, where a promise names none: caches, logits, or anything.
fn usual(query: &Query) -> &'static str {
    match query.metric {
        Metric::CachePerToken => "llama qwen2",
        _ if query.cells.sizes == [Size::Own] => "llama vit",
        Metric::WeightBytes | Metric::BitsPerWeight | Metric::Held => "bert llama",
        _ => "all",
    }
}
