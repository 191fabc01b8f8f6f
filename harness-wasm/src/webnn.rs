//! The engine's WebNN context over the browser's.

use js_sys::{Array, ArrayBuffer, Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use webmatrix_engine::backend::webnn::{Attribute, Context, ElementType, GraphBuilding};
use webmatrix_engine::ir::TensorType;
use webmatrix_engine::{Error, Result};
use webmatrix_wire::{Backend, BackendFacts, Challenge, FailureKind};

use crate::report::Failure;
use crate::sys::{call, call_async, get, global, navigator, object, set, text, within, words};

/// How long a context may take.
const DEADLINE_MS: f64 = 10_000.0;
/// Device types in the order in which a cell asks for them: what people turn to WebNN for comes first.
const PREFERENCE: [&str; 3] = ["gpu", "npu", "cpu"];
const NAME: &str = "webnn";

/// An `MLContext`.
#[derive(Debug)]
pub(crate) struct WebContext(JsValue);

/// An `MLGraphBuilder`.
#[derive(Debug)]
pub(crate) struct WebBuilder(JsValue);

/// The browser lacks something, as far as its words tell; anything else is a fault, possibly ours,
/// and must not pass for a lack.
fn refusal(what: &str, error: &JsValue) -> Error {
    let reason = format!("{what}: {}", words(error));
    let lower = reason.to_ascii_lowercase();
    let lacks = text(error, "name") == "NotSupportedError"
        || ["unsupported", "not supported", "not a function here"].iter().any(|sign| lower.contains(sign));
    if lacks { Error::Unsupported { backend: NAME, reason } } else { Error::Device { backend: NAME, reason } }
}

impl WebContext {
    /// A context of the first device type that the browser grants, proven by a known-answer graph.
    pub(crate) async fn create(nonce: u32) -> std::result::Result<(Self, BackendFacts), Failure> {
        let mut refusals = Vec::new();
        for device_type in PREFERENCE {
            match Self::of(device_type).await {
                Ok(context) => {
                    let answer = context.challenge(nonce).await;
                    let answer = answer.map_err(|error| Failure::engine("known answer", &error))?;
                    let facts = BackendFacts {
                        webnn_device_type: Some(device_type.to_owned()),
                        challenge: Some(Challenge { answer }),
                        ..BackendFacts::new(Backend::WebNn)
                    };
                    return Ok((context, facts));
                }
                Err(reason) => refusals.push(format!("{device_type}: {reason}")),
            }
        }
        Err(Failure::new(FailureKind::Unsupported, "context", refusals.join("; ")))
    }

    /// A context of this device type.
    pub(crate) async fn of(device_type: &str) -> std::result::Result<Self, String> {
        let ml = get(&navigator(), "ml");
        if ml.is_undefined() || ml.is_null() {
            return Err("navigator.ml is undefined".into());
        }
        let options = object(&[("deviceType", device_type.into())]);
        let promise = call(&ml, "createContext", &[options.into()]).map_err(|error| words(&error))?;
        let promise: Promise =
            promise.dyn_into().map_err(|_| "createContext() gave no promise".to_owned())?;
        within(DEADLINE_MS, "createContext()", &promise).await.map(Self).map_err(|error| words(&error))
    }

    /// A context that is there already, whoever made it.
    pub(crate) fn seen(context: JsValue) -> Self {
        Self(context)
    }

    /// Its `opSupportLimits()`; undefined where there are none.
    pub(crate) fn limits(&self) -> JsValue {
        call(&self.0, "opSupportLimits", &[]).unwrap_or(JsValue::UNDEFINED)
    }

    /// Computes the challenge in a real graph.
    pub(crate) async fn challenge(&self, nonce: u32) -> Result<Vec<u32>> {
        let ty = TensorType::f32([Challenge::LANES as usize]);
        let bytes = |data: &[f32]| -> Vec<u8> { data.iter().flat_map(|v| v.to_le_bytes()).collect() };
        let (a, b) = Challenge::operands(nonce);
        let builder = self.builder()?;
        let (x, y) = (builder.input("a", &ty)?, builder.input("b", &ty)?);
        let product = builder.op("mul", &[Attribute::Operand(x.clone()), Attribute::Operand(y)], &[])?;
        let sum = builder.op("add", &[Attribute::Operand(product), Attribute::Operand(x)], &[])?;
        let graph = builder.build(&[("y".to_owned(), sum)]).await?;
        let tensors = [self.tensor(&ty).await?, self.tensor(&ty).await?, self.tensor(&ty).await?];
        self.write(&tensors[0], &bytes(&a))?;
        self.write(&tensors[1], &bytes(&b))?;
        let inputs = [("a".to_owned(), tensors[0].clone()), ("b".to_owned(), tensors[1].clone())];
        self.dispatch(&graph, &inputs, &[("y".to_owned(), tensors[2].clone())])?;
        let answer = self.read(&tensors[2]).await?;
        Ok(answer.as_chunks::<4>().0.iter().map(|&chunk| f32::from_le_bytes(chunk) as u32).collect())
    }
}

fn dimensions(shape: &[usize]) -> JsValue {
    shape.iter().map(|&n| JsValue::from(n as f64)).collect::<Array>().into()
}

fn descriptor(element: ElementType, shape: &[usize]) -> Object {
    object(&[("dataType", element.as_str().into()), ("shape", dimensions(shape))])
}

fn described(ty: &TensorType) -> Object {
    descriptor(ty.dtype.into(), &ty.shape)
}

/// A typed array over a copy of `bytes`: constants and writes insist on the element's own array type.
fn typed(element: ElementType, bytes: &[u8]) -> JsValue {
    let buffer = Uint8Array::from(bytes).buffer();
    match element {
        ElementType::Float32 => js_sys::Float32Array::new(&buffer).into(),
        // Browsers without `Float16Array` take its bits.
        ElementType::Float16 => match get(&global(), "Float16Array").dyn_into::<Function>() {
            Ok(constructor) => {
                Reflect::construct(&constructor, &Array::of1(&buffer)).unwrap_or(JsValue::UNDEFINED)
            }
            Err(_) => js_sys::Uint16Array::new(&buffer).into(),
        },
        ElementType::Int32 => js_sys::Int32Array::new(&buffer).into(),
        ElementType::Int8 => js_sys::Int8Array::new(&buffer).into(),
        ElementType::Int4 | ElementType::Uint8 => Uint8Array::new(&buffer).into(),
    }
}

fn to_js(attribute: &Attribute<JsValue>) -> JsValue {
    match attribute {
        Attribute::Operand(operand) => operand.clone(),
        Attribute::Operands(operands) => operands.iter().collect::<Array>().into(),
        Attribute::Number(number) => (*number).into(),
        Attribute::Numbers(numbers) => dimensions(numbers),
        Attribute::Flag(flag) => (*flag).into(),
        Attribute::Text(text) => (*text).into(),
    }
}

impl GraphBuilding for WebBuilder {
    type Operand = JsValue;
    type Graph = JsValue;

    fn input(&self, name: &str, ty: &TensorType) -> Result<JsValue> {
        call(&self.0, "input", &[name.into(), described(ty).into()]).map_err(|error| refusal("input", &error))
    }

    fn constant(&self, ty: &TensorType, bytes: &[u8]) -> Result<JsValue> {
        self.packed(ty.dtype.into(), &ty.shape, bytes)
    }

    fn packed(&self, element: ElementType, shape: &[usize], bytes: &[u8]) -> Result<JsValue> {
        call(&self.0, "constant", &[descriptor(element, shape).into(), typed(element, bytes)])
            .map_err(|error| refusal("constant", &error))
    }

    fn op(
        &self,
        op: &'static str,
        arguments: &[Attribute<JsValue>],
        options: &[(&'static str, Attribute<JsValue>)],
    ) -> Result<JsValue> {
        let mut list: Vec<JsValue> = arguments.iter().map(to_js).collect();
        if !options.is_empty() {
            let bag = Object::new();
            for (name, value) in options {
                set(&bag, name, &to_js(value));
            }
            list.push(bag.into());
        }
        call(&self.0, op, &list).map_err(|error| refusal(op, &error))
    }

    async fn build(&self, outputs: &[(String, JsValue)]) -> Result<JsValue> {
        let named = Object::new();
        for (name, operand) in outputs {
            set(&named, name, operand);
        }
        call_async(&self.0, "build", &[named.into()]).await.map_err(|error| refusal("build", &error))
    }
}

impl Context for WebContext {
    type Tensor = JsValue;
    type Graph = JsValue;
    type Builder = WebBuilder;

    fn builder(&self) -> Result<WebBuilder> {
        let constructor: Function = get(&global(), "MLGraphBuilder").dyn_into().map_err(|_| {
            Error::Unsupported { backend: NAME, reason: "MLGraphBuilder is not a constructor here".into() }
        })?;
        Reflect::construct(&constructor, &Array::of1(&self.0))
            .map(WebBuilder)
            .map_err(|error| refusal("MLGraphBuilder", &error))
    }

    async fn tensor(&self, ty: &TensorType) -> Result<JsValue> {
        let descriptor = described(ty);
        set(&descriptor, "readable", &true.into());
        set(&descriptor, "writable", &true.into());
        call_async(&self.0, "createTensor", &[descriptor.into()])
            .await
            .map_err(|error| refusal("createTensor", &error))
    }

    fn write(&self, tensor: &JsValue, bytes: &[u8]) -> Result<()> {
        call(&self.0, "writeTensor", &[tensor.clone(), Uint8Array::from(bytes).into()])
            .map(|_| ())
            .map_err(|error| refusal("writeTensor", &error))
    }

    fn dispatch(
        &self,
        graph: &JsValue,
        inputs: &[(String, JsValue)],
        outputs: &[(String, JsValue)],
    ) -> Result<()> {
        let bag = |named: &[(String, JsValue)]| -> JsValue {
            let bag = Object::new();
            for (name, tensor) in named {
                set(&bag, name, tensor);
            }
            bag.into()
        };
        call(&self.0, "dispatch", &[graph.clone(), bag(inputs), bag(outputs)])
            .map(|_| ())
            .map_err(|error| refusal("dispatch", &error))
    }

    async fn read(&self, tensor: &JsValue) -> Result<Vec<u8>> {
        let buffer = call_async(&self.0, "readTensor", std::slice::from_ref(tensor)).await;
        let buffer: ArrayBuffer = buffer.map_err(|error| refusal("readTensor", &error))?.unchecked_into();
        Ok(Uint8Array::new(&buffer).to_vec())
    }
}
