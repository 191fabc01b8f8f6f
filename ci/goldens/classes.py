"""One function a class: a config, seeds and a few choices in, a `Case` out.

Every function draws its seeds in a fixed order, the order in which the goldens were drawn.
"""

import copy
import json
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertModel,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    CLIPConfig,
    CLIPModel,
    DetrConfig,
    DetrForObjectDetection,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    ResNetConfig,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTForImageClassification,
    ViTModel,
    Wav2Vec2Config,
    Wav2Vec2ForCTC,
    Wav2Vec2Model,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    XCLIPConfig,
    XCLIPModel,
)
from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

from common import Case, Fragile, Tensors, greedy, greedy_without_cache, ids, noise, randomise, wave

Seeds = Iterator[int]


def bert(seeds: Seeds, config: dict, tokens: int = 16) -> Case:
    """A batch of two, the second one padded by half."""
    config = BertConfig(attn_implementation="eager", **config)
    model = randomise(BertModel(config), next(seeds))
    x = ids(next(seeds), (2, tokens), 3, config.vocab_size)
    mask = torch.ones_like(x)
    mask[1, tokens // 2 :] = 0
    types = torch.zeros_like(x)
    types[0, tokens // 2 :] = 1
    if config.type_vocab_size > 2:
        types = ids(next(seeds), (2, tokens), 0, config.type_vocab_size)
    inputs = dict(input_ids=x, attention_mask=mask, token_type_ids=types)

    def outputs(model):
        out = model(**inputs)
        return dict(last_hidden_state=out.last_hidden_state, pooler_output=out.pooler_output)

    return Case(model, inputs, outputs, "feature-extraction")


def t5(
    seeds: Seeds,
    config: dict,
    tokens: int = 16,
    decoder_tokens: int = 7,
    steps: int = 12,
    untied: bool = False,
    lengths: list[int] | None = None,
    cached: bool = True,
) -> Case:
    """`lengths` makes a batch, padded to the longest and masked; `untied` gives the head weights of its own.

    `cached` off: the library's cache has as many layers as the encoder, and fails if the decoder has more.
    """
    config = T5Config(decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, **config)
    model = randomise(T5ForConditionalGeneration(config), next(seeds))
    batch = len(lengths) if lengths else 1
    x = ids(next(seeds), (batch, tokens), 3, config.vocab_size)
    y = ids(next(seeds), (batch, decoder_tokens), 3, config.vocab_size)
    y[:, 0] = 0
    if untied:
        head = noise(next(seeds), (config.vocab_size, config.d_model)) / config.d_model**0.5
        model.lm_head.weight = torch.nn.Parameter(head)
    source = dict(input_ids=x)
    if lengths:
        source |= _pad(x, lengths, 0)
    inputs = dict(source, decoder_input_ids=y)

    def logits(model, tokens):
        return model(**source, decoder_input_ids=tokens, use_cache=False).logits

    def outputs(model):
        out = model(**inputs, use_cache=False)
        start = torch.zeros(batch, 1, dtype=torch.long)
        made = greedy(model, steps, **source) if cached else greedy_without_cache(model, steps, start, 1, logits)
        return dict(encoder_last_hidden_state=out.encoder_last_hidden_state, logits=out.logits, generated_ids=made)

    return Case(model, inputs, outputs, "text2text-generation")


# ClapFeatureExtractor as the checkpoints on the Hub set it, but for one second of sound.
CLAP_FRONT_END = dict(
    feature_size=64,
    sampling_rate=48000,
    hop_length=480,
    max_length_s=1,
    fft_window_size=1024,
    padding="repeatpad",
    truncation="rand_trunc",
    frequency_min=50,
    frequency_max=14000,
)

LANGUAGE_MODELS = dict(
    llama=(LlamaConfig, LlamaForCausalLM), qwen2=(Qwen2Config, Qwen2ForCausalLM), qwen3=(Qwen3Config, Qwen3ForCausalLM)
)


def language_model(
    family: str,
    seeds: Seeds,
    config: dict,
    tokens: int = 16,
    batch: int = 1,
    steps: int = 16,
    same_without_cache: bool = False,
) -> Case:
    """`same_without_cache` demands that recomputing every step gives the same tokens: not so for some kinds of rope."""
    config_class, model_class = LANGUAGE_MODELS[family]
    special = dict(bos_token_id=1, eos_token_id=2, pad_token_id=0)
    config = config_class(**special, attn_implementation="eager", **config)
    model = randomise(model_class(config), next(seeds))
    x = ids(next(seeds), (batch, tokens), 3, config.vocab_size)

    def outputs(model):
        fresh = copy.deepcopy(model)
        logits = model(input_ids=x).logits
        made = greedy(model, steps, input_ids=x)
        if same_without_cache:
            again = greedy_without_cache(fresh, steps, x, 2, lambda m, t: copy.deepcopy(m)(input_ids=t).logits)
            if not torch.equal(made, again):
                raise Fragile("the tokens depend on whether keys are cached")
        return dict(logits=logits, generated_ids=made)

    return Case(model, dict(input_ids=x), outputs, "text-generation")


def llama(*args, **choices) -> Case:
    return language_model("llama", *args, **choices)


def qwen2(*args, **choices) -> Case:
    return language_model("qwen2", *args, **choices)


def qwen3(*args, **choices) -> Case:
    return language_model("qwen3", *args, **choices)


def clip(seeds: Seeds, config: dict, texts: int = 3, tokens: int = 12, images: int = 2, **captions) -> Case:
    model = randomise(CLIPModel(CLIPConfig(**config)), next(seeds))
    text = _captions(seeds, model.config.text_config.vocab_size, texts, tokens, **captions)
    size = model.config.vision_config.image_size
    inputs = dict(text, pixel_values=noise(next(seeds), (images, 3, size, size)))

    def outputs(model):
        out = model(**inputs)
        return dict(text_embeds=out.text_embeds, image_embeds=out.image_embeds, logits_per_image=out.logits_per_image)

    return Case(model, inputs, outputs, "zero-shot-image-classification")


def vit(seeds: Seeds, config: dict, images: int = 2, classifier: bool = True) -> Case:
    """With a classifier `last_hidden_state` is what enters the final norm, as in the golden; without, what leaves."""
    config = ViTConfig(**config)
    model = randomise((ViTForImageClassification if classifier else ViTModel)(config), next(seeds))
    size = config.image_size
    height, width = (size, size) if isinstance(size, int) else size
    x = noise(next(seeds), (images, config.num_channels, height, width))

    def outputs(model):
        out = model(x, output_hidden_states=True)
        if classifier:
            return dict(logits=out.logits, last_hidden_state=out.hidden_states[-1])
        return dict(last_hidden_state=out.last_hidden_state, pooler_output=out.pooler_output)

    return Case(
        model, dict(pixel_values=x), outputs, "image-classification" if classifier else "image-feature-extraction"
    )


def clap(
    seeds: Seeds,
    config: dict,
    tokens: int = 11,
    lengths: list[int] | None = None,
    extractor: dict | None = None,
    samples: int = 48000,
    frames: int = 0,
    clips: int = 2,
    longer: list[bool] | None = None,
) -> Case:
    """Either `extractor` and `samples`, a waveform in, neither padded nor cut; or `frames`, features in.

    `longer` says of each clip whether its four spectra are fused, where the config has fusion.
    """
    front = None
    sound = {}
    if extractor:
        front = ClapFeatureExtractor(**extractor)
        # How long a sound is filled up to is not in the model's config: see the front ends.
        front.nb_max_samples = samples
        rate = front.sampling_rate
        audio = wave(next(seeds), samples, rate)
        features = front(audio, sampling_rate=rate, return_tensors="pt")["input_features"]
        sound = dict(audio=torch.tensor(audio))
    model = randomise(ClapModel(ClapConfig(**config)), next(seeds))
    text_config = model.config.text_config
    x = ids(next(seeds), (2, tokens), 3, text_config.vocab_size)
    text = dict(input_ids=x, attention_mask=torch.ones_like(x))
    if lengths:
        text = _pad(x, lengths, text_config.pad_token_id)
    if not extractor:
        spectra = 4 if longer else 1
        features = 2 * noise(next(seeds), (clips, spectra, frames, model.config.audio_config.num_mel_bins)) - 3
        sound = dict(input_features=features)
        if longer:
            sound["is_longer"] = torch.tensor(longer)[:, None]

    def outputs(model):
        flags = sound.get("is_longer", torch.zeros(len(features), 1, dtype=torch.bool))
        out = model(**text, input_features=features, is_longer=flags)
        made = dict(text_embeds=out.text_embeds, audio_embeds=out.audio_embeds, logits_per_audio=out.logits_per_audio)
        return dict(input_features=features, **made) if front else made

    return Case(model, text | sound, outputs, "zero-shot-audio-classification", _extractor_notes(front))


def whisper(
    seeds: Seeds,
    config: dict,
    bins: int = 80,
    chunk: int = 2,
    seconds: float = 1.6,
    batch: int = 1,
    features_in: bool = False,
    decoder_tokens: int = 6,
    steps: int = 12,
) -> Case:
    """A waveform in; with `features_in`, a batch of log-mels in."""
    front = WhisperFeatureExtractor(
        feature_size=bins, sampling_rate=16000, hop_length=160, chunk_length=chunk, n_fft=400
    )
    audio = [wave(next(seeds), int(16000 * seconds), 16000) for _ in range(batch)]
    features = front(audio, sampling_rate=16000, return_tensors="pt")["input_features"]
    special = dict(pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1)
    config = WhisperConfig(
        num_mel_bins=bins,
        max_source_positions=chunk * 50,
        suppress_tokens=None,
        begin_suppress_tokens=None,
        **special,
        **config,
    )
    model = randomise(WhisperForConditionalGeneration(config), next(seeds))
    y = ids(next(seeds), (batch, decoder_tokens), 3, config.vocab_size)
    y[:, 0] = 1
    sound = dict(input_features=features) if features_in else dict(audio=torch.tensor(audio[0]))

    def logits(model, tokens):
        return model(input_features=features, decoder_input_ids=tokens).logits

    def outputs(model):
        out = model(input_features=features, decoder_input_ids=y)
        start = torch.ones(batch, 1, dtype=torch.long)
        made = dict(
            encoder_last_hidden_state=out.encoder_last_hidden_state,
            logits=out.logits,
            generated_ids=greedy_without_cache(model, steps, start, 2, logits),
        )
        return made if features_in else dict(input_features=features, **made)

    notes = dict(_extractor_notes(front), note="greedy with the end token (2) masked")
    return Case(model, dict(sound, decoder_input_ids=y), outputs, "automatic-speech-recognition", notes, front)


def wav2vec2(
    seeds: Seeds, config: dict, samples: int = 8000, lengths: list[int] | None = None, ctc: bool = True
) -> Case:
    """One waveform; or a batch of `lengths`, normalised each for itself, padded with zeros and masked."""
    layers = len(config["conv_dim"])
    config = Wav2Vec2Config(num_feat_extract_layers=layers, **config)
    model = randomise((Wav2Vec2ForCTC if ctc else Wav2Vec2Model)(config), next(seeds))
    if lengths:
        waves = [_normalised(wave(next(seeds), length, 16000)) for length in lengths]
        x = torch.zeros(len(waves), max(lengths))
        mask = torch.zeros(len(waves), max(lengths), dtype=torch.long)
        for row, part in enumerate(waves):
            x[row, : len(part)] = part
            mask[row, : len(part)] = 1
        inputs = fed = dict(input_values=x, attention_mask=mask)
    else:
        audio = wave(next(seeds), samples, 16000)
        fed = dict(input_values=_normalised(audio)[None])
        inputs = dict(audio=torch.tensor(audio), **fed)

    def outputs(model):
        out = model(**fed, output_hidden_states=True)
        if ctc:
            return dict(logits=out.logits, last_hidden_state=out.hidden_states[-1])
        return dict(last_hidden_state=out.last_hidden_state, extract_features=out.extract_features)

    return Case(model, inputs, outputs, "automatic-speech-recognition" if ctc else "feature-extraction")


def llava(seeds: Seeds, config: dict, images: int = 1, steps: int = 12) -> Case:
    """One prompt with every image in it, text between them."""
    config = LlavaConfig(**config)
    model = randomise(LlavaForConditionalGeneration(config), next(seeds))
    vision = config.vision_config
    # CLIP's class token comes before the patches, and `default` leaves out whatever comes first.
    patches = (vision.image_size // vision.patch_size) ** 2 + (vision.model_type == "clip_vision_model")
    patches -= config.vision_feature_select_strategy == "default"
    x = _prompt(seeds, config, [patches] * images)
    pixels = noise(next(seeds), (images, 3, vision.image_size, vision.image_size))
    inputs = dict(input_ids=x, attention_mask=torch.ones_like(x), pixel_values=pixels)
    return Case(model, inputs, _answer(inputs, steps), "image-text-to-text")


def llava_next(seeds: Seeds, config: dict, sizes: list[list[int]], steps: int = 12) -> Case:
    """An image for each (height, width) of `sizes`; those with fewer tiles are padded with tiles of zeros."""
    config = LlavaNextConfig(**config)
    model = randomise(LlavaNextForConditionalGeneration(config), next(seeds))
    side = config.vision_config.image_size
    tiles = [image_size_to_num_patches(size, config.image_grid_pinpoints, side) for size in sizes]
    image_sizes = torch.tensor(sizes)
    pixels = noise(next(seeds), (len(sizes), max(tiles), 3, side, side))
    for row, count in enumerate(tiles):
        pixels[row, count:] = 0
    packed = model.model.get_image_features(pixels, image_sizes).pooler_output
    tokens = [len(features) for features in packed]
    x = _prompt(seeds, config, tokens)
    inputs = dict(input_ids=x, attention_mask=torch.ones_like(x), pixel_values=pixels, image_sizes=image_sizes)
    notes = dict(image_tokens=sum(tokens), patches=sum(tiles))
    if len(sizes) > 1:
        notes = dict(image_tokens=tokens, patches=tiles)
    return Case(model, inputs, _answer(inputs, steps), "image-text-to-text", notes)


def xclip(seeds: Seeds, config: dict, texts: int = 3, tokens: int = 10, videos: int = 2, **captions) -> Case:
    model = randomise(XCLIPModel(XCLIPConfig(**config)), next(seeds))
    text = _captions(seeds, model.config.text_config.vocab_size, texts, tokens, **captions)
    vision = model.config.vision_config
    frames = (videos, vision.num_frames, 3, vision.image_size, vision.image_size)
    inputs = dict(text, pixel_values=noise(next(seeds), frames))

    def outputs(model):
        out = model(**inputs)
        return dict(text_embeds=out.text_embeds, video_embeds=out.video_embeds, logits_per_video=out.logits_per_video)

    return Case(model, inputs, outputs, "video-classification")


def detr(seeds: Seeds, config: dict, backbone: dict, sizes: list[tuple[int, int]]) -> Case:
    """A batch of images of these (height, width), on a canvas of the largest, the rest zero and masked."""
    config = DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=ResNetConfig(num_channels=3, **backbone),
        **config,
    )
    model = randomise(DetrForObjectDetection(config), next(seeds))
    canvas = (max(height for height, _ in sizes), max(width for _, width in sizes))
    mask = torch.zeros((len(sizes), *canvas), dtype=torch.long)
    for row, (height, width) in enumerate(sizes):
        mask[row, :height, :width] = 1
    pixels = noise(next(seeds), (len(sizes), 3, *canvas)) * mask[:, None]
    inputs = dict(pixel_values=pixels, pixel_mask=mask)

    def outputs(model):
        out = model(**inputs)
        return dict(logits=out.logits, pred_boxes=out.pred_boxes)

    return Case(model, inputs, outputs, "object-detection")


def _pad(x: Tensor, lengths: list[int], pad: int) -> Tensors:
    mask = torch.ones_like(x)
    x = x.clone()
    for row, length in enumerate(lengths):
        x[row, length:] = pad
        mask[row, length:] = 0
    return dict(input_ids=x, attention_mask=mask)


def _captions(
    seeds: Seeds,
    vocab: int,
    texts: int,
    tokens: int,
    lengths: list[int] | None = None,
    pad: int = 0,
    end: int | None = None,
    hole: bool = False,
) -> Tensors:
    """Texts end in `end`, by default the highest id. `lengths` ends them earlier, pads with `pad`, masks the padding.

    `hole` masks a token in the middle too: padding on the right is never seen by what is pooled.
    """
    end = end or vocab - 1
    x = ids(next(seeds), (texts, tokens), 3, vocab - 1)
    x[:, -1] = end
    if not lengths:
        return dict(input_ids=x)
    for row, length in enumerate(lengths):
        x[row, : length - 1][x[row, : length - 1] == end] = 3
        x[row, length - 1] = end
    text = _pad(x, lengths, pad)
    if hole:
        text["attention_mask"][0, 1] = 0
    return text


def _prompt(seeds: Seeds, config, image_tokens: list[int]) -> Tensor:
    image = config.image_token_index
    parts = [ids(next(seeds), (1, 4), 3, image)]
    for count in image_tokens:
        parts += [torch.full((1, count), image), ids(next(seeds), (1, 6), 3, image)]
    return torch.cat(parts, 1)


def _answer(inputs: Tensors, steps: int):
    def outputs(model):
        return dict(logits=model(**inputs).logits, generated_ids=greedy(model, steps, **inputs))

    return outputs


def _normalised(audio: np.ndarray) -> Tensor:
    return torch.tensor((audio - audio.mean()) / np.sqrt(audio.var() + 1e-7))


def _extractor_notes(front) -> dict:
    return dict(feature_extractor=json.loads(front.to_json_string())) if front else {}
