"""What every fixture needs: seeded numbers, seeded weights, greedy decoding, and the folder that holds the result."""

import hashlib
import itertools
import json
import math
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

# Below this, two correct implementations may choose different tokens.
SMALLEST_GAP = 5e-3

Tensors = dict[str, Tensor]


class Fragile(Exception):
    """A greedy choice so close that rounding could turn it."""


@dataclass
class Case:
    """A model, what goes in, and how to compute what must come out."""

    model: PreTrainedModel
    inputs: Tensors
    # Computed from a model, so that the folder can be read back and run once more.
    outputs: Callable[[PreTrainedModel], Tensors]
    task: str
    notes: dict = field(default_factory=dict)
    # Saved as `preprocessor_config.json`, as the Hub has it.
    preprocessor: object = None


@dataclass
class Storage:
    """How a checkpoint is written. The default is as the goldens: one float32 file, the library's own names."""

    dtype: torch.dtype = torch.float32
    # The names that `save_pretrained` writes and the Hub has: for some classes not the library's own.
    hub: bool = False
    rename: Callable[[str], str] = lambda name: name
    # Tensors that a model of this class does not use, and that checkpoints have all the same.
    extra: Tensors = field(default_factory=dict)
    shards: int = 1
    edit_config: Callable[[dict], None] = lambda config: None


def seeds(first: int) -> Iterator[int]:
    """A seed for each thing drawn, in the order in which they are drawn."""
    return itertools.count(first)


def seed_of(name: str) -> int:
    return int(hashlib.sha1(name.encode()).hexdigest()[:6], 16)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ids(seed: int, shape: tuple, low: int, high: int) -> Tensor:
    return torch.randint(low, high, shape, generator=generator(seed))


def noise(seed: int, shape: tuple) -> Tensor:
    return torch.randn(shape, generator=generator(seed))


def wave(seed: int, samples: int, rate: int) -> np.ndarray:
    """Five sines that swell and fade, in a little noise."""
    random = np.random.default_rng(seed)
    time = np.arange(samples) / rate
    frequency = random.uniform(80, min(3000, rate / 4), 5)
    amplitude = random.uniform(0.05, 0.3, 5)
    phase = random.uniform(0, 6.28, 5)
    tones = sum(amplitude[i] * np.sin(2 * np.pi * frequency[i] * time + phase[i]) for i in range(5))
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 1.7 * time)
    return (tones * swell + 0.01 * random.standard_normal(samples)).astype(np.float32)


def randomise(model: PreTrainedModel, seed: int) -> PreTrainedModel:
    """Weights that keep activations near one, and norms, biases and running statistics that are not the identity."""
    source = generator(seed)
    state = model.state_dict()
    for name in sorted(state):
        weight = state[name]
        if torch.is_floating_point(weight):
            drawn = torch.randn(weight.shape, generator=source)
            value = _scaled(name, drawn)
            if value is not None:
                weight.copy_(value.to(weight.dtype))
    model.tie_weights()
    return model.eval()


def _scaled(name: str, drawn: Tensor) -> Tensor | None:
    lower = name.lower()
    if name.endswith(("weight_g", "parametrizations.weight.original0")):
        return 1 + 0.1 * drawn.abs()
    if name.endswith("running_var"):
        return 0.5 + drawn.abs()
    if name.endswith("running_mean"):
        return 0.1 * drawn
    if "norm" in lower and name.endswith("weight") and drawn.ndim == 1:
        return 1 + 0.1 * drawn
    if "logit_scale" in name:
        return None
    if drawn.ndim >= 2:
        if "embed" in lower or "shared" in name:
            return 0.5 * drawn
        return drawn / math.sqrt(max(math.prod(drawn.shape[1:]), 1))
    return 0.1 * drawn


def greedy(model: PreTrainedModel, steps: int, **inputs: Tensor) -> Tensor:
    """Greedy decoding with the end token masked, prompt or start token first."""
    made = model.generate(
        **inputs,
        max_new_tokens=steps,
        min_new_tokens=steps,
        do_sample=False,
        num_beams=1,
        output_scores=True,
        return_dict_in_generate=True,
    )
    check_gap(torch.stack(made.scores))
    return made.sequences


def greedy_without_cache(model: PreTrainedModel, steps: int, start: Tensor, end: int, logits: Callable) -> Tensor:
    """The same, with everything computed anew for every token."""
    tokens = start
    for _ in range(steps):
        last = logits(model, tokens)[:, -1]
        last[:, end] = -1e9
        check_gap(last)
        tokens = torch.cat([tokens, last.argmax(-1, keepdim=True)], 1)
    return tokens


def check_gap(scores: Tensor) -> None:
    best = scores.topk(2).values
    gap = float((best[..., 0] - best[..., 1]).min())
    if gap < SMALLEST_GAP:
        raise Fragile(f"the two best tokens are {gap:.2g} apart")


def write(folder: Path, case: Case, storage: Storage) -> None:
    """Writes the folder. `outputs` is computed after rounding, so that it is what the stored weights give."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    if storage.dtype != torch.float32:
        _round(case.model, storage.dtype)
    expected = case.outputs(case.model)
    state = _hub_state(case.model) if storage.hub else _library_state(case.model)
    weights = {storage.rename(name): weight for name, weight in state.items()}
    weights = {n: w.to(storage.dtype) if w.is_floating_point() else w for n, w in (weights | storage.extra).items()}
    _write_config(folder, case.model, storage)
    _write_weights(folder, weights, storage.shards)
    if case.preprocessor is not None:
        case.preprocessor.save_pretrained(folder)
    save_file(_contiguous(case.inputs), folder / "inputs.safetensors")
    save_file(_contiguous(expected), folder / "expected.safetensors")
    meta = dict(
        task=case.task,
        **case.notes,
        architecture=type(case.model).__name__,
        transformers=transformers.__version__,
        torch=torch.__version__.split("+")[0],
        parameters=sum(weight.numel() for weight in state.values()),
        inputs={name: _kind(tensor) for name, tensor in case.inputs.items()},
        outputs={name: [*_kind(tensor), float(tensor.float().std())] for name, tensor in expected.items()},
    )
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")


def check(folder: Path, case: Case) -> None:
    """The folder alone, read by the library, must give what is expected: no config field may have been lost."""
    # The vision towers of `vit`'s pooling and BERT's heads are arguments, not config: give the same class again.
    model = type(case.model).from_pretrained(folder, dtype=torch.float32).eval()
    got = case.outputs(model)
    for name, want in load_file(folder / "expected.safetensors").items():
        if want.is_floating_point():
            error = float((got[name] - want).abs().max())
            assert error <= 2e-5, f"{folder.name}/{name}: read back, it is {error} off"
        else:
            assert torch.equal(got[name], want), f"{folder.name}/{name}: read back, it differs"


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def _round(model: PreTrainedModel, dtype: torch.dtype) -> None:
    for weight in model.state_dict().values():
        if weight.is_floating_point():
            weight.copy_(weight.to(dtype).float())


def _library_state(model: PreTrainedModel) -> Tensors:
    """Without tied duplicates, as on the Hub."""
    state, seen = {}, set()
    for name, weight in model.state_dict().items():
        place = (weight.data_ptr(), tuple(weight.shape))
        if weight.numel() and place in seen:
            continue
        seen.add(place)
        state[name] = weight.contiguous()
    return state


def _hub_state(model: PreTrainedModel) -> Tensors:
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(Path(folder) / "model.safetensors")


def _write_config(folder: Path, model: PreTrainedModel, storage: Storage) -> None:
    model.config.save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    if storage.hub:
        config["architectures"] = [type(model).__name__]
        config["dtype"] = str(storage.dtype).removeprefix("torch.")
    storage.edit_config(config)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _write_weights(folder: Path, weights: Tensors, shards: int) -> None:
    weights = _contiguous(weights)
    if shards == 1:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = list(weights)
    where = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        held = names[len(names) * shard // shards : len(names) * (shard + 1) // shards]
        save_file({name: weights[name] for name in held}, folder / file, metadata={"format": "pt"})
        where |= dict.fromkeys(held, file)
    total = sum(weight.numel() * weight.element_size() for weight in weights.values())
    index = dict(metadata=dict(total_size=total), weight_map=where)
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def _contiguous(tensors: Tensors) -> Tensors:
    # A clone, because tensors that share storage cannot be written.
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}


def _kind(tensor: Tensor) -> list:
    return [str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]


def renamer(*rules: tuple[str, str]) -> Callable[[str], str]:
    """Applies each (pattern, replacement) in turn."""

    def rename(name: str) -> str:
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        return name

    return rename
