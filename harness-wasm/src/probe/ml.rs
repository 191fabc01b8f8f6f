//! WebNN: every device type, each up to a known-answer graph.

use std::collections::BTreeMap;

use js_sys::{Array, Object};
use wasm_bindgen::{JsCast, JsValue};
use webmatrix_wire::{Capability, Challenge, OpSupport, WebNnFacts};

use crate::sys::{call, get, navigator, now, number, text};
use crate::webnn::WebContext;

pub(super) async fn probe(nonce: u32) -> Vec<Capability<WebNnFacts>> {
    let mut found = Vec::with_capacity(3);
    for device_type in ["cpu", "gpu", "npu"] {
        found.push(context(device_type, nonce).await);
    }
    found
}

async fn context(device_type: &str, nonce: u32) -> Capability<WebNnFacts> {
    let start = now();
    let ml = get(&navigator(), "ml");
    let present = !ml.is_undefined() && !ml.is_null();
    let mut facts = None;
    let result = async {
        let context = WebContext::of(device_type).await?;
        let limits = call(context.js(), "opSupportLimits", &[]).unwrap_or(JsValue::UNDEFINED);
        let facts = facts.insert(WebNnFacts {
            ops: ops(&limits),
            preferred_input_layout: text(&limits, "preferredInputLayout"),
            max_tensor_byte_length: number(&limits, "maxTensorByteLength"),
            challenge: None,
        });
        let answer = context.challenge(nonce).await.map_err(|error| error.to_string())?;
        let right = answer == Challenge::expected(nonce);
        facts.challenge = Some(Challenge { answer });
        if right { Ok(()) } else { Err("the known-answer graph gave a wrong answer".to_owned()) }
    }
    .await;
    Capability {
        name: device_type.into(),
        present,
        usable: result.is_ok(),
        error: result.err(),
        ms: now() - start,
        facts,
    }
}

/// `opSupportLimits()`: op, operand, data types.
fn ops(limits: &JsValue) -> BTreeMap<String, OpSupport> {
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
