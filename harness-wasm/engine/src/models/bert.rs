//! BERT (Devlin et al. 2018): `BertModel`, with or without its pooler.

use crate::error::{Error, Result};
use crate::ir::{Graph, GraphBuilder, ValueId};
use crate::models::layers::{Linear, head_width, layer_norm, spellings};
use crate::models::{Config, InputTypes, Inputs, Model};
use crate::ops::{Attention, Op, Unary};
use crate::tensor::{DType, NamedTensors, Tensor};
use crate::weights::{Weights, twin::Draw};

/// What `config.json` says of a BERT.
#[derive(Debug)]
pub(super) struct Bert {
    vocabulary: usize,
    types: usize,
    positions: usize,
    width: usize,
    layers: usize,
    heads: usize,
    intermediate: usize,
    activation: Unary,
    epsilon: f64,
}

impl Bert {
    pub(super) fn new(config: &Config) -> Result<Self> {
        config.require_text("position_embedding_type", "absolute")?;
        config.require_flag("is_decoder", false)?;
        config.require_flag("add_cross_attention", false)?;
        let width = config.size("hidden_size")?;
        if let Some(size) = config.get("embedding_size").filter(|size| size.as_u64() != Some(width as u64)) {
            return Err(Error::config(
                "embedding_size",
                size,
                "an embedding of another width is not implemented",
            ));
        }
        let heads = config.size("num_attention_heads")?;
        head_width(width, heads)?;
        Ok(Self {
            vocabulary: config.size("vocab_size")?,
            types: config.size_or("type_vocab_size", 2)?,
            positions: config.size_or("max_position_embeddings", 512)?,
            width,
            layers: config.size("num_hidden_layers")?,
            heads,
            intermediate: config.size("intermediate_size")?,
            activation: config.activation("hidden_act", "gelu")?,
            epsilon: config.number_or("layer_norm_eps", 1e-12)?,
        })
    }

    fn embeddings(
        &self,
        b: &mut GraphBuilder<'_>,
        prefix: &str,
        [batch, tokens]: [usize; 2],
    ) -> Result<ValueId> {
        b.scope("embeddings");
        let table = |b: &mut GraphBuilder<'_>, name: &str, rows: usize| {
            b.weight(&[&format!("{prefix}embeddings.{name}.weight")], [rows, self.width])
        };
        let words = table(b, "word_embeddings", self.vocabulary)?;
        let positions = table(b, "position_embeddings", self.positions)?;
        let types = table(b, "token_type_embeddings", self.types)?;
        let ids = b.input("input_ids", DType::I32, [batch, tokens]);
        let type_ids = b.input("token_type_ids", DType::I32, [batch, tokens]);
        let x = b.op(Op::Gather { axis: 0 }, &[words, ids])?;
        let kinds = b.op(Op::Gather { axis: 0 }, &[types, type_ids])?;
        let x = b.add(x, kinds)?;
        let places = b.slice(positions, &[0, 0], &[tokens, self.width])?;
        let x = b.add(x, places)?;
        let x = b.reshape(x, [batch * tokens, self.width])?;
        layer_norm(b, &[format!("{prefix}embeddings.LayerNorm")], self.epsilon, x)
    }

    fn layer(&self, b: &mut GraphBuilder<'_>, at: &str, x: ValueId, mask: ValueId) -> Result<ValueId> {
        let &[batch, tokens] = b.shape(mask) else { unreachable!("a mask is [batch, tokens]") };
        b.scope(format!("{at}.attention"));
        let mut qkv = Vec::with_capacity(4);
        for part in ["query", "key", "value"] {
            let linear = Linear::new(vec![format!("{at}.attention.self.{part}")], self.width, self.width);
            let y = linear.build(b, x)?;
            qkv.push(b.reshape(y, [batch, tokens, self.width])?);
        }
        qkv.push(mask);
        let head = self.width / self.heads;
        let attention = Attention {
            heads: self.heads,
            kv_heads: self.heads,
            scale: (1.0 / (head as f64).sqrt()) as f32,
            masked: true,
            causal: false,
        };
        let mixed = b.op(Op::Attention(attention), &qkv)?;
        let mixed = b.reshape(mixed, [batch * tokens, self.width])?;
        let linear = |name: &str, from, to| Linear::new(vec![format!("{at}.{name}")], from, to);
        let projected = linear("attention.output.dense", self.width, self.width).build(b, mixed)?;
        let x = b.add(projected, x)?;
        let x = layer_norm(b, &[format!("{at}.attention.output.LayerNorm")], self.epsilon, x)?;
        b.scope(format!("{at}.feed_forward"));
        let inner =
            linear("intermediate.dense", self.width, self.intermediate).then(self.activation).build(b, x)?;
        let outer = linear("output.dense", self.intermediate, self.width).build(b, inner)?;
        let x = b.add(outer, x)?;
        layer_norm(b, &[format!("{at}.output.LayerNorm")], self.epsilon, x)
    }
}

impl Model for Bert {
    fn prepare(&self, inputs: &NamedTensors) -> Result<NamedTensors> {
        let mut taken = Inputs::new(inputs);
        let shape = taken.ids("input_ids", self.vocabulary)?;
        taken.ids_or("attention_mask", shape, 1, 2)?;
        taken.ids_or("token_type_ids", shape, 0, self.types)?;
        if shape[1] > self.positions {
            return Err(Error::input(
                "input_ids",
                format!("{} tokens exceed {} positions", shape[1], self.positions),
            ));
        }
        taken.finish()
    }

    fn forward(&self, weights: &Weights, inputs: &InputTypes) -> Result<Graph> {
        let &[batch, tokens] = &inputs["input_ids"].shape[..] else { unreachable!("prepared: rank 2") };
        let mut b = GraphBuilder::new(weights);
        let prefix = if weights.has("embeddings.word_embeddings.weight") { "" } else { "bert." };
        let mut x = self.embeddings(&mut b, prefix, [batch, tokens])?;
        let mask = b.input("attention_mask", DType::I32, [batch, tokens]);
        for layer in 0..self.layers {
            x = self.layer(&mut b, &format!("{prefix}encoder.layer.{layer}"), x, mask)?;
        }
        let hidden = b.reshape(x, [batch, tokens, self.width])?;
        b.output("last_hidden_state", hidden);
        let pooler = [format!("{prefix}pooler.dense")];
        if weights.has(&spellings(&pooler, &[".weight"])[0]) {
            b.scope("pooler");
            let first = b.slice(hidden, &[0, 0, 0], &[batch, 1, self.width])?;
            let first = b.reshape(first, [batch, self.width])?;
            let pooled = Linear::new(pooler.to_vec(), self.width, self.width)
                .then(Unary::Tanh)
                .build(&mut b, first)?;
            b.output("pooler_output", pooled);
        }
        Ok(b.finish())
    }

    fn twin_inputs(&self, draw: &mut Draw) -> NamedTensors {
        let tokens = self.positions.min(128);
        let ids = (0..tokens).map(|_| draw.below(self.vocabulary) as i32).collect();
        let mask = (0..tokens).map(|t| i32::from(t < tokens * 3 / 4)).collect();
        NamedTensors::from([
            ("input_ids".to_owned(), Tensor::i32([1, tokens], ids)),
            ("attention_mask".to_owned(), Tensor::i32([1, tokens], mask)),
        ])
    }
}
