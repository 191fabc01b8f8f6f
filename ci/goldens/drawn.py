"""Variants with configs drawn at random: combinations that nobody thought of.

The table in `variants.py` names what each of its rows exercises, and is kept; these are made by the dozen, read by
`webmatrix verify --model-dir`, and thrown away. What fails becomes a row of the table.
"""

import random
from collections.abc import Callable

import torch

import classes
import variants as table
from common import Storage, renamer
from variants import VOCAB, Variant

# What `ACT2FN` has and checkpoints of these classes name, by how often.
ACTIVATIONS = [
    "gelu",
    "gelu",
    "gelu_new",
    "relu",
    "silu",
    "quick_gelu",
    "gelu_pytorch_tanh",
    "swish",
    "gelu_fast",
    "tanh",
]
DTYPES = [torch.float32, torch.float32, torch.float16, torch.bfloat16]

Draw = random.Random


def draw(name: str, seed: int) -> Variant:
    """The variant of class `name` that `seed` stands for."""
    r = Draw(f"{name} {seed}")
    build, config, choices, storage = CLASSES[name](r)
    said = ", ".join(f"{key} {value}" for key, value in choices.items())
    return Variant(f"{name}-{seed}", f"drawn; {said}", build, dict(config=config, **choices), storage)


def some(r: Draw, **options) -> dict:
    """Each of these, or leave it to the library's default."""
    return {name: r.choice(values) for name, values in options.items() if r.random() < 0.6}


def heads(r: Draw, most: int = 4, size: int = 9) -> tuple[int, int]:
    """A number of heads, and a width that it divides."""
    count = r.randint(1, most)
    return count, count * r.randint(4, size)


def stored(r: Draw, hub: bool = False, rename: Callable[[str], str] | None = None) -> Storage:
    storage = Storage(dtype=r.choice(DTYPES), hub=hub and r.random() < 0.5, shards=r.choice([1, 1, 1, 2, 3]))
    if rename is not None:
        storage.rename = rename
    return storage


def base_names(r: Draw) -> Callable[[str], str] | None:
    """Sometimes, the names of a checkpoint that was saved without its head."""
    return renamer((r"^model\.", "")) if r.random() < 0.4 else None


def activation(r: Draw) -> str:
    return r.choice(ACTIVATIONS)


def tower(r: Draw, **more) -> dict:
    count, hidden = heads(r)
    return table.tower(hidden, r.randint(9, 60), r.randint(1, 3), count, **more)


def bert(r: Draw):
    config = tower(
        r, vocab_size=VOCAB, max_position_embeddings=r.randint(24, 40), hidden_act=activation(r), pad_token_id=0
    ) | some(r, type_vocab_size=[2, 3, 7], layer_norm_eps=[1e-12, 1e-5, 0.1])
    return classes.bert, config, dict(tokens=r.randint(2, 24)), stored(r)


def t5(r: Draw):
    count = r.randint(1, 4)
    config = table.t5(r.randint(9, 40), r.randint(9, 60), r.randint(1, 3), count, r.randint(3, 12)) | some(
        r,
        feed_forward_proj=["relu", "gated-gelu", "gated-silu", "gated-relu", "silu", "gelu_new"],
        layer_norm_epsilon=[1e-6, 0.01],
        relative_attention_num_buckets=[4, 8, 16, 32],
        relative_attention_max_distance=[20, 64, 128],
    )
    config["num_decoder_layers"] = r.randint(1, config["num_layers"])
    choices = dict(tokens=r.randint(3, 40), decoder_tokens=r.randint(1, 24), steps=r.randint(1, 6))
    choices["untied"] = r.random() < 0.4
    if choices["untied"]:
        config["tie_word_embeddings"] = False
    storage = stored(r)
    if choices["untied"]:
        storage.edit_config = table._old_t5
    if r.random() < 0.4:
        lengths = [choices["tokens"]] + [r.randint(1, choices["tokens"]) for _ in range(r.randint(0, 2))]
        choices |= dict(lengths=lengths, cached=False)
    return classes.t5, config, choices, storage


def rope(r: Draw, head: int) -> dict:
    theta = r.choice([1e4, 1e6, 500.0])
    kind = r.choice(["default", "default", "linear", "dynamic", "yarn", "longrope", "llama3"])
    if kind == "default":
        return table.rope(kind, theta)
    factor = r.choice([1.5, 2.0, 4.0, 8.0])
    original = r.choice([16, 32, 48])
    if kind in ("linear", "dynamic"):
        more = dict(original_max_position_embeddings=original) if kind == "dynamic" and r.random() < 0.3 else {}
        return table.rope(kind, theta, factor=factor, **more)
    if kind == "llama3":
        low = r.choice([1.0, 2.0])
        more = dict(low_freq_factor=low, high_freq_factor=low * r.choice([2.0, 4.0]))
        return table.rope(kind, theta, factor=factor, original_max_position_embeddings=original, **more)
    if kind == "longrope":
        lists = {f"{side}_factor": [round(r.uniform(1, 6), 3) for _ in range(head // 2)] for side in ("short", "long")}
        more = some(r, attention_factor=[1.0, 1.2], factor=[factor])
        return table.rope(kind, theta, original_max_position_embeddings=original, **lists, **more)
    more = some(
        r,
        beta_fast=[32.0, 8.0],
        beta_slow=[1.0, 2.0],
        truncate=[True, False],
        attention_factor=[0.8, 1.3],
        mscale=[0.7, 1.0],
        mscale_all_dim=[0.5, 1.0],
    )
    return table.rope(kind, theta, factor=factor, original_max_position_embeddings=original, **more)


def language_model(r: Draw, kind: str) -> dict:
    """A config without what is special to a family."""
    count = r.choice([1, 2, 3, 4, 6])
    kv = r.choice([n for n in (1, 2, 3, 4, 6) if count % n == 0])
    head = 2 * r.randint(2, 8)
    config = table.llm(count * head, r.randint(9, 60), count, kv, layers=r.randint(1, 3)) | some(
        r,
        hidden_act=["silu", "gelu", "relu", "gelu_pytorch_tanh"],
        rms_norm_eps=[1e-6, 1e-5, 0.05],
        tie_word_embeddings=[True, False],
        max_position_embeddings=[16, 64, 128],
    )
    if kind in ("llama", "qwen3", "mistral") and r.random() < 0.5:
        head = config["head_dim"] = 2 * r.randint(2, 9)
    if kind == "qwen3":
        head = config["head_dim"] = config.get("head_dim", 2 * r.randint(2, 9))
    if kind == "llama":
        config |= some(r, attention_bias=[True, False], mlp_bias=[True, False])
    if kind == "qwen3":
        config |= some(r, attention_bias=[True, False])
    if kind in ("qwen2", "qwen3") and r.random() < 0.5:
        config |= dict(
            # From 2 on: the library's cache keeps everything where the window is 1.
            use_sliding_window=r.random() < 0.8,
            sliding_window=r.randint(2, 20),
            max_window_layers=r.randint(0, 3),
        )
    config["rope_parameters"] = rope(r, head)
    return config


def causal(r: Draw, kind: str):
    config = language_model(r, kind)
    choices = dict(tokens=r.randint(1, 24), batch=r.choice([1, 1, 2, 3]), steps=r.randint(1, 6))
    if config["rope_parameters"]["rope_type"] in ("dynamic", "longrope"):
        choices["same_without_cache"] = True
    storage = stored(r, rename=base_names(r) if config.get("tie_word_embeddings") else None)
    edits = []
    if r.random() < 0.5:
        edits.append(r.choice([table._old_rope, table._older_rope]))
    if kind != "llama" and r.random() < 0.5:
        edits.append(lambda config: config.pop("layer_types", None))
    storage.edit_config = lambda config: [edit(config) for edit in edits]
    return getattr(classes, kind), config, choices, storage


def caption(r: Draw, **more) -> dict:
    config = tower(
        r, vocab_size=VOCAB, max_position_embeddings=20, bos_token_id=1, eos_token_id=VOCAB - 1, pad_token_id=0
    )
    return config | some(r, hidden_act=ACTIVATIONS, layer_norm_eps=[1e-5, 0.01]) | more


def vision(r: Draw, **more) -> dict:
    patch = r.randint(2, 8)
    image = patch * r.randint(1, 4) + r.randrange(patch)
    return (
        tower(r, image_size=image, patch_size=patch)
        | some(r, hidden_act=ACTIVATIONS, layer_norm_eps=[1e-5, 0.01])
        | more
    )


def captions(r: Draw) -> dict:
    tokens, texts = r.randint(4, 16), r.randint(1, 4)
    choices = dict(texts=texts, tokens=tokens)
    if r.random() < 0.5:
        choices |= dict(lengths=[r.randint(2, tokens) for _ in range(texts)], pad=0, hole=r.random() < 0.5)
        choices["lengths"][0] = tokens
    return choices


def clip(r: Draw):
    config = dict(text_config=caption(r), vision_config=vision(r), projection_dim=r.randint(3, 40))
    config |= some(r, logit_scale_init_value=[1.0, 4.0])
    choices = captions(r) | dict(images=r.randint(1, 3))
    return classes.clip, config, choices, stored(r)


def xclip(r: Draw):
    mit_heads, mit_hidden = heads(r)
    config = dict(
        text_config=caption(r),
        vision_config=vision(
            r,
            num_frames=r.randint(1, 5),
            mit_hidden_size=mit_hidden,
            mit_intermediate_size=r.randint(9, 40),
            mit_num_hidden_layers=r.randint(1, 2),
            mit_num_attention_heads=mit_heads,
        ),
        # The prompt generator adds what the MIT says of a video to texts as projected.
        projection_dim=mit_hidden,
        prompt_layers=r.randint(1, 2),
        prompt_num_attention_heads=r.choice([n for n in range(1, 5) if mit_hidden % n == 0]),
    ) | some(r, prompt_hidden_act=ACTIVATIONS, prompt_alpha=[0.1, 0.7], logit_scale_init_value=[1.0, 4.0])
    return classes.xclip, config, captions(r) | dict(videos=r.randint(1, 2)), stored(r)


def vit(r: Draw):
    config = tower(r, num_labels=r.randint(1, 12), hidden_act=activation(r))
    if r.random() < 0.5:
        patch = [r.randint(2, 6), r.randint(2, 6)]
        config |= dict(patch_size=patch, image_size=[side * r.randint(1, 4) + r.randrange(side) for side in patch])
    else:
        patch = r.randint(2, 8)
        config |= dict(patch_size=patch, image_size=patch * r.randint(1, 5) + r.randrange(patch))
    config |= some(
        r,
        num_channels=[1, 3, 4],
        qkv_bias=[True, False],
        layer_norm_eps=[1e-12, 0.01],
        pooler_output_size=[7, 30],
        pooler_act=["tanh", "relu", "gelu"],
    )
    return classes.vit, config, dict(images=r.randint(1, 3), classifier=r.random() < 0.6), stored(r, hub=True)


def clap(r: Draw):
    stages = r.randint(1, 3)
    count = r.randint(1, 3)
    # Of the last stage: the library has no windows that are larger.
    smallest = r.choice([2, 3, 4])
    side = 2 ** (stages - 1) * smallest
    stride = r.choice([2, 4])
    patch = stride * r.choice([1, 2])
    ratio = r.choice([n for n in (1, 2, 4) if n <= smallest])
    bins = side * stride // ratio
    config = dict(
        text_config=table.clap_text(*_tower(r)) | some(r, hidden_act=ACTIVATIONS, layer_norm_eps=[1e-12, 0.05]),
        audio_config=table.audio(
            4 * count * r.randint(1, 3),
            [r.randint(1, 2) for _ in range(stages)],
            [count * 2**stage if r.random() < 0.5 else count for stage in range(stages)],
            mel=bins,
            spec=side * stride,
            window=r.randint(2, smallest),
            patch_size=patch,
            patch_stride=r.choice([stride, [stride, stride]]),
        )
        | some(
            r,
            hidden_act=ACTIVATIONS,
            qkv_bias=[True, False],
            enable_patch_layer_norm=[True, False],
            layer_norm_eps=[1e-5, 0.1],
            mlp_ratio=[1.0, 2.0, 3.0],
        ),
        projection_dim=r.randint(3, 30),
    ) | some(r, projection_hidden_act=ACTIVATIONS, logit_scale_init_value=[1.0, 9.0])
    tokens = r.randint(2, 16)
    choices = dict(
        frames=r.randint(side * stride * ratio // 2, side * stride * ratio), tokens=tokens, clips=r.randint(1, 2)
    )
    if r.random() < 0.5:
        choices["lengths"] = [tokens, r.randint(1, tokens)]
    if r.random() < 0.4:
        config["audio_config"] |= dict(enable_fusion=True, aff_block_r=r.randint(1, 4))
        choices["longer"] = [r.random() < 0.6 for _ in range(choices["clips"])]
    return classes.clap, config, choices, stored(r)


def _tower(r: Draw) -> tuple[int, int, int, int]:
    count, hidden = heads(r)
    return hidden, r.randint(9, 60), r.randint(1, 3), count


def whisper(r: Draw):
    sides = [(r.randint(1, 2), count, r.randint(9, 60)) for count in r.choices([1, 2, 3, 4, 6], k=2)]
    model = 12 * r.randint(1, 3)
    config = table.whisper(model, *sides) | some(r, activation_function=ACTIVATIONS, scale_embedding=[True, False])
    choices = dict(
        bins=r.choice([20, 80, 128]), chunk=r.choice([1, 2]), seconds=r.choice([0.2, 0.9, 1.0]), steps=r.randint(1, 5)
    )
    choices |= dict(decoder_tokens=r.randint(1, 9))
    if r.random() < 0.4:
        choices |= dict(batch=r.randint(1, 2), features_in=True)
    return classes.whisper, config, choices, stored(r, hub=True, rename=base_names(r))


def wav2vec2(r: Draw):
    groups = r.choice([1, 2, 4])
    count, size = r.randint(1, 4), r.randint(1, 3)
    hidden = 4 * count * size
    layers = r.randint(1, 4)
    norm = r.choice(["group", "layer"])
    convs = [(4 * r.randint(1, 6), r.choice([2, 3, 5, 8, 10]), r.choice([1, 2, 3, 5])) for _ in range(layers)]
    config = table.wav(hidden, r.randint(9, 60), r.randint(1, 3), count, convs, r.randint(2, 17), groups)
    config |= dict(feat_extract_norm=norm, do_stable_layer_norm=r.random() < 0.5) | some(
        r,
        conv_bias=[True, False],
        hidden_act=ACTIVATIONS,
        feat_extract_activation=ACTIVATIONS,
        layer_norm_eps=[1e-5, 0.05],
    )
    if r.random() < 0.3:
        config |= dict(add_adapter=True, num_adapter_layers=r.randint(1, 2), output_hidden_size=r.choice([hidden, 20]))
    choices = dict(ctc=r.random() < 0.6, samples=r.randint(800, 2000))
    if r.random() < 0.4:
        choices["lengths"] = [2000, r.randint(700, 1999)]
    return classes.wav2vec2, config, choices, stored(r, rename=table.OLD_WEIGHT_NORM if r.random() < 0.5 else None)


def _llava(r: Draw) -> tuple[dict, Storage]:
    kind = r.choice(["llama", "llama", "qwen2", "mistral"])
    text = language_model(r, kind) | dict(model_type=kind, max_position_embeddings=256)
    text["rope_parameters"] = table.rope("default", r.choice([1e4, 1e6]))
    if kind == "mistral":
        text |= some(r, sliding_window=[None, 7, 30])
    eyes = vision(r)
    if r.random() < 0.4:
        eyes |= dict(model_type="siglip_vision_model", vision_use_head=False)
    # Not 0 alone, which the library takes for none; and one layer has no state before the first.
    layer = r.choice([-1, -2, 1, [-1, -2], [0, -1]])
    config = table.llava(
        text, eyes, vision_feature_layer=layer, tie_word_embeddings=text.get("tie_word_embeddings", False)
    ) | some(r, projector_hidden_act=ACTIVATIONS, multimodal_projector_bias=[True, False])
    storage = stored(r, hub=True)
    return config, storage


def llava(r: Draw):
    config, storage = _llava(r)
    config |= some(r, vision_feature_select_strategy=["default", "full"])
    return classes.llava, config, dict(images=r.randint(1, 3), steps=r.randint(1, 5)), storage


def llava_next(r: Draw):
    config, storage = _llava(r)
    if config["vision_config"].get("model_type") == "siglip_vision_model":
        config["vision_feature_select_strategy"] = "full"
    side = config["vision_config"]["image_size"]
    grid = [
        [side * rows, side * columns]
        for rows, columns in r.sample([(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)], r.randint(1, 4))
    ]
    config["image_grid_pinpoints"] = grid
    sizes = [[r.randint(8, 90), r.randint(8, 90)] for _ in range(r.randint(1, 2))]
    return classes.llava_next, config, dict(sizes=sizes, steps=r.randint(1, 4)), storage


def detr(r: Draw):
    pairs = [
        (r.choice([1, 2, 3, 4]), r.choice([1, 2, 3, 4])),
        (r.randint(9, 60), r.randint(9, 60)),
        (r.randint(1, 2), r.randint(1, 3)),
    ]
    config = table.detr(24, *pairs, r.randint(1, 20), num_labels=r.randint(1, 9)) | some(
        r, position_embedding_type=["sine", "learned"], activation_function=ACTIVATIONS, auxiliary_loss=[True, False]
    )
    stages = r.randint(1, 4)
    kind = r.choice(["basic", "bottleneck"])
    backbone = table.resnet(
        kind,
        4 * r.randint(1, 4),
        [4 * r.randint(1, 6) for _ in range(stages)],
        [r.randint(1, 2) for _ in range(stages)],
    ) | some(
        r,
        hidden_act=["relu", "gelu", "silu"],
        downsample_in_first_stage=[True, False],
        downsample_in_bottleneck=[True, False],
    )
    # Several are given out, and the last one is used.
    first, last = sorted(r.choices(range(1, stages + 1), k=2))
    backbone["out_features"] = [f"stage{stage}" for stage in range(first, last + 1)]
    sizes = [(r.randint(33, 80), r.randint(33, 80)) for _ in range(r.randint(1, 2))]
    return classes.detr, config, dict(backbone=backbone, sizes=sizes), stored(r, hub=True)


CLASSES: dict[str, Callable[[Draw], tuple]] = dict(
    bert=bert,
    t5=t5,
    llama=lambda r: causal(r, "llama"),
    qwen2=lambda r: causal(r, "qwen2"),
    qwen3=lambda r: causal(r, "qwen3"),
    clip=clip,
    xclip=xclip,
    vit=vit,
    clap=clap,
    whisper=whisper,
    wav2vec2=wav2vec2,
    llava=llava,
    llava_next=llava_next,
    detr=detr,
)
