//! Another runtime in this page, driven through a module of the page that speaks its dialect.

use std::collections::BTreeMap;

use js_sys::{Array, Object, Promise, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use webmatrix_wire::{Backend, FailureKind, OpCount, PeerFacts, Placed};

use crate::arrays::Arrays;
use crate::peer_failure::{NAME, failed};
use crate::report::Failure;
use crate::sys::{call, call_async, get, global, number, set, text, words};

/// The one runtime that there is a module for.
const RUNTIME: &str = "ort-web";

/// The runtime, loaded, with one model.
#[derive(Debug)]
pub(crate) struct Peer {
    runtime: JsValue,
    provider: &'static str,
    model: JsValue,
}

impl Peer {
    /// Loads the runtime for one of its backends, with so many threads of its own; `dims` are the model's symbolic dimensions.
    pub(crate) async fn open(
        backend: Backend,
        threads: u32,
        model: &[u8],
        dims: &BTreeMap<String, u32>,
    ) -> Result<Self, Failure> {
        let provider = match backend {
            Backend::Wasm => "wasm",
            Backend::WebGpu => "webgpu",
            Backend::WebNn => "webnn",
            Backend::NativeCpu | Backend::NativeGpu => {
                return Err(Failure::new(
                    FailureKind::Unsupported,
                    "runtime",
                    format!("{NAME} runs in pages only"),
                ));
            }
        };
        let bound = Object::new();
        for (name, size) in dims {
            set(&bound, name, &(*size).into());
        }
        let how = [RUNTIME.into(), provider.into(), threads.into(), bound.into()];
        let opened = call_async(&global(), "peer", &how).await;
        let runtime = opened.map_err(|error| failed("runtime", words(&error)))?;
        Ok(Self { runtime, provider, model: Uint8Array::from(model).into() })
    }

    /// The device type that it asks WebNN for; empty on other backends.
    pub(crate) fn device_type(&self) -> String {
        text(&get(&self.runtime, "facts"), "deviceType")
    }

    /// What it tells of itself, and where it puts the model's nodes, by op.
    pub(crate) async fn facts(&self) -> Result<(PeerFacts, Vec<OpCount>), Failure> {
        let placed = call_async(&self.runtime, "placed", std::slice::from_ref(&self.model)).await;
        let placed: Array =
            placed.map_err(|error| failed("session", words(&error)))?.dyn_into().unwrap_or_default();
        let told = get(&self.runtime, "facts");
        let ops = placed.iter().flat_map(|item| {
            let backend = backend_of(&text(&item, "provider"));
            let ops: Array = get(&item, "ops").dyn_into().unwrap_or_default();
            let count =
                |op: JsValue| OpCount { op: text(&op, "op"), backend, count: number(&op, "count") as u64 };
            ops.iter().map(count).collect::<Vec<_>>()
        });
        let ops = ops.collect();
        let facts = PeerFacts {
            runtime: NAME.to_owned(),
            version: text(&told, "version"),
            provider: self.provider.to_owned(),
            threads: number(&told, "threads") as u32,
            placed: placed
                .iter()
                .map(|item| Placed {
                    provider: text(&item, "provider"),
                    nodes: number(&item, "nodes") as u64,
                })
                .collect(),
        };
        Ok((facts, ops))
    }

    /// A session with the model, ready to run.
    pub(crate) async fn session(&self) -> Result<Session<'_>, Failure> {
        let created = call_async(&self.runtime, "create", std::slice::from_ref(&self.model)).await;
        Ok(Session { peer: self, handle: created.map_err(|error| failed("session", words(&error)))? })
    }
}

/// What a provider computes on. Whatever is no device that a page can be given is the host.
fn backend_of(provider: &str) -> Backend {
    match provider {
        "WebGpuExecutionProvider" | "JsExecutionProvider" => Backend::WebGpu,
        "WebNNExecutionProvider" => Backend::WebNn,
        _ => Backend::Wasm,
    }
}

/// A model that the runtime has prepared.
#[derive(Debug)]
pub(crate) struct Session<'p> {
    peer: &'p Peer,
    handle: JsValue,
}

impl Session<'_> {
    /// Runs it once: from arrays of JavaScript to arrays of JavaScript.
    pub(crate) async fn run(&self, inputs: &Arrays) -> Result<Arrays, Failure> {
        let fail = |error: JsValue| failed("inference", words(&error));
        let promise = call(&self.peer.runtime, "run", &[self.handle.clone(), inputs.list().clone()]);
        let outputs = JsFuture::from(Promise::resolve(&promise.map_err(fail)?)).await;
        Ok(Arrays::of_list(outputs.map_err(fail)?))
    }

    /// Gives back what it holds; its words if it cannot, which is no fault of what it computed.
    pub(crate) async fn release(self) -> Result<(), String> {
        let released = call_async(&self.peer.runtime, "release", std::slice::from_ref(&self.handle)).await;
        released.map(drop).map_err(|error| words(&error))
    }
}
