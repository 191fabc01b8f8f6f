"""The fourteen goldens: one a class, the sizes and seeds that they were made with."""

import hashlib

import classes

SEED = 1000
WIDTH, LAYERS, HEADS, INNER = 64, 2, 4, 128
VOCAB, IMAGE, PATCH = 512, 32, 8

TOWER = dict(hidden_size=WIDTH, intermediate_size=INNER, num_hidden_layers=LAYERS, num_attention_heads=HEADS)
VISION = dict(TOWER, image_size=IMAGE, patch_size=PATCH)
LLM = dict(TOWER, vocab_size=VOCAB, num_key_value_heads=2, max_position_embeddings=256)
SPECIAL = dict(bos_token_id=1, eos_token_id=2, pad_token_id=0)
CAPTION = dict(
    TOWER, vocab_size=VOCAB, max_position_embeddings=32, bos_token_id=1, eos_token_id=VOCAB - 1, pad_token_id=0
)
LLAVA = dict(
    vision_config=dict(VISION, model_type="clip_vision_model"),
    image_token_index=VOCAB - 1,
    vision_feature_layer=-2,
    vision_feature_select_strategy="default",
)


def _llm_seed(name: str) -> int:
    return SEED + int(hashlib.sha1(name.encode()).hexdigest()[:3], 16)


# class: (function, first seed, config, choices)
GOLDENS = dict(
    bert=(classes.bert, SEED + 1, dict(TOWER, vocab_size=VOCAB, max_position_embeddings=64), {}),
    t5=(
        classes.t5,
        SEED + 3,
        dict(vocab_size=VOCAB, d_model=WIDTH, d_kv=WIDTH // HEADS, d_ff=INNER, num_layers=LAYERS, num_heads=HEADS),
        {},
    ),
    llama=(classes.llama, _llm_seed("llama"), LLM, {}),
    qwen2=(classes.qwen2, _llm_seed("qwen2"), LLM, {}),
    qwen3=(classes.qwen3, _llm_seed("qwen3"), dict(LLM, head_dim=32), {}),
    clip=(classes.clip, SEED + 20, dict(text_config=CAPTION, vision_config=VISION, projection_dim=WIDTH // 2), {}),
    vit=(classes.vit, SEED + 30, dict(VISION, num_labels=10), {}),
    clap=(
        classes.clap,
        SEED + 40,
        dict(
            text_config=dict(TOWER, vocab_size=VOCAB, max_position_embeddings=40, pad_token_id=1, projection_dim=32),
            audio_config=dict(
                window_size=4,
                num_mel_bins=64,
                spec_size=256,
                hidden_act="gelu",
                patch_size=4,
                patch_stride=[4, 4],
                num_classes=8,
                hidden_size=64,
                projection_dim=32,
                depths=[1, 1, 2],
                num_attention_heads=[2, 2, 4],
                enable_fusion=False,
                patch_embeds_hidden_size=16,
                patch_embed_input_channels=1,
                num_hidden_layers=3,
                mlp_ratio=2.0,
                aff_block_r=2,
            ),
            projection_dim=32,
        ),
        dict(extractor=classes.CLAP_FRONT_END),
    ),
    whisper=(
        classes.whisper,
        SEED + 50,
        dict(
            vocab_size=VOCAB,
            encoder_layers=LAYERS,
            decoder_layers=LAYERS,
            encoder_attention_heads=HEADS,
            decoder_attention_heads=HEADS,
            encoder_ffn_dim=INNER,
            decoder_ffn_dim=INNER,
            d_model=WIDTH,
            max_target_positions=64,
        ),
        {},
    ),
    wav2vec2=(
        classes.wav2vec2,
        SEED + 60,
        dict(
            TOWER,
            vocab_size=32,
            conv_dim=[32] * 4,
            conv_kernel=[10, 3, 3, 2],
            conv_stride=[5, 2, 2, 2],
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=4,
            feat_extract_norm="group",
            do_stable_layer_norm=False,
            conv_bias=False,
        ),
        {},
    ),
    llava=(classes.llava, SEED + 70, dict(LLAVA, text_config=dict(LLM, **SPECIAL, model_type="llama")), {}),
    llava_next=(
        classes.llava_next,
        SEED + 80,
        dict(
            LLAVA,
            text_config=dict(LLM, **SPECIAL, model_type="llama", max_position_embeddings=512),
            image_grid_pinpoints=[[IMAGE, 2 * IMAGE], [2 * IMAGE, IMAGE], [2 * IMAGE, 2 * IMAGE]],
        ),
        dict(sizes=[[40, 60]]),
    ),
    xclip=(
        classes.xclip,
        SEED + 90,
        dict(
            text_config=CAPTION,
            vision_config=dict(
                VISION,
                num_frames=4,
                mit_hidden_size=WIDTH // 2,
                mit_intermediate_size=INNER,
                mit_num_hidden_layers=1,
                mit_num_attention_heads=HEADS // 2,
            ),
            projection_dim=WIDTH // 2,
            prompt_layers=1,
            prompt_num_attention_heads=HEADS // 2,
        ),
        {},
    ),
    detr=(
        classes.detr,
        SEED + 100,
        dict(
            d_model=WIDTH,
            encoder_layers=LAYERS,
            decoder_layers=LAYERS,
            encoder_attention_heads=HEADS,
            decoder_attention_heads=HEADS,
            encoder_ffn_dim=INNER,
            decoder_ffn_dim=INNER,
            num_queries=10,
            num_labels=7,
        ),
        dict(
            backbone=dict(
                embedding_size=16,
                hidden_sizes=[16, 32, 32, 64],
                depths=[1, 1, 1, 1],
                layer_type="bottleneck",
                hidden_act="relu",
                out_features=["stage4"],
            ),
            sizes=[(64, 96)],
        ),
    ),
)
