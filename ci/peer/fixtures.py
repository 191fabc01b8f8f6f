"""Makes the ONNX files that the tests run: `fixtures.py FOLDER`, which is tests/fixtures/peer.

Small enough to be read, seeded, and with the outputs that they must give: computed here in float64, by no runtime.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from ops import IR_VERSION, OPSET, draw, floats


def save(folder, name, nodes, inputs, outputs, weights):
    """Writes a model; inputs and outputs are (name, type, dims), where a dimension may be a name."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        name,
        [value(*given) for given in inputs],
        [value(*given) for given in outputs],
        [numpy_helper.from_array(weight, name) for name, weight in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, folder / f"{name}.onnx")


def mlp(folder):
    """Two layers of floats, which every backend takes, on a batch of any size."""
    rng = draw("mlp")
    w, bias, v = floats(rng, 32, 64, scale=0.2), floats(rng, 64), floats(rng, 64, 8, scale=0.2)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["wx"]),
        helper.make_node("Add", ["wx", "bias"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "v"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["y"], axis=-1),
    ]
    dims = ["batch", 32], ["batch", 8]
    inputs, outputs = [("x", TensorProto.FLOAT, dims[0])], [("y", TensorProto.FLOAT, dims[1])]
    save(folder, "mlp", nodes, inputs, outputs, {"w": w, "bias": bias, "v": v})
    x = floats(rng, 3, 32)
    scores = np.maximum(x.astype(np.float64) @ w + bias, 0) @ v
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    save_file({"x": x}, folder / "mlp.inputs.safetensors")
    save_file({"y": (e / e.sum(axis=1, keepdims=True)).astype(np.float32)}, folder / "mlp.expected.safetensors")


def tagger(folder):
    """Ids and a mask of 64 bits in, scores and the best classes out: the types that exporters use."""
    rng = draw("tagger")
    weights = {
        "table": floats(rng, 16, 32),
        "scale": floats(rng, 32),
        "bias": floats(rng, 32),
        "w": floats(rng, 32, 8, scale=0.5),
        "axes": np.array([2], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["embedded"]),
        helper.make_node("LayerNormalization", ["embedded", "scale", "bias"], ["normed"], axis=-1),
        helper.make_node("MatMul", ["normed", "w"], ["all"]),
        helper.make_node("Unsqueeze", ["attention_mask", "axes"], ["column"]),
        helper.make_node("Cast", ["column"], ["kept"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["all", "kept"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["best"], axis=-1, keepdims=0),
    ]
    dims = ["batch", "sequence"]
    inputs = [(name, TensorProto.INT64, dims) for name in ("input_ids", "attention_mask")]
    outputs = [("scores", TensorProto.FLOAT, [*dims, 8]), ("best", TensorProto.INT64, dims)]
    save(folder, "tagger", nodes, inputs, outputs, weights)


def selu(folder):
    """An op that the host's runtime lacks."""
    nodes = [helper.make_node("Selu", ["x"], ["y"])]
    dims = [("x", TensorProto.FLOAT, [2, 8])], [("y", TensorProto.FLOAT, [2, 8])]
    save(folder, "selu", nodes, *dims, {})


def main():
    """Makes every fixture anew."""
    if len(sys.argv) != 2:
        sys.exit("usage: fixtures.py FOLDER")
    for make in (mlp, tagger, selu):
        make(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
