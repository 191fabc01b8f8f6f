//! The matrices of `webmatrix tune`: what can be chosen without changing what is right, and the cells that tell what it is
//! worth.

use std::collections::HashSet;

use webmatrix_wire::{Feature, MOST_THREADS, Precision};

use super::cell::Cell;
use super::chosen::{Chosen, WARMUP};
use super::found::{Found, PlanError};
use super::matrix::{DEFAULT_PROFILE, Profile, RunSettings, profile_of};
use super::planned::{Decision, Plan, PlannedCell};

/// What is to be tuned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuned {
    /// Of which cells.
    pub chosen: Chosen,
    /// Precisions.
    pub precisions: Vec<Precision>,
    /// Features to choose from; without, all that this project knows to make a difference.
    pub features: Option<Vec<String>>,
    /// Cores of this machine.
    pub cores: u32,
    /// Timed inferences each time that a cell is run.
    pub samples: u32,
}

impl Tuned {
    /// The features to choose from.
    pub fn choices(&self) -> Vec<String> {
        if let Some(features) = &self.features {
            return features.clone();
        }
        let threads = [2, 4, 8, 16].into_iter().filter(|threads| *threads <= self.cores.min(MOST_THREADS));
        let features = threads
            .map(|threads| Feature::Threads(Some(threads)))
            .chain([Feature::RelaxedDot, Feature::Subgroups, Feature::ShaderF16])
            .chain(Feature::LANES.map(Feature::Lanes))
            .chain(Feature::TILES.map(Feature::Tile));
        features.map(|feature| feature.to_string()).collect()
    }
}

/// What two features cannot both have: the part of their names before the first hyphen says what kind of choice each is.
pub fn kind(feature: &str) -> &str {
    match feature {
        "shader-f16" => feature,
        _ => feature.split_once('-').map_or(feature, |(kind, _)| kind),
    }
}

/// Plans the cells of these sets of features, of which none is the default, that can be run; and of those without features
/// all, so that it is told why one cannot. Of later rounds, `wanted` says which are left.
///
/// # Errors
/// If a browser or model is named that nobody knows, or no cell is left.
pub fn tuned(
    asked: &Tuned,
    sets: &[Vec<String>],
    wanted: Option<&HashSet<Cell>>,
    found: &[Found],
) -> Result<Plan, PlanError> {
    let run = RunSettings { warmup: WARMUP, samples: asked.samples, retries: 0, ..RunSettings::default() };
    let mut matrix = asked.chosen.matrix("tune", asked.precisions.clone(), run, found);
    matrix.axes.profiles.extend(sets.iter().map(|set| profile_of(set)));
    matrix.profiles = sets.iter().map(|set| (profile_of(set), Profile { features: set.clone() })).collect();
    let mut plan = asked.chosen.plan(&matrix, found)?;
    plan.cells.retain(|planned| match wanted {
        Some(wanted) => wanted.contains(&planned.cell),
        None => planned.decision == Decision::Run || planned.cell.profile == DEFAULT_PROFILE,
    });
    if plan.cells.is_empty() {
        return Err(PlanError::Empty(plan.matrix));
    }
    Ok(plan)
}

/// Adds, beside each cell without features that runs, the one with the features that were chosen for it.
pub fn with_choices(plan: &mut Plan, mut chosen: impl FnMut(&Cell) -> Option<Vec<String>>) {
    let mut cells = Vec::new();
    for planned in std::mem::take(&mut plan.cells) {
        let plain = planned.decision == Decision::Run && planned.cell.profile == DEFAULT_PROFILE;
        let features =
            Some(&planned.cell).filter(|_| plain).and_then(&mut chosen).filter(|set| !set.is_empty());
        cells.push(planned);
        let Some((features, PlannedCell { cell, .. })) = features.zip(cells.last()) else { continue };
        let profile = profile_of(&features);
        let cell = Cell { profile: profile.clone(), ..cell.clone() };
        plan.profiles.insert(profile, features);
        cells.push(PlannedCell { cell, decision: Decision::Run });
    }
    plan.cells = cells;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use webmatrix_wire::Backend;

    use super::*;

    fn found() -> [Found; 1] {
        [Found { label: "chromium".to_owned(), problem: None }]
    }

    fn asked(backends: &[Backend]) -> Tuned {
        Tuned {
            chosen: Chosen {
                models: vec!["bert".to_owned()],
                backends: Some(backends.to_vec()),
                ..Chosen::default()
            },
            precisions: vec![Precision::Fp32],
            cores: 4,
            samples: 5,
            ..Tuned::default()
        }
    }

    fn lines(plan: &Plan) -> String {
        plan.cells.iter().map(|planned| planned.cell.to_string()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn each_choice_stands_beside_none() {
        let asked = asked(&[Backend::Wasm, Backend::WebGpu]);
        let sets: Vec<Vec<String>> = asked.choices().into_iter().map(|choice| vec![choice]).collect();
        let first = tuned(&asked, &sets, None, &found()).unwrap_or_else(|error| panic!("{error}"));
        insta::assert_snapshot!(lines(&first), @r"
        chromium/bert@tiny/webmatrix/wasm/fp32/default
        chromium/bert@tiny/webmatrix/wasm/fp32/threads-2
        chromium/bert@tiny/webmatrix/wasm/fp32/threads-4
        chromium/bert@tiny/webmatrix/webgpu/fp32/default
        chromium/bert@tiny/webmatrix/webgpu/fp32/subgroups
        chromium/bert@tiny/webmatrix/webgpu/fp32/lanes-32
        chromium/bert@tiny/webmatrix/webgpu/fp32/lanes-128
        chromium/bert@tiny/webmatrix/webgpu/fp32/lanes-256
        chromium/bert@tiny/webmatrix/webgpu/fp32/tile-4x4
        chromium/bert@tiny/webmatrix/webgpu/fp32/tile-16x8
        chromium/bert@tiny/webmatrix/webgpu/fp32/tile-8x16
        chromium/bert@tiny/webmatrix/webgpu/fp32/tile-16x16
        chromium/bert@tiny/webmatrix/webgpu/fp32/tile-32x8
        chromium/bert@tiny/webmatrix/webgpu/fp32/tile-128x2
        ");
        let left = HashSet::from([first.cells[0].cell.clone(), first.cells[2].cell.clone()]);
        let next = tuned(&asked, &sets, Some(&left), &found()).unwrap_or_else(|error| panic!("{error}"));
        insta::assert_snapshot!(lines(&next), @r"
        chromium/bert@tiny/webmatrix/wasm/fp32/default
        chromium/bert@tiny/webmatrix/wasm/fp32/threads-4
        ");
    }

    #[test]
    fn choices_of_one_kind_exclude_one_another() {
        let kinds: BTreeSet<String> =
            asked(&[]).choices().iter().map(|choice| kind(choice).to_owned()).collect();
        assert_eq!(
            kinds.into_iter().collect::<Vec<_>>(),
            ["lanes", "relaxed", "shader-f16", "subgroups", "threads", "tile"]
        );
    }

    #[test]
    fn what_was_chosen_stands_beside_the_default() {
        let mut plan = tuned(&asked(&[Backend::Wasm, Backend::WebNn]), &[], None, &found())
            .unwrap_or_else(|error| panic!("{error}"));
        with_choices(&mut plan, |cell| (cell.backend == Backend::Wasm).then(|| vec!["threads-2".to_owned()]));
        insta::assert_snapshot!(lines(&plan), @r"
        chromium/bert@tiny/webmatrix/wasm/fp32/default
        chromium/bert@tiny/webmatrix/wasm/fp32/threads-2
        chromium/bert@tiny/webmatrix/webnn/fp32/default
        ");
        assert_eq!(plan.profiles["threads-2"], ["threads-2"]);
    }
}
