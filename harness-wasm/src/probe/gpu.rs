//! WebGPU: every power preference and the fallback adapter, each up to a known-answer dispatch.

use std::collections::BTreeMap;

use js_sys::{Array, Object, Reflect};
use wasm_bindgen::JsValue;
use webmatrix_engine::backend::webgpu::Tuning;
use webmatrix_wire::{Capability, Challenge, WebGpuFacts};

use crate::sys::{call, get, navigator, now, number, object};
use crate::webgpu::{WebDevice, adapter_facts, request_adapter};

pub(super) async fn probe(nonce: u32) -> Vec<Capability<WebGpuFacts>> {
    let wanted: [(&str, Object); 4] = [
        ("default", Object::new()),
        ("high-performance", object(&[("powerPreference", "high-performance".into())])),
        ("low-power", object(&[("powerPreference", "low-power".into())])),
        ("fallback", object(&[("forceFallbackAdapter", true.into())])),
    ];
    let mut found = Vec::with_capacity(wanted.len());
    for (name, options) in wanted {
        found.push(adapter(name, &options, nonce).await);
    }
    found
}

async fn adapter(name: &str, options: &Object, nonce: u32) -> Capability<WebGpuFacts> {
    let start = now();
    let gpu = get(&navigator(), "gpu");
    let present = !gpu.is_undefined() && !gpu.is_null();
    let mut facts = None;
    let result = async {
        let adapter = request_adapter(options).await?;
        let facts = facts.insert(WebGpuFacts {
            adapter: adapter_facts(&adapter),
            features: set_members(&get(&adapter, "features")),
            limits: limits(&get(&adapter, "limits")),
            wgsl_language_features: set_members(&get(&gpu, "wgslLanguageFeatures")),
            preferred_canvas_format: call(&gpu, "getPreferredCanvasFormat", &[])
                .ok()
                .and_then(|format| format.as_string())
                .unwrap_or_default(),
            challenge: None,
        });
        let device = WebDevice::from_adapter(&adapter, Tuning::default()).await?;
        let answer = device.challenge(nonce).await.map_err(|error| error.to_string())?;
        let right = answer == Challenge::expected(nonce);
        facts.challenge = Some(Challenge { answer });
        if right { Ok(()) } else { Err("the known-answer dispatch gave a wrong answer".to_owned()) }
    }
    .await;
    Capability {
        name: name.into(),
        present,
        usable: result.is_ok(),
        error: result.err(),
        ms: now() - start,
        facts,
    }
}

/// The members of a set-like, in order of name.
fn set_members(set: &JsValue) -> Vec<String> {
    if set.is_undefined() || set.is_null() {
        return Vec::new();
    }
    let mut members: Vec<String> = Array::from(set).iter().filter_map(|member| member.as_string()).collect();
    members.sort();
    members
}

/// Every limit: they are getters of the prototype, so the object's own keys show none.
fn limits(limits: &JsValue) -> BTreeMap<String, f64> {
    let Ok(prototype) = Reflect::get_prototype_of(limits) else { return BTreeMap::new() };
    let keys = Reflect::own_keys(&prototype).unwrap_or_default();
    keys.iter()
        .filter_map(|key| key.as_string())
        .filter(|key| key.starts_with("max") || key.starts_with("min"))
        .map(|key| (key.clone(), number(limits, &key)))
        .collect()
}
