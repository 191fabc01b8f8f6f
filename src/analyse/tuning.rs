//! What features are worth: which of many to go on with, and what the last of them gain.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use webmatrix_wire::Status;

use super::speed::timed;
use super::stats::{Estimate, median, ratio_in_turn};
use super::view::CellView;
use crate::plan::{Cell, DEFAULT_PROFILE, kind};

/// A cell that was tried, and the times of its inferences by the rounds in which it was run.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The cell.
    pub cell: Cell,
    /// The features of its profile.
    pub features: Vec<String>,
    /// What came of it.
    pub view: CellView,
    /// Milliseconds.
    pub rounds: Vec<Vec<f64>>,
}

impl Tried {
    /// Whether it is proven, accurate enough, and its times mean something; or why not.
    fn counts(&self, min_cosine: f64) -> Result<(), String> {
        if !self.view.is_green() {
            let status = self.view.status.map_or("no verdict", Status::as_str);
            return Err(self
                .view
                .error
                .clone()
                .map_or(status.to_owned(), |error| format!("{status}: {error}")));
        }
        timed(self.view.evidence)?;
        match self.view.accuracy.as_ref().and_then(|accuracy| accuracy.cosine) {
            Some(cosine) if cosine < min_cosine => Err(format!("cosine {cosine:.4} is below {min_cosine}")),
            _ => Ok(()),
        }
    }

    fn median(&self) -> Option<f64> {
        median(&self.rounds.concat())
    }

    fn is_default(&self) -> bool {
        self.cell.profile == DEFAULT_PROFILE
    }
}

/// What is tuned: a cell whatever its profile.
pub fn subject(cell: &Cell) -> Cell {
    Cell { profile: DEFAULT_PROFILE.to_owned(), ..cell.clone() }
}

/// Those of each subject, the default first.
fn by_subject(tried: &[Tried]) -> BTreeMap<Cell, Vec<&Tried>> {
    let mut subjects: BTreeMap<Cell, Vec<&Tried>> = BTreeMap::new();
    for one in tried {
        subjects.entry(subject(&one.cell)).or_default().push(one);
    }
    subjects.values_mut().for_each(|all| all.sort_by_key(|one| !one.is_default()));
    subjects
}

/// The faster half of those that count, fastest first, at least `fewest` of them.
fn faster_half<'a>(all: &[&'a Tried], min_cosine: f64, fewest: usize) -> Vec<&'a Tried> {
    let mut timed: Vec<(f64, &Tried)> = all
        .iter()
        .filter(|one| !one.is_default() && one.counts(min_cosine).is_ok())
        .filter_map(|one| Some((one.median()?, *one)))
        .collect();
    timed.sort_by(|a, b| a.0.total_cmp(&b.0));
    timed.truncate(timed.len().div_ceil(2).max(fewest));
    timed.into_iter().map(|(_, one)| one).collect()
}

/// What goes into the next round: of each subject the default and the faster half of the rest, at least two.
pub fn survivors(tried: &[Tried], min_cosine: f64) -> HashSet<Cell> {
    let mut left = HashSet::new();
    for (subject, all) in by_subject(tried) {
        let faster = faster_half(&all, min_cosine, 2);
        if !faster.is_empty() {
            left.insert(subject);
            left.extend(faster.iter().map(|one| one.cell.clone()));
        }
    }
    left
}

/// What goes into the last round: of each subject the default, the fastest, and where it leads to something new, the fastest
/// of each kind together, those that were slower than the default left out. As cells with their features.
pub fn finalists(tried: &[Tried], min_cosine: f64) -> Vec<(Cell, Vec<String>)> {
    let mut last = Vec::new();
    for (subject, all) in by_subject(tried) {
        let ranked = faster_half(&all, min_cosine, usize::MAX);
        let Some(fastest) = ranked.first() else { continue };
        let default = all.first().filter(|one| one.is_default()).and_then(|one| one.median());
        let mut together: Vec<String> = Vec::new();
        for one in ranked.iter().filter(|one| one.median().zip(default).is_some_and(|(own, of)| own < of)) {
            let new = |feature: &&String| together.iter().all(|known| kind(known) != kind(feature));
            let features: Vec<String> = one.features.iter().filter(new).cloned().collect();
            together.extend(features);
        }
        together.sort();
        last.push((subject.clone(), Vec::new()));
        last.push((fastest.cell.clone(), fastest.features.clone()));
        if together.len() > fastest.features.len() {
            let profile = crate::plan::profile_of(&together);
            last.push((Cell { profile, ..subject }, together));
        }
    }
    last
}

/// What tuning came to for one subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The cell without features.
    pub cell: String,
    /// What is chosen; empty where nothing shown to be faster was found.
    pub features: Vec<String>,
    /// Times with it over times without, as one run measured them in turn; below 1 is faster.
    pub ratio: Option<f64>,
    /// The lower end of the ratio's 95 % interval.
    pub lo: Option<f64>,
    /// The upper end.
    pub hi: Option<f64>,
    /// Median without, in milliseconds.
    pub default_ms: Option<f64>,
    /// Median with it.
    pub tuned_ms: Option<f64>,
    /// In words.
    pub says: String,
}

/// The last word on each subject: what is faster beyond doubt than the default, measured in turn with it in a run of its own,
/// so that the luckiest of many is not taken for the fastest.
pub fn choices(last: &[Tried], min_cosine: f64) -> Vec<Choice> {
    by_subject(last).into_iter().map(|(subject, all)| choice(&subject, &all, min_cosine)).collect()
}

fn choice(subject: &Cell, all: &[&Tried], min_cosine: f64) -> Choice {
    let nothing = |says: String| Choice {
        cell: subject.to_string(),
        features: Vec::new(),
        ratio: None,
        lo: None,
        hi: None,
        default_ms: None,
        tuned_ms: None,
        says,
    };
    let Some(default) = all.iter().find(|one| one.is_default()) else {
        return nothing("the default was not run".to_owned());
    };
    if let Err(why) = default.counts(min_cosine) {
        return nothing(why);
    }
    let against = |one: &&Tried| -> Option<(Estimate, Vec<String>, Option<f64>)> {
        let ratio = ratio_in_turn(&default.rounds, &one.rounds)?;
        Some((ratio, one.features.clone(), one.median()))
    };
    let others = all.iter().copied().filter(|one| !one.is_default() && one.counts(min_cosine).is_ok());
    let mut held: Vec<_> = others.filter_map(|one| against(&one)).collect();
    held.sort_by(|a, b| a.0.value.total_cmp(&b.0.value));
    let default_ms = default.median();
    let Some((ratio, features, tuned_ms)) = held.into_iter().next() else {
        return Choice { default_ms, ..nothing("nothing else could be run".to_owned()) };
    };
    let told = Choice {
        ratio: Some(ratio.value),
        lo: ratio.lo,
        hi: ratio.hi,
        default_ms,
        tuned_ms,
        ..nothing(String::new())
    };
    match ratio.hi {
        Some(hi) if hi < 1.0 => Choice { features, says: "faster".to_owned(), ..told },
        Some(_) => {
            let says = format!("no gain shown: the best was {}", features.join(" "));
            Choice { says, ..told }
        }
        None => Choice { says: "too few rounds".to_owned(), ..told },
    }
}

#[cfg(test)]
mod tests {
    use webmatrix_wire::EvidenceGrade;

    use super::*;
    use crate::analyse::comparison::tests::view;

    /// A cell with these features whose inferences take about so long, a little longer in each round, as on a machine that
    /// becomes hot.
    fn tried(features: &[&str], ms: f64, rounds: usize) -> Tried {
        let features: Vec<String> = features.iter().map(|feature| (*feature).to_owned()).collect();
        let profile = crate::plan::profile_of(&features);
        let id = format!("chromium/bert@tiny/webmatrix/webgpu/fp32/{profile}");
        let drift = |round: usize| 1.0 + 0.01 * round as f64;
        let samples = |round| (0..5).map(|i| ms * drift(round) * (1.0 + 0.004 * f64::from(i))).collect();
        Tried {
            cell: id.parse().unwrap_or_else(|error| panic!("{error}")),
            features,
            view: view(&id, EvidenceGrade::Hardware),
            rounds: (0..rounds).map(samples).collect(),
        }
    }

    fn profiles(cells: impl IntoIterator<Item = Cell>) -> Vec<String> {
        let mut profiles: Vec<String> = cells.into_iter().map(|cell| cell.profile).collect();
        profiles.sort();
        profiles
    }

    #[test]
    fn the_slower_half_goes_and_the_default_stays() {
        let all = [
            tried(&[], 10.0, 1),
            tried(&["lanes-128"], 9.0, 1),
            tried(&["lanes-32"], 12.0, 1),
            tried(&["tile-16x16"], 8.0, 1),
            tried(&["tile-4x4"], 20.0, 1),
        ];
        assert_eq!(profiles(survivors(&all, 0.99)), ["default", "lanes-128", "tile-16x16"]);
        let last = finalists(&all, 0.99);
        // The fastest, and the fastest of each kind together; what is slower than the default is in neither.
        assert_eq!(
            profiles(last.iter().map(|(cell, _)| cell.clone())),
            ["default", "lanes-128-tile-16x16", "tile-16x16"]
        );
    }

    #[test]
    fn what_is_not_proven_is_not_chosen() {
        let wrong = |one: Tried| Tried { view: CellView { status: Some(Status::Wrong), ..one.view }, ..one };
        let software =
            |one: Tried| Tried { view: CellView { evidence: EvidenceGrade::Software, ..one.view }, ..one };
        let all = [tried(&[], 10.0, 8), wrong(tried(&["lanes-128"], 1.0, 8))];
        assert!(survivors(&all, 0.99).is_empty());
        let [choice] = &choices(&all, 0.99)[..] else { panic!("one subject") };
        assert_eq!((choice.features.len(), choice.says.as_str()), (0, "nothing else could be run"));
        let all = [software(tried(&[], 10.0, 8)), software(tried(&["lanes-128"], 1.0, 8))];
        let [choice] = &choices(&all, 0.99)[..] else { panic!("one subject") };
        assert_eq!((choice.ratio, choice.says.as_str()), (None, "not measured on hardware"));
    }

    #[test]
    fn a_gain_is_told_when_it_is_shown() {
        let of = |ms| {
            let all = [tried(&[], 10.0, 8), tried(&["lanes-128"], ms, 8)];
            let [choice] = &choices(&all, 0.99)[..] else { panic!("one subject") };
            (choice.features.join(" "), choice.says.clone())
        };
        assert_eq!(of(8.0), ("lanes-128".to_owned(), "faster".to_owned()));
        for same in [10.0, 10.001, 12.0] {
            assert_eq!(
                of(same),
                (String::new(), "no gain shown: the best was lanes-128".to_owned()),
                "{same}"
            );
        }
        let few = [tried(&[], 10.0, 3), tried(&["lanes-128"], 8.0, 3)];
        let [choice] = &choices(&few, 0.99)[..] else { panic!("one subject") };
        assert_eq!((choice.features.len(), choice.says.as_str()), (0, "too few rounds"));
    }
}
