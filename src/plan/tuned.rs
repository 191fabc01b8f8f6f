//! The matrices of `webmatrix tune`: what can be chosen without changing what is right, and the cells that tell what it is
//! worth.

use std::collections::{BTreeSet, HashSet};

use webmatrix_wire::{Backend, Feature, MOST_THREADS, Precision};

use super::cell::Cell;
use super::expand::{Decision, Found, Overrides, Plan, PlanError, PlannedCell, plan};
use super::matrix::{DEFAULT_PROFILE, Profile, RunSettings};
use super::model::{ModelClass, Size};
use super::verification::{labels, of_arguments};

/// What is to be tuned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuned {
    /// Model classes, or `all`.
    pub models: Vec<String>,
    /// Model sizes; without, tiny.
    pub sizes: Option<Vec<Size>>,
    /// Items of an inference.
    pub batches: Option<Vec<u32>>,
    /// Tokens of its text.
    pub sequence_lengths: Option<Vec<u32>>,
    /// Precisions.
    pub precisions: Vec<Precision>,
    /// Browser labels; without, every browser found, and the host where a backend of it is named.
    pub browsers: Option<Vec<String>>,
    /// Backends; without, all that there are.
    pub backends: Option<Vec<Backend>>,
    /// Classes whose weights the user gives.
    pub own_weights: BTreeSet<ModelClass>,
    /// Features to choose from; without, all that this project knows to make a difference.
    pub features: Option<Vec<String>>,
    /// Cores of this machine.
    pub cores: u32,
    /// Timed inferences each time that a cell is run.
    pub samples: u32,
    /// In place of the default seconds for one attempt.
    pub attempt_s: Option<u32>,
    /// In place of the default seconds for everything.
    pub total_s: Option<u32>,
}

/// Inferences before the timed ones.
const WARMUP: u32 = 2;

impl Tuned {
    /// The features to choose from.
    pub fn choices(&self) -> Vec<String> {
        if let Some(features) = &self.features {
            return features.clone();
        }
        let threads = [2, 4, 8, 16].into_iter().filter(|threads| *threads <= self.cores.min(MOST_THREADS));
        let features = threads
            .map(|threads| Feature::Threads(Some(threads)))
            .chain([Feature::Subgroups, Feature::ShaderF16])
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

/// The profile that switches these features on.
pub fn profile_of(features: &[String]) -> String {
    if features.is_empty() { DEFAULT_PROFILE.to_owned() } else { features.join("-") }
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
    let mut matrix = of_arguments("tune", found, asked.models.clone(), asked.precisions.clone(), run);
    matrix.axes.profiles.extend(sets.iter().map(|set| profile_of(set)));
    matrix.profiles = sets.iter().map(|set| (profile_of(set), Profile { features: set.clone() })).collect();
    let overrides = Overrides {
        browsers: Some(labels(asked.browsers.as_deref(), asked.backends.as_deref(), found)),
        sizes: asked.sizes.clone(),
        batches: asked.batches.clone(),
        sequence_lengths: asked.sequence_lengths.clone(),
        backends: asked.backends.clone(),
        own_weights: asked.own_weights.clone(),
        attempt_s: asked.attempt_s,
        total_s: asked.total_s,
        ..Overrides::default()
    };
    let mut plan = plan(&matrix, &overrides, found)?;
    plan.cells.retain(|planned| match wanted {
        Some(wanted) => wanted.contains(&planned.cell),
        None => planned.decision == Decision::Run || planned.cell.profile == DEFAULT_PROFILE,
    });
    if plan.cells.is_empty() {
        return Err(PlanError::Empty(plan.matrix));
    }
    if asked.browsers.is_none() {
        // Nobody asked for these by name: that they cannot be used is a line, not a failure.
        plan.missing.clear();
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
    use super::*;

    fn found() -> [Found; 1] {
        [Found { label: "chromium".to_owned(), problem: None }]
    }

    fn asked(backends: &[Backend]) -> Tuned {
        Tuned {
            models: vec!["bert".to_owned()],
            precisions: vec![Precision::Fp32],
            backends: Some(backends.to_vec()),
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
            ["lanes", "shader-f16", "subgroups", "threads", "tile"]
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
