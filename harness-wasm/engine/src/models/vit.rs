//! ViT (Dosovitskiy et al. 2020): `ViTForImageClassification`, and `ViTModel` without the classifier.

use crate::error::{Error, Result};
use crate::ir::{Graph, GraphBuilder, ValueId};
use crate::models::inputs::{Inputs, no_tokens};
use crate::models::layers::{Block, Linear, MultiHead, Names, Norms, head_width, layer_norm};
use crate::models::{Config, InputTypes, Model};
use crate::ops::{Conv2d, Op, Unary};
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
        Ok(Self {
            image,
            patch,
            channels: config.size_or("num_channels", 3)?,
            width,
            layers: config.size("num_hidden_layers")?,
            heads,
            intermediate: config.size("intermediate_size")?,
            labels: config.labels()?,
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

    fn block(&self, prefix: &str, layer: usize) -> Block {
        // Today's spelling, then that of checkpoints on the Hub.
        let (new, old) = (format!("{prefix}layers.{layer}"), format!("{prefix}encoder.layer.{layer}"));
        let names = |a: &str, b: &str| Names::any([format!("{new}.{a}"), format!("{old}.{b}")]);
        let square = |a: &str, b: &str| Linear::new(names(a, b), self.width, self.width);
        let projections = [
            square("attention.q_proj", "attention.attention.query").bias(self.qkv_bias),
            square("attention.k_proj", "attention.attention.key").bias(self.qkv_bias),
            square("attention.v_proj", "attention.attention.value").bias(self.qkv_bias),
            square("attention.o_proj", "attention.output.dense"),
        ];
        Block {
            attention: MultiHead::of(projections, self.width, self.heads),
            feed_forward: [
                Linear::new(names("mlp.fc1", "intermediate.dense"), self.width, self.intermediate)
                    .then(self.activation),
                Linear::new(names("mlp.fc2", "output.dense"), self.intermediate, self.width),
            ],
            norms: ["layernorm_before", "layernorm_after"].map(|norm| names(norm, norm)),
            placement: Norms::Before,
            epsilon: self.epsilon,
            scope: new,
        }
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
        let mut raw = embedded;
        for layer in 0..self.layers {
            raw = self.block(prefix, layer).build(&mut b, raw, &[])?;
        }
        b.scope("head");
        let normal = layer_norm(&mut b, &format!("{prefix}layernorm").into(), self.epsilon, raw)?;
        if weights.has("classifier.weight") {
            let first = self.first(&mut b, normal)?;
            let logits = Linear::new("classifier", self.width, self.labels).build(&mut b, first)?;
            b.output("logits", logits);
            // As `hidden_states[-1]`: a classifier's last hidden state is not normalised.
            b.output("last_hidden_state", raw);
        } else {
            b.output("last_hidden_state", normal);
            let pooler = format!("{prefix}pooler.dense");
            if weights.has(&format!("{pooler}.weight")) {
                let first = self.first(&mut b, normal)?;
                let pooled = Linear::new(pooler, self.width, self.pooler_width)
                    .then(self.pooler_activation)
                    .build(&mut b, first)?;
                b.output("pooler_output", pooled);
            }
        }
        Ok(b.finish())
    }

    fn twin_inputs(&self, draw: &mut Draw, tokens: Option<usize>) -> Result<NamedTensors> {
        no_tokens(tokens)?;
        let shape = [1, self.channels, self.image[0], self.image[1]];
        let pixels = (0..shape.iter().product()).map(|_| draw.normal()).collect();
        Ok(NamedTensors::from([("pixel_values".to_owned(), Tensor::f32(shape, pixels))]))
    }
}
