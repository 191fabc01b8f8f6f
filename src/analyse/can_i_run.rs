//! What an application should choose: of each model, in each browser on each kind of GPU, the backend and precision that is
//! proven there and fastest, with what else is proven and what was tried and is not.

use schemars::JsonSchema;
use serde::Serialize;
use webmatrix_wire::{AdapterFacts, EvidenceGrade, Precision, Status};

use super::dossier::Dossier;
use super::evidence::not_hardware;
use super::exported::{ExportCase, Outcome, Suite, suites};
use super::stats::Estimate;
use super::view::CellView;
use crate::plan::NATIVE;

/// The version of the document: raised when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// The least cosine between outputs at a precision and at full precision with which a choice is offered.
const LEAST: f64 = 0.99;

/// The document.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CanIRun {
    /// 1.
    pub format_version: u32,
    /// How choices are ordered, for people.
    pub rule: String,
    /// Where was measured.
    pub places: Vec<Place>,
}

/// A browser with a kind of GPU.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The browser's label.
    pub browser: String,
    /// Its kind: `chrome edge firefox safari chromium webkitgtk`.
    pub kind: String,
    /// Its version, empty if not known.
    pub version: String,
    /// The operating system, empty if not known.
    pub os: String,
    /// Its WebGPU adapter; null if there was none.
    pub adapter: Option<Adapter>,
    /// Model by model.
    pub models: Vec<Model>,
}

/// A kind of adapter, as `GPUAdapterInfo` tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adapter {
    /// `vendor`.
    pub vendor: String,
    /// `architecture`.
    pub architecture: String,
    /// Whether it is a program, or is not proven to be anything else.
    pub software: bool,
}

/// A model in a place.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its class, or its file's name.
    pub model: String,
    /// Its size, with its inputs' shape where that is not the usual one.
    pub size: String,
    /// What is proven, the best first: the first is the one to choose.
    pub choices: Vec<Choice>,
    /// What was tried and is not to be chosen.
    pub refused: Vec<Refused>,
}

/// A way to run a model that is proven.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// What drives the page.
    pub runtime: String,
    /// The backend.
    pub backend: String,
    /// Of the weights.
    pub precision: String,
    /// The set of features.
    pub profile: String,
    /// What stands behind it: `hardware software cpu`.
    pub evidence: String,
    /// Where the independent answer comes from.
    pub reference: String,
    /// Smallest cosine with that answer over all outputs.
    pub agreement: f64,
    /// Smallest cosine with the outputs at full precision; null at full precision.
    pub accuracy: Option<f64>,
    /// How long an inference takes; null where a time would be of something else.
    pub speed: Option<Speed>,
    /// Why there is no speed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_speed: Option<String>,
    /// The cell.
    pub cell: String,
    /// The run that measured it.
    pub run: String,
}

/// A median of timed inferences.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Speed {
    /// Milliseconds.
    pub median_ms: f64,
    /// The lower end of its 95 % interval; null of fewer than six.
    pub lo_ms: Option<f64>,
    /// The upper end.
    pub hi_ms: Option<f64>,
    /// Inferences.
    pub samples: usize,
}

/// A way to run a model that is not to be chosen.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// What drives the page.
    pub runtime: String,
    /// The backend.
    pub backend: String,
    /// Of the weights.
    pub precision: String,
    /// The set of features.
    pub profile: String,
    /// The status; null without a verdict.
    pub status: Option<String>,
    /// Why not.
    pub reason: String,
    /// The cell.
    pub cell: String,
    /// The run.
    pub run: String,
}

/// What the runs say; of a cell that several measured in one place, the last.
pub fn can_i_run(runs: &[Dossier]) -> CanIRun {
    let mut places: Vec<(Place, Vec<ExportCase<'_>>)> = Vec::new();
    for suite in runs.iter().flat_map(suites).filter(|suite| suite.browser != NATIVE) {
        let found = place(&suite);
        let at = match places.iter().position(|(known, _)| *known == found) {
            Some(at) => at,
            None => {
                places.push((found, Vec::new()));
                places.len() - 1
            }
        };
        for case in suite.cases.into_iter().filter(|case| case.view.is_some()) {
            let cases = &mut places[at].1;
            cases.retain(|known| known.id != case.id);
            cases.push(case);
        }
    }
    let filled = |(place, cases): (Place, Vec<ExportCase<'_>>)| Place { models: models(&cases), ..place };
    CanIRun {
        format_version: VERSION,
        rule: format!(
            "Offered is what passed at once, on the backend named, with outputs of a cosine of {LEAST} at least with \
             those at full precision. The fastest comes first, by its median; of those that are not shown to be slower \
             by their intervals, the one of the highest precision. What has no speed comes last."
        ),
        places: places.into_iter().map(filled).filter(|place| !place.models.is_empty()).collect(),
    }
}

/// Where a suite was measured, without models.
fn place(suite: &Suite<'_>) -> Place {
    let view = &suite.run.view;
    let browser = view.browsers.iter().find(|browser| browser.label == suite.browser);
    let os = view.environment.iter().find(|fact| fact.name == "os");
    let seen = suite.cases.iter().find_map(|case| case.adapter.clone());
    Place {
        browser: suite.browser.to_owned(),
        kind: browser.map(|browser| browser.kind.clone()).unwrap_or_default(),
        version: suite.version.to_owned(),
        os: os.map(|fact| fact.value.clone()).unwrap_or_default(),
        adapter: seen.or_else(|| probed(suite)).map(|facts| Adapter {
            software: not_hardware(&facts).is_some(),
            vendor: facts.vendor,
            architecture: facts.architecture,
        }),
        models: Vec::new(),
    }
}

/// The adapter that the browser's probe found to work.
fn probed(suite: &Suite<'_>) -> Option<AdapterFacts> {
    let of_browser = suite.run.capabilities.iter().filter(|tried| tried.browser == suite.browser);
    of_browser.filter(|tried| tried.area == "webgpu" && tried.usable).find_map(|tried| {
        let facts: serde_json::Value = serde_json::from_str(tried.facts.as_deref()?).ok()?;
        serde_json::from_value(facts.get("adapter")?.clone()).ok()
    })
}

fn models(cases: &[ExportCase<'_>]) -> Vec<Model> {
    let mut models: Vec<Model> = Vec::new();
    let mut candidates: Vec<Vec<Choice>> = Vec::new();
    for (case, view) in cases.iter().filter_map(|case| Some((case, case.view?))) {
        let at = models.iter().position(|known| known.model == view.model && known.size == view.size);
        let at = at.unwrap_or_else(|| {
            let (model, size) = (view.model.clone(), view.size.clone());
            models.push(Model { model, size, choices: Vec::new(), refused: Vec::new() });
            candidates.push(Vec::new());
            models.len() - 1
        });
        match choice(case, view) {
            Ok(choice) => candidates[at].push(choice),
            Err(reason) => models[at].refused.push(refused(view, reason)),
        }
    }
    for (model, candidates) in models.iter_mut().zip(candidates) {
        model.choices = ranked(candidates);
    }
    models
}

/// A cell as a choice, or why it is none.
fn choice(case: &ExportCase<'_>, view: &CellView) -> Result<Choice, String> {
    let words = || case.reason.map_or_else(|| "no verdict".to_owned(), str::to_owned);
    if case.outcome != Outcome::Proven {
        return Err(words());
    }
    if case.flaky {
        return Err("passed only on a retry".to_owned());
    }
    if case.evidence == EvidenceGrade::Fallback {
        return Err(words());
    }
    let agreement = view.agreement.as_ref().ok_or("nothing was compared")?;
    let accuracy = view.accuracy.as_ref().and_then(|accuracy| accuracy.cosine);
    let is_full = view.precision == Precision::Fp32.as_str() || view.runtime != "webmatrix";
    match accuracy {
        None if !is_full => return Err("what its precision costs is not known".to_owned()),
        Some(cosine) if cosine < LEAST => {
            return Err(format!("its precision costs too much: a cosine of {cosine:.4} with full precision"));
        }
        _ => {}
    }
    Ok(Choice {
        runtime: view.runtime.clone(),
        backend: view.backend.clone(),
        precision: view.precision.clone(),
        profile: view.profile.clone(),
        evidence: case.evidence.to_string(),
        reference: agreement.reference.clone(),
        agreement: agreement.cosine,
        accuracy,
        speed: case.speed.ok().map(Speed::from),
        no_speed: case.speed.err().map(str::to_owned),
        cell: view.id.clone(),
        run: view.run.clone(),
    })
}

fn refused(view: &CellView, reason: String) -> Refused {
    Refused {
        runtime: view.runtime.clone(),
        backend: view.backend.clone(),
        precision: view.precision.clone(),
        profile: view.profile.clone(),
        status: view.status.map(|status: Status| status.to_string()),
        reason,
        cell: view.id.clone(),
        run: view.run.clone(),
    }
}

/// The best first.
fn ranked(mut left: Vec<Choice>) -> Vec<Choice> {
    let mut ranked = Vec::with_capacity(left.len());
    let median = |choice: &Choice| choice.speed.map_or(f64::INFINITY, |speed| speed.median_ms);
    left.sort_by(|a, b| median(a).total_cmp(&median(b)));
    while let Some(fastest) = left.first() {
        // Without an interval nothing is shown to be slower.
        let bound = match fastest.speed {
            Some(speed) => speed.hi_ms.unwrap_or(f64::MAX),
            None => f64::INFINITY,
        };
        let not_slower = |choice: &Choice| match choice.speed {
            Some(speed) => speed.lo_ms.unwrap_or(0.0) <= bound,
            None => bound == f64::INFINITY,
        };
        let best =
            (0..left.len()).filter(|at| not_slower(&left[*at])).min_by_key(|at| coarseness(&left[*at]));
        ranked.push(left.remove(best.unwrap_or_default()));
    }
    ranked
}

/// Where a choice's precision stands among the known ones, the highest first.
fn coarseness(choice: &Choice) -> usize {
    let at = Precision::NAMES.iter().position(|name| *name == choice.precision);
    at.unwrap_or(Precision::NAMES.len())
}

impl From<Estimate> for Speed {
    fn from(estimate: Estimate) -> Self {
        let Estimate { value, lo, hi, count } = estimate;
        Self { median_ms: value, lo_ms: lo, hi_ms: hi, samples: count }
    }
}

/// The document's schema, as `pages/can-i-run.schema.json` holds it.
pub fn schema() -> String {
    // A schema is plain JSON: it cannot fail to be written.
    serde_json::to_string_pretty(&schemars::schema_for!(CanIRun)).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// To approve a change: `WEBMATRIX_APPROVE=1 cargo test can_i_run`.
    #[test]
    fn the_schema_file_is_the_generated_one() {
        let path = format!("{}/pages/can-i-run.schema.json", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("WEBMATRIX_APPROVE").is_some() {
            std::fs::write(&path, schema()).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == schema(), "pages/can-i-run.schema.json is stale: run with WEBMATRIX_APPROVE=1");
    }

    fn at(precision: &str, backend: &str, speed: Option<(f64, Option<(f64, f64)>)>) -> Choice {
        Choice {
            runtime: "webmatrix".into(),
            backend: backend.into(),
            precision: precision.into(),
            profile: "default".into(),
            evidence: "hardware".into(),
            reference: "pytorch-golden".into(),
            agreement: 1.0,
            accuracy: None,
            speed: speed.map(|(median_ms, ends)| Speed {
                median_ms,
                lo_ms: ends.map(|ends| ends.0),
                hi_ms: ends.map(|ends| ends.1),
                samples: 10,
            }),
            no_speed: None,
            cell: String::new(),
            run: String::new(),
        }
    }

    fn order(choices: Vec<Choice>) -> String {
        let named = |choice: &Choice| format!("{} {}", choice.precision, choice.backend);
        ranked(choices).iter().map(named).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn the_fastest_comes_first_and_a_precision_is_given_up_only_for_speed_that_is_shown() {
        let clear = vec![
            at("fp32", "wasm", Some((9.0, Some((8.0, 10.0))))),
            at("int4", "webgpu", Some((2.0, Some((1.9, 2.2))))),
            at("fp32", "webgpu", Some((3.0, Some((2.9, 3.2))))),
            at("fp16", "webnn", None),
        ];
        assert_eq!(order(clear), "int4 webgpu, fp32 webgpu, fp32 wasm, fp16 webnn");
        let unclear = vec![
            at("int4", "webgpu", Some((2.0, Some((1.9, 3.0))))),
            at("fp32", "webgpu", Some((2.5, Some((2.4, 3.2))))),
        ];
        assert_eq!(order(unclear), "fp32 webgpu, int4 webgpu");
        let few = vec![at("int8", "wasm", Some((1.0, None))), at("fp32", "wasm", Some((4.0, None)))];
        assert_eq!(order(few), "fp32 wasm, int8 wasm");
        assert_eq!(
            order(vec![at("int4", "webgpu", None), at("fp32", "webgpu", None)]),
            "fp32 webgpu, int4 webgpu"
        );
    }
}
