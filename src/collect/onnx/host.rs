//! The independent answer to a model file: rten, an ONNX runtime that shares no code with onnxruntime, on the host.

use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use rten::{Model, Value, ValueOrView};
use rten_tensor::Tensor;
use rten_tensor::prelude::*;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

/// Who answers.
pub(super) const NAME: &str = "rten";

/// The outputs of a model that was read before: named tensors, safetensors. Blocks, but not longer than `patience`.
///
/// # Errors
/// In the runtime's words, with the remedy.
pub(super) fn answer(model: Vec<u8>, inputs: Bytes, patience: Duration) -> Result<Bytes, String> {
    let (done, answered) = mpsc::channel();
    // On a thread of its own, which is left behind if it takes too long: a panic ends nothing but this answer. A
    // receiver that is gone has been told.
    std::thread::spawn(move || done.send(run(model, &inputs)).ok());
    let answer = match answered.recv_timeout(patience) {
        Ok(answer) => answer,
        Err(mpsc::RecvTimeoutError::Timeout) => {
            Err(format!("gave no answer within {} s", patience.as_secs()))
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => Err("panicked".to_owned()),
    };
    answer.map_err(|words| {
        format!("{NAME}, which answers on the host: {words}; give the outputs with --expected")
    })
}

fn run(model: Vec<u8>, inputs: &[u8]) -> Result<Bytes, String> {
    let model = Model::load(model).map_err(|error| error.to_string())?;
    let inputs = SafeTensors::deserialize(inputs).map_err(|error| error.to_string())?;
    let mut given: Vec<(_, ValueOrView<'_>)> = Vec::new();
    for (name, view) in inputs.iter() {
        let id = model.node_id(name).map_err(|error| error.to_string())?;
        given.push((id, value(&view).map_err(|reason| format!("input {name:?} {reason}"))?.into()));
    }
    let outputs = model.run(given, model.output_ids(), None).map_err(|error| error.to_string())?;
    let mut named = Vec::new();
    for (id, value) in model.output_ids().iter().zip(outputs) {
        let name = model.node_info(*id).and_then(|info| info.name().map(str::to_owned)).unwrap_or_default();
        let (dtype, shape, bytes) = bytes(&value).map_err(|reason| format!("output {name:?} {reason}"))?;
        named.push((name, dtype, shape, bytes));
    }
    let views = named.iter().map(|(name, dtype, shape, bytes)| {
        TensorView::new(*dtype, shape.clone(), bytes).map(|view| (name.as_str(), view))
    });
    let views = views.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    safetensors::serialize(views, None).map(Bytes::from).map_err(|error| error.to_string())
}

/// A tensor as the runtime has it, whose whole numbers have 32 bits and whose floats are float32.
fn value(view: &TensorView<'_>) -> Result<Value, String> {
    fn each<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|chunk| convert(*chunk)).collect()
    }
    let (shape, data) = (view.shape(), view.data());
    let narrow = |values: Vec<i64>| -> Result<Value, String> {
        let values = values.into_iter().map(i32::try_from).collect::<Result<Vec<_>, _>>();
        shaped(shape, values.map_err(|_| "has a number of more than 32 bits".to_owned())?)
    };
    match view.dtype() {
        Dtype::F32 => shaped(shape, each(data, f32::from_le_bytes)),
        Dtype::F64 => shaped(shape, each(data, |b| f64::from_le_bytes(b) as f32)),
        Dtype::I32 => shaped(shape, each(data, i32::from_le_bytes)),
        Dtype::I64 => narrow(each(data, i64::from_le_bytes)),
        Dtype::BOOL => narrow(data.iter().map(|byte| i64::from(*byte)).collect()),
        Dtype::U8 => shaped(shape, data.to_vec()),
        Dtype::I8 => shaped(shape, each(data, i8::from_le_bytes)),
        other => Err(format!("has type {other:?}, which it does not know")),
    }
}

fn shaped<T>(shape: &[usize], data: Vec<T>) -> Result<Value, String>
where
    Value: From<Tensor<T>>,
{
    let tensor = Tensor::try_from_data(shape, data).map_err(|error| error.to_string())?;
    Ok(tensor.into())
}

fn bytes(value: &Value) -> Result<(Dtype, Vec<usize>, Vec<u8>), String> {
    Ok(match value {
        Value::FloatTensor(t) => {
            (Dtype::F32, t.shape().to_vec(), t.to_vec().into_iter().flat_map(f32::to_le_bytes).collect())
        }
        Value::Int32Tensor(t) => {
            (Dtype::I32, t.shape().to_vec(), t.to_vec().into_iter().flat_map(i32::to_le_bytes).collect())
        }
        Value::UInt8Tensor(t) => (Dtype::U8, t.shape().to_vec(), t.to_vec()),
        Value::Int8Tensor(t) => {
            let wide = t.to_vec().into_iter().flat_map(|value| i32::from(value).to_le_bytes());
            (Dtype::I32, t.shape().to_vec(), wide.collect())
        }
        _ => return Err("is no tensor".to_owned()),
    })
}
