//! What an ONNX file says of itself: its inputs and outputs, and the precision of its weights.

use std::collections::BTreeSet;
use std::panic::catch_unwind;

use rten_onnx::onnx::{
    DataLocation, DataType, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto,
};
use safetensors::Dtype;
use webmatrix_wire::Precision;

use super::sound;

/// What a file declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) inputs: Vec<Input>,
    pub(super) outputs: Vec<String>,
    pub(super) precision: Precision,
}

/// An input that must be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) dims: Vec<Dim>,
}

/// One dimension of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dim {
    Fixed(usize),
    /// By its name, or by the input's and the axis where it has none.
    Named(String),
}

impl Declared {
    /// Reads a file, whatever it holds.
    ///
    /// # Errors
    /// In words that go behind the file's name.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        sound::check(bytes)?;
        let read = catch_unwind(|| ModelProto::parse_buf(bytes));
        let read = read.map_err(|_| "the reader of ONNX files panicked: please report it".to_owned())?;
        let model = read.map_err(|error| format!("is no ONNX model ({error}): save it anew"))?;
        let graph = model.graph.as_ref().ok_or("holds no graph: save it anew")?;
        let mut facts = Facts::default();
        facts.graph(graph)?;
        if !facts.computes {
            return Err("computes nothing: right outputs would prove nothing".to_owned());
        }
        let kept: BTreeSet<&str> = graph.initializer.iter().filter_map(|t| t.name.as_deref()).collect();
        let inputs = graph.input.iter().filter(|value| !kept.contains(name(value)));
        let inputs = inputs.map(input).collect::<Result<Vec<_>, _>>()?;
        let outputs: Vec<String> = graph.output.iter().map(|value| name(value).to_owned()).collect();
        if outputs.is_empty() {
            return Err("declares no output: save it anew".to_owned());
        }
        Ok(Self { inputs, outputs, precision: facts.precision()? })
    }
}

fn name(value: &ValueInfoProto) -> &str {
    value.name.as_deref().unwrap_or_default()
}

fn input(value: &ValueInfoProto) -> Result<Input, String> {
    let name = name(value);
    let refuse = |what: &str| Err(format!("input {name:?} {what}"));
    let Some(tensor) = value.r#type.as_ref().and_then(|ty| ty.tensor_type.as_ref()) else {
        return refuse("is no tensor, and only tensors can be given");
    };
    let dtype = match tensor.elem_type.unwrap_or(DataType(0)) {
        DataType::FLOAT => Dtype::F32,
        DataType::DOUBLE => Dtype::F64,
        DataType::INT64 => Dtype::I64,
        DataType::INT32 => Dtype::I32,
        DataType::INT16 => Dtype::I16,
        DataType::INT8 => Dtype::I8,
        DataType::UINT64 => Dtype::U64,
        DataType::UINT32 => Dtype::U32,
        DataType::UINT16 => Dtype::U16,
        DataType::UINT8 => Dtype::U8,
        DataType::BOOL => Dtype::BOOL,
        DataType::FLOAT16 => return Err(HALF.to_owned()),
        other => return refuse(&format!("has element type {}, which cannot be given", other.0)),
    };
    let Some(shape) = &tensor.shape else {
        return refuse("has no shape: export the model with one, of symbolic dimensions if need be");
    };
    let dims = shape.dim.iter().enumerate().map(|(axis, dim)| {
        match (dim.dim_value, dim.dim_param.as_deref().map(str::trim)) {
            (Some(value), _) => usize::try_from(value)
                .map(Dim::Fixed)
                .map_err(|_| format!("input {name:?} has the dimension {value}: save it anew")),
            (None, Some(param)) if !param.is_empty() => Ok(Dim::Named(param.to_owned())),
            (None, _) => Ok(Dim::Named(format!("{name}.{axis}"))),
        }
    });
    Ok(Input { name: name.to_owned(), dtype, dims: dims.collect::<Result<_, _>>()? })
}

const HALF: &str = "computes in half precision, for which there is no tolerance yet: export it in float32";

/// What is seen on a walk over every node, those of inner graphs included.
#[derive(Default)]
struct Facts {
    computes: bool,
    half: bool,
    /// Bits of its quantised weights, the fewest.
    bits: Option<i64>,
}

impl Facts {
    fn graph(&mut self, graph: &GraphProto) -> Result<(), String> {
        let values = graph.input.iter().chain(&graph.output).chain(&graph.value_info).map(name);
        values.chain(graph.initializer.iter().filter_map(|t| t.name.as_deref())).try_for_each(plain)?;
        graph.initializer.iter().try_for_each(|tensor| self.tensor(tensor))?;
        graph.node.iter().try_for_each(|node| self.node(node))
    }

    fn node(&mut self, node: &NodeProto) -> Result<(), String> {
        let op = node.op_type.as_deref().unwrap_or_default();
        let said = [Some(op), node.name.as_deref(), node.domain.as_deref()];
        let values = node.input.iter().chain(&node.output).map(String::as_str);
        said.into_iter().flatten().chain(values).try_for_each(plain)?;
        self.computes |= !MOVES.contains(&op);
        if op == "MatMulNBits" || op == "GatherBlockQuantized" {
            let bits = node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some("bits"));
            self.quantised(bits.and_then(|attribute| attribute.i).unwrap_or(4));
        }
        if WHOLE.contains(&op) || op.starts_with("QLinear") {
            self.quantised(8);
        }
        for attribute in &node.attribute {
            attribute.t.iter().try_for_each(|tensor| self.tensor(tensor))?;
            attribute.g.iter().try_for_each(|graph| self.graph(graph))?;
        }
        Ok(())
    }

    fn tensor(&mut self, tensor: &TensorProto) -> Result<(), String> {
        if tensor.data_location == Some(DataLocation::EXTERNAL) {
            return Err("keeps weights in a file beside it: save it as one file, up to 2 GiB".to_owned());
        }
        match tensor.data_type {
            Some(DataType::FLOAT16 | DataType::BFLOAT16) => self.half = true,
            Some(DataType::INT4 | DataType::UINT4) => self.quantised(4),
            _ => {}
        }
        Ok(())
    }

    fn quantised(&mut self, bits: i64) {
        self.bits = Some(self.bits.map_or(bits, |fewest| fewest.min(bits)));
    }

    fn precision(&self) -> Result<Precision, String> {
        match (self.half, self.bits) {
            (true, _) => Err(HALF.to_owned()),
            (false, None) => Ok(Precision::Fp32),
            (false, Some(8)) => Ok(Precision::Int8),
            (false, Some(4)) => Ok(Precision::Int4),
            (false, Some(3)) => Ok(Precision::Int3),
            (false, Some(2)) => Ok(Precision::Int2),
            (false, Some(bits)) => Err(format!("has weights of {bits} bits, which is no precision here")),
        }
    }
}

/// Ops that name, move or count data.
const MOVES: [&str; 9] =
    ["", "Constant", "Flatten", "Identity", "Reshape", "Shape", "Size", "Squeeze", "Unsqueeze"];

/// Ops on whole numbers that stand for others.
const WHOLE: [&str; 4] = ["ConvInteger", "DequantizeLinear", "MatMulInteger", "DynamicQuantizeLinear"];

/// Names are told in the other runtime's log, from which evidence is read: they must stay on their line.
fn plain(name: &str) -> Result<(), String> {
    if name.chars().any(char::is_control) {
        return Err(format!("has the name {name:?}, with a control character in it: rename it"));
    }
    Ok(())
}
