//! The JSON schema of matrix files: what an editor completes and checks against.

use schemars::{Schema, SchemaGenerator, json_schema};
use webmatrix_wire::{Backend, Precision};

use super::matrix::Matrix;
use super::model::{MODEL_NAMES, Runtime, Size};

/// The schema, as `matrices/matrix.schema.json` holds it.
pub fn matrix_schema() -> String {
    let schema = schemars::schema_for!(Matrix);
    // A schema is plain JSON: it cannot fail to be written.
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

fn names(known: &[&str]) -> Schema {
    json_schema!({ "type": "array", "items": { "enum": known } })
}

pub(super) fn backends(_: &mut SchemaGenerator) -> Schema {
    names(Backend::NAMES)
}

pub(super) fn precisions(_: &mut SchemaGenerator) -> Schema {
    names(Precision::NAMES)
}

pub(super) fn sizes(_: &mut SchemaGenerator) -> Schema {
    names(Size::NAMES)
}

pub(super) fn runtimes(_: &mut SchemaGenerator) -> Schema {
    names(Runtime::NAMES)
}

pub(super) fn models(_: &mut SchemaGenerator) -> Schema {
    names(&[&["all"], MODEL_NAMES].concat())
}

#[cfg(test)]
mod tests {
    /// To approve a change: `WEBMATRIX_APPROVE=1 cargo test schema_file`.
    #[test]
    fn schema_file_is_the_generated_one() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/matrices/matrix.schema.json");
        let schema = super::matrix_schema();
        if std::env::var_os("WEBMATRIX_APPROVE").is_some() {
            std::fs::write(file, &schema).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
        let kept = std::fs::read_to_string(file).unwrap_or_default();
        assert!(kept == schema, "matrices/matrix.schema.json is stale: run with WEBMATRIX_APPROVE=1");
    }
}
