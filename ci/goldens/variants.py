"""The table of variants: at least three a class, small, each with config fields that change the arithmetic."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

import classes
from common import Case, Storage, renamer


@dataclass
class Variant:
    name: str
    exercises: str
    build: Callable[..., Case]
    # The config first, then what else `build` may be told.
    arguments: dict
    storage: Storage


VARIANTS: list[Variant] = []


def variant(
    name: str, exercises: str, build: Callable[..., Case], config: dict, storage: Storage | None = None, **choices
) -> None:
    VARIANTS.append(Variant(name, exercises, build, dict(config=config, **choices), storage or Storage()))


def tower(hidden: int, inner: int, layers: int, heads: int, **more) -> dict:
    return dict(
        hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads, **more
    )


VOCAB = 64


# BERT


def bert(hidden: int, inner: int, layers: int, heads: int, **more) -> dict:
    return tower(hidden, inner, layers, heads, vocab_size=VOCAB, **(dict(max_position_embeddings=32) | more))


OLD_BERT = Storage(
    rename=renamer((r"^", "bert."), (r"LayerNorm\.weight", "LayerNorm.gamma"), (r"LayerNorm\.bias", "LayerNorm.beta")),
    extra={"bert.embeddings.position_ids": torch.arange(32)[None], "cls.predictions.bias": torch.zeros(VOCAB)},
)
variant(
    "bert-old-names",
    "checkpoint as in 2018: `bert.` prefix, `gamma` and `beta`, tensors that the model has no use for; "
    "odd width, three heads, relu",
    classes.bert,
    bert(36, 72, 2, 3, hidden_act="relu"),
    OLD_BERT,
)
variant(
    "bert-types-gelu-new",
    "hidden_act gelu_new, type_vocab_size 5, three layers, layer_norm_eps 0.01, odd length",
    classes.bert,
    bert(24, 60, 3, 2, hidden_act="gelu_new", type_vocab_size=5, layer_norm_eps=0.01),
    tokens=13,
)
variant(
    "bert-f16",
    "weights stored as float16; expected computed in float32 from the rounded weights",
    classes.bert,
    bert(40, 80, 2, 5, max_position_embeddings=24),
    Storage(dtype=torch.float16),
    tokens=24,
)
variant(
    "bert-bf16",
    "weights stored as bfloat16; hidden_act silu; one head",
    classes.bert,
    bert(32, 96, 2, 1, hidden_act="silu"),
    Storage(dtype=torch.bfloat16),
    tokens=10,
)


# T5


def t5(model: int, inner: int, layers: int, heads: int, head: int, **more) -> dict:
    return dict(vocab_size=VOCAB, d_model=model, d_ff=inner, num_layers=layers, num_heads=heads, d_kv=head, **more)


variant(
    "t5-gated-untied",
    "T5 v1.1: feed_forward_proj gated-gelu, a head of its own and no scaling before it "
    "(tie_word_embeddings false as on the Hub), d_kv unlike d_model / heads",
    classes.t5,
    t5(24, 40, 2, 2, 10, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    Storage(edit_config=lambda config: _old_t5(config)),
    untied=True,
    steps=6,
)
variant(
    "t5-buckets",
    "relative_attention_num_buckets 8, max_distance 20, sequences longer than that; one decoder layer "
    "for two of the encoder",
    classes.t5,
    t5(24, 64, 2, 3, 8, num_decoder_layers=1, relative_attention_num_buckets=8, relative_attention_max_distance=20),
    tokens=45,
    decoder_tokens=26,
    steps=6,
)
variant(
    "t5-padded-batch",
    "a batch of two with an attention mask; gated-silu; two decoder layers for one of the encoder; "
    "layer_norm_epsilon 0.01",
    classes.t5,
    t5(24, 40, 1, 4, 8, num_decoder_layers=2, feed_forward_proj="gated-silu", layer_norm_epsilon=0.01),
    lengths=[14, 9],
    tokens=14,
    steps=6,
    cached=False,
)


def _old_t5(config: dict) -> None:
    """As `google/t5-v1_1-*` has it: `tie_word_embeddings` false, and nothing that is derived."""
    for derived in ("scale_decoder_outputs", "dense_act_fn", "is_gated_act"):
        del config[derived]
    config["tie_word_embeddings"] = False


# LLaMA, Qwen2, Qwen3


def llm(hidden: int, inner: int, heads: int, kv: int, layers: int = 2, **more) -> dict:
    positions = dict(max_position_embeddings=64)
    return tower(hidden, inner, layers, heads, vocab_size=VOCAB, num_key_value_heads=kv, **(positions | more))


def rope(kind: str, theta: float = 10000.0, **more) -> dict:
    return dict(rope_theta=theta, rope_type=kind, **more)


def _old_rope(config: dict) -> None:
    """As configs before transformers 5 have it: `rope_theta` and `rope_scaling` at the top, the kind called `type`."""
    parameters = config.pop("rope_parameters")
    config["rope_theta"] = parameters.pop("rope_theta")
    config["rope_scaling"] = dict(type=parameters.pop("rope_type"), **parameters)


def _older_rope(config: dict) -> None:
    """The same, the kind called `rope_type`."""
    _old_rope(config)
    config["rope_scaling"]["rope_type"] = config["rope_scaling"].pop("type")


def _original_beside(config: dict) -> None:
    """The original length beside `rope_scaling` instead of in it, as Phi-3 began it."""
    _old_rope(config)
    config["original_max_position_embeddings"] = config["rope_scaling"].pop("original_max_position_embeddings")


variant(
    "llama-mha-linear",
    "as many key heads as heads; rope linear, in the old spelling of the config (`rope_scaling` with "
    "`type`); attention_bias; old checkpoint with `rotary_emb.inv_freq`",
    classes.llama,
    llm(32, 64, 4, 4, rope_parameters=rope("linear", factor=2.5), attention_bias=True),
    Storage(
        edit_config=_old_rope,
        extra={f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": torch.ones(4) for layer in range(2)},
    ),
    steps=6,
)
variant(
    "llama-mqa-tied-batch",
    "one key head; tied embeddings; a batch of two; rope_theta 5e5; rms_norm_eps 0.01",
    classes.llama,
    llm(40, 72, 5, 1, tie_word_embeddings=True, rms_norm_eps=0.01, rope_parameters=rope("default", 500000.0)),
    tokens=11,
    batch=2,
    steps=6,
)
variant(
    "llama-head-dim-llama3",
    "head_dim 12 with hidden / heads 8; rope llama3 with all three bands, old spelling with `rope_type`",
    classes.llama,
    llm(
        32,
        48,
        4,
        2,
        head_dim=12,
        rope_parameters=rope(
            "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32
        ),
    ),
    Storage(edit_config=_older_rope),
    tokens=24,
    steps=6,
)
variant(
    "llama-yarn",
    "rope yarn with its attention factor derived, beta_fast 16 and beta_slow 2; mlp_bias; hidden_act gelu",
    classes.llama,
    llm(
        32,
        48,
        2,
        2,
        mlp_bias=True,
        hidden_act="gelu",
        max_position_embeddings=16384,
        rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=4096, beta_fast=16.0, beta_slow=2.0),
    ),
    tokens=20,
    steps=6,
)
variant(
    "llama-dynamic",
    "rope dynamic, with a prompt longer than max_position_embeddings",
    classes.llama,
    llm(32, 48, 4, 2, max_position_embeddings=16, rope_parameters=rope("dynamic", factor=2.0)),
    Storage(edit_config=_old_rope),
    tokens=20,
    steps=6,
    same_without_cache=True,
)
variant(
    "llama-dynamic-short",
    "rope dynamic within max_position_embeddings: the same as default",
    classes.llama,
    llm(24, 40, 2, 1, max_position_embeddings=48, rope_parameters=rope("dynamic", factor=3.0)),
    tokens=9,
    steps=6,
    same_without_cache=True,
)
variant(
    "llama-longrope",
    "rope longrope, whose sequences outgrow the original length with the second token made: short factors, then long "
    "ones; old spelling, with `original_max_position_embeddings` beside it, which also says the attention factor",
    classes.llama,
    llm(
        32,
        48,
        4,
        2,
        rope_parameters=rope(
            "longrope",
            original_max_position_embeddings=15,
            short_factor=[1.0, 1.25, 1.5, 2.5],
            long_factor=[1.5, 2.0, 4.0, 9.0],
        ),
    ),
    Storage(edit_config=lambda config: _original_beside(config)),
    tokens=14,
    steps=6,
)
variant(
    "llama-longrope-long",
    "rope longrope with a prompt beyond the original length: long factors from the start; an attention_factor",
    classes.llama,
    llm(
        36,
        40,
        3,
        1,
        rope_parameters=rope(
            "longrope",
            original_max_position_embeddings=8,
            attention_factor=1.2,
            short_factor=[1.0] * 6,
            long_factor=[1.0, 1.5, 2.0, 3.0, 5.0, 8.0],
        ),
    ),
    tokens=12,
    steps=6,
)
variant(
    "llama-sharded-bf16",
    "two shards with an index; weights stored as bfloat16",
    classes.llama,
    llm(48, 80, 6, 3),
    Storage(dtype=torch.bfloat16, hub=True, shards=2),
    tokens=12,
    steps=6,
)
variant(
    "qwen2-mqa-tied",
    "one key head, tied embeddings, rope_theta 1e6",
    classes.qwen2,
    llm(32, 64, 4, 1, tie_word_embeddings=True, rope_parameters=rope("default", 1e6)),
    steps=6,
)
variant(
    "qwen2-sliding",
    "use_sliding_window with sliding_window 6 from layer 1 on (max_window_layers 1), prompt longer than that; "
    "old config without `layer_types`",
    classes.qwen2,
    llm(24, 48, 3, 3, layers=3, use_sliding_window=True, sliding_window=6, max_window_layers=1),
    Storage(edit_config=lambda config: _without_layer_types(config)),
    tokens=19,
    steps=6,
)
variant(
    "qwen2-window-off",
    "sliding_window set and use_sliding_window false: no window; old config without `layer_types`; "
    "rope yarn with factor 2, truncate false and an attention_factor",
    classes.qwen2,
    llm(
        32,
        48,
        2,
        1,
        use_sliding_window=False,
        sliding_window=4,
        max_window_layers=0,
        rope_parameters=rope(
            "yarn", 1e4, factor=2.0, original_max_position_embeddings=2048, truncate=False, attention_factor=1.25
        ),
    ),
    Storage(edit_config=lambda config: _window_off(config)),
    tokens=14,
    steps=6,
)
variant(
    "qwen3-bias-tied",
    "attention_bias, tied embeddings, head_dim 16 with hidden / heads 8",
    classes.qwen3,
    llm(32, 64, 4, 2, head_dim=16, attention_bias=True, tie_word_embeddings=True),
    steps=6,
)
variant(
    "qwen3-sliding",
    "sliding window in layer 0 only, by `layer_types`; head_dim 6; hidden_act gelu_pytorch_tanh",
    classes.qwen3,
    llm(
        36,
        48,
        3,
        1,
        head_dim=6,
        hidden_act="gelu_pytorch_tanh",
        use_sliding_window=True,
        sliding_window=5,
        max_window_layers=2,
        layer_types=["sliding_attention", "full_attention"],
    ),
    tokens=17,
    steps=6,
)
variant(
    "qwen3-base-names",
    "a checkpoint saved without its head, as embedding models are: no `model.` before its names; tied embeddings",
    classes.qwen3,
    llm(24, 40, 2, 1, head_dim=10, layers=1, tie_word_embeddings=True),
    Storage(rename=renamer((r"^model\.", ""))),
    steps=6,
)
variant(
    "qwen3-f16",
    "weights stored as float16; as many key heads as heads; one layer; a batch of three",
    classes.qwen3,
    llm(48, 96, 4, 4, layers=1, head_dim=12, rope_parameters=rope("default", 1e6)),
    Storage(dtype=torch.float16),
    tokens=8,
    batch=3,
    steps=6,
)


def _without_layer_types(config: dict) -> None:
    """As the Hub has it: which layers have a window follows from `use_sliding_window` and `max_window_layers`."""
    del config["layer_types"]


def _window_off(config: dict) -> None:
    _without_layer_types(config)
    # The library drops it on saving; the Hub keeps it.
    config["sliding_window"] = 4


# CLIP, XCLIP


def caption(hidden: int, inner: int, layers: int, heads: int, **more) -> dict:
    special = dict(bos_token_id=1, eos_token_id=VOCAB - 1, pad_token_id=0)
    return tower(hidden, inner, layers, heads, vocab_size=VOCAB, max_position_embeddings=20, **(special | more))


def vision(hidden: int, inner: int, layers: int, heads: int, image: int, patch: int, **more) -> dict:
    return tower(hidden, inner, layers, heads, image_size=image, patch_size=patch, **more)


variant(
    "clip-widths",
    "text and vision towers of different widths, heads and depths; projection_dim 20; padding with the "
    "end token, of which the first is pooled, and which is not the highest id",
    classes.clip,
    dict(
        text_config=caption(32, 48, 2, 4, eos_token_id=40), vision_config=vision(24, 60, 1, 3, 18, 6), projection_dim=20
    ),
    lengths=[12, 7, 5],
    pad=40,
    end=40,
)
variant(
    "clip-legacy-eos",
    "eos_token_id 2: the highest id is pooled, wherever it is, padding with 2; a mask with a hole; hidden_act "
    "gelu; old checkpoint with position_ids",
    classes.clip,
    dict(
        text_config=caption(24, 48, 2, 2, hidden_act="gelu", eos_token_id=2),
        vision_config=vision(32, 48, 1, 2, 24, 6, hidden_act="gelu"),
        projection_dim=16,
        logit_scale_init_value=3.5,
    ),
    Storage(
        extra={
            "text_model.embeddings.position_ids": torch.arange(20)[None],
            "vision_model.embeddings.position_ids": torch.arange(17)[None],
        }
    ),
    lengths=[6, 12, 9],
    pad=2,
    hole=True,
)
variant(
    "clip-uneven-patches",
    "image 22 with patches of 6: the last 4 rows and columns are unused; layer_norm_eps 1e-3; one text, three images",
    classes.clip,
    dict(
        text_config=caption(28, 56, 1, 2, layer_norm_eps=1e-3),
        vision_config=vision(28, 56, 2, 4, 22, 6, layer_norm_eps=1e-3),
        projection_dim=28,
    ),
    texts=1,
    images=3,
    tokens=7,
)


def video(
    hidden: int, inner: int, layers: int, heads: int, image: int, patch: int, frames: int, mit: dict, **more
) -> dict:
    own = {f"mit_{name}": value for name, value in mit.items()}
    return vision(hidden, inner, layers, heads, image, patch, num_frames=frames, **own, **more)


variant(
    "xclip-frames",
    "three frames, two MIT layers, two prompt layers, towers of different widths",
    classes.xclip,
    dict(
        text_config=caption(24, 40, 1, 2),
        vision_config=video(32, 48, 1, 4, 12, 4, 3, tower(16, 24, 2, 2)),
        projection_dim=16,
        prompt_layers=2,
        prompt_num_attention_heads=4,
    ),
)
variant(
    "xclip-gelu-padded",
    "hidden_act and prompt_hidden_act gelu; masked padding and a hole in the mask; one video of "
    "five frames; prompt_alpha is a weight",
    classes.xclip,
    dict(
        text_config=caption(24, 40, 1, 3, hidden_act="gelu"),
        vision_config=video(24, 36, 1, 2, 12, 4, 5, tower(20, 32, 1, 5), hidden_act="gelu"),
        projection_dim=20,
        prompt_layers=1,
        prompt_num_attention_heads=2,
        prompt_hidden_act="gelu",
        prompt_alpha=0.3,
    ),
    videos=1,
    texts=4,
    lengths=[10, 4, 7, 3],
    pad=0,
    hole=True,
)
variant(
    "xclip-eos-eps",
    "eos_token_id that is not the highest id: ignored, the highest id is pooled; different layer_norm_eps for "
    "text and vision; two frames; image 14 with patches of 4",
    classes.xclip,
    dict(
        text_config=caption(28, 40, 1, 4, eos_token_id=5, layer_norm_eps=0.05),
        vision_config=video(24, 40, 2, 3, 14, 4, 2, tower(12, 20, 1, 1), layer_norm_eps=0.2),
        projection_dim=12,
        prompt_layers=1,
        prompt_num_attention_heads=1,
    ),
    videos=2,
    texts=2,
    lengths=[4, 8],
    pad=5,
    tokens=9,
)


# ViT

variant(
    "vit-hub-names",
    "checkpoint with the Hub's names (`encoder.layer`, `attention.attention.query`); odd width, three heads, relu",
    classes.vit,
    vision(30, 60, 2, 3, 16, 4, hidden_act="relu", num_labels=5),
    Storage(hub=True),
)
variant(
    "vit-pooler",
    "ViTModel with its pooler (pooler_output_size 20, tanh), qkv_bias false, gelu_new, Hub's names without prefix",
    classes.vit,
    vision(32, 48, 2, 4, 18, 6, qkv_bias=False, hidden_act="gelu_new", pooler_output_size=20),
    Storage(hub=True),
    classifier=False,
)
variant(
    "vit-oblong",
    "image 20 by 33 with patches of 4 by 8, the last column of pixels unused; one channel; layer_norm_eps 0.01",
    classes.vit,
    vision(24, 60, 3, 2, [20, 33], [4, 8], num_channels=1, num_labels=3, layer_norm_eps=0.01),
    images=1,
)


# CLAP


def audio(hidden: int, depths: list[int], heads: list[int], mel: int, spec: int, window: int, **more) -> dict:
    stages = len(depths)
    defaults = dict(
        hidden_act="gelu",
        patch_size=4,
        patch_stride=[4, 4],
        num_classes=8,
        enable_fusion=False,
        mlp_ratio=2.0,
        patch_embed_input_channels=1,
        aff_block_r=2,
        num_hidden_layers=stages,
    )
    return (
        defaults
        | dict(
            patch_embeds_hidden_size=hidden,
            hidden_size=hidden * 2 ** (stages - 1),
            depths=depths,
            num_attention_heads=heads,
            num_mel_bins=mel,
            spec_size=spec,
            window_size=window,
        )
        | more
    )


def clap_text(hidden: int, inner: int, layers: int, heads: int, **more) -> dict:
    defaults = dict(vocab_size=VOCAB, max_position_embeddings=20, pad_token_id=1)
    return tower(hidden, inner, layers, heads, **(defaults | more))


variant(
    "clap-window-padding",
    "windows of 3 on grids of 16 and 8: shifted, padded and both; no resize (128 frames); padded text; hidden_act relu",
    classes.clap,
    dict(
        text_config=clap_text(20, 32, 1, 2),
        audio_config=audio(12, [2, 2], [2, 3], mel=32, spec=64, window=3, hidden_act="relu"),
        projection_dim=20,
    ),
    frames=128,
    lengths=[11, 6],
)
variant(
    "clap-resize-shift",
    "bicubic resize of 100 frames to 128; windows of 4, shifted; projection_hidden_act gelu; "
    "patch_size 8 with stride 4; qkv_bias false; no patch norm; layer_norm_eps 0.05 and 0.1",
    classes.clap,
    dict(
        text_config=clap_text(20, 32, 1, 4, layer_norm_eps=0.05),
        audio_config=audio(
            16,
            [2, 1],
            [4, 2],
            mel=32,
            spec=64,
            window=4,
            patch_size=8,
            qkv_bias=False,
            enable_patch_layer_norm=False,
            layer_norm_eps=0.1,
            mlp_ratio=3.0,
        ),
        projection_dim=24,
        projection_hidden_act="gelu",
        logit_scale_init_value=8.0,
    ),
    frames=100,
    clips=1,
)
variant(
    "clap-frequency-resize",
    "24 mel bins resized to 32 (128 frames: no resize in time); windows as large as the last grid, "
    "which is then not shifted",
    classes.clap,
    dict(
        text_config=clap_text(18, 24, 1, 3),
        audio_config=audio(8, [1, 1, 2], [1, 2, 4], mel=24, spec=64, window=4),
        projection_dim=16,
    ),
    frames=128,
    clips=2,
    lengths=[4, 11],
)
variant(
    "clap-audio",
    "a waveform of 9000 samples: 19 frames of 64 mel bins, resized to 256; patches of 8, windows of 4",
    classes.clap,
    dict(
        text_config=clap_text(16, 32, 2, 2),
        audio_config=audio(12, [1, 2], [2, 2], mel=64, spec=128, window=4, patch_size=8, patch_stride=[8, 8]),
        projection_dim=16,
    ),
    samples=9000,
    extractor=classes.CLAP_FRONT_END,
)
variant(
    "clap-fused",
    "enable_fusion, as `clap-htsat-fused` has it: four spectra a clip, which one of two clips has fused; 16 "
    "columns of patches, of which those three times as wide leave one over; 60 frames resized to 128; aff_block_r 3",
    classes.clap,
    dict(
        text_config=clap_text(16, 32, 1, 2),
        audio_config=audio(12, [1, 2], [2, 3], mel=32, spec=64, window=4, enable_fusion=True, aff_block_r=3),
        projection_dim=16,
    ),
    frames=60,
    longer=[True, False],
)


# Whisper


def whisper(model: int, encoder: tuple, decoder: tuple, **more) -> dict:
    """Each side: layers, heads, inner width."""
    return dict(
        vocab_size=VOCAB,
        d_model=model,
        max_target_positions=32,
        encoder_layers=encoder[0],
        encoder_attention_heads=encoder[1],
        encoder_ffn_dim=encoder[2],
        decoder_layers=decoder[0],
        decoder_attention_heads=decoder[1],
        decoder_ffn_dim=decoder[2],
        **more,
    )


variant(
    "whisper-mels-128",
    "num_mel_bins 128 as large-v3; one encoder layer, two decoder layers; different heads on each side",
    classes.whisper,
    whisper(20, (1, 5, 40), (2, 4, 56)),
    bins=128,
    chunk=1,
    seconds=0.2,
    steps=6,
)
variant(
    "whisper-scaled",
    "scale_embedding true (which the library does not honour: nothing is scaled); odd width 18; "
    "activation_function relu; Hub's names",
    classes.whisper,
    whisper(18, (2, 2, 30), (1, 1, 40), scale_embedding=True, activation_function="relu"),
    Storage(hub=True),
    chunk=1,
    seconds=0.25,
    steps=6,
)
variant(
    "whisper-features-batch",
    "features in, a batch of two; float16 weights",
    classes.whisper,
    whisper(24, (2, 4, 64), (2, 2, 64)),
    Storage(dtype=torch.float16),
    chunk=1,
    seconds=0.9,
    batch=2,
    features_in=True,
    steps=6,
)


# Wav2Vec2


def wav(
    hidden: int,
    inner: int,
    layers: int,
    heads: int,
    convs: list[tuple[int, int, int]],
    kernel: int,
    groups: int,
    **more,
) -> dict:
    """`convs`: channels, kernel, stride. `kernel` and `groups` are of the positional convolution."""
    channels, kernels, strides = (list(column) for column in zip(*convs, strict=True))
    return tower(
        hidden,
        inner,
        layers,
        heads,
        vocab_size=VOCAB // 3,
        conv_dim=channels,
        conv_kernel=kernels,
        conv_stride=strides,
        num_conv_pos_embeddings=kernel,
        num_conv_pos_embedding_groups=groups,
        **more,
    )


LAYER_NORM = dict(feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True)
OLD_WEIGHT_NORM = renamer(
    (r"parametrizations\.weight\.original0", "weight_g"), (r"parametrizations\.weight\.original1", "weight_v")
)
variant(
    "wav2vec2-layer-norm-masked",
    "feat_extract_norm layer, stable layer norm, conv_bias; a padded batch with an attention mask; "
    "odd positional kernel",
    classes.wav2vec2,
    wav(36, 48, 2, 3, [(20, 10, 5), (20, 3, 2), (16, 3, 2), (20, 2, 2)], 7, 6, **LAYER_NORM),
    lengths=[2000, 1207],
)
variant(
    "wav2vec2-weight-g-v",
    "positional convolution as `weight_g` and `weight_v`, even kernel, one group; "
    "feat_extract_activation relu, hidden_act gelu_new",
    classes.wav2vec2,
    wav(
        24,
        60,
        2,
        2,
        [(16, 10, 5), (24, 3, 2), (24, 2, 2)],
        10,
        1,
        feat_extract_activation="relu",
        hidden_act="gelu_new",
    ),
    Storage(rename=OLD_WEIGHT_NORM),
    samples=2000,
)
variant(
    "wav2vec2-base",
    "Wav2Vec2Model, without a head; layer norm features, but no stable layer norm; every channel its own group",
    classes.wav2vec2,
    wav(24, 48, 3, 4, [(20, 8, 4), (20, 4, 3), (16, 3, 2)], 5, 24, feat_extract_norm="layer", layer_norm_eps=1e-3),
    samples=1600,
    ctc=False,
)


# LLaVA, LLaVA-Next


def llava(text: dict, vision: dict, **more) -> dict:
    special = dict(bos_token_id=1, eos_token_id=2, pad_token_id=0, model_type="llama")
    return dict(
        text_config=special | text,
        vision_config=dict(model_type="clip_vision_model") | vision,
        image_token_index=VOCAB - 1,
        **(dict(vision_feature_layer=-2, vision_feature_select_strategy="default") | more),
    )


LLAVA_HUB = Storage(hub=True, rename=renamer((r"^vision_tower\.", "vision_tower.vision_model.")))
LLAVA_TEXT = llm(32, 48, 4, 2, max_position_embeddings=128)
LLAVA_VISION = vision(24, 36, 2, 2, 12, 4)
SIGLIP = vision(24, 36, 2, 2, 20, 6, model_type="siglip_vision_model", vision_use_head=False)
# What LLaVA-NeXT is most often built on: LLaMA with a window.
MISTRAL = dict(LLAVA_TEXT, model_type="mistral", sliding_window=20)
variant(
    "llava-full-last",
    "vision_feature_layer -1 with strategy full (class token kept); projector_hidden_act relu; two images; "
    "Hub's names (`language_model.model`, `vision_tower.vision_model`)",
    classes.llava,
    llava(
        LLAVA_TEXT,
        LLAVA_VISION,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        projector_hidden_act="relu",
    ),
    LLAVA_HUB,
    images=2,
    steps=6,
)
variant(
    "llava-layers",
    "a list of feature layers, concatenated; no projector bias; text and vision of different widths",
    classes.llava,
    llava(
        llm(24, 40, 3, 1, max_position_embeddings=128),
        vision(28, 36, 3, 2, 18, 6, hidden_act="gelu"),
        vision_feature_layer=[-3, -1, 1],
        multimodal_projector_bias=False,
    ),
    steps=6,
)
variant(
    "llava-positive-layer-tied",
    "vision_feature_layer 1, counted from the start (0 is what enters the first layer); tied "
    "embeddings; three images; names of transformers before 5 (`language_model.model`)",
    classes.llava,
    llava(
        llm(32, 40, 4, 4, max_position_embeddings=128, tie_word_embeddings=True),
        LLAVA_VISION,
        vision_feature_layer=1,
        tie_word_embeddings=True,
    ),
    Storage(hub=True),
    images=3,
    steps=6,
)
variant(
    "llava-qwen2-tied",
    "Qwen2 as text model; tied embeddings; one vision layer used of three",
    classes.llava,
    llava(
        llm(32, 48, 4, 2, max_position_embeddings=128, model_type="qwen2", tie_word_embeddings=True),
        vision(24, 36, 3, 2, 12, 4),
        vision_feature_layer=-3,
    ),
    images=2,
    steps=6,
)
variant(
    "llava-siglip",
    "SigLIP as vision tower (no class token, patches with a bias, another norm's epsilon), every patch of its last "
    "state projected, as LLaVA-Interleave has it; Qwen2 as text model; image 20 with patches of 6; gelu_fast",
    classes.llava,
    llava(
        llm(32, 48, 4, 2, max_position_embeddings=128, model_type="qwen2", tie_word_embeddings=True),
        SIGLIP,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        projector_hidden_act="gelu_fast",
    ),
    LLAVA_HUB,
    images=2,
    steps=6,
)
variant(
    "llava-siglip-default",
    "SigLIP with the strategy default, which leaves out its first patch; with an epsilon and an activation of its own",
    classes.llava,
    llava(LLAVA_TEXT, SIGLIP | dict(layer_norm_eps=0.01, hidden_act="gelu")),
    steps=6,
)
PINPOINTS = [[12, 24], [24, 12], [24, 24], [36, 12], [12, 36]]
variant(
    "llava_next-wide",
    "a wide image (10 by 64: 1 by 3 tiles; of 4 rows of features 2 are left, though the image fills 1.9); Hub's names; "
    "vision_feature_layer -1",
    classes.llava_next,
    llava(LLAVA_TEXT, vision(24, 36, 2, 2, 12, 3), image_grid_pinpoints=PINPOINTS, vision_feature_layer=-1),
    LLAVA_HUB,
    sizes=[[10, 64]],
    steps=6,
)
variant(
    "llava_next-tall",
    "a tall image (90 by 18: 3 by 1 tiles; of 4 columns of features 2 are left); a list of feature layers; text model "
    "`mistral`, with a sliding window of 20",
    classes.llava_next,
    llava(MISTRAL, vision(24, 36, 2, 2, 12, 3), image_grid_pinpoints=PINPOINTS, vision_feature_layer=[-2, -1]),
    sizes=[[90, 18]],
    steps=6,
)
variant(
    "llava_next-mistral",
    "Mistral as text model, whose sliding_window is null: none; an image that fills its tiles; odd image_size",
    classes.llava_next,
    llava(dict(MISTRAL, sliding_window=None), vision(24, 36, 2, 2, 13, 4), image_grid_pinpoints=[[26, 13], [26, 26]]),
    sizes=[[52, 26]],
    steps=6,
)
variant(
    "llava_next-two-images",
    "two images with different numbers of tiles (the shorter padded with tiles of zeros), one of "
    "them needing much unpadding; projector_hidden_act gelu_new; no projector bias",
    classes.llava_next,
    llava(
        LLAVA_TEXT,
        vision(24, 36, 2, 2, 16, 4),
        image_grid_pinpoints=[[16, 32], [32, 32], [16, 16]],
        projector_hidden_act="gelu_new",
        multimodal_projector_bias=False,
    ),
    sizes=[[61, 37], [13, 50]],
    steps=6,
)
variant(
    "llava_next-siglip",
    "SigLIP as vision tower, with the strategy full; an image of two tiles, one line of its features unused",
    classes.llava_next,
    llava(
        LLAVA_TEXT,
        vision(24, 36, 2, 2, 12, 3, model_type="siglip_vision_model", vision_use_head=False),
        image_grid_pinpoints=PINPOINTS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    ),
    sizes=[[14, 27]],
    steps=6,
)


# DETR


def detr(
    model: int, heads: tuple[int, int], inner: tuple[int, int], layers: tuple[int, int], queries: int, **more
) -> dict:
    """Pairs are of encoder and decoder."""
    return dict(
        d_model=model,
        encoder_attention_heads=heads[0],
        decoder_attention_heads=heads[1],
        encoder_ffn_dim=inner[0],
        decoder_ffn_dim=inner[1],
        encoder_layers=layers[0],
        decoder_layers=layers[1],
        num_queries=queries,
        **more,
    )


def resnet(kind: str, stem: int, widths: list[int], depths: list[int], out: str = "stage4", **more) -> dict:
    return dict(layer_type=kind, embedding_size=stem, hidden_sizes=widths, depths=depths, out_features=[out], **more)


variant(
    "detr-masked-batch",
    "two images of different sizes with padded pixel masks; basic ResNet layers, two in one stage; more "
    "queries; Hub's names (`conv_encoder`, `out_proj`, `fc1`)",
    classes.detr,
    detr(16, (2, 4), (24, 32), (1, 2), 17, num_labels=4),
    Storage(hub=True),
    backbone=resnet("basic", 6, [6, 8, 10], [1, 2, 1], "stage3", hidden_act="relu"),
    sizes=[(49, 20), (30, 38)],
)
variant(
    "detr-learned-gelu",
    "position_embedding_type learned; activation_function gelu; downsample_in_first_stage; bottleneck",
    classes.detr,
    detr(16, (4, 2), (24, 24), (2, 1), 9, num_labels=3, position_embedding_type="learned", activation_function="gelu"),
    backbone=resnet("bottleneck", 8, [16, 16, 24], [2, 1, 1], "stage2", downsample_in_first_stage=True),
    sizes=[(40, 44), (44, 25)],
)
variant(
    "detr-inner-stage",
    "out_features stage3 of four; downsample_in_bottleneck; hidden_act gelu in the ResNet (its inner layers "
    "stay relu); one image of odd size",
    classes.detr,
    detr(24, (4, 4), (40, 40), (1, 1), 12, num_labels=6),
    backbone=resnet(
        "bottleneck", 8, [16, 16, 24, 24], [1, 1, 2, 1], "stage3", downsample_in_bottleneck=True, hidden_act="gelu"
    ),
    sizes=[(59, 43)],
)
variant(
    "detr-auxiliary",
    "auxiliary_loss true: the decoder's norm after every layer, in inference too; four stages",
    classes.detr,
    detr(12, (3, 3), (24, 32), (1, 3), 8, num_labels=2, auxiliary_loss=True),
    backbone=resnet("basic", 6, [6, 8, 8, 12], [1, 1, 1, 1]),
    sizes=[(68, 48)],
)
