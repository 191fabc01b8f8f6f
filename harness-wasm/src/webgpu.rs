//! The engine's WebGPU device over the browser's.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, ArrayBuffer, Object, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use webmatrix_engine::backend::webgpu::{
    Binding, Device, Extension, Limits, Tuning, Usage, Work, known_answer,
};
use webmatrix_engine::{Error, Result};
use webmatrix_wire::{AdapterFacts, Backend, BackendFacts, Challenge, FailureKind};

use crate::report::Failure;
use crate::sys::gpu::Encoder;
use crate::sys::{
    call, call_async, device_was_lost, flag, get, navigator, number, object, set, text, within, words,
};

/// How long an adapter or a device may take: some requests never settle.
const DEADLINE_MS: f64 = 10_000.0;

/// `GPUBufferUsage` and `GPUMapMode`, whose values WebGPU fixes.
mod flags {
    pub(super) const MAP_READ: u32 = 0x01;
    pub(super) const COPY_SRC: u32 = 0x04;
    pub(super) const COPY_DST: u32 = 0x08;
    pub(super) const UNIFORM: u32 = 0x40;
    pub(super) const STORAGE: u32 = 0x80;
    pub(super) const MODE_READ: u32 = 0x01;
}

/// A `GPUDevice`.
#[derive(Debug)]
pub(crate) struct WebDevice {
    device: JsValue,
    queue: JsValue,
    limits: Limits,
    tuning: Tuning,
    /// The compiler takes the line that enables subgroups.
    knows_subgroups: bool,
    lost: Rc<RefCell<Option<String>>>,
}

/// Asks for an adapter.
pub(crate) async fn request_adapter(options: &Object) -> std::result::Result<JsValue, String> {
    let gpu = get(&navigator(), "gpu");
    if gpu.is_undefined() || gpu.is_null() {
        return Err("navigator.gpu is undefined".into());
    }
    let promise = call(&gpu, "requestAdapter", &[options.into()]).map_err(|error| words(&error))?;
    let promise: Promise = promise.dyn_into().map_err(|_| "requestAdapter() gave no promise".to_owned())?;
    let adapter = within(DEADLINE_MS, "requestAdapter()", &promise).await.map_err(|error| words(&error))?;
    if adapter.is_null() || adapter.is_undefined() {
        return Err("requestAdapter() gave null: the browser has no WebGPU adapter to offer".into());
    }
    Ok(adapter)
}

/// What the browser says of an adapter.
pub(crate) fn adapter_facts(adapter: &JsValue) -> AdapterFacts {
    let info = get(adapter, "info");
    AdapterFacts {
        vendor: text(&info, "vendor"),
        architecture: text(&info, "architecture"),
        device: text(&info, "device"),
        description: text(&info, "description"),
        // Moved from the adapter to its info while WebGPU was being specified.
        is_fallback: flag(&info, "isFallbackAdapter") || flag(adapter, "isFallbackAdapter"),
        subgroup_min_size: number(&info, "subgroupMinSize") as u32,
        subgroup_max_size: number(&info, "subgroupMaxSize") as u32,
    }
}

/// Whether a shader of this text compiles.
async fn compiles(device: &JsValue, wgsl: &str) -> bool {
    let module = object(&[("code", wgsl.into())]);
    let _ = call(device, "pushErrorScope", &["validation".into()]);
    let _ = call(device, "createShaderModule", &[module.into()]);
    call_async(device, "popErrorScope", &[]).await.is_ok_and(|error| error.is_null())
}

impl WebDevice {
    /// A device of the fastest adapter with what features ask for, proven by a known-answer dispatch.
    pub(crate) async fn create(
        nonce: u32,
        features: &[String],
    ) -> std::result::Result<(Self, BackendFacts), Failure> {
        let unsupported = |text: String| Failure::new(FailureKind::Unsupported, "device", text);
        let options = object(&[("powerPreference", "high-performance".into())]);
        let adapter = request_adapter(&options).await.map_err(unsupported)?;
        let device = Self::from_adapter(&adapter, Tuning::named(features)).await.map_err(unsupported)?;
        let answer =
            device.challenge(nonce).await.map_err(|error| Failure::engine("known answer", &error))?;
        let facts = BackendFacts {
            adapter: Some(adapter_facts(&adapter)),
            challenge: Some(Challenge { answer }),
            ..BackendFacts::new(Backend::WebGpu)
        };
        Ok((device, facts))
    }

    /// A device with all the limits that the engine cares for, and what kernels so made use.
    pub(crate) async fn from_adapter(adapter: &JsValue, tuning: Tuning) -> std::result::Result<Self, String> {
        let wanted = Array::new();
        for extension in &tuning.extensions {
            if let Some(language) = extension.language() {
                let known = get(&get(&navigator(), "gpu"), "wgslLanguageFeatures");
                if !call(&known, "has", &[language.into()]).is_ok_and(|has| has.is_truthy()) {
                    return Err(format!("navigator.gpu.wgslLanguageFeatures has no {language}"));
                }
                continue;
            }
            let name = JsValue::from_str(extension.name());
            let has = call(&get(adapter, "features"), "has", std::slice::from_ref(&name));
            if !has.is_ok_and(|has| has.is_truthy()) {
                return Err(format!("GPUAdapter.features has no {}", extension.name()));
            }
            wanted.push(&name);
        }
        let offered = get(adapter, "limits");
        let required = Object::new();
        for name in ["maxStorageBufferBindingSize", "maxBufferSize", "maxComputeWorkgroupsPerDimension"] {
            set(&required, name, &get(&offered, name));
        }
        let descriptor = object(&[("requiredLimits", required.into()), ("requiredFeatures", wanted.into())]);
        let promise = call(adapter, "requestDevice", &[descriptor.into()]).map_err(|error| words(&error))?;
        let promise: Promise =
            promise.dyn_into().map_err(|_| "requestDevice() gave no promise".to_owned())?;
        let device = within(DEADLINE_MS, "requestDevice()", &promise).await.map_err(|error| words(&error))?;
        let knows_subgroups = tuning.extensions.contains(&Extension::Subgroups)
            && compiles(&device, Extension::Subgroups.enable()).await;
        Ok(Self { tuning, knows_subgroups, ..Self::of(device) })
    }

    /// A device that is there already, whoever made it.
    pub(crate) fn of(device: JsValue) -> Self {
        let limits = get(&device, "limits");
        let lost = Rc::new(RefCell::new(None));
        let note = Rc::clone(&lost);
        let on_lost = Closure::once(move |info: JsValue| {
            // A device that its maker has put away is not lost.
            if text(&info, "reason") == "destroyed" {
                return;
            }
            device_was_lost(Some(true));
            *note.borrow_mut() = Some(format!("{}: {}", text(&info, "reason"), text(&info, "message")));
        });
        let promise: Promise = get(&device, "lost").unchecked_into();
        // The promise lives as long as the device; its reaction must too.
        let _ = promise.then(&on_lost);
        on_lost.forget();
        Self {
            tuning: Tuning::default(),
            knows_subgroups: false,
            queue: get(&device, "queue"),
            limits: Limits {
                storage_binding: number(&limits, "maxStorageBufferBindingSize") as u64,
                buffer: number(&limits, "maxBufferSize") as u64,
                workgroups: number(&limits, "maxComputeWorkgroupsPerDimension") as u32,
                uniform_alignment: number(&limits, "minUniformBufferOffsetAlignment") as u32,
            },
            device,
            lost,
        }
    }

    /// Computes the challenge in a real dispatch.
    pub(crate) async fn challenge(&self, nonce: u32) -> Result<Vec<u32>> {
        let (a, b) = Challenge::operands(nonce);
        known_answer(self, &a, &b).await
    }

    /// The browser's words, or the loss of the device if that explains them.
    fn fault(&self, error: &JsValue) -> Error {
        match &*self.lost.borrow() {
            Some(reason) => Error::DeviceLost(reason.clone()),
            None => Error::Device { backend: Self::NAME, reason: words(error) },
        }
    }

    /// Awaits a promise of the device, or the loss of the device: some promises never settle then.
    async fn or_lost(&self, promise: &JsValue) -> Result<JsValue> {
        let lost: Promise = get(&self.device, "lost").unchecked_into();
        let outcome = JsFuture::from(Promise::race(&Array::of2(promise, &lost))).await;
        // The loss is often known to the promise before `lost` resolves.
        if outcome.is_err() {
            for _ in 0..10 {
                if self.lost.borrow().is_some() {
                    break;
                }
                crate::sys::pause(50.0).await;
            }
        }
        match outcome {
            Ok(_) if self.lost.borrow().is_some() => Err(self.fault(&JsValue::NULL)),
            Ok(value) => Ok(value),
            Err(error) => Err(self.fault(&error)),
        }
    }

    fn create_buffer(&self, label: &str, size: u64, usage: u32) -> JsValue {
        let descriptor =
            object(&[("label", label.into()), ("size", (size as f64).into()), ("usage", usage.into())]);
        // Too large a buffer is reported by the error scope, not thrown.
        call(&self.device, "createBuffer", &[descriptor.into()]).unwrap_or(JsValue::UNDEFINED)
    }

    /// Of a compute pipeline, with the shader's module.
    fn pipeline_descriptor(
        &self,
        label: &str,
        wgsl: &str,
        constants: &[(&'static str, f64)],
    ) -> Result<Object> {
        let module = object(&[("label", label.into()), ("code", wgsl.into())]);
        let module =
            call(&self.device, "createShaderModule", &[module.into()]).map_err(|e| self.fault(&e))?;
        let constants: Vec<(&str, JsValue)> =
            constants.iter().map(|(name, value)| (*name, (*value).into())).collect();
        let compute = object(&[
            ("module", module),
            ("entryPoint", "main".into()),
            ("constants", object(&constants).into()),
        ]);
        Ok(object(&[("label", label.into()), ("layout", "auto".into()), ("compute", compute.into())]))
    }

    fn encoder(&self) -> Encoder {
        call(&self.device, "createCommandEncoder", &[]).unwrap_or(JsValue::UNDEFINED).unchecked_into()
    }

    fn enqueue(&self, encoder: &Encoder) {
        // Invalid commands are reported by the error scope, not thrown.
        let _ = call(&self.queue, "submit", &[Array::of1(&encoder.finish()).into()]);
    }
}

impl Device for WebDevice {
    type Buffer = JsValue;
    type Pipeline = JsValue;
    type Asked = JsValue;
    type Group = JsValue;

    const NAME: &'static str = "webgpu";

    fn limits(&self) -> Limits {
        self.limits
    }

    fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    fn enable(&self, extension: Extension) -> &'static str {
        match extension {
            Extension::Dp4a | Extension::ShaderF16 => extension.enable(),
            Extension::Subgroups if self.knows_subgroups => extension.enable(),
            // Some compilers knew the operations before the line.
            Extension::Subgroups => "",
        }
    }

    fn buffer(&self, label: &str, size: u64, usage: Usage) -> JsValue {
        let kind = match usage {
            Usage::Storage => flags::STORAGE | flags::COPY_SRC,
            Usage::Uniform => flags::UNIFORM,
        };
        self.create_buffer(label, size, kind | flags::COPY_DST)
    }

    fn write(&self, buffer: &JsValue, bytes: &[u8]) {
        // Reported by the error scope.
        let _ = call(&self.queue, "writeBuffer", &[buffer.clone(), 0.into(), Uint8Array::from(bytes).into()]);
    }

    fn ask(&self, label: &str, wgsl: &str, constants: &[(&'static str, f64)]) -> Result<JsValue> {
        let descriptor = self.pipeline_descriptor(label, wgsl, constants)?;
        call(&self.device, "createComputePipelineAsync", &[descriptor.into()]).map_err(|e| self.fault(&e))
    }

    async fn asked(&self, asked: JsValue) -> Result<JsValue> {
        self.or_lost(&asked).await
    }

    fn at_once(&self, label: &str, wgsl: &str, constants: &[(&'static str, f64)]) -> Result<JsValue> {
        let descriptor = self.pipeline_descriptor(label, wgsl, constants)?;
        call(&self.device, "createComputePipeline", &[descriptor.into()]).map_err(|e| self.fault(&e))
    }

    fn group(&self, pipeline: &JsValue, bindings: &[Binding<'_, JsValue>]) -> JsValue {
        let entries: Array = bindings
            .iter()
            .enumerate()
            .map(|(at, binding)| {
                let resource = object(&[
                    ("buffer", binding.buffer.clone()),
                    ("offset", (binding.offset as f64).into()),
                    ("size", (binding.size as f64).into()),
                ]);
                JsValue::from(object(&[("binding", (at as u32).into()), ("resource", resource.into())]))
            })
            .collect();
        let layout = call(pipeline, "getBindGroupLayout", &[0.into()]).unwrap_or(JsValue::UNDEFINED);
        let descriptor = object(&[("layout", layout), ("entries", entries.into())]);
        // Reported by the error scope.
        call(&self.device, "createBindGroup", &[descriptor.into()]).unwrap_or(JsValue::UNDEFINED)
    }

    fn submit(&self, work: &[Work<Self>]) {
        let encoder = self.encoder();
        for batch in work.chunk_by(|a, b| matches!((a, b), (Work::Dispatch { .. }, Work::Dispatch { .. }))) {
            if let [Work::Copy { from, to, size }] = batch {
                encoder.copy(from, 0.0, to, 0.0, *size as f64);
                continue;
            }
            let pass = encoder.begin_compute_pass();
            for item in batch {
                if let Work::Dispatch { pipeline, group, workgroups: [x, y, z] } = item {
                    pass.set_pipeline(pipeline);
                    pass.set_bind_group(0, group);
                    pass.dispatch(*x, *y, *z);
                }
            }
            pass.end();
        }
        self.enqueue(&encoder);
    }

    async fn read(&self, buffer: &JsValue, size: u64) -> Result<Vec<u8>> {
        let staging = self.create_buffer("read back", size, flags::MAP_READ | flags::COPY_DST);
        let encoder = self.encoder();
        encoder.copy(buffer, 0.0, &staging, 0.0, size as f64);
        self.enqueue(&encoder);
        let mapped = call(&staging, "mapAsync", &[flags::MODE_READ.into()]).map_err(|e| self.fault(&e))?;
        self.or_lost(&mapped).await?;
        let range = call(&staging, "getMappedRange", &[]).map_err(|e| self.fault(&e))?;
        let bytes = Uint8Array::new(&range.unchecked_into::<ArrayBuffer>()).to_vec();
        self.destroy(&staging);
        Ok(bytes)
    }

    fn begin_scope(&self) {
        for filter in ["out-of-memory", "validation"] {
            // Fails on a lost device only, which the end of the scope reports.
            let _ = call(&self.device, "pushErrorScope", &[filter.into()]);
        }
    }

    async fn end_scope(&self) -> Result<()> {
        let mut first = Ok(());
        for filter in ["validation", "out-of-memory"] {
            match call_async(&self.device, "popErrorScope", &[]).await {
                Ok(error) if error.is_null() || error.is_undefined() => {}
                Ok(error) if filter == "out-of-memory" => {
                    first = first.and(Err(Error::OutOfMemory(text(&error, "message"))));
                }
                Ok(error) => {
                    let reason = text(&error, "message");
                    first = first.and(Err(Error::Device { backend: Self::NAME, reason }));
                }
                Err(error) => first = first.and(Err(self.fault(&error))),
            }
        }
        match &*self.lost.borrow() {
            Some(reason) => Err(Error::DeviceLost(reason.clone())),
            None => first,
        }
    }

    fn destroy(&self, buffer: &JsValue) {
        // Destroying cannot fail.
        let _ = call(buffer, "destroy", &[]);
    }
}
