//! What another runtime does to devices, seen by the page: the device that it made itself answers the challenge, and
//! what it is given to do is counted.

use wasm_bindgen::JsValue;
use webmatrix_wire::{Backend, BackendFacts, Challenge};

use crate::peer_failure::failed;
use crate::report::Failure;
use crate::sys::{call_async, get, global, number, words};
use crate::webgpu::{WebDevice, adapter_facts};
use crate::webnn::WebContext;

/// The page's witness: `pages/witness.js`.
#[derive(Debug)]
pub(crate) struct Witness(JsValue);

impl Witness {
    /// Watches from now on: before the runtime is loaded.
    pub(crate) async fn watch() -> Result<Self, Failure> {
        let watching = call_async(&global(), "witness", &[]).await;
        watching.map(Self).map_err(|error| failed("witness", words(&error)))
    }

    /// What is known of the backend that the runtime took. Without a device of its own making there is no challenge,
    /// and so no proof.
    pub(crate) async fn facts(&self, backend: Backend, nonce: u32) -> Result<BackendFacts, Failure> {
        let mut facts = BackendFacts::new(backend);
        let answer = match backend {
            Backend::WebGpu => {
                let Some(device) = self.made("device") else { return Ok(facts) };
                facts.adapter = self.made("adapter").map(|adapter| adapter_facts(&adapter));
                WebDevice::of(device).challenge(nonce).await
            }
            Backend::WebNn => {
                let Some(context) = self.made("context") else { return Ok(facts) };
                WebContext::seen(context).challenge(nonce).await
            }
            Backend::Wasm | Backend::NativeCpu | Backend::NativeGpu => return Ok(facts),
        };
        let answer = answer.map_err(|error| Failure::engine("known answer", &error))?;
        facts.challenge = Some(Challenge { answer });
        Ok(facts)
    }

    fn made(&self, what: &str) -> Option<JsValue> {
        let made = get(&self.0, what);
        (!made.is_undefined() && !made.is_null()).then_some(made)
    }

    /// Dispatches so far that reached the device: on WebGPU none do before something is submitted.
    pub(crate) fn dispatches(&self, backend: Backend) -> u64 {
        let submitted = backend != Backend::WebGpu || number(&self.0, "submits") > 0.0;
        if submitted { number(&self.0, "dispatches") as u64 } else { 0 }
    }
}
