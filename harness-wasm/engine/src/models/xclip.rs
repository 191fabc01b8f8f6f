//! X-CLIP (Ni et al. 2022): `XCLIPModel`. CLIP for videos: frames exchange messages inside the vision tower, a small
//! transformer sums them up, and texts are changed by what is seen.

use serde_json::json;

use crate::error::{Error, Result};
use crate::ir::{Graph, GraphBuilder, ValueId};
use crate::models::clip_towers::{
    LEGACY_EOS, Stack, TextTower, VisionTower, first_token, heads, logit_scale, tower, unit,
};
use crate::models::inputs::Inputs;
use crate::models::layers::{Linear, MultiHead, Names, layer_norm, weight};
use crate::models::{Config, InputTypes, Model};
use crate::ops::{Gemm, Op, Reduce, Unary};
use crate::tensor::{DType, NamedTensors};
use crate::weights::{Weights, twin::Draw};

/// What `config.json` says of an X-CLIP.
#[derive(Debug)]
pub(super) struct XClip {
    text: TextTower,
    vision: VisionTower,
    frames: usize,
    /// The multiframe integration transformer.
    integration: Stack,
    projection: usize,
    prompt_layers: usize,
    prompt_heads: usize,
    prompt_activation: Unary,
}

impl XClip {
    pub(super) fn new(config: &Config) -> Result<Self> {
        let text = TextTower::defaults(tower(config, "text_config")?);
        let vision = VisionTower::defaults(tower(config, "vision_config")?).with_defaults(json!({
            "num_frames": 8, "mit_hidden_size": 512, "mit_intermediate_size": 2048, "mit_num_hidden_layers": 1,
            "mit_num_attention_heads": 8,
        }));
        let config = config.clone().with_defaults(
            json!({"projection_dim": 512, "prompt_layers": 2, "prompt_num_attention_heads": 8}),
        );
        let projection = config.size("projection_dim")?;
        let integration = Stack::new(&vision, "mit_")?;
        if integration.width != projection {
            let reason =
                format!("frames are integrated as they are projected: projection_dim is {projection}");
            return Err(Error::config("mit_hidden_size", integration.width, reason));
        }
        Ok(Self {
            // Whatever `eos_token_id` says, as in Hugging Face.
            text: TextTower::new(&text, LEGACY_EOS)?,
            frames: vision.size("num_frames")?,
            vision: VisionTower::new(&vision, "pre_layernorm")?,
            integration,
            projection,
            prompt_layers: config.size("prompt_layers")?,
            prompt_heads: heads(&config, "prompt_num_attention_heads", "projection_dim", projection)?,
            prompt_activation: config.activation("prompt_hidden_act", "quick_gelu")?,
        })
    }

    /// A block of the vision tower. A message from each frame's class token is read by the class tokens of all frames of
    /// its video, and what comes of it stands behind the frame's tokens while they attend to each other.
    fn vision_block(
        &self,
        b: &mut GraphBuilder<'_>,
        at: &Names,
        layer: usize,
        x: ValueId,
    ) -> Result<ValueId> {
        let stack = &self.vision.stack;
        let block = stack.block(at, layer);
        let &[images, tokens, width] = b.shape(x) else { unreachable!("embedded: rank 3") };
        let at = at.part(&format!("encoder.layers.{layer}"));
        b.scope(at.part("message_attn").today());
        let class = first_token(b, x)?;
        let message = Linear::new(at.part("message_fc"), width, width).build(b, class)?;
        let message = b.reshape(message, [images / self.frames, self.frames, width])?;
        let normal = layer_norm(b, &at.part("message_ln"), stack.epsilon, message)?;
        let heard = stack.attention(&at.part("message_attn")).build(b, normal, normal, &[])?;
        let message = b.add(message, heard)?;
        let message = b.reshape(message, [images, 1, width])?;
        let x = b.op(Op::Concat { axis: 1 }, &[x, message])?;
        let x = block.attend(b, x, &[])?;
        let x = b.slice(x, &[0, 0, 0], &[images, tokens, width])?;
        block.feed(b, x)
    }

    /// Frames `[videos, frames, projection]` to videos `[videos, projection]`.
    fn integrate(&self, b: &mut GraphBuilder<'_>, at: &Names, frames: ValueId) -> Result<ValueId> {
        b.scope(at.today());
        let positions = weight(b, &at.part("position_embedding"), &[""], &[1, self.frames, self.projection])?;
        let mut x = b.add(frames, positions)?;
        for layer in 0..self.integration.layers {
            x = self.integration.block(at, layer).build(b, x, &[])?;
        }
        b.scope(at.today());
        let x = b.add(x, frames)?;
        mean_over_frames(b, x)
    }

    /// The patches `[videos * frames, 1 + patches, width]`, class tokens left out, normalised, projected and averaged
    /// over frames: `[videos, patches, projection]`.
    fn seen(&self, b: &mut GraphBuilder<'_>, x: ValueId) -> Result<ValueId> {
        b.scope("prompts_visual_projection");
        let &[images, tokens, width] = b.shape(x) else { unreachable!("embedded: rank 3") };
        let (videos, patches) = (images / self.frames, tokens - 1);
        let x = b.slice(x, &[0, 1, 0], &[images, patches, width])?;
        let x = layer_norm(b, &"prompts_visual_layernorm".into(), self.vision.stack.epsilon, x)?;
        let x = b.reshape(x, [images * patches, width])?;
        // Stored as what is multiplied by, not as a linear layer.
        let projection = b.weight(&["prompts_visual_projection"], [width, self.projection])?;
        let projection = b.transpose(projection, &[1, 0])?;
        let x = b.op(Op::Gemm(Gemm::default()), &[x, projection])?;
        let x = b.reshape(x, [videos, self.frames, patches * self.projection])?;
        let x = mean_over_frames(b, x)?;
        b.reshape(x, [videos, patches, self.projection])
    }

    /// What is added to the texts `[videos, texts, projection]` of each video for what is seen in it.
    fn prompt(&self, b: &mut GraphBuilder<'_>, at: &Names, texts: ValueId, seen: ValueId) -> Result<ValueId> {
        b.scope(at.today());
        let width = self.projection;
        let seen = layer_norm(b, &at.part("layernorm"), self.vision.stack.epsilon, seen)?;
        let mut x = texts;
        for layer in 0..self.prompt_layers {
            let at = at.part(&format!("decoder.{layer}"));
            b.scope(at.today());
            let square = |part: &str| Linear::new(at.part(part), width, width);
            let projections = [
                square("cross_attn.q_proj").bias(false),
                square("cross_attn.k_proj").bias(false),
                square("cross_attn.v_proj").bias(false),
                square("cross_attn.proj"),
            ];
            let normal = layer_norm(b, &at.part("norm1"), self.text.stack.epsilon, x)?;
            let attended =
                MultiHead::of(projections, width, self.prompt_heads).build(b, normal, seen, &[])?;
            x = b.add(x, attended)?;
            let normal = layer_norm(b, &at.part("norm3"), self.text.stack.epsilon, x)?;
            let wide = Linear::new(at.part("mlp.0"), width, 4 * width).then(self.prompt_activation);
            let wide = wide.build(b, normal)?;
            let fed = Linear::new(at.part("mlp.3"), 4 * width, width).build(b, wide)?;
            x = b.add(x, fed)?;
        }
        let alpha = weight(b, &at.part("alpha"), &[""], &[width])?;
        b.mul(x, alpha)
    }
}

/// `[videos, frames, width]` to `[videos, width]`.
fn mean_over_frames(b: &mut GraphBuilder<'_>, x: ValueId) -> Result<ValueId> {
    let &[videos, _, width] = b.shape(x) else { unreachable!("reshaped: rank 3") };
    let x = b.transpose(x, &[0, 2, 1])?;
    let mean = b.op(Op::Reduce(Reduce::Mean), &[x])?;
    b.reshape(mean, [videos, width])
}

impl Model for XClip {
    fn prepare(&self, inputs: &NamedTensors) -> Result<NamedTensors> {
        let mut taken = Inputs::new(inputs);
        self.text.prepare(&mut taken)?;
        let [channels, height, width] = self.vision.pixels().map(Some);
        taken.floats("pixel_values", &[None, Some(self.frames), channels, height, width])?;
        taken.finish()
    }

    fn forward(&self, weights: &Weights, inputs: &InputTypes) -> Result<Graph> {
        let mut b = GraphBuilder::new(weights);
        let videos = inputs["pixel_values"].shape[0];
        let project = |name: &str, from: usize| Linear::new(name, from, self.projection).bias(false);

        let at = Names::from("vision_model");
        let pixels = b.input("pixel_values", DType::F32, inputs["pixel_values"].shape.as_slice());
        let pixels = b.reshape(pixels, [&[videos * self.frames], &self.vision.pixels()[..]].concat())?;
        let mut x = self.vision.embed(&mut b, &at, pixels)?;
        for layer in 0..self.vision.stack.layers {
            x = self.vision_block(&mut b, &at, layer, x)?;
        }
        let frames = self.vision.pool(&mut b, &at, x)?;
        let frames = project("visual_projection", self.vision.stack.width).build(&mut b, frames)?;
        let frames = b.reshape(frames, [videos, self.frames, self.projection])?;
        let watched = self.integrate(&mut b, &"mit".into(), frames)?;
        let seen = self.seen(&mut b, x)?;

        let texts = self.text.build(&mut b, &Names::from("text_model"), inputs)?;
        let count = b.shape(texts)[0];
        let texts = project("text_projection", self.text.stack.width).build(&mut b, texts)?;
        let texts = b.op(Op::Expand { shape: vec![videos, count, self.projection] }, &[texts])?;
        let prompt = self.prompt(&mut b, &"prompts_generator".into(), texts, seen)?;
        let texts = b.add(texts, prompt)?;

        b.scope("logits");
        let (watched, texts) = (unit(&mut b, watched)?, unit(&mut b, texts)?);
        let row = b.reshape(watched, [videos, 1, self.projection])?;
        let columns = b.transpose(texts, &[0, 2, 1])?;
        let cosines = b.op(Op::Matmul, &[row, columns])?;
        let cosines = b.reshape(cosines, [videos, count])?;
        let scale = logit_scale(&mut b)?;
        let logits = b.mul(cosines, scale)?;
        b.output("text_embeds", texts);
        b.output("video_embeds", watched);
        b.output("logits_per_video", logits);
        Ok(b.finish())
    }

    fn shared_inputs(&self) -> &'static [&'static str] {
        &["input_ids", "attention_mask"]
    }

    fn twin_inputs(&self, draw: &mut Draw, tokens: Option<usize>) -> Result<NamedTensors> {
        let mut inputs = self.text.twin_inputs(draw, 3, tokens)?;
        inputs.insert("pixel_values".into(), self.vision.twin_pixels(draw, &[1, self.frames]));
        Ok(inputs)
    }
}
