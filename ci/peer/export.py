"""Exports our classes' golden twins as ONNX: `export.py FOLDER [CLASS ...]`.

Each class gives CLASS.onnx, CLASS.inputs.safetensors and CLASS.expected.safetensors: the golden's own weights, inputs
and outputs, so that `webmatrix run --runtime ort-web` and our own cell of the class are held to the same answer. One
forward pass: what a golden generates is no output of one.

Shapes are the goldens'. Every export is checked before it is written: PyTorch's module that is exported must itself
give what the golden expects.
"""

import json
import sys
import warnings
from pathlib import Path

import onnx
import torch
import transformers
from onnxscript import opset20 as op
from safetensors.torch import load_file, save_file

from models import CHECKOUT, OPSET

GOLDENS = CHECKOUT / "tests" / "fixtures" / "goldens"
# What decides shapes, by numbers of Python: it becomes a part of the export, like the shapes themselves.
FIXED = ("image_sizes",)
# Within which the exported module agrees with the golden, relative to one or to the value.
TOLERANCE = 1e-4


def check(name, outputs, expected):
    """The module must give what the golden expects, or its export is of something else."""
    for output, tensor in zip(expected, outputs, strict=True):
        if not torch.allclose(tensor.float(), expected[output].float(), rtol=TOLERANCE, atol=TOLERANCE):
            error = float((tensor - expected[output]).abs().max())
            raise ValueError(f"{name}: {output} is {error} off the golden before it is exported")


def load(golden):
    """The golden's model, with attention as plain matrix products."""
    architecture = json.loads((golden / "meta.json").read_text())["architecture"]
    model = getattr(transformers, architecture).from_pretrained(golden, attn_implementation="eager")
    model.config.use_cache = False
    return model.float().eval()


class Forward(torch.nn.Module):
    """One forward pass: inputs in the order of their names, outputs as the golden names them."""

    def __init__(self, model, inputs, outputs, fixed):
        super().__init__()
        self.model, self.inputs, self.outputs, self.fixed = model, inputs, outputs, fixed

    def forward(self, *tensors):
        given = dict(zip(self.inputs, tensors, strict=True))
        given = self.model(**given, **self.fixed, output_hidden_states=True)
        return tuple(self.output(given, name) for name in self.outputs)

    def output(self, given, name):
        """A head's output has no `last_hidden_state`: the golden's is what enters the final norm."""
        return given.hidden_states[-1] if name == "last_hidden_state" and name not in given else given[name]


def read(golden):
    """Inputs and expected outputs of one forward pass: of a sound, what the front end makes of it goes in."""
    inputs, expected = load_file(golden / "inputs.safetensors"), load_file(golden / "expected.safetensors")
    expected.pop("generated_ids", None)
    if "input_features" in expected:
        inputs["input_features"] = expected.pop("input_features")
        if golden.name == "clap":
            inputs["is_longer"] = torch.zeros(len(inputs["input_features"]), 1, dtype=torch.bool)
    inputs.pop("audio", None)
    return inputs, expected


def export(name, folder):
    """Writes the three files of a class."""
    golden = GOLDENS / name
    inputs, expected = read(golden)
    fixed = {name: inputs.pop(name).tolist() for name in FIXED if name in inputs}
    module = Forward(load(golden), sorted(inputs), list(expected), fixed).eval()
    tensors = tuple(inputs[name] for name in sorted(inputs))
    with torch.inference_mode():
        check(name, module(*tensors), expected)
    file = folder / f"{name}.onnx"
    names = dict(input_names=sorted(inputs), output_names=list(expected), opset_version=OPSET)
    try:
        torch.onnx.export(module, tensors, file, **names, dynamo=False)
    except Exception as traced:  # noqa: BLE001
        # What tracing cannot follow, the newer exporter often can; in one file, as pages want it.
        print(f"{name}: traced: {first_line(traced)}", file=sys.stderr)
        table = {torch.ops.aten._is_all_true.default: all_true}
        torch.onnx.export(
            module, tensors, file, **names, dynamo=True, external_data=False, custom_translation_table=table
        )
    # What does not change the outputs, the exporter leaves out.
    kept = [value.name for value in onnx.load(file).graph.input]
    save_file({name: inputs[name] for name in kept}, folder / f"{name}.inputs.safetensors")
    save_file(expected, folder / f"{name}.expected.safetensors")


def all_true(x):
    """The one op that the newer exporter lacks for LLaVA-NeXT: a check of its inputs."""
    return op.Cast(op.ReduceMin(op.Cast(x, to=onnx.TensorProto.INT32), keepdims=False), to=onnx.TensorProto.BOOL)


def first_line(error):
    """What an error says, as far as it is read."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def main():
    """Exports the classes that are named, else all; ends in failure if one cannot be."""
    if len(sys.argv) < 2:
        sys.exit("usage: export.py FOLDER [CLASS ...]")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    failed = False
    for name in sys.argv[2:] or sorted(golden.name for golden in GOLDENS.iterdir() if golden.is_dir()):
        try:
            export(name, folder)
            print(f"{name}: exported")
        except Exception as error:  # noqa: BLE001
            failed = True
            print(f"{name}: not exported: {first_line(error)}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
