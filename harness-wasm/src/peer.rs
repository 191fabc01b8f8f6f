//! Another runtime in this page, driven through a module of the page that speaks its dialect.

use js_sys::{Array, Float32Array, Int32Array, Promise, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use webmatrix_engine::tensor::Data;
use webmatrix_engine::{NamedTensors, Tensor};
use webmatrix_wire::{Backend, FailureKind, PeerFacts, Placed};

use crate::report::Failure;
use crate::sys::{call, call_async, get, global, number, object, text, words};

/// The one runtime that there is a module for.
const RUNTIME: &str = "ort-web";
const NAME: &str = "onnxruntime-web";

/// Tensors in JavaScript's own memory, where an application has them.
#[derive(Debug)]
pub(crate) struct Arrays(JsValue);

impl Arrays {
    /// Copies tensors out of this module's memory.
    pub(crate) fn of(tensors: &NamedTensors) -> Self {
        let list: Array = tensors.iter().map(|(name, tensor)| JsValue::from(array(name, tensor))).collect();
        Self(list.into())
    }

    /// Copies them into this module's memory.
    pub(crate) fn tensors(&self) -> Result<NamedTensors, Failure> {
        let list: &Array = self.0.dyn_ref().ok_or_else(|| failed("outputs", "no list of tensors"))?;
        list.iter().map(|item| tensor(&item)).collect()
    }
}

fn array(name: &str, tensor: &Tensor) -> js_sys::Object {
    let dims: Array = tensor.shape().iter().map(|&n| JsValue::from(n as f64)).collect();
    let (ty, data): (&str, JsValue) = match tensor.data() {
        Data::F32(data) => ("float32", Float32Array::from(data.as_slice()).into()),
        Data::I32(data) => ("int32", Int32Array::from(data.as_slice()).into()),
    };
    object(&[("name", name.into()), ("type", ty.into()), ("dims", dims.into()), ("data", data)])
}

fn tensor(item: &JsValue) -> Result<(String, Tensor), Failure> {
    let (name, data) = (text(item, "name"), get(item, "data"));
    let dims: Array = get(item, "dims").dyn_into().unwrap_or_default();
    let shape: Vec<usize> = dims.iter().map(|n| n.as_f64().unwrap_or_default() as usize).collect();
    let elements: usize = shape.iter().product();
    let tensor = if let Some(floats) = data.dyn_ref::<Float32Array>() {
        (floats.length() as usize == elements).then(|| Tensor::f32(shape, floats.to_vec()))
    } else if let Some(integers) = data.dyn_ref::<Int32Array>() {
        (integers.length() as usize == elements).then(|| Tensor::i32(shape, integers.to_vec()))
    } else {
        let ty = text(item, "type");
        return Err(failed("outputs", format!("{name} has type {ty}: export it as float32 or int32")));
    };
    let tensor = tensor.ok_or_else(|| failed("outputs", format!("{name} does not fill its dimensions")))?;
    Ok((name, tensor))
}

/// The runtime, loaded, with one model.
#[derive(Debug)]
pub(crate) struct Peer {
    runtime: JsValue,
    provider: &'static str,
    model: JsValue,
}

impl Peer {
    /// Loads the runtime for one of its backends, with so many threads of its own.
    pub(crate) async fn open(backend: Backend, threads: u32, model: &[u8]) -> Result<Self, Failure> {
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
        let opened = call_async(&global(), "peer", &[RUNTIME.into(), provider.into(), threads.into()]).await;
        let runtime = opened.map_err(|error| failed("runtime", words(&error)))?;
        Ok(Self { runtime, provider, model: Uint8Array::from(model).into() })
    }

    /// What it tells of itself, and where it puts the model's nodes.
    pub(crate) async fn facts(&self) -> Result<PeerFacts, Failure> {
        let placed = call_async(&self.runtime, "placed", std::slice::from_ref(&self.model)).await;
        let placed: Array =
            placed.map_err(|error| failed("session", words(&error)))?.dyn_into().unwrap_or_default();
        let told = get(&self.runtime, "facts");
        Ok(PeerFacts {
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
        })
    }

    /// A session with the model, ready to run.
    pub(crate) async fn session(&self) -> Result<Session<'_>, Failure> {
        let created = call_async(&self.runtime, "create", std::slice::from_ref(&self.model)).await;
        Ok(Session { peer: self, handle: created.map_err(|error| failed("session", words(&error)))? })
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
        let promise = call(&self.peer.runtime, "run", &[self.handle.clone(), inputs.0.clone()]);
        let outputs = JsFuture::from(Promise::resolve(&promise.map_err(fail)?)).await;
        Ok(Arrays(outputs.map_err(fail)?))
    }
}

fn failed(stage: &'static str, words: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Error, stage, format!("{NAME}: {}", words.into()))
}
