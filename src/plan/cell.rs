//! One point of the matrix, and its id.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use webmatrix_wire::{Backend, Precision, UnknownName};

use super::file::CellModel;
use super::label::is_label;
use super::model::{Runtime, Size};
use super::shape::Shape;

/// The label of the host itself, where a browser's would stand.
pub const NATIVE: &str = "native";

/// One point of the matrix. As text it is its id:
/// `browser/model@size/runtime/backend/precision/profile`, with the [`Shape`], if it has one, behind the size. The size
/// of a model that is a file is `file`, and its runtime is not ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cell {
    /// The browser's label, or [`NATIVE`].
    pub browser: String,
    /// The model.
    pub model: CellModel,
    /// How large the model is.
    pub size: Size,
    /// What its inputs are in place of the usual ones.
    pub shape: Shape,
    /// What drives the page.
    pub runtime: Runtime,
    /// What executes the graph.
    pub backend: Backend,
    /// Precision of the weights.
    pub precision: Precision,
    /// The named set of features.
    pub profile: String,
}

impl Cell {
    /// Whether the cell is the host's rather than a browser's.
    pub fn is_native(&self) -> bool {
        self.browser == NATIVE
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { browser, model, size, shape, runtime, backend, precision, profile } = self;
        write!(f, "{browser}/{model}@{size}{shape}/{runtime}/{backend}/{precision}/{profile}")
    }
}

/// Text that is no cell's id.
#[derive(Debug, thiserror::Error)]
pub enum CellError {
    /// The parts are not there.
    #[error("{0:?} is not a cell id: write browser/model@size/runtime/backend/precision/profile")]
    Shape(String),
    /// A part is in none of its axis's names.
    #[error(transparent)]
    Name(#[from] UnknownName),
}

impl FromStr for Cell {
    type Err = CellError;

    fn from_str(text: &str) -> Result<Self, CellError> {
        let shape = || CellError::Shape(text.to_owned());
        let parts: Vec<&str> = text.split('/').collect();
        let [browser, model, runtime, backend, precision, profile] = parts[..] else { return Err(shape()) };
        let (model, size) = model.split_once('@').ok_or_else(shape)?;
        let (size, inputs) = size.split_at(size.find('+').unwrap_or(size.len()));
        if !is_label(browser) || !is_label(profile) {
            return Err(shape());
        }
        let runtime: Runtime = runtime.parse()?;
        let (model, size) = match (size, runtime) {
            ("file", Runtime::OrtWeb) if inputs.is_empty() => {
                (CellModel::File(model.parse().map_err(|_| shape())?), Size::File)
            }
            ("file", _) => return Err(shape()),
            _ => (CellModel::Class(model.parse()?), size.parse()?),
        };
        Ok(Self {
            browser: browser.to_owned(),
            model,
            size,
            shape: inputs.parse().map_err(|()| shape())?,
            runtime,
            backend: backend.parse()?,
            precision: precision.parse()?,
            profile: profile.to_owned(),
        })
    }
}

impl TryFrom<String> for Cell {
    type Error = CellError;

    fn try_from(text: String) -> Result<Self, CellError> {
        text.parse()
    }
}

impl From<Cell> for String {
    fn from(cell: Cell) -> Self {
        cell.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::plan::ModelClass;

    prop_compose! {
        fn any_cell()(
            browser in "[a-z0-9][a-z0-9._-]{0,12}",
            model in select(ModelClass::all().collect::<Vec<_>>()),
            file in proptest::option::of("[a-z0-9][a-z0-9._-]{0,40}"),
            size in select(Size::ALL.to_vec()),
            batch in proptest::option::of(1_u32..100),
            tokens in proptest::option::of(1_u32..1000),
            backend in select(Backend::ALL),
            precision in select(Precision::ALL),
            profile in "[a-z0-9][a-z0-9._-]{0,12}",
        ) -> Cell {
            let (model, size, shape, runtime) = match file.map(|name| name.parse()) {
                Some(Ok(name)) => (CellModel::File(name), Size::File, Shape::default(), Runtime::OrtWeb),
                _ => (CellModel::Class(model), size, Shape { batch, tokens }, Runtime::WebMatrix),
            };
            Cell { browser, model, size, shape, runtime, backend, precision, profile }
        }
    }

    proptest! {
        #[test]
        fn ids_read_back(cell in any_cell()) {
            prop_assert_eq!(cell.to_string().parse::<Cell>().map_err(|e| e.to_string()), Ok(cell));
        }

        #[test]
        fn no_text_panics(text in ".{0,80}") {
            drop(text.parse::<Cell>());
        }
    }

    #[test]
    fn what_is_no_id_says_why() {
        let errors: Vec<String> = [
            "chromium/bert",
            "chromium/bert@huge/webmatrix/wasm/fp32/default",
            "chromium/bert@tiny+b0/webmatrix/wasm/fp32/default",
            "chromium/bird@tiny/webmatrix/wasm/fp32/default",
            "../x/bert@tiny/webmatrix/wasm/fp32/default",
            "chromium/bert@file/webmatrix/wasm/fp32/default",
            "chromium/..@file/ort-web/wasm/fp32/default",
            "chromium/bert@file+b2/ort-web/wasm/fp32/default",
        ]
        .iter()
        .filter_map(|text| text.parse::<Cell>().err().map(|error| error.to_string()))
        .collect();
        insta::assert_snapshot!(errors.join("\n"), @r#"
        "chromium/bert" is not a cell id: write browser/model@size/runtime/backend/precision/profile
        unknown size "huge": use one of tiny, small, base, own
        "chromium/bert@tiny+b0/webmatrix/wasm/fp32/default" is not a cell id: write browser/model@size/runtime/backend/precision/profile
        unknown model "bird": use one of bert, t5, llama, qwen2, qwen3, clip, vit, clap, whisper, wav2vec2, llava, llava_next, xclip, detr
        "../x/bert@tiny/webmatrix/wasm/fp32/default" is not a cell id: write browser/model@size/runtime/backend/precision/profile
        "chromium/bert@file/webmatrix/wasm/fp32/default" is not a cell id: write browser/model@size/runtime/backend/precision/profile
        "chromium/..@file/ort-web/wasm/fp32/default" is not a cell id: write browser/model@size/runtime/backend/precision/profile
        "chromium/bert@file+b2/ort-web/wasm/fp32/default" is not a cell id: write browser/model@size/runtime/backend/precision/profile
        "#);
    }
}
