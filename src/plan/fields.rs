//! What editors offer in the fields of files that people write.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use schemars::{Schema, SchemaGenerator, json_schema};
use webmatrix_wire::{Backend, Precision};

use super::axis::BrowserKind;
use super::model::{MODEL_NAMES, MODELS, ModelInfo, Runtime, Size};
use super::shape::{BATCHES, SEQUENCE_LENGTHS};

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
