//! The JSON schemas of the files that people write: what an editor completes and checks against.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use schemars::{Schema, SchemaGenerator, json_schema};
use webmatrix_wire::{Backend, Precision};

use super::axis::BrowserKind;
use super::claims::Claims;
use super::gate::GateRules;
use super::matrix::{BATCHES, Matrix, SEQUENCE_LENGTHS};
use super::model::{MODEL_NAMES, MODELS, ModelInfo, Runtime, Size};
use super::thresholds::Thresholds;

/// The schema of matrix files, as `matrices/matrix.schema.json` holds it.
pub fn matrix_schema() -> String {
    text(&schemars::schema_for!(Matrix))
}

/// The schema of thresholds, as `matrices/thresholds.schema.json` holds it.
pub fn thresholds_schema() -> String {
    text(&schemars::schema_for!(Thresholds))
}

/// The schema of the gate's rules, as `matrices/gate.schema.json` holds it.
pub fn gate_schema() -> String {
    text(&schemars::schema_for!(GateRules))
}

/// The schema of the ledger of claims, as `matrices/claims.schema.json` holds it.
pub fn claims_schema() -> String {
    text(&schemars::schema_for!(Claims))
}

fn text(schema: &Schema) -> String {
    // A schema is plain JSON: it cannot fail to be written.
    let mut text = serde_json::to_string_pretty(schema).unwrap_or_default();
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

pub(super) fn backend(_: &mut SchemaGenerator) -> Schema {
    one_of(Backend::NAMES)
}

pub(super) fn precision(_: &mut SchemaGenerator) -> Schema {
    one_of(Precision::NAMES)
}

fn one_of(known: &[&str]) -> Schema {
    json_schema!({ "enum": known })
}

pub(super) fn browser_kinds(_: &mut SchemaGenerator) -> Schema {
    names(&BrowserKind::ALL.map(BrowserKind::as_str))
}

pub(super) fn classes(_: &mut SchemaGenerator) -> Schema {
    names(MODEL_NAMES)
}

pub(super) fn takes(_: &mut SchemaGenerator) -> Schema {
    let known: BTreeSet<&str> = MODELS.iter().flat_map(ModelInfo::takes).collect();
    names(&Vec::from_iter(known))
}

pub(super) fn sizes(_: &mut SchemaGenerator) -> Schema {
    names(Size::NAMES)
}

pub(super) fn batches(_: &mut SchemaGenerator) -> Schema {
    numbers(&BATCHES)
}

pub(super) fn sequence_lengths(_: &mut SchemaGenerator) -> Schema {
    numbers(&SEQUENCE_LENGTHS)
}

fn numbers(known: &RangeInclusive<u32>) -> Schema {
    let (least, most) = (known.start(), known.end());
    json_schema!({ "type": "array", "items": { "type": "integer", "minimum": least, "maximum": most } })
}

pub(super) fn runtimes(_: &mut SchemaGenerator) -> Schema {
    names(Runtime::NAMES)
}

pub(super) fn models(_: &mut SchemaGenerator) -> Schema {
    names(&[&["all"], MODEL_NAMES].concat())
}

#[cfg(test)]
mod tests {
    /// To approve a change: `WEBMATRIX_APPROVE=1 cargo test schema_files`.
    #[test]
    fn schema_files_are_the_generated_ones() {
        for (file, schema) in [
            ("matrix.schema.json", super::matrix_schema()),
            ("thresholds.schema.json", super::thresholds_schema()),
            ("gate.schema.json", super::gate_schema()),
            ("claims.schema.json", super::claims_schema()),
        ] {
            let path = format!("{}/matrices/{file}", env!("CARGO_MANIFEST_DIR"));
            if std::env::var_os("WEBMATRIX_APPROVE").is_some() {
                std::fs::write(&path, &schema).unwrap_or_else(|error| panic!("{path}: {error}"));
            }
            let kept = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(kept == schema, "matrices/{file} is stale: run with WEBMATRIX_APPROVE=1");
        }
    }
}
