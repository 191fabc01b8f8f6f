"""What transformers' own image processors and feature extractors make of small synthetic images and sounds."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import (
    ClapFeatureExtractor,
    CLIPImageProcessor,
    CLIPImageProcessorPil,
    DetrImageProcessor,
    DetrImageProcessorPil,
    LlavaNextImageProcessor,
    LlavaNextImageProcessorPil,
    SiglipImageProcessor,
    SiglipImageProcessorPil,
    VideoMAEImageProcessor,
    VideoMAEImageProcessorPil,
    ViTImageProcessor,
    ViTImageProcessorPil,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

from common import Tensors, seed_of, size, wave


def picture(name: str, height: int, width: int) -> np.ndarray:
    """Gradients, waves of several lengths, a hard-edged disc and a little noise, as 8-bit RGB."""
    random = np.random.default_rng(seed_of(name))
    y, x = np.mgrid[0:height, 0:width]
    channels = []
    for _ in range(3):
        a, b, c = random.uniform(0.05, 1.4, 3)
        value = 128 + 50 * np.sin(a * x + c) + 40 * np.cos(b * y) + 40 * (x / width - y / height)
        disc = (x - width * random.uniform(0.3, 0.7)) ** 2 + (y - height * random.uniform(0.3, 0.7)) ** 2
        value = np.where(disc < (min(height, width) / 5) ** 2, random.uniform(0, 255), value)
        channels.append(value + random.normal(0, 6, value.shape))
    return np.clip(np.stack(channels, -1), 0, 255).round().astype(np.uint8)


def images(name: str, fast: type, pil: type, sizes: list[tuple[int, int]], **config) -> tuple:
    """`pixel_values` is of the default processor (torchvision); `pil_pixel_values` of the one that uses Pillow."""
    processor = fast(**config)
    pictures = [picture(f"{name} {i}", height, width) for i, (height, width) in enumerate(sizes)]
    made = processor(images=pictures, return_tensors="pt")
    with_pil = pil(**config)(images=pictures, return_tensors="pt")
    inputs = {f"image_{i}": torch.tensor(picture) for i, picture in enumerate(pictures)}
    return processor, inputs, dict(made, pil_pixel_values=with_pil["pixel_values"])


def video(name: str, frames: int, height: int, width: int, **config) -> tuple:
    processor = VideoMAEImageProcessor(**config)
    pictures = [picture(f"{name} {i}", height, width) for i in range(frames)]
    made = processor(pictures, return_tensors="pt")
    with_pil = VideoMAEImageProcessorPil(**config)(pictures, return_tensors="pt")
    inputs = dict(video=torch.tensor(np.stack(pictures)))
    return processor, inputs, dict(made, pil_pixel_values=with_pil["pixel_values"])


def sound(name: str, extractor, samples: list[int], **choices) -> tuple:
    rate = extractor.sampling_rate
    waves = [wave(seed_of(f"{name} {i}"), length, rate) for i, length in enumerate(samples)]
    made = extractor(waves, sampling_rate=rate, return_tensors="pt", **choices)
    return extractor, {f"audio_{i}": torch.tensor(audio) for i, audio in enumerate(waves)}, dict(made)


def clap(padding: str, rate: int = 16000, **more) -> ClapFeatureExtractor:
    config = dict(
        feature_size=32,
        sampling_rate=rate,
        hop_length=320,
        max_length_s=1,
        fft_window_size=512,
        padding=padding,
        truncation="rand_trunc",
        frequency_min=50,
        frequency_max=7000,
    )
    return ClapFeatureExtractor(**(config | more))


SQUARE = dict(size=dict(height=24, width=24))
CROP = dict(size=dict(shortest_edge=24), crop_size=dict(height=24, width=24))
PINPOINTS = [[24, 48], [48, 24], [48, 48], [72, 24], [24, 72]]

FRONTENDS: dict[str, Callable[[str], tuple]] = {
    "clip-down": lambda name: images(name, CLIPImageProcessor, CLIPImageProcessorPil, [(37, 53), (90, 60)], **CROP),
    "clip-up": lambda name: images(name, CLIPImageProcessor, CLIPImageProcessorPil, [(15, 20), (24, 31)], **CROP),
    "clip-crop-pads": lambda name: images(
        name,
        CLIPImageProcessor,
        CLIPImageProcessorPil,
        [(37, 41)],
        size=dict(shortest_edge=19),
        crop_size=dict(height=26, width=24),
    ),
    "vit": lambda name: images(name, ViTImageProcessor, ViTImageProcessorPil, [(37, 53), (90, 60), (11, 9)], **SQUARE),
    "vit-bicubic": lambda name: images(
        name,
        ViTImageProcessor,
        ViTImageProcessorPil,
        [(37, 53)],
        size=dict(height=20, width=28),
        resample=3,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    ),
    "siglip": lambda name: images(name, SiglipImageProcessor, SiglipImageProcessorPil, [(37, 53), (15, 9)], **SQUARE),
    "detr": lambda name: images(
        name,
        DetrImageProcessor,
        DetrImageProcessorPil,
        [(37, 43), (60, 30)],
        size=dict(shortest_edge=30, longest_edge=40),
    ),
    "llava-next": lambda name: images(
        name,
        LlavaNextImageProcessor,
        LlavaNextImageProcessorPil,
        [(37, 53), (90, 31)],
        **CROP,
        image_grid_pinpoints=PINPOINTS,
    ),
    "xclip-video": lambda name: video(name, 3, 37, 53, **CROP),
    "whisper-80": lambda name: sound(name, WhisperFeatureExtractor(feature_size=80, chunk_length=1), [5600]),
    "whisper-128": lambda name: sound(
        name, WhisperFeatureExtractor(feature_size=128, chunk_length=1), [5000], return_attention_mask=True
    ),
    "clap-repeatpad": lambda name: sound(name, clap("repeatpad"), [5000]),
    "clap-repeat": lambda name: sound(name, clap("repeat"), [7000]),
    "clap-pad-equal": lambda name: sound(name, clap("pad"), [16000, 3001]),
    "clap-as-on-hub": lambda name: sound(
        name,
        clap("repeatpad", 48000, feature_size=64, hop_length=480, fft_window_size=1024, frequency_max=14000),
        [10000],
    ),
    "wav2vec2-masked": lambda name: sound(
        name, Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True), [900, 1400], padding=True
    ),
    "wav2vec2-plain": lambda name: sound(
        name, Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False), [900, 1400], padding=True
    ),
}


def make(out: Path, names: list[str]) -> None:
    for name in names or FRONTENDS:
        processor, inputs, expected = FRONTENDS[name](name)
        _write(out / name, processor, inputs, expected)
        print(
            f"{name:20} {size(out / name):7} { ({key: list(value.shape) for key, value in expected.items()}) }",
            flush=True,
        )


def _write(folder: Path, processor, inputs: Tensors, expected: Tensors) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    processor.save_pretrained(folder)
    save_file(inputs, folder / "inputs.safetensors")
    save_file({name: value.contiguous() for name, value in expected.items()}, folder / "expected.safetensors")
    meta = dict(
        processor=type(processor).__name__, transformers=transformers.__version__, torch=torch.__version__.split("+")[0]
    )
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")
