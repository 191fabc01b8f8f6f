//! The matrix of `webmatrix compare`: models at several precisions, on several backends, or with several features, in one run.

use webmatrix_wire::{Feature, Precision, Status};

use super::cell::Cell;
use super::chosen::{Chosen, WARMUP};
use super::found::{Found, PlanError};
use super::matrix::{DEFAULT_PROFILE, Profile, RunSettings};
use super::model::ModelClass;
use super::planned::{Decision, Plan, PlannedCell};

/// What is asked of a comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compared {
    /// What runs of it are called.
    pub name: &'static str,
    /// Of which cells; the order of backends is that in which they are told.
    pub chosen: Chosen,
    /// Precisions. Full precision is added where it is not among them: accuracy is told against it.
    pub precisions: Vec<Precision>,
    /// Classes whose weights are quantised already, and so come at one precision.
    pub packed: Vec<(ModelClass, Precision)>,
    /// Features, each of which is switched on alone, beside cells without any.
    pub features: Vec<String>,
    /// Timed inferences a cell.
    pub samples: u32,
    /// Fewer are enough where the median's 95 % interval is no wider than this part of it.
    pub interval_width: Option<f64>,
    /// Seconds of inferences a cell at most.
    pub time_budget_s: Option<f64>,
    /// Seconds of rest before each try at a cell.
    pub cool_down_s: Option<u32>,
}

/// Seconds that warming up may take at most, each time that a cell is run: a page's engine runs its code in haste at first.
const WARM_UP_S: f64 = 2.0;

/// Plans what is asked.
///
/// # Errors
/// If a browser or model is named that nobody knows, or no cell is left.
pub fn compared(asked: &Compared, found: &[Found]) -> Result<Plan, PlanError> {
    let mut precisions = vec![Precision::Fp32];
    precisions.extend(asked.precisions.iter().filter(|precision| **precision != Precision::Fp32));
    let run = RunSettings {
        warmup: WARMUP,
        samples: asked.samples,
        interval_width: asked.interval_width,
        time_budget_s: asked.time_budget_s,
        warm_up_s: Some(WARM_UP_S),
        cool_down_s: asked.cool_down_s.unwrap_or_default(),
        // What a browser keeps of one cell's module or shaders would be the next one's start, and not every other's alike.
        fresh_browsers: are_of_start(&asked.features),
        ..RunSettings::default()
    };
    let chosen = &asked.chosen;
    let mut matrix = chosen.matrix(asked.name, precisions, run, found);
    for feature in with_opposites(&asked.features) {
        let profile = Profile { features: vec![feature.clone()] };
        if matrix.profiles.insert(feature.clone(), profile).is_none() {
            matrix.axes.profiles.push(feature);
        }
    }
    let mut plan = chosen.plan(&matrix, found)?;
    let comes_at = |class: ModelClass| asked.packed.iter().find(|(packed, _)| *packed == class);
    plan.cells.retain(|planned| {
        let comes = planned.cell.model.class().and_then(comes_at);
        comes.is_none_or(|(_, precision)| planned.cell.precision == *precision)
    });
    if !asked.features.is_empty() {
        beside_features(&mut plan);
    }
    if plan.cells.is_empty() {
        return Err(PlanError::Empty(plan.matrix));
    }
    if let Some(backends) = &chosen.backends {
        // Model by model; the first place is what others are held against: their order is the user's.
        let subject = |cell: &Cell| (cell.model.clone(), cell.size, cell.shape);
        let mut subjects = Vec::new();
        for planned in &plan.cells {
            if !subjects.contains(&subject(&planned.cell)) {
                subjects.push(subject(&planned.cell));
            }
        }
        plan.cells.sort_by_key(|planned| {
            let at = subjects.iter().position(|known| *known == subject(&planned.cell));
            (at, backends.iter().position(|backend| *backend == planned.cell.backend))
        });
    }
    Ok(plan)
}

/// Leaves out what tells nothing of a feature: cells that cannot have it, and those without any that no such cell stands beside.
/// Full precision without features stays: accuracy is told against it.
fn beside_features(plan: &mut Plan) {
    let plain = |cell: &Cell| Cell { profile: DEFAULT_PROFILE.to_owned(), ..cell.clone() };
    let can = |planned: &PlannedCell| {
        !matches!(&planned.decision, Decision::Never { status: Status::NotApplicable, .. })
    };
    plan.cells.retain(|planned| planned.cell.profile == DEFAULT_PROFILE || can(planned));
    let with: Vec<Cell> = plan
        .cells
        .iter()
        .filter(|planned| planned.cell.profile != DEFAULT_PROFILE)
        .map(|planned| plain(&planned.cell))
        .collect();
    plan.cells.retain(|planned| {
        let full = |cell: &Cell| Cell { precision: Precision::Fp32, ..cell.clone() };
        planned.cell.profile != DEFAULT_PROFILE
            || with.iter().any(|cell| planned.cell == *cell || planned.cell == full(cell))
    });
}

/// Whether any of them changes how a model starts, or the build that it starts in.
pub fn are_of_start(features: &[String]) -> bool {
    Feature::all(features).any(|feature| feature.is_of_start())
}

/// Features, each behind the one that stands for its absence, where doing without is not what is usual.
pub fn with_opposites(features: &[String]) -> Vec<String> {
    let mut all = Vec::with_capacity(features.len());
    for name in features {
        all.extend(name.parse::<Feature>().ok().and_then(|feature| Some(feature.opposite()?.to_string())));
        all.push(name.clone());
    }
    all
}

/// What is usual where features are asked for and no precision is: full, and what a feature is of alone.
pub fn precisions_of(features: &[String]) -> Vec<Precision> {
    let half = Feature::all(features).any(|feature| feature == Feature::ShaderF16);
    let bytes = Feature::all(features).any(|feature| feature == Feature::Dp4a);
    let four = Feature::relaxed_dot(features);
    let more =
        [half.then_some(Precision::Fp16), bytes.then_some(Precision::Int8), four.then_some(Precision::Int4)];
    [Precision::Fp32].into_iter().chain(more.into_iter().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use webmatrix_wire::Backend;

    use super::*;
    use crate::plan::model::Size;

    fn chosen(models: &[&str], backends: &[Backend]) -> Chosen {
        let models = models.iter().map(|model| (*model).to_owned()).collect();
        Chosen { models, backends: Some(backends.to_vec()), ..Chosen::default() }
    }

    fn lines(asked: &Compared) -> String {
        let found = [Found { label: "chromium".to_owned(), problem: None }];
        let plan = compared(asked, &found).unwrap_or_else(|error| panic!("{error}"));
        let runs = plan.cells.iter().filter(|planned| planned.decision == Decision::Run);
        runs.map(|planned| planned.cell.to_string()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn full_precision_is_always_there() {
        let asked = Compared {
            name: "compare precisions",
            chosen: chosen(&["bert"], &[Backend::Wasm]),
            precisions: vec![Precision::Fp16, Precision::Int4],
            samples: 5,
            ..Compared::default()
        };
        insta::assert_snapshot!(lines(&asked), @r"
        chromium/bert@tiny/webmatrix/wasm/fp32/default
        chromium/bert@tiny/webmatrix/wasm/fp16/default
        chromium/bert@tiny/webmatrix/wasm/int4/default
        ");
        let bert = "bert".parse().unwrap_or_else(|error| panic!("{error}"));
        let packed = Compared { packed: vec![(bert, Precision::Int4)], ..asked };
        assert_eq!(lines(&packed), "chromium/bert@tiny/webmatrix/wasm/int4/default");
    }

    #[test]
    fn each_feature_stands_alone_beside_none() {
        let asked = Compared {
            name: "compare features",
            chosen: chosen(&["llama", "bert"], &[Backend::Wasm, Backend::WebGpu]),
            precisions: vec![Precision::Fp16],
            features: ["threads", "shader-f16", "kv-int8"].map(str::to_owned).to_vec(),
            samples: 5,
            ..Compared::default()
        };
        insta::assert_snapshot!(lines(&asked), @r"
        chromium/llama@tiny/webmatrix/wasm/fp32/default
        chromium/llama@tiny/webmatrix/wasm/fp32/threads
        chromium/llama@tiny/webmatrix/wasm/fp32/kv-int8
        chromium/llama@tiny/webmatrix/wasm/fp16/default
        chromium/llama@tiny/webmatrix/wasm/fp16/threads
        chromium/llama@tiny/webmatrix/wasm/fp16/kv-int8
        chromium/llama@tiny/webmatrix/webgpu/fp32/default
        chromium/llama@tiny/webmatrix/webgpu/fp32/kv-int8
        chromium/llama@tiny/webmatrix/webgpu/fp16/default
        chromium/llama@tiny/webmatrix/webgpu/fp16/shader-f16
        chromium/llama@tiny/webmatrix/webgpu/fp16/kv-int8
        chromium/bert@tiny/webmatrix/wasm/fp32/default
        chromium/bert@tiny/webmatrix/wasm/fp32/threads
        chromium/bert@tiny/webmatrix/wasm/fp16/default
        chromium/bert@tiny/webmatrix/wasm/fp16/threads
        chromium/bert@tiny/webmatrix/webgpu/fp32/default
        chromium/bert@tiny/webmatrix/webgpu/fp16/default
        chromium/bert@tiny/webmatrix/webgpu/fp16/shader-f16
        ");
        assert_eq!(precisions_of(&asked.features), [Precision::Fp32, Precision::Fp16]);
        assert_eq!(precisions_of(&["threads".to_owned()]), [Precision::Fp32]);
        assert_eq!(precisions_of(&["dp4a".to_owned()]), [Precision::Fp32, Precision::Int8]);
    }

    #[test]
    fn a_feature_that_is_usual_stands_beside_its_absence() {
        let asked = Compared {
            name: "compare features",
            chosen: chosen(&["bert"], &[Backend::Wasm, Backend::WebGpu]),
            precisions: vec![Precision::Fp32],
            features: ["relaxed-simd", "shaders-ahead", "parallel-load"].map(str::to_owned).to_vec(),
            samples: 5,
            ..Compared::default()
        };
        insta::assert_snapshot!(lines(&asked), @r"
        chromium/bert@tiny/webmatrix/wasm/fp32/default
        chromium/bert@tiny/webmatrix/wasm/fp32/simd128
        chromium/bert@tiny/webmatrix/wasm/fp32/relaxed-simd
        chromium/bert@tiny/webmatrix/wasm/fp32/parallel-load
        chromium/bert@tiny/webmatrix/webgpu/fp32/default
        chromium/bert@tiny/webmatrix/webgpu/fp32/shaders-lazy
        chromium/bert@tiny/webmatrix/webgpu/fp32/shaders-ahead
        chromium/bert@tiny/webmatrix/webgpu/fp32/parallel-load
        ");
        let found = [Found { label: "chromium".to_owned(), problem: None }];
        let fresh = |asked: &Compared| compared(asked, &found).is_ok_and(|plan| plan.run.fresh_browsers);
        assert!(fresh(&asked) && !fresh(&Compared { features: vec!["threads".to_owned()], ..asked.clone() }));
        // A twin at full precision is made in the page: there is nothing to load.
        let small = Chosen { sizes: Some(vec![Size::Small]), ..asked.chosen.clone() };
        let alone = Compared { features: vec!["parallel-load".to_owned()], chosen: small, ..asked };
        assert!(matches!(compared(&alone, &found), Err(PlanError::Empty(_))));
        let packed = Compared { precisions: vec![Precision::Int8], ..alone };
        assert!(
            lines(&packed).contains("bert@small/webmatrix/wasm/int8/parallel-load"),
            "{}",
            lines(&packed)
        );
    }

    #[test]
    fn cells_warm_up_until_times_rest_whatever_ends_them() {
        let asked = Compared {
            name: "compare platforms",
            chosen: chosen(&["bert"], &[Backend::NativeCpu]),
            precisions: vec![Precision::Fp32],
            samples: 4,
            ..Compared::default()
        };
        let found = [Found { label: "chromium".to_owned(), problem: None }];
        let until = |asked: &Compared| {
            let plan = compared(asked, &found).unwrap_or_else(|error| panic!("{error}"));
            plan.run.until().map(|until| (until.width, until.budget_ms))
        };
        // Of no such width: all four are taken.
        assert_eq!(until(&asked), Some((0.0, 6_000.0)));
        let auto = Compared { interval_width: Some(0.05), time_budget_s: Some(1.5), ..asked };
        assert_eq!(until(&auto), Some((0.05, 1_500.0)));
    }

    #[test]
    fn platforms_stand_in_the_order_asked_for() {
        let asked = Compared {
            name: "compare platforms",
            chosen: chosen(&["bert", "vit"], &[Backend::NativeCpu, Backend::WebGpu, Backend::Wasm]),
            precisions: vec![Precision::Fp32],
            samples: 5,
            ..Compared::default()
        };
        insta::assert_snapshot!(lines(&asked), @r"
        native/bert@tiny/webmatrix/native-cpu/fp32/default
        chromium/bert@tiny/webmatrix/webgpu/fp32/default
        chromium/bert@tiny/webmatrix/wasm/fp32/default
        native/vit@tiny/webmatrix/native-cpu/fp32/default
        chromium/vit@tiny/webmatrix/webgpu/fp32/default
        chromium/vit@tiny/webmatrix/wasm/fp32/default
        ");
    }
}
