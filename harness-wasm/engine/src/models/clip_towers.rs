//! CLIP's text and vision towers, for CLIP itself, X-CLIP and the LLaVAs; and SigLIP's vision tower, which is made alike.

use serde_json::json;

use crate::error::{Error, Result};
use crate::ir::{GraphBuilder, ValueId};
use crate::models::inputs::{Inputs, fits, twin_tokens};
use crate::models::layers::{Block, Linear, MultiHead, Names, Norms, layer_norm, weight};
use crate::models::{Config, InputTypes};
use crate::ops::{Conv2d, Op, Unary};
use crate::tensor::{DType, NamedTensors, Tensor};
use crate::weights::twin::Draw;

/// `text_config` or `vision_config`. Old configs repeat it as `…_config_dict`, which then stands for all of it: what
/// that one leaves out has its default, whatever the other says.
pub(super) fn tower(config: &Config, field: &str) -> Result<Config> {
    match config.object(&format!("{field}_dict"))? {
        Some(old) => Ok(old),
        None => config.object_or_empty(field),
    }
}

/// A number of heads that share `width`, the value of `of`, evenly.
pub(super) fn heads(config: &Config, field: &str, of: &str, width: usize) -> Result<usize> {
    let heads = config.size(field)?;
    if width.is_multiple_of(heads) {
        Ok(heads)
    } else {
        Err(Error::config(field, heads, format!("does not divide {of} {width}")))
    }
}

/// Blocks with their norms in front, under CLIP's names.
#[derive(Debug)]
pub(super) struct Stack {
    pub(super) width: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    intermediate: usize,
    pub(super) activation: Unary,
    pub(super) epsilon: f64,
}

impl Stack {
    /// Reads the fields of a tower; `prefix` begins the names of those that a second stack in it has for itself.
    pub(super) fn new(config: &Config, prefix: &str) -> Result<Self> {
        let named = |field: &str| format!("{prefix}{field}");
        let width = config.size(&named("hidden_size"))?;
        Ok(Self {
            width,
            layers: config.size(&named("num_hidden_layers"))?,
            heads: heads(config, &named("num_attention_heads"), &named("hidden_size"), width)?,
            intermediate: config.size(&named("intermediate_size"))?,
            activation: config.activation("hidden_act", "quick_gelu")?,
            epsilon: config.number_or("layer_norm_eps", 1e-5)?,
        })
    }

    /// One of the stack's attentions.
    pub(super) fn attention(&self, at: &Names) -> MultiHead {
        MultiHead::new(at, ["q_proj", "k_proj", "v_proj", "out_proj"], self.width, self.heads)
    }

    /// The block of that layer below `at`.
    pub(super) fn block(&self, at: &Names, layer: usize) -> Block {
        let at = at.part(&format!("encoder.layers.{layer}"));
        Block {
            scope: at.today().to_owned(),
            attention: self.attention(&at.part("self_attn")),
            feed_forward: [
                Linear::new(at.part("mlp.fc1"), self.width, self.intermediate).then(self.activation),
                Linear::new(at.part("mlp.fc2"), self.intermediate, self.width),
            ],
            norms: [at.part("layer_norm1"), at.part("layer_norm2")],
            placement: Norms::Before,
            epsilon: self.epsilon,
        }
    }
}

/// The `eos_token_id` of configs from before Hugging Face wrote the right one. Their texts end at the highest id.
pub(super) const LEGACY_EOS: i32 = 2;

/// The text tower: causal blocks, of whose results the one at the end of the text is taken.
#[derive(Debug)]
pub(super) struct TextTower {
    pub(super) stack: Stack,
    vocabulary: usize,
    positions: usize,
    eos: i32,
}

impl TextTower {
    /// What CLIP's and X-CLIP's text configs leave out.
    pub(super) fn defaults(config: Config) -> Config {
        config.with_defaults(json!({
            "vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12,
            "num_attention_heads": 8, "max_position_embeddings": 77,
        }))
    }

    /// Reads a `text_config`; texts end at `eos`.
    pub(super) fn new(config: &Config, eos: i32) -> Result<Self> {
        Ok(Self {
            stack: Stack::new(config, "")?,
            vocabulary: config.size("vocab_size")?,
            positions: config.size("max_position_embeddings")?,
            eos,
        })
    }

    /// Takes `input_ids` and `attention_mask`, both `[texts, tokens]`, and puts beside them `text_ends [texts]`: among all
    /// tokens, that which stands for each text.
    pub(super) fn prepare(&self, taken: &mut Inputs<'_>) -> Result<()> {
        let shape = taken.ids("input_ids", self.vocabulary)?;
        taken.ids_or("attention_mask", shape, 1, 2)?;
        fits("input_ids", shape[1], self.positions)?;
        let ids = taken.given("input_ids").expect("just taken").as_i32();
        let ends = ids.chunks_exact(shape[1]).enumerate().map(|(text, ids)| text * shape[1] + self.end(ids));
        taken.put("text_ends", Tensor::i32([shape[0]], ends.map(|end| end as i32).collect()));
        Ok(())
    }

    /// Where a text ends. One without an end token is pooled at its beginning, as in Hugging Face.
    fn end(&self, ids: &[i32]) -> usize {
        let eos = if self.eos == LEGACY_EOS { ids.iter().max() } else { Some(&self.eos) };
        ids.iter().position(|id| Some(id) == eos).unwrap_or(0)
    }

    /// The prepared inputs to `[texts, width]`.
    pub(super) fn build(&self, b: &mut GraphBuilder<'_>, at: &Names, inputs: &InputTypes) -> Result<ValueId> {
        let [ids, mask, ends] = ["input_ids", "attention_mask", "text_ends"]
            .map(|name| b.input(name, DType::I32, inputs[name].shape.as_slice()));
        let &[texts, tokens] = b.shape(ids) else { unreachable!("prepared: rank 2") };
        let width = self.stack.width;
        b.scope(at.part("embeddings").today());
        let table = |b: &mut GraphBuilder<'_>, name: &str, rows: usize| {
            weight(b, &at.part("embeddings").part(name), &[".weight"], &[rows, width])
        };
        let words = table(b, "token_embedding", self.vocabulary)?;
        let positions = table(b, "position_embedding", self.positions)?;
        let words = b.op(Op::Gather { axis: 0 }, &[words, ids])?;
        let positions = b.slice(positions, &[0, 0], &[tokens, width])?;
        let mut x = b.add(words, positions)?;
        let begin = b.constant(Tensor::i32([1], vec![0]));
        for layer in 0..self.stack.layers {
            let mut block = self.stack.block(at, layer);
            (block.attention.op.masked, block.attention.op.causal) = (true, true);
            x = block.build(b, x, &[mask, begin])?;
        }
        b.scope(at.part("final_layer_norm").today());
        let rows = b.reshape(x, [texts * tokens, width])?;
        let last = b.op(Op::Gather { axis: 0 }, &[rows, ends])?;
        layer_norm(b, &at.part("final_layer_norm"), self.stack.epsilon, last)
    }

    /// Seeded texts, each with an end.
    pub(super) fn twin_inputs(
        &self,
        draw: &mut Draw,
        texts: usize,
        tokens: Option<usize>,
    ) -> Result<NamedTensors> {
        let tokens = twin_tokens(tokens, 16, self.positions)?;
        let end = if self.eos == LEGACY_EOS { self.vocabulary as i32 - 1 } else { self.eos };
        let ids = (1..=texts * tokens)
            .map(|i| if i % tokens == 0 { end } else { draw.below(self.vocabulary - 1) as i32 });
        Ok(NamedTensors::from([("input_ids".to_owned(), Tensor::i32([texts, tokens], ids.collect()))]))
    }
}

/// What a vision tower makes of patches before its blocks see them.
#[derive(Debug)]
enum Front {
    /// CLIP: a class token goes first, and all are normalised. The norm's name is misspelt there.
    Class { norm: &'static str },
    /// SigLIP (Zhai et al. 2023): patches have a bias, and nothing else is done.
    Patches,
}

/// The vision tower: square patches, behind a class token where it has one.
#[derive(Debug)]
pub(super) struct VisionTower {
    pub(super) stack: Stack,
    pub(super) image: usize,
    patch: usize,
    channels: usize,
    front: Front,
}

impl VisionTower {
    /// What CLIP's and X-CLIP's vision configs leave out.
    pub(super) fn defaults(config: Config) -> Config {
        config.with_defaults(json!({
            "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
            "image_size": 224, "patch_size": 32,
        }))
    }

    /// Reads a `vision_config` of CLIP's kind.
    pub(super) fn new(config: &Config, first_norm: &'static str) -> Result<Self> {
        Self::read(config, Front::Class { norm: first_norm })
    }

    /// Reads a `vision_config` of SigLIP's kind.
    pub(super) fn siglip(config: Config) -> Result<Self> {
        let own = config.with_defaults(json!({
            "patch_size": 16, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6,
        }));
        Self::read(&Self::defaults(own), Front::Patches)
    }

    fn read(config: &Config, front: Front) -> Result<Self> {
        let (image, patch) = (config.size("image_size")?, config.size("patch_size")?);
        if patch > image {
            return Err(Error::config("patch_size", patch, format!("exceeds image_size {image}")));
        }
        if image / patch > 1 << 15 {
            return Err(Error::config("patch_size", patch, format!("cuts image_size {image} too finely")));
        }
        let channels = config.size_or("num_channels", 3)?;
        Ok(Self { stack: Stack::new(config, "")?, image, patch, channels, front })
    }

    /// Patches along one side of an image.
    pub(super) fn side(&self) -> usize {
        self.image / self.patch
    }

    /// What an image becomes: its patches, and a class token where there is one.
    pub(super) fn tokens(&self) -> usize {
        self.side().pow(2) + usize::from(self.has_class())
    }

    fn has_class(&self) -> bool {
        matches!(self.front, Front::Class { .. })
    }

    /// The shape of one image.
    pub(super) fn pixels(&self) -> [usize; 3] {
        [self.channels, self.image, self.image]
    }

    /// `[images, channels, height, width]` pixels to what enters the first block, `[images, tokens, width]`.
    pub(super) fn embed(&self, b: &mut GraphBuilder<'_>, at: &Names, pixels: ValueId) -> Result<ValueId> {
        let (images, width) = (b.shape(pixels)[0], self.stack.width);
        let patches = self.side() * self.side();
        let at_embeddings = at.part("embeddings");
        b.scope(at_embeddings.today());
        let patch = at_embeddings.part("patch_embedding");
        let filter = weight(b, &patch, &[".weight"], &[width, self.channels, self.patch, self.patch])?;
        let mut operands = vec![pixels, filter];
        if !self.has_class() {
            operands.push(weight(b, &patch, &[".bias"], &[width])?);
        }
        let conv = Conv2d { strides: [self.patch; 2], ..Conv2d::default() };
        let x = b.op(Op::Conv2d(conv), &operands)?;
        let x = b.reshape(x, [images, width, patches])?;
        let mut x = b.transpose(x, &[0, 2, 1])?;
        if self.has_class() {
            let class = weight(b, &at_embeddings.part("class_embedding"), &[""], &[width])?;
            let class = b.op(Op::Expand { shape: vec![images, 1, width] }, &[class])?;
            x = b.op(Op::Concat { axis: 1 }, &[class, x])?;
        }
        let rows = [self.tokens(), width];
        let positions = weight(b, &at_embeddings.part("position_embedding"), &[".weight"], &rows)?;
        let x = b.add(x, positions)?;
        match self.front {
            Front::Class { norm } => layer_norm(b, &at.part(norm), self.stack.epsilon, x),
            Front::Patches => Ok(x),
        }
    }

    /// What enters the first block, then what leaves each of the first `layers`.
    pub(super) fn states(
        &self,
        b: &mut GraphBuilder<'_>,
        at: &Names,
        pixels: ValueId,
        layers: usize,
    ) -> Result<Vec<ValueId>> {
        let mut states = vec![self.embed(b, at, pixels)?];
        for layer in 0..layers {
            let x = self.stack.block(at, layer).build(b, states[layer], &[])?;
            states.push(x);
        }
        Ok(states)
    }

    /// The class token of what left the last block, normalised: `[images, width]`.
    pub(super) fn pool(&self, b: &mut GraphBuilder<'_>, at: &Names, x: ValueId) -> Result<ValueId> {
        b.scope(at.part("post_layernorm").today());
        let class = first_token(b, x)?;
        layer_norm(b, &at.part("post_layernorm"), self.stack.epsilon, class)
    }

    /// Seeded pixels; `leading` are the axes before those of an image.
    pub(super) fn twin_pixels(&self, draw: &mut Draw, leading: &[usize]) -> Tensor {
        let shape = [leading, &self.pixels()].concat();
        let pixels = (0..shape.iter().product()).map(|_| draw.normal()).collect();
        Tensor::f32(shape, pixels)
    }
}

/// The first token of each sequence, `[sequences, width]`.
pub(super) fn first_token(b: &mut GraphBuilder<'_>, x: ValueId) -> Result<ValueId> {
    let &[sequences, _, width] = b.shape(x) else {
        return Err(Error::shape("slice", "tokens are [batch, tokens, width]"));
    };
    let first = b.slice(x, &[0, 0, 0], &[sequences, 1, width])?;
    b.reshape(first, [sequences, width])
}

/// The last axis divided by its Euclidean norm, which is its root mean square times the root of its width.
pub(super) fn unit(b: &mut GraphBuilder<'_>, x: ValueId) -> Result<ValueId> {
    let width = *b.shape(x).last().ok_or_else(|| Error::shape("rmsNormalization", "x needs an axis"))?;
    let scale = (1.0 / (width as f64).sqrt()) as f32;
    let scale = b.constant(Tensor::f32([width], vec![scale; width]));
    b.op(Op::RmsNormalization { epsilon: 0.0 }, &[x, scale])
}

/// What similarities are multiplied by, `[1]`.
pub(super) fn logit_scale(b: &mut GraphBuilder<'_>) -> Result<ValueId> {
    b.scope("logit_scale");
    let logarithm = b.weight(&["logit_scale"], Vec::new())?;
    let scale = b.unary(Unary::Exp, logarithm)?;
    b.reshape(scale, [1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse("config.json", text.as_bytes()).unwrap()
    }

    #[test]
    fn texts_end_where_hugging_face_pools_them() {
        let end =
            |eos, ids: &[i32]| TextTower::new(&TextTower::defaults(config("{}")), eos).unwrap().end(ids);
        assert_eq!(end(7, &[1, 7, 9, 7]), 1);
        assert_eq!(end(7, &[1, 9, 3]), 0);
        // The highest id, the first of equals, though the end token stands elsewhere.
        assert_eq!(end(LEGACY_EOS, &[1, 2, 9, 9, 2]), 2);
    }

    #[test]
    fn an_old_configs_second_copy_replaces_the_first() {
        let both = config(
            r#"{"text_config": {"hidden_size": 1, "vocab_size": 2}, "text_config_dict": {"hidden_size": 64}}"#,
        );
        let text = TextTower::defaults(tower(&both, "text_config").unwrap());
        assert_eq!(["hidden_size", "vocab_size"].map(|field| text.size(field).unwrap()), [64, 49408]);
        let null = config(r#"{"text_config": {"hidden_size": 8}, "text_config_dict": null}"#);
        assert_eq!(tower(&null, "text_config").unwrap().size("hidden_size").unwrap(), 8);
        assert!(tower(&config("{}"), "text_config").unwrap().get("hidden_size").is_none());
    }

    #[test]
    fn towers_that_do_not_fit_are_refused_by_name() {
        let vision = |text: &str| VisionTower::new(&VisionTower::defaults(config(text)), "pre_layrnorm");
        for (text, field) in [
            (r#"{"num_attention_heads": 5}"#, "num_attention_heads"),
            (r#"{"image_size": 16}"#, "patch_size"),
            (r#"{"image_size": [224, 224]}"#, "image_size"),
            (r#"{"hidden_act": "mish"}"#, "hidden_act"),
        ] {
            let error = vision(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("config field {field} = ")), "{error}");
        }
    }
}
