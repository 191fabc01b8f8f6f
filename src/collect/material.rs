//! What a page needs to run a cell, and what its files are called.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use webmatrix_wire::ModelSource;

use super::packed::Packed;
use crate::serve::Files;

/// What the answer is called that a person gave with the model.
pub const GIVEN: &str = "given";

pub(super) const CONFIG: &str = "config.json";
pub(super) const PREPROCESSOR: &str = "preprocessor_config.json";
pub(super) const WEIGHTS: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";
pub(super) const INPUTS: &str = "inputs.safetensors";
pub(super) const EXPECTED: &str = "expected.safetensors";

/// What a page needs to run a cell.
#[derive(Clone, Debug)]
pub(super) struct Material {
    pub(super) model: ModelSource,
    pub(super) files: Files,
    /// Where its tokenizer and vocabulary would lie; none if the model is in no folder.
    pub(super) folder: Option<PathBuf>,
    /// Heights and widths of the pictures that a person gave.
    pub(super) sizes: Vec<[usize; 2]>,
    /// The answer that comes with the model, if one does.
    pub(super) expected: Option<(&'static str, Bytes)>,
    /// How many tokens that answer generates; none if no answer comes.
    pub(super) new_tokens: Option<u32>,
    /// What is known of weights that are quantised already; none if they are as they were trained.
    pub(super) packed: Option<Arc<Packed>>,
}

pub(super) fn files_source(preprocessor: Option<String>, weights: Vec<String>) -> ModelSource {
    ModelSource::Files { config: CONFIG.to_owned(), preprocessor, weights, inputs: INPUTS.to_owned() }
}
