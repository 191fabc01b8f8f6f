//! `matrices/thresholds.toml`: how much of a cell another backend may do before its evidence says so. Data, read by
//! `analyse`; what a run was judged by stands in its plan.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::CellModel;
use super::model::ModelClass;

/// The thresholds that evidence is graded by. By default there are none: the strictest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// Ops that the host runs in the place of a browser's backend.
    pub host_ops: HostOps,
    /// The same for single classes, by name, in place of it.
    pub models: BTreeMap<String, HostOps>,
}

/// How many ops of an inference the host may run before the evidence is `fallback`: as many as either allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HostOps {
    /// So many.
    pub most: u64,
    /// Such a share of all its ops: at least 0, below 1.
    #[schemars(range(min = 0, max = 1))]
    pub share: f64,
}

impl HostOps {
    /// Whether so many of all may run on the host.
    pub fn allow(&self, host: u64, all: u64) -> bool {
        host <= self.most || (host as f64) <= self.share * all as f64
    }
}

/// The thresholds that the program carries.
const EMBEDDED: &str = include_str!("../../matrices/thresholds.toml");

/// A thresholds file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("thresholds {name}: {reason}")]
pub struct ThresholdsError {
    name: String,
    reason: String,
}

impl Thresholds {
    /// Those that the program carries.
    ///
    /// # Errors
    /// Never: a test reads them.
    pub fn embedded() -> Result<Self, ThresholdsError> {
        Self::parse("thresholds.toml", EMBEDDED)
    }

    /// Reads a thresholds file's text; `name` is what errors call it.
    ///
    /// # Errors
    /// With line and column, or the key.
    pub fn parse(name: &str, text: &str) -> Result<Self, ThresholdsError> {
        let fault = |reason: String| ThresholdsError { name: name.to_owned(), reason };
        let thresholds: Self =
            toml::from_str(text).map_err(|error| fault(error.to_string().trim_end().to_owned()))?;
        let models = thresholds.models.iter().map(|(class, of)| (format!("models.{class}"), of));
        for (key, of) in std::iter::once(("host_ops".to_owned(), &thresholds.host_ops)).chain(models) {
            if !(0.0..1.0).contains(&of.share) {
                return Err(fault(format!("{key}.share: must be at least 0 and below 1, not {}", of.share)));
            }
        }
        for class in thresholds.models.keys() {
            class.parse::<ModelClass>().map_err(|error| fault(format!("models: {error}")))?;
        }
        Ok(thresholds)
    }

    /// What the host may run of a model. A file may be called like a class, and is none.
    pub fn of(&self, model: &CellModel) -> HostOps {
        let of_class = model.class().and_then(|class| self.models.get(class.as_str()));
        of_class.copied().unwrap_or(self.host_ops)
    }

    /// Whether nothing is let pass.
    pub fn is_strict(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Thresholds, String> {
        Thresholds::parse("t.toml", text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_embedded_ones_let_nothing_pass() {
        let embedded = Thresholds::embedded().unwrap_or_else(|error| panic!("{error}"));
        assert!(embedded.is_strict(), "{embedded:?}");
        assert!(embedded.host_ops.allow(0, 10) && !embedded.host_ops.allow(1, 1_000_000));
    }

    #[test]
    fn either_limit_allows() {
        let read = parse("[host_ops]\nmost = 2\nshare = 0.1\n[models.detr]\nmost = 40\n");
        let read = read.unwrap_or_else(|error| panic!("{error}"));
        let class = |name: &str| name.parse::<ModelClass>().unwrap_or_else(|error| panic!("{error}"));
        let [detr, bert] = ["detr", "bert"].map(|name| read.of(&CellModel::Class(class(name))));
        let file = CellModel::File(crate::plan::FileName::of(std::path::Path::new("detr.onnx")));
        assert_eq!(read.of(&file), read.host_ops);
        assert!(bert.allow(2, 4) && bert.allow(5, 50) && !bert.allow(5, 49));
        assert!(detr.allow(40, 41) && !detr.allow(41, 1000));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let errors = [
            "[host_ops]\nmost = -1\n",
            "[host_ops]\nshare = 1.0\n",
            "[host_ops]\nshare = nan\n",
            "[models.bird]\nmost = 1\n",
            "[host-ops]\n",
        ]
        .map(|text| parse(text).err().unwrap_or_default());
        insta::assert_snapshot!(errors.join("\n"), @r#"
        thresholds t.toml: TOML parse error at line 2, column 8
          |
        2 | most = -1
          |        ^^
        invalid value: integer `-1`, expected u64
        thresholds t.toml: host_ops.share: must be at least 0 and below 1, not 1
        thresholds t.toml: host_ops.share: must be at least 0 and below 1, not NaN
        thresholds t.toml: models: unknown model "bird": use one of bert, t5, llama, qwen2, qwen3, clip, vit, clap, whisper, wav2vec2, llava, llava_next, xclip, detr
        thresholds t.toml: TOML parse error at line 1, column 2
          |
        1 | [host-ops]
          |  ^^^^^^^^
        unknown field `host-ops`, expected `host_ops` or `models`
        "#);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,120}") {
            drop(parse(&text));
        }
    }
}
