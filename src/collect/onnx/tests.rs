use proptest::prelude::*;
use rten_onnx::onnx::{
    AttributeProto, DataLocation, DataType, Dimension, GraphProto, ModelProto, NodeProto, TensorProto,
    TensorShapeProto, TypeProto, TypeProtoTensor, ValueInfoProto,
};
use safetensors::{Dtype, tensor::TensorView};

use super::declared::{Dim, Input};
use super::*;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/peer");

fn fixture(file: &str) -> PathBuf {
    Path::new(FIXTURES).join(file)
}

fn bytes(file: &str) -> Vec<u8> {
    fs::read(fixture(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn value(name: &str, ty: DataType, dims: &[&str]) -> ValueInfoProto {
    let dim = |text: &&str| match text.parse() {
        Ok(value) => Dimension { dim_value: Some(value), dim_param: None },
        Err(_) => Dimension { dim_value: None, dim_param: Some((*text).to_owned()) },
    };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor = TypeProtoTensor { elem_type: Some(ty), shape: Some(shape) };
    let ty = TypeProto { tensor_type: Some(tensor), ..TypeProto::default() };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(ty) }
}

fn node(op: &str) -> NodeProto {
    let names = |name: &str| vec![name.to_owned()];
    NodeProto { op_type: Some(op.to_owned()), input: names("x"), output: names("y"), ..NodeProto::default() }
}

/// A model of one op, to be spoilt.
fn model(spoil: impl FnOnce(&mut GraphProto)) -> Vec<u8> {
    let mut graph = GraphProto {
        node: vec![node("Relu")],
        input: vec![value("x", DataType::FLOAT, &["2"])],
        output: vec![value("y", DataType::FLOAT, &["2"])],
        ..GraphProto::default()
    };
    spoil(&mut graph);
    let model = ModelProto { graph: Some(graph), ..ModelProto::default() };
    model.write_buf().unwrap_or_else(|error| panic!("{error}"))
}

fn declared(bytes: &[u8]) -> Declared {
    Declared::read(bytes).unwrap_or_else(|reason| panic!("{reason}"))
}

#[test]
fn a_file_says_what_it_takes() {
    let declared = declared(&bytes("tagger.onnx"));
    let dims = || ["batch", "sequence"].map(|name| Dim::Named(name.to_owned())).to_vec();
    let input = |name: &str| Input { name: name.to_owned(), dtype: Dtype::I64, dims: dims() };
    assert_eq!(declared.inputs, [input("input_ids"), input("attention_mask")]);
    assert_eq!(declared.outputs, ["scores", "best"]);
    assert_eq!(declared.precision, webmatrix_wire::Precision::Fp32);
}

#[test]
fn quantised_weights_are_of_their_width() {
    let of = |node: NodeProto| declared(&model(|graph| graph.node = vec![node])).precision;
    let bits =
        |bits| AttributeProto { name: Some("bits".into()), i: Some(bits), ..AttributeProto::default() };
    assert_eq!(of(node("DequantizeLinear")), webmatrix_wire::Precision::Int8);
    let packed = NodeProto { attribute: vec![bits(2)], ..node("MatMulNBits") };
    assert_eq!(of(packed), webmatrix_wire::Precision::Int2);
}

#[test]
fn what_is_wrong_with_a_file_is_told() {
    let tensor = |ty| TensorProto { data_type: Some(ty), name: Some("w".into()), ..TensorProto::default() };
    let nested = (0..80).fold(GraphProto::default(), |graph, _| {
        let inner = AttributeProto { g: Some(graph), ..AttributeProto::default() };
        GraphProto { node: vec![NodeProto { attribute: vec![inner], ..node("If") }], ..GraphProto::default() }
    });
    let bad = [
        Vec::new(),
        b"not a model, but text of some length".to_vec(),
        bytes("tagger.onnx")[..3000].to_vec(),
        // A producer's name of a tebibyte.
        vec![0x12, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20],
        model(|graph| graph.node.extend(nested.node)),
        model(|graph| graph.node = vec![node("Identity"), node("Reshape")]),
        model(|graph| graph.output.clear()),
        model(|graph| graph.initializer = vec![tensor(DataType::FLOAT16)]),
        model(|graph| graph.input[0] = value("x", DataType::FLOAT16, &["2"])),
        model(|graph| graph.input[0] = value("x", DataType::STRING, &["2"])),
        model(|graph| graph.input[0] = value("x", DataType::FLOAT, &["-7"])),
        model(|graph| graph.input[0].r#type = None),
        model(|graph| {
            let location = Some(DataLocation::EXTERNAL);
            graph.initializer = vec![TensorProto { data_location: location, ..tensor(DataType::FLOAT) }];
        }),
        model(|graph| graph.node[0].name = Some("a\nAll nodes placed on [WebNNExecutionProvider]".into())),
    ];
    let told: Vec<String> = bad.iter().map(|bytes| Declared::read(bytes).err().unwrap_or_default()).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    holds no graph: save it anew
    is no ONNX model, or is cut short: save it anew
    is no ONNX model, or is cut short: save it anew
    is no ONNX model, or is cut short: save it anew
    nests messages deeper than 60: no exporter does
    computes nothing: right outputs would prove nothing
    declares no output: save it anew
    computes in half precision, for which there is no tolerance yet: export it in float32
    computes in half precision, for which there is no tolerance yet: export it in float32
    input "x" has element type 8, which cannot be given
    input "x" has the dimension -7: save it anew
    input "x" is no tensor, and only tensors can be given
    keeps weights in a file beside it: save it as one file, up to 2 GiB
    has the name "a\nAll nodes placed on [WebNNExecutionProvider]", with a control character in it: rename it
    "#);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        drop(Declared::read(&bytes));
    }

    /// Nearly a model: a few bytes of one are changed.
    #[test]
    fn no_damage_panics(changes in proptest::collection::vec((0_usize..3909, any::<u8>()), 1..8)) {
        let mut bytes = bytes("tagger.onnx");
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        drop(Declared::read(&bytes));
    }
}

fn asked(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect()
}

#[test]
fn dimensions_are_bound_by_inputs_then_by_name_then_by_habit() {
    let ids = &["batch_size", "sequence_length"];
    let masked = &["batch_size", "past_sequence_length + sequence_length"];
    let declared = declared(&model(|graph| {
        graph.input = vec![
            value("ids", DataType::INT64, ids),
            value("mask", DataType::INT64, masked),
            value("pixels", DataType::FLOAT, &["N", "3", "height", "4"]),
        ];
    }));
    let text = |dims: Result<BTreeMap<String, usize>, String>| match dims {
        Ok(dims) => dims.iter().map(|(name, size)| format!("{name}={size}")).collect::<Vec<_>>().join(" "),
        Err(reason) => reason,
    };
    let given = |shape: &[usize], dtype: Dtype| {
        let data = vec![0; shape.iter().product::<usize>() * dtype.bitsize() / 8];
        let view = TensorView::new(dtype, shape.to_vec(), &data).unwrap_or_else(|error| panic!("{error}"));
        safetensors::serialize([("ids", view)], None).unwrap_or_else(|error| panic!("{error}"))
    };
    let with = |file: &[u8], dims: &[(&str, usize)]| {
        let tensors = SafeTensors::deserialize(file).unwrap_or_else(|error| panic!("{error}"));
        text(inputs::bind(&declared, &asked(dims), Some(&tensors)))
    };
    let lines = [
        text(inputs::bind(&declared, &asked(&[]), None)),
        text(inputs::bind(&declared, &asked(&[("sequence_length", 5)]), None)),
        with(&given(&[2, 7], Dtype::I64), &[]),
        with(&given(&[2, 7], Dtype::I64), &[("sequence_length", 5)]),
        with(&given(&[2, 7], Dtype::I32), &[]),
        with(&given(&[2], Dtype::I64), &[]),
        text(inputs::bind(&declared, &asked(&[("N", 1 << 20)]), None)),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r#"
    N=1 batch_size=1 height=224 past_sequence_length=16 sequence_length=16
    N=1 batch_size=1 height=224 past_sequence_length=16 sequence_length=5
    N=1 batch_size=2 height=224 past_sequence_length=16 sequence_length=7
    dimension "sequence_length" is 7 in the inputs, not 5
    input "ids" has type I32, the model takes I64
    input "ids" has shape [2], the model takes 2 axes
    input "pixels" has more than 268435456 elements: bind --dim smaller
    "#);
    let dims = inputs::bind(&declared, &asked(&[("past_sequence_length", 2)]), None);
    let made = inputs::inputs(&declared, &dims.unwrap_or_default(), None, 7).unwrap_or_default();
    let made = SafeTensors::deserialize(&made).unwrap_or_else(|error| panic!("{error}"));
    let mask = made.tensor("mask").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((mask.dtype(), mask.shape()), (Dtype::I64, &[1, 18][..]));
    assert!(mask.data().as_chunks::<8>().0.iter().all(|bytes| i64::from_le_bytes(*bytes) == 1));
    let ids = made.tensor("ids").unwrap_or_else(|error| panic!("{error}"));
    assert!(ids.data().as_chunks::<8>().0.iter().all(|bytes| (1..10).contains(&i64::from_le_bytes(*bytes))));
}

fn read(model: &str, inputs: Option<&str>, expected: Option<&Path>) -> Result<ModelFile, String> {
    let asked = OnnxAsked {
        model: fixture(model),
        inputs: inputs.map(fixture),
        expected: expected.map(Path::to_owned),
        dims: BTreeMap::new(),
    };
    let file = asked.read().and_then(|file| material(&file, 7).map(|_| file));
    file.map_err(|error| error.to_string().replace(FIXTURES, ""))
}

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn the_host_gives_what_float64_gives() {
    let file =
        read("mlp.onnx", Some("mlp.inputs.safetensors"), None).unwrap_or_else(|error| panic!("{error}"));
    let material = material(&file, 7).unwrap_or_else(|error| panic!("{error}"));
    let answer = answer(&material.files, PATIENCE).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(answer.source, "rten");
    let floats = |bytes: &[u8]| -> Vec<f32> {
        let tensors = SafeTensors::deserialize(bytes).unwrap_or_else(|error| panic!("{error}"));
        let y = tensors.tensor("y").unwrap_or_else(|error| panic!("{error}"));
        y.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    let (ours, expected) = (floats(&answer.tensors), floats(&bytes("mlp.expected.safetensors")));
    assert_eq!((ours.len(), expected.len()), (24, 24));
    assert!(ours.iter().zip(&expected).all(|(y, e)| (y - e).abs() < 1e-6), "{ours:?} {expected:?}");
}

#[test]
fn an_op_that_the_host_lacks_is_no_answer() {
    let file = read("selu.onnx", None, None).unwrap_or_else(|error| panic!("{error}"));
    let material = material(&file, 7).unwrap_or_else(|error| panic!("{error}"));
    let told = answer(&material.files, PATIENCE).err().unwrap_or_default();
    assert!(told.starts_with("rten, which answers on the host:") && told.contains("Selu"), "{told}");
    assert!(told.ends_with("give the outputs with --expected"), "{told}");
}

#[test]
fn what_does_not_belong_to_a_model_is_told() {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let expected = folder.path().join("expected.safetensors");
    let put = |name: &str, values: [f32; 2]| {
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![2], &data).unwrap_or_else(|error| panic!("{error}"));
        let file = safetensors::serialize([(name, view)], None).unwrap_or_else(|error| panic!("{error}"));
        fs::write(&expected, file).unwrap_or_else(|error| panic!("{error}"));
    };
    put("z", [1.0, 2.0]);
    let other = read("mlp.onnx", None, Some(&expected)).err().unwrap_or_default();
    put("y", [1.0, f32::NAN]);
    let nan = read("mlp.onnx", None, Some(&expected)).err().unwrap_or_default();
    let inputs = read("tagger.onnx", Some("mlp.inputs.safetensors"), None).err().unwrap_or_default();
    let missing = read("none.onnx", None, None).err().unwrap_or_default();
    let here = folder.path().display().to_string();
    insta::assert_snapshot!([other, nan, inputs, missing].join("\n").replace(&here, ""), @r#"
    /expected.safetensors: "z" is no output of the model: it gives y
    /expected.safetensors: tensor y holds NaN (element 1), which proves nothing: save it anew
    /mlp.inputs.safetensors: input "x" is none of the model's: it takes input_ids, attention_mask
    /none.onnx: cannot be read: No such file or directory (os error 2)
    "#);
}

#[test]
fn a_file_that_has_changed_since_is_told() {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let path = folder.path().join("m.onnx");
    fs::copy(fixture("mlp.onnx"), &path).unwrap_or_else(|error| panic!("{error}"));
    let asked = OnnxAsked { model: path.clone(), ..OnnxAsked::default() };
    let file = asked.read().unwrap_or_else(|error| panic!("{error}"));
    fs::copy(fixture("selu.onnx"), &path).unwrap_or_else(|error| panic!("{error}"));
    let told = material(&file, 7).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(told.contains("is another file than when the run was planned"), "{told}");
}
