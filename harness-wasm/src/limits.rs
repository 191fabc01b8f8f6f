//! What `opSupportLimits()` says, and what a graph's ops make of it.

use std::collections::BTreeMap;

use js_sys::{Array, Object};
use wasm_bindgen::{JsCast, JsValue};
use webmatrix_engine::backend::Refusal;
use webmatrix_engine::backend::webnn::{self, ElementType};
use webmatrix_engine::ir::{Graph, Node, Source};
use webmatrix_engine::ops::Op;
use webmatrix_wire::{Feature, OpSupport};

use crate::sys::get;

/// Why a context refuses a node: its limits lack the op or the element type, or a feature asks for the host.
pub(crate) fn refusal(limits: &JsValue, features: &[String]) -> Refusal {
    let supported = ops(limits);
    let asked: Vec<Feature> = Feature::all(features).collect();
    Box::new(move |graph, node| {
        let op = node.op.name();
        let by_host = |feature: &&Feature| matches!(feature, Feature::WebNnHost(name) if name == op);
        if let Some(feature) = asked.iter().find(by_host) {
            return Some(format!("{feature} was asked for"));
        }
        let (op, packed) = match packed_weights(&node.op) {
            Some((op, element)) => (op, Some(("input", element))),
            None => (op, None),
        };
        // A browser without limits is asked op by op, by the builder itself.
        if supported.is_empty() {
            return None;
        }
        let Some(OpSupport(operands)) = supported.get(op) else {
            return Some(format!("opSupportLimits() has no {op}"));
        };
        let (name, element) = packed.or_else(|| first_operand(graph, node))?;
        let types = operands.get(name).or_else(|| operands.get(""))?;
        (!types.iter().any(|known| known == element.as_str()))
            .then(|| format!("opSupportLimits().{op}.{name} has no {}", element.as_str()))
    })
}

/// The builder's method that reads packed weights, and the element type that they have there.
fn packed_weights(op: &Op) -> Option<(&'static str, ElementType)> {
    let element = |packing, table| webnn::packed_element(packing, table);
    match *op {
        Op::Dequantize(packing) => match element(packing, false) {
            ElementType::Int4 => Some(("dequantizeLinear", ElementType::Int4)),
            element => Some(("cast", element)),
        },
        Op::Qgather(packing) => Some(("gather", element(packing, true))),
        _ => None,
    }
}

/// The operand by which a builder's method tells element types, by its name in the limits.
fn first_operand(graph: &Graph, node: &Node) -> Option<(&'static str, ElementType)> {
    let (name, at) = match &node.op {
        Op::Binary(_) | Op::Gemm(_) | Op::Matmul => ("a", 0),
        Op::Where => ("trueValue", 1),
        Op::Concat { .. } => ("inputs", 0),
        _ => ("input", 0),
    };
    let value = graph.value(*node.inputs.get(at)?);
    // A comparison's result is `uint8` here, and cast on the way where an op does not take that.
    let truth = matches!(&value.source, Source::Node(from)
        if matches!(&graph.nodes()[*from].op, Op::Binary(op) if op.is_comparison()));
    (!truth).then(|| (name, ElementType::from(value.ty.dtype)))
}

/// `opSupportLimits()`: op, operand, data types.
pub(crate) fn ops(limits: &JsValue) -> BTreeMap<String, OpSupport> {
    let mut found = BTreeMap::new();
    for (op, operands) in entries(limits) {
        let mut types = BTreeMap::new();
        for (operand, limit) in entries(&operands) {
            let list = get(&limit, "dataTypes");
            if list.is_object() {
                types
                    .insert(operand, Array::from(&list).iter().filter_map(|name| name.as_string()).collect());
            }
        }
        // What has a list itself (`input`, `constant`, `output`) stands for all of its operands.
        let own = get(&operands, "dataTypes");
        if own.is_object() {
            types.insert(
                String::new(),
                Array::from(&own).iter().filter_map(|name| name.as_string()).collect(),
            );
        }
        if !types.is_empty() {
            found.insert(op, OpSupport(types));
        }
    }
    found
}

fn entries(object: &JsValue) -> Vec<(String, JsValue)> {
    let Some(object) = object.dyn_ref::<Object>() else { return Vec::new() };
    Object::keys(object)
        .iter()
        .filter_map(|key| key.as_string())
        .map(|key| (key.clone(), get(object, &key)))
        .collect()
}
