//! Tensors in JavaScript's own memory, where an application has them.

use js_sys::{Array, ArrayBuffer, Float32Array, Function, Int32Array, Object, Reflect, Uint8Array};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use wasm_bindgen::{JsCast, JsValue};
use webmatrix_engine::tensor::Data;
use webmatrix_engine::{NamedTensors, Tensor};
use webmatrix_wire::FailureKind;

use crate::peer_failure::failed;
use crate::report::Failure;
use crate::sys::{get, global, number, object, text};

/// Named tensors: a list of objects with name, type, dims and data.
#[derive(Debug)]
pub(crate) struct Arrays(JsValue);

impl Arrays {
    /// What another runtime gave.
    pub(crate) const fn of_list(list: JsValue) -> Self {
        Self(list)
    }

    /// What another runtime takes.
    pub(crate) const fn list(&self) -> &JsValue {
        &self.0
    }

    /// Reads a safetensors file whose tensors are of the types that a model declares.
    pub(crate) fn read(file: &str, bytes: &[u8]) -> Result<Self, Failure> {
        let fault = |reason: String| Failure::new(FailureKind::Error, "load", format!("{file}: {reason}"));
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| fault(error.to_string()))?;
        let list = tensors.iter().map(|(name, view)| {
            let kind = KINDS.iter().find(|kind| kind.dtype == view.dtype());
            let kind = kind.ok_or_else(|| fault(format!("{name} has type {:?}", view.dtype())))?;
            let data = kind.array(view.data()).map_err(&fault)?;
            let dims = dimensions(view.shape());
            Ok(JsValue::from(object(&[
                ("name", name.into()),
                ("type", kind.name.into()),
                ("dims", dims.into()),
                ("data", data),
            ])))
        });
        Ok(Self(list.collect::<Result<Array, Failure>>()?.into()))
    }

    /// As a safetensors file, each tensor of its own type; with their names.
    pub(crate) fn write(&self) -> Result<(Vec<String>, Vec<u8>), Failure> {
        let list: &Array = self.0.dyn_ref().ok_or_else(|| failed("outputs", "no list of tensors"))?;
        let tensors = list.iter().map(|item| typed(&item)).collect::<Result<Vec<_>, _>>()?;
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.clone(), bytes);
            let view = view.map_err(|error| failed("outputs", format!("{name}: {error}")))?;
            Ok((name.as_str(), view))
        });
        let views = views.collect::<Result<Vec<_>, Failure>>()?;
        let bytes = safetensors::serialize(views, None);
        let bytes = bytes.map_err(|error| failed("outputs", error.to_string()))?;
        Ok((tensors.into_iter().map(|(name, ..)| name).collect(), bytes))
    }

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

fn array(name: &str, tensor: &Tensor) -> Object {
    let dims = dimensions(tensor.shape());
    let (ty, data): (&str, JsValue) = match tensor.data() {
        Data::F32(data) => ("float32", Float32Array::from(data.as_slice()).into()),
        Data::I32(data) => ("int32", Int32Array::from(data.as_slice()).into()),
    };
    object(&[("name", name.into()), ("type", ty.into()), ("dims", dims.into()), ("data", data)])
}

fn tensor(item: &JsValue) -> Result<(String, Tensor), Failure> {
    let (name, data) = (text(item, "name"), get(item, "data"));
    let shape = shape_of(item);
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

/// An element type: as onnxruntime-web calls it, in a file, and the array that holds it.
struct Kind {
    name: &'static str,
    dtype: Dtype,
    array: &'static str,
}

const fn kind(name: &'static str, dtype: Dtype, array: &'static str) -> Kind {
    Kind { name, dtype, array }
}

const KINDS: [Kind; 11] = [
    kind("float32", Dtype::F32, "Float32Array"),
    kind("float64", Dtype::F64, "Float64Array"),
    kind("int64", Dtype::I64, "BigInt64Array"),
    kind("int32", Dtype::I32, "Int32Array"),
    kind("int16", Dtype::I16, "Int16Array"),
    kind("int8", Dtype::I8, "Int8Array"),
    kind("uint64", Dtype::U64, "BigUint64Array"),
    kind("uint32", Dtype::U32, "Uint32Array"),
    kind("uint16", Dtype::U16, "Uint16Array"),
    kind("uint8", Dtype::U8, "Uint8Array"),
    kind("bool", Dtype::BOOL, "Uint8Array"),
];

impl Kind {
    /// An array over a copy of the bytes.
    fn array(&self, bytes: &[u8]) -> Result<JsValue, String> {
        let missing = || format!("this browser has no {}", self.array);
        let constructor: Function = get(&global(), self.array).dyn_into().map_err(|_| missing())?;
        let buffer = Uint8Array::from(bytes).buffer();
        Reflect::construct(&constructor, &Array::of1(&buffer)).map_err(|_| missing())
    }
}

type Typed = (String, Dtype, Vec<usize>, Vec<u8>);

/// A tensor of whatever type, copied into this module's memory.
fn typed(item: &JsValue) -> Result<Typed, Failure> {
    let (name, ty, data) = (text(item, "name"), text(item, "type"), get(item, "data"));
    let kind = KINDS.iter().find(|kind| kind.name == ty);
    let kind = kind.ok_or_else(|| failed("outputs", format!("{name} has type {ty}, which no file holds")))?;
    let buffer = get(&data, "buffer").dyn_into::<ArrayBuffer>();
    let buffer = buffer.map_err(|_| failed("outputs", format!("{name} is in no array")))?;
    let (offset, length) = (number(&data, "byteOffset") as u32, number(&data, "byteLength") as u32);
    let bytes = Uint8Array::new_with_byte_offset_and_length(&buffer, offset, length).to_vec();
    Ok((name, kind.dtype, shape_of(item), bytes))
}

fn dimensions(shape: &[usize]) -> Array {
    shape.iter().map(|&n| JsValue::from(n as f64)).collect()
}

fn shape_of(item: &JsValue) -> Vec<usize> {
    let dims: Array = get(item, "dims").dyn_into().unwrap_or_default();
    dims.iter().map(|n| n.as_f64().unwrap_or_default() as usize).collect()
}
