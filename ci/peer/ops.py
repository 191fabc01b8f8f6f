"""Single ops as ONNX models with the weights, inputs and outputs that both runtimes are held to.

Every subject is seeded by its name. Outputs are computed here in float64, by neither of the runtimes.
"""

import zlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

OPSET = 20
IR_VERSION = 10
# Rows of a quantised weight are cut into groups of so many, each with a scale of its own.
BLOCK = 32


def draw(name):
    """A generator of the subject's own: adding one changes no other."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def save(folder, nodes, x, y, weights, initializers=None):
    """Writes a subject: the ONNX model, and what each side reads; `y` is rounded once, from float64."""
    folder.mkdir(parents=True, exist_ok=True)
    initializers = weights if initializers is None else initializers
    graph = helper.make_graph(
        nodes,
        folder.name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y.shape)],
        [numpy_helper.from_array(np.ascontiguousarray(w), name) for name, w in initializers.items()],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    if all(node.domain == "" for node in nodes):
        onnx.checker.check_model(model, full_check=True)
    onnx.save(model, folder / "model.onnx")
    save_file({name: np.ascontiguousarray(w) for name, w in weights.items()}, folder / "weights.safetensors")
    save_file({"x": x}, folder / "inputs.safetensors")
    save_file({"y": y.astype(np.float32)}, folder / "expected.safetensors")


def floats(rng, *shape, scale=1.0):
    """Normal numbers in float32."""
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def product(folder, m, k, n):
    """`x · wᵀ`: a linear layer without a bias, in the form in which exporters write it."""
    rng = draw(folder.name)
    x, w = floats(rng, m, k), floats(rng, n, k, scale=k**-0.5)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    save(folder, [node], x, x.astype(np.float64) @ w.T.astype(np.float64), {"w": w}, {"w": w.T})


def softmax(folder, rows, columns):
    """Over the last axis."""
    x = floats(draw(folder.name), rows, columns, scale=3.0)
    e = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    # safetensors holds no empty file: the op has no weights.
    node = helper.make_node("Softmax", ["x"], ["y"], axis=-1)
    save(folder, [node], x, e / e.sum(axis=1, keepdims=True), {"none": np.zeros(1, np.float32)}, {})


def layer_norm(folder, rows, columns):
    """Over the last axis, with scale and bias."""
    rng = draw(folder.name)
    x, scale, bias = floats(rng, rows, columns, scale=2.0) + 0.5, floats(rng, columns), floats(rng, columns)
    wide = x.astype(np.float64)
    centred = wide - wide.mean(axis=1, keepdims=True)
    y = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5) * scale + bias
    node = helper.make_node("LayerNormalization", ["x", "scale", "bias"], ["y"], axis=-1, epsilon=1e-5)
    save(folder, [node], x, y, {"scale": scale, "bias": bias})


def conv1d(folder, channels, out, taps, width):
    """Stride 1, as much padding as keeps the width, with a bias."""
    rng = draw(folder.name)
    x, bias = floats(rng, 1, channels, width), floats(rng, out)
    w = floats(rng, out, channels, taps, scale=(channels * taps) ** -0.5)
    pad = taps // 2
    padded = np.pad(x[0].astype(np.float64), [(0, 0), (pad, pad)])
    y = sum(w[:, :, t].astype(np.float64) @ padded[:, t : t + width] for t in range(taps)) + bias[:, None]
    node = helper.make_node("Conv", ["x", "w", "bias"], ["y"], kernel_shape=[taps], pads=[pad, pad])
    save(folder, [node], x, y[None], {"w": w, "bias": bias})


def packed(codes, bits):
    """Codes side by side in bytes, the first in the lowest bits."""
    n, k = codes.shape
    per_byte = 8 // bits
    parts = codes.reshape(n, k // per_byte, per_byte).astype(np.uint32)
    joined = sum(parts[:, :, i] << (bits * i) for i in range(per_byte))
    return joined.astype(np.uint8).reshape(n, k // BLOCK, BLOCK // per_byte)


def quantised(folder, m, k, n, bits):
    """`x · wᵀ` where `w` is codes about the middle code, times a scale for each group.

    Beside the codes and scales, `w` has what they stand for: exact in float32, so that a format of one's own can be
    made from the very same weights.
    """
    rng = draw(folder.name)
    x = floats(rng, m, k)
    codes = rng.integers(0, 1 << bits, (n, k), dtype=np.uint8)
    # The lowest code stands in every group, so that a group's scale can be told from its widest weight.
    codes[:, ::BLOCK] = 0
    # Powers of two and a few bits more: codes times scales round nowhere, in float16 scales neither.
    scales = (rng.integers(8, 16, (n, k // BLOCK)) * 2.0 ** -(bits + 8)).astype(np.float32)
    centred = codes.astype(np.float64) - (1 << (bits - 1))
    w = centred * np.repeat(scales.astype(np.float64), BLOCK, axis=1)
    node = helper.make_node(
        "MatMulNBits",
        ["x", "codes", "scales"],
        ["y"],
        domain="com.microsoft",
        K=k,
        N=n,
        bits=bits,
        block_size=BLOCK,
    )
    ours = {"w": w.astype(np.float32), "codes": codes, "scales": scales}
    save(folder, [node], x, x.astype(np.float64) @ w.T, ours, {"codes": packed(codes, bits), "scales": scales})


OPS = {
    "gemm_f32": lambda folder: product(folder, 512, 1024, 1024),
    "gemv_f32": lambda folder: product(folder, 1, 2048, 2048),
    "softmax": lambda folder: softmax(folder, 6144, 512),
    "layer_norm": lambda folder: layer_norm(folder, 512, 768),
    "conv1d": lambda folder: conv1d(folder, 384, 384, 3, 1500),
    "gemm_q4": lambda folder: quantised(folder, 128, 2048, 2048, 4),
    "gemv_q8": lambda folder: quantised(folder, 1, 2048, 2048, 8),
    "gemv_q4": lambda folder: quantised(folder, 1, 2048, 2048, 4),
    "gemv_q2": lambda folder: quantised(folder, 1, 2048, 2048, 2),
    # Weights that no cache holds: both sides' stand side by side, and each evicts the other's.
    "gemv_f32_wide": lambda folder: product(folder, 1, 4096, 8192),
    "gemv_q8_wide": lambda folder: quantised(folder, 1, 4096, 8192, 8),
    "gemv_q4_wide": lambda folder: quantised(folder, 1, 4096, 8192, 4),
}


def make(name, folder: Path):
    """Makes one subject."""
    OPS[name](folder)
