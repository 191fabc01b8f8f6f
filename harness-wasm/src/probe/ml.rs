//! WebNN: every device type, each up to a known-answer graph.

use webmatrix_wire::{Capability, Challenge, WebNnFacts};

use crate::limits;
use crate::sys::{get, navigator, now, number, text};
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
        let limits = context.limits();
        let facts = facts.insert(WebNnFacts {
            ops: limits::ops(&limits),
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
