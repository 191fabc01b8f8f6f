//! Matrix files: what to measure, as a person writes it down.
//!
//! The types here are the file format; `matrices/README.md` describes it and
//! `matrices/matrix.schema.json` is generated from them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use webmatrix_wire::{Backend, Precision, Until};

use super::fields;
use super::generation::Generation;
use super::label::is_label;
use super::model::{ModelClass, Runtime, Size};
use super::shape::{BATCHES, SEQUENCE_LENGTHS};

/// A matrix file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// What runs of this matrix are called.
    pub name: String,
    /// What the matrix is for, in a sentence.
    #[serde(default)]
    pub description: String,
    /// The cells' axes: every combination is a cell.
    pub axes: Axes,
    /// Further blocks of cells. An axis that a block leaves out is taken from `axes`.
    #[serde(default)]
    pub include: Vec<Include>,
    /// Cells left out (status `skipped`), each with its reason.
    #[serde(default)]
    pub exclude: Vec<Exclude>,
    /// How each cell is run.
    #[serde(default)]
    pub run: RunSettings,
    /// How classes that generate go on.
    #[serde(default)]
    pub generation: Generation,
    /// How long things may take.
    #[serde(default)]
    pub deadlines: Deadlines,
    /// The named sets of features that `axes.profiles` may use; `default` has none and is always there.
    #[serde(default)]
    pub profiles: BTreeMap<String, Profile>,
}

/// The axes of a matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Axes {
    /// Browser labels; `all` stands for every known browser and every labelled one.
    pub browsers: Vec<String>,
    /// Model classes; `all` stands for every one.
    #[schemars(schema_with = "fields::models")]
    pub models: Vec<String>,
    /// Model sizes.
    #[serde(default = "defaults::sizes")]
    #[schemars(schema_with = "fields::sizes")]
    pub sizes: Vec<Size>,
    /// Items of an inference; none for the usual number, which cells then do not name.
    #[serde(default)]
    #[schemars(schema_with = "fields::batches")]
    pub batches: Vec<u32>,
    /// Tokens of its text; none for the usual length, which cells then do not name.
    #[serde(default)]
    #[schemars(schema_with = "fields::sequence_lengths")]
    pub sequence_lengths: Vec<u32>,
    /// What drives the page.
    #[serde(default = "defaults::runtimes")]
    #[schemars(schema_with = "fields::runtimes")]
    pub runtimes: Vec<Runtime>,
    /// What executes the graph.
    #[schemars(schema_with = "fields::backends")]
    pub backends: Vec<Backend>,
    /// Precisions of the weights.
    #[serde(default = "defaults::precisions")]
    #[schemars(schema_with = "fields::precisions")]
    pub precisions: Vec<Precision>,
    /// Names of profiles.
    #[serde(default = "defaults::profiles")]
    pub profiles: Vec<String>,
}

/// A further block of cells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Include {
    /// Why the block is there.
    pub reason: String,
    /// In place of `axes.browsers`.
    pub browsers: Option<Vec<String>>,
    /// In place of `axes.models`.
    #[schemars(schema_with = "fields::models")]
    pub models: Option<Vec<String>>,
    /// In place of `axes.sizes`.
    #[schemars(schema_with = "fields::sizes")]
    pub sizes: Option<Vec<Size>>,
    /// In place of `axes.batches`.
    #[schemars(schema_with = "fields::batches")]
    pub batches: Option<Vec<u32>>,
    /// In place of `axes.sequence_lengths`.
    #[schemars(schema_with = "fields::sequence_lengths")]
    pub sequence_lengths: Option<Vec<u32>>,
    /// In place of `axes.backends`.
    #[schemars(schema_with = "fields::backends")]
    pub backends: Option<Vec<Backend>>,
    /// In place of `axes.precisions`.
    #[schemars(schema_with = "fields::precisions")]
    pub precisions: Option<Vec<Precision>>,
    /// In place of `axes.profiles`.
    pub profiles: Option<Vec<String>>,
}

/// Cells to leave out: those that match every axis given here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exclude {
    /// Why they are left out; shown in every report.
    pub reason: String,
    /// Browser labels.
    pub browsers: Option<Vec<String>>,
    /// Model classes.
    #[schemars(schema_with = "fields::models")]
    pub models: Option<Vec<ModelClass>>,
    /// Model sizes.
    #[schemars(schema_with = "fields::sizes")]
    pub sizes: Option<Vec<Size>>,
    /// Items of an inference; the usual number is none of them.
    #[schemars(schema_with = "fields::batches")]
    pub batches: Option<Vec<u32>>,
    /// Tokens of its text; the usual length is none of them.
    #[schemars(schema_with = "fields::sequence_lengths")]
    pub sequence_lengths: Option<Vec<u32>>,
    /// Backends.
    #[schemars(schema_with = "fields::backends")]
    pub backends: Option<Vec<Backend>>,
    /// Precisions.
    #[schemars(schema_with = "fields::precisions")]
    pub precisions: Option<Vec<Precision>>,
    /// Profiles.
    pub profiles: Option<Vec<String>>,
}

/// How each cell is run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RunSettings {
    /// Inferences before the timed ones.
    #[schemars(range(max = 1000))]
    pub warmup: u32,
    /// Timed inferences; where `interval_width` or `time_budget_s` is given, at most.
    #[schemars(range(min = 1, max = 10000))]
    pub samples: u32,
    /// Further tries, each in a fresh browser, after an unexpected result.
    #[schemars(range(max = 10))]
    pub retries: u32,
    /// The seed of twins' weights and inputs.
    pub seed: u64,
    /// Bytes that a backend may hold of a model: of the precisions of a cell, only the first that keeps within them is run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<u64>,
    /// Inferences go on until the median's 95 % interval is no wider than this part of it, after warming up until times rest.
    #[schemars(range(min = 0, max = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_width: Option<f64>,
    /// Seconds of inferences of a cell at most, warm-ups included; a cell is timed once at least.
    #[schemars(range(min = 0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_budget_s: Option<f64>,
    /// Warming up goes on until times rest, for 0.3 s at least and so many seconds at most, and all samples are taken. With
    /// `interval_width` or `time_budget_s`, a third of the budget is for it.
    #[schemars(range(min = 0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_up_s: Option<f64>,
    /// Seconds of rest before each try at a cell.
    #[schemars(range(max = 3600))]
    #[serde(skip_serializing_if = "is_none")]
    pub cool_down_s: u32,
    /// Whether each try has a browser of its own: what browsers keep of modules and shaders makes the next page's start shorter.
    #[serde(skip_serializing_if = "is_no")]
    pub fresh_browsers: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_no(is: &bool) -> bool {
    !*is
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_none(seconds: &u32) -> bool {
    *seconds == 0
}

/// The width of an interval, where only a time is given.
const WIDTH: f64 = 0.05;
/// Seconds of inferences, where only a width is given.
const BUDGET_S: f64 = 10.0;

impl RunSettings {
    /// When fewer inferences than `samples` are enough, and warming up goes on until times rest; none where the numbers alone
    /// say how often. No interval is of width 0: then all samples are taken.
    pub fn until(&self) -> Option<Until> {
        let ends = self.interval_width.is_some() || self.time_budget_s.is_some();
        let of = |width: f64, seconds: f64| Until { width, budget_ms: 1000.0 * seconds };
        if ends {
            return Some(of(self.interval_width.unwrap_or(WIDTH), self.time_budget_s.unwrap_or(BUDGET_S)));
        }
        // A third of the budget is what warming up may take.
        self.warm_up_s.map(|seconds| of(0.0, 3.0 * seconds))
    }
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            warmup: 1,
            samples: 10,
            retries: 1,
            seed: 7,
            memory_limit: None,
            interval_width: None,
            time_budget_s: None,
            warm_up_s: None,
            cool_down_s: 0,
            fresh_browsers: false,
        }
    }
}

/// How long things may take, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Deadlines {
    /// One try at a cell, from page load to its last message.
    #[schemars(range(min = 1))]
    pub attempt_s: u32,
    /// The probe of a browser.
    #[schemars(range(min = 1))]
    pub probe_s: u32,
    /// Everything. Cells not reached are `skipped`.
    #[schemars(range(min = 1))]
    pub total_s: u32,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { attempt_s: 120, probe_s: 60, total_s: 3600 }
    }
}

/// The profile that needs no name.
pub const DEFAULT_PROFILE: &str = "default";

/// The profile that switches these features on.
pub fn profile_of(features: &[String]) -> String {
    if features.is_empty() { DEFAULT_PROFILE.to_owned() } else { features.join("-") }
}

/// A named set of features.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Names of features, such as `compute-shaders`.
    pub features: Vec<String>,
}

mod defaults {
    use super::{Precision, Runtime, Size};

    pub(super) fn sizes() -> Vec<Size> {
        vec![Size::Tiny]
    }

    pub(super) fn runtimes() -> Vec<Runtime> {
        vec![Runtime::WebMatrix]
    }

    pub(super) fn precisions() -> Vec<Precision> {
        vec![Precision::Fp32]
    }

    pub(super) fn profiles() -> Vec<String> {
        vec![super::DEFAULT_PROFILE.to_owned()]
    }
}

/// The matrices that the program carries.
pub const EMBEDDED: &[(&str, &str)] = &[
    ("quick", include_str!("../../matrices/quick.toml")),
    ("nightly", include_str!("../../matrices/nightly.toml")),
    ("full", include_str!("../../matrices/full.toml")),
];

/// A matrix file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    /// Not TOML, or not a matrix; the text has line and column.
    #[error("matrix {name}: {text}")]
    Syntax {
        /// The file or embedded name.
        name: String,
        /// Where and what.
        text: String,
    },
    /// TOML of the right shape that means nothing.
    #[error("matrix {name}: {field}: {reason}")]
    Meaning {
        /// The file or embedded name.
        name: String,
        /// The key.
        field: String,
        /// What is wrong with its value.
        reason: String,
    },
}

/// Reads a matrix file's text; `name` is what errors call it.
pub fn parse(name: &str, text: &str) -> Result<Matrix, MatrixError> {
    let matrix: Matrix = toml::from_str(text).map_err(|error| MatrixError::Syntax {
        name: name.to_owned(),
        text: error.to_string().trim_end().to_owned(),
    })?;
    matrix.check().map_err(|(field, reason)| MatrixError::Meaning {
        name: name.to_owned(),
        field,
        reason,
    })?;
    Ok(matrix)
}

impl Matrix {
    /// The features of a profile; `default` has none unless the file says otherwise.
    pub fn features(&self, profile: &str) -> &[String] {
        self.profiles.get(profile).map_or(&[], |profile| &profile.features)
    }

    /// What the types cannot say.
    fn check(&self) -> Result<(), (String, String)> {
        let refuse = |field: &str, reason: String| Err((field.to_owned(), reason));
        if !is_label(&self.name) {
            return refuse("name", "use lower-case letters, digits, '-', '.' and '_'".to_owned());
        }
        let blocks = std::iter::once(("axes".to_owned(), &self.axes.browsers, &self.axes.models)).chain(
            self.include.iter().enumerate().map(|(at, include)| {
                let browsers = include.browsers.as_ref().unwrap_or(&self.axes.browsers);
                (format!("include[{at}]"), browsers, include.models.as_ref().unwrap_or(&self.axes.models))
            }),
        );
        for (block, browsers, models) in blocks {
            if let Some(bad) = browsers.iter().find(|label| !is_label(label)) {
                return refuse(&format!("{block}.browsers"), format!("{bad:?} cannot be a label"));
            }
            for model in models.iter().filter(|model| *model != "all") {
                if let Err(error) = model.parse::<ModelClass>() {
                    return refuse(&format!("{block}.models"), error.to_string());
                }
            }
        }
        let used =
            self.axes.profiles.iter().chain(self.include.iter().flat_map(|i| i.profiles.iter().flatten()));
        for profile in used {
            if profile != DEFAULT_PROFILE && !self.profiles.contains_key(profile) {
                return refuse(
                    "profiles",
                    format!("{profile:?} is used but not defined: add [profiles.{profile}]"),
                );
            }
        }
        let blocks = std::iter::once(("axes".to_owned(), &self.axes.batches, &self.axes.sequence_lengths))
            .chain(self.include.iter().enumerate().map(|(at, include)| {
                let batches = include.batches.as_ref().unwrap_or(&self.axes.batches);
                let lengths = include.sequence_lengths.as_ref().unwrap_or(&self.axes.sequence_lengths);
                (format!("include[{at}]"), batches, lengths)
            }));
        for (block, batches, lengths) in blocks {
            for (axis, values, known) in
                [("batches", batches, BATCHES), ("sequence_lengths", lengths, SEQUENCE_LENGTHS)]
            {
                if let Some(bad) = values.iter().find(|value| !known.contains(value)) {
                    let reason = format!("{bad} is not within {} to {}", known.start(), known.end());
                    return refuse(&format!("{block}.{axis}"), reason);
                }
            }
        }
        if let Err((field, reason)) = self.generation.check() {
            return refuse(&format!("generation.{field}"), reason);
        }
        if let Some(width) = self.run.interval_width.filter(|width| !(*width > 0.0 && *width < 1.0)) {
            return refuse("run.interval_width", format!("must be above 0 and below 1, not {width}"));
        }
        if let Some(seconds) =
            self.run.time_budget_s.filter(|seconds| !(*seconds > 0.0 && seconds.is_finite()))
        {
            return refuse("run.time_budget_s", format!("must be above 0, not {seconds}"));
        }
        if let Some(seconds) = self.run.warm_up_s.filter(|seconds| !(*seconds > 0.0 && seconds.is_finite())) {
            return refuse("run.warm_up_s", format!("must be above 0, not {seconds}"));
        }
        for (field, value) in [
            ("run.samples", self.run.samples),
            ("deadlines.attempt_s", self.deadlines.attempt_s),
            ("deadlines.probe_s", self.deadlines.probe_s),
            ("deadlines.total_s", self.deadlines.total_s),
        ] {
            if value == 0 {
                return refuse(field, "must be at least 1".to_owned());
            }
        }
        if let Some(exclude) = self.exclude.iter().find(|exclude| exclude.reason.trim().is_empty()) {
            return refuse("exclude.reason", format!("say why {exclude:?} is left out"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse("m.toml", text).err().map(|error| error.to_string()).unwrap_or_default()
    }

    const GOOD: &str =
        "name = \"m\"\n[axes]\nbrowsers = [\"all\"]\nmodels = [\"bert\"]\nbackends = [\"wasm\"]\n";

    #[test]
    fn the_embedded_matrices_are_good() {
        for (name, text) in EMBEDDED {
            let matrix = parse(name, text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(matrix.name, *name);
        }
    }

    #[test]
    fn defaults_are_filled_in() {
        let matrix = parse("m", GOOD).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(matrix.axes.sizes, [Size::Tiny]);
        assert_eq!(matrix.axes.profiles, ["default"]);
        assert_eq!(matrix.run.samples, 10);
    }

    #[test]
    fn unknown_keys_are_told_with_line_and_column() {
        insta::assert_snapshot!(error(&GOOD.replace("models", "modles")), @r#"
        matrix m.toml: TOML parse error at line 4, column 1
          |
        4 | modles = ["bert"]
          | ^^^^^^
        unknown field `modles`, expected one of `browsers`, `models`, `sizes`, `batches`, `sequence_lengths`, `runtimes`, `backends`, `precisions`, `profiles`
        "#);
        insta::assert_snapshot!(error(&format!("{GOOD}[run]\nsample = 3\n")), @r"
        matrix m.toml: TOML parse error at line 7, column 1
          |
        7 | sample = 3
          | ^^^^^^
        unknown field `sample`, expected one of `warmup`, `samples`, `retries`, `seed`, `memory_limit`, `interval_width`, `time_budget_s`, `warm_up_s`, `cool_down_s`, `fresh_browsers`
        ");
        insta::assert_snapshot!(error(&GOOD.replace("wasm", "gpu")), @r#"
        matrix m.toml: TOML parse error at line 5, column 13
          |
        5 | backends = ["gpu"]
          |             ^^^^^
        unknown variant `gpu`, expected one of `wasm`, `webgpu`, `webnn`, `native-cpu`, `native-gpu`
        "#);
    }

    #[test]
    fn values_without_meaning_are_told() {
        insta::assert_snapshot!(error(&GOOD.replace("bert", "bird")), @r#"matrix m.toml: axes.models: unknown model "bird": use one of bert, t5, llama, qwen2, qwen3, clip, vit, clap, whisper, wav2vec2, llava, llava_next, xclip, detr"#);
        insta::assert_snapshot!(error(&format!("{GOOD}profiles = [\"fast\"]\n")), @r#"matrix m.toml: profiles: "fast" is used but not defined: add [profiles.fast]"#);
        insta::assert_snapshot!(error(&format!("{GOOD}[run]\nsamples = 0\n")), @"matrix m.toml: run.samples: must be at least 1");
        insta::assert_snapshot!(error(&format!("{GOOD}batches = [4, 0]\n")), @"matrix m.toml: axes.batches: 0 is not within 1 to 1024");
        insta::assert_snapshot!(error(&format!("{GOOD}[[include]]\nreason = \"r\"\nsequence_lengths = [9000000]\n")), @"matrix m.toml: include[0].sequence_lengths: 9000000 is not within 1 to 1000000");
        insta::assert_snapshot!(error(&format!("{GOOD}[generation]\ntemperature = -1\n")), @"matrix m.toml: generation.temperature: must be above 0 and at most 100; leave it out for the likeliest token each time");
    }
}
