//! ViT (Dosovitskiy et al. 2020): `ViTForImageClassification`, and `ViTModel` without the classifier.

use crate::error::{Error, Result};
use crate::ir::{Graph, GraphBuilder, ValueId};
use crate::models::layers::{Linear, head_width, layer_norm};
use crate::models::{Config, InputTypes, Inputs, Model};
use crate::ops::{Attention, Conv2d, Op, Unary};
use crate::tensor::{DType, NamedTensors, Tensor};
use crate::weights::{Weights, twin::Draw};

/// What `config.json` says of a ViT.
#[derive(Debug)]
pub(super) struct Vit {
    image: [usize; 2],
    patch: [usize; 2],
    channels: usize,
    width: usize,
    layers: usize,
    heads: usize,
    intermediate: usize,
    labels: usize,
    qkv_bias: bool,
    activation: Unary,
    pooler_activation: Unary,
    pooler_width: usize,
    epsilon: f64,
}

impl Vit {
    pub(super) fn new(config: &Config) -> Result<Self> {
        let width = config.size("hidden_size")?;
        let heads = config.size("num_attention_heads")?;
        head_width(width, heads)?;
        let (image, patch) = (config.size_pair("image_size")?, config.size_pair("patch_size")?);
        if patch[0] > image[0] || patch[1] > image[1] {
            return Err(Error::config(
                "patch_size",
                format!("{patch:?}"),
                format!("exceeds image_size {image:?}"),
            ));
        }
        // `num_labels` is implied by the label table wherever one is written; two is Hugging Face's default.
        let labels = match config.object("id2label")? {
            Some(_) => config.get("id2label").and_then(|map| map.as_object()).map_or(2, serde_json::Map::len),
            None => config.size_or("num_labels", 2)?,
        };
        Ok(Self {
            image,
            patch,
            channels: config.size_or("num_channels", 3)?,
            width,
            layers: config.size("num_hidden_layers")?,
            heads,
            intermediate: config.size("intermediate_size")?,
            labels,
            qkv_bias: config.flag_or("qkv_bias", true)?,
            activation: config.activation("hidden_act", "gelu")?,
            pooler_activation: config.activation("pooler_act", "tanh")?,
            pooler_width: config.size_or("pooler_output_size", width)?,
            epsilon: config.number_or("layer_norm_eps", 1e-12)?,
        })
    }

    /// `[batch, channels, height, width]` pixels to `[batch, 1 + patches, hidden]`.
    fn embeddings(&self, b: &mut GraphBuilder<'_>, prefix: &str, batch: usize) -> Result<ValueId> {
        b.scope("embeddings");
        let at = format!("{prefix}embeddings");
        let pixels =
            b.input("pixel_values", DType::F32, [batch, self.channels, self.image[0], self.image[1]]);
        let filter = b.weight(
            &[&format!("{at}.patch_embeddings.projection.weight")],
            [self.width, self.channels, self.patch[0], self.patch[1]],
        )?;
        let bias = b.weight(&[&format!("{at}.patch_embeddings.projection.bias")], [self.width])?;
        let conv = Conv2d { strides: self.patch, ..Conv2d::default() };
        let x = b.op(Op::Conv2d(conv), &[pixels, filter, bias])?;
        let patches = b.shape(x)[2] * b.shape(x)[3];
        let x = b.reshape(x, [batch, self.width, patches])?;
        let x = b.transpose(x, &[0, 2, 1])?;
        let class = b.weight(&[&format!("{at}.cls_token")], [1, 1, self.width])?;
        let class = b.op(Op::Expand { shape: vec![batch, 1, self.width] }, &[class])?;
        let x = b.op(Op::Concat { axis: 1 }, &[class, x])?;
        let positions = b.weight(&[&format!("{at}.position_embeddings")], [1, 1 + patches, self.width])?;
        b.add(x, positions)
    }

    fn layer(
        &self,
        b: &mut GraphBuilder<'_>,
        prefix: &str,
        at: usize,
        x: ValueId,
        dims: [usize; 2],
    ) -> Result<ValueId> {
        let [batch, tokens] = dims;
        // Today's spelling, then that of checkpoints on the Hub.
        let new = format!("{prefix}layers.{at}");
        let old = format!("{prefix}encoder.layer.{at}");
        let names = |a: &str, b: &str| vec![format!("{new}.{a}"), format!("{old}.{b}")];
        b.scope(format!("{new}.attention"));
        let normal = layer_norm(b, &names("layernorm_before", "layernorm_before"), self.epsilon, x)?;
        let mut qkv = Vec::with_capacity(3);
        for (today, hub) in [("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value")] {
            let names = names(&format!("attention.{today}"), &format!("attention.attention.{hub}"));
            let y = Linear::new(names, self.width, self.width).bias(self.qkv_bias).build(b, normal)?;
            qkv.push(b.reshape(y, [batch, tokens, self.width])?);
        }
        let attention = Attention {
            heads: self.heads,
            kv_heads: self.heads,
            scale: (1.0 / ((self.width / self.heads) as f64).sqrt()) as f32,
            masked: false,
            causal: false,
        };
        let mixed = b.op(Op::Attention(attention), &qkv)?;
        let mixed = b.reshape(mixed, [batch * tokens, self.width])?;
        let out = names("attention.o_proj", "attention.output.dense");
        let projected = Linear::new(out, self.width, self.width).build(b, mixed)?;
        let x = b.add(projected, x)?;
        b.scope(format!("{new}.mlp"));
        let normal = layer_norm(b, &names("layernorm_after", "layernorm_after"), self.epsilon, x)?;
        let inner = Linear::new(names("mlp.fc1", "intermediate.dense"), self.width, self.intermediate)
            .then(self.activation)
            .build(b, normal)?;
        let outer =
            Linear::new(names("mlp.fc2", "output.dense"), self.intermediate, self.width).build(b, inner)?;
        b.add(outer, x)
    }

    /// The first token of each image.
    fn first(&self, b: &mut GraphBuilder<'_>, x: ValueId) -> Result<ValueId> {
        let batch = b.shape(x)[0];
        let first = b.slice(x, &[0, 0, 0], &[batch, 1, self.width])?;
        b.reshape(first, [batch, self.width])
    }
}

impl Model for Vit {
    fn prepare(&self, inputs: &NamedTensors) -> Result<NamedTensors> {
        let mut taken = Inputs::new(inputs);
        taken
            .floats("pixel_values", &[None, Some(self.channels), Some(self.image[0]), Some(self.image[1])])?;
        taken.finish()
    }

    fn forward(&self, weights: &Weights, inputs: &InputTypes) -> Result<Graph> {
        let batch = inputs["pixel_values"].shape[0];
        let mut b = GraphBuilder::new(weights);
        let prefix = if weights.has("vit.embeddings.cls_token") { "vit." } else { "" };
        let embedded = self.embeddings(&mut b, prefix, batch)?;
        let tokens = b.shape(embedded)[1];
        let mut x = b.reshape(embedded, [batch * tokens, self.width])?;
        for layer in 0..self.layers {
            x = self.layer(&mut b, prefix, layer, x, [batch, tokens])?;
        }
        let raw = b.reshape(x, [batch, tokens, self.width])?;
        b.scope("head");
        let normal = layer_norm(&mut b, &[format!("{prefix}layernorm")], self.epsilon, raw)?;
        if weights.has("classifier.weight") {
            let first = self.first(&mut b, normal)?;
            let logits =
                Linear::new(vec!["classifier".into()], self.width, self.labels).build(&mut b, first)?;
            b.output("logits", logits);
            // As `hidden_states[-1]`: a classifier's last hidden state is not normalised.
            b.output("last_hidden_state", raw);
        } else {
            b.output("last_hidden_state", normal);
            let pooler = format!("{prefix}pooler.dense");
            if weights.has(&format!("{pooler}.weight")) {
                let first = self.first(&mut b, normal)?;
                let pooled = Linear::new(vec![pooler], self.width, self.pooler_width)
                    .then(self.pooler_activation)
                    .build(&mut b, first)?;
                b.output("pooler_output", pooled);
            }
        }
        Ok(b.finish())
    }

    fn twin_inputs(&self, draw: &mut Draw) -> NamedTensors {
        let shape = [1, self.channels, self.image[0], self.image[1]];
        let pixels = (0..shape.iter().product()).map(|_| draw.normal()).collect();
        NamedTensors::from([("pixel_values".to_owned(), Tensor::f32(shape, pixels))])
    }
}
