//! BERT (Devlin et al. 2018): `BertModel`, with or without its pooler.

use crate::error::{Error, Result};
use crate::ir::{Graph, GraphBuilder, ValueId};
use crate::models::inputs::{Inputs, fits, twin_tokens};
use crate::models::layers::{Block, Linear, MultiHead, Names, Norms, head_width, layer_norm, weight};
use crate::models::{Config, InputTypes, Model};
use crate::ops::{Op, Unary};
use crate::tensor::{DType, NamedTensors, Tensor};
use crate::weights::{Weights, twin::Draw};

/// What `config.json` says of a BERT.
#[derive(Debug)]
pub(super) struct Bert {
    pub(super) vocabulary: usize,
    types: usize,
    pub(super) positions: usize,
    pub(super) width: usize,
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

    /// Sums of word, type and position embeddings, normalised. `places [batch, tokens]` are positions; without
    /// them tokens count from 0.
    fn embeddings(
        &self,
        b: &mut GraphBuilder<'_>,
        at: &Names,
        [ids, types]: [ValueId; 2],
        places: Option<ValueId>,
    ) -> Result<ValueId> {
        b.scope(at.today());
        let tokens = b.shape(ids)[1];
        let table = |b: &mut GraphBuilder<'_>, name: &str, rows: usize| {
            weight(b, &at.part(name), &[".weight"], &[rows, self.width])
        };
        let words = table(b, "word_embeddings", self.vocabulary)?;
        let positions = table(b, "position_embeddings", self.positions)?;
        let kinds = table(b, "token_type_embeddings", self.types)?;
        let x = b.op(Op::Gather { axis: 0 }, &[words, ids])?;
        let kinds = b.op(Op::Gather { axis: 0 }, &[kinds, types])?;
        let x = b.add(x, kinds)?;
        let rows = match places {
            Some(places) => b.op(Op::Gather { axis: 0 }, &[positions, places])?,
            None => b.slice(positions, &[0, 0], &[tokens, self.width])?,
        };
        let x = b.add(x, rows)?;
        layer_norm(b, &at.part("LayerNorm"), self.epsilon, x)
    }

    fn block(&self, at: &Names) -> Block {
        let parts = ["self.query", "self.key", "self.value", "output.dense"];
        let mut attention = MultiHead::new(&at.part("attention"), parts, self.width, self.heads);
        attention.op.masked = true;
        Block {
            scope: at.today().to_owned(),
            attention,
            feed_forward: [
                Linear::new(at.part("intermediate.dense"), self.width, self.intermediate)
                    .then(self.activation),
                Linear::new(at.part("output.dense"), self.intermediate, self.width),
            ],
            norms: [at.part("attention.output.LayerNorm"), at.part("output.LayerNorm")],
            placement: Norms::After,
            epsilon: self.epsilon,
        }
    }

    /// The encoder below `at`: `ids`, `types` and `mask`, each `[batch, tokens]`, to `[batch, tokens, width]`.
    pub(super) fn encode(
        &self,
        b: &mut GraphBuilder<'_>,
        at: &Names,
        [ids, types, mask]: [ValueId; 3],
        places: Option<ValueId>,
    ) -> Result<ValueId> {
        let mut x = self.embeddings(b, &at.part("embeddings"), [ids, types], places)?;
        for layer in 0..self.layers {
            x = self.block(&at.part(&format!("encoder.layer.{layer}"))).build(b, x, &[mask])?;
        }
        Ok(x)
    }

    /// The first token of each sequence through the pooler below `at`.
    pub(super) fn pool(&self, b: &mut GraphBuilder<'_>, at: &Names, hidden: ValueId) -> Result<ValueId> {
        b.scope(at.part("pooler").today());
        let batch = b.shape(hidden)[0];
        let first = b.slice(hidden, &[0, 0, 0], &[batch, 1, self.width])?;
        let first = b.reshape(first, [batch, self.width])?;
        Linear::new(at.part("pooler.dense"), self.width, self.width).then(Unary::Tanh).build(b, first)
    }
}

impl Model for Bert {
    fn prepare(&self, inputs: &NamedTensors) -> Result<NamedTensors> {
        let mut taken = Inputs::new(inputs);
        let shape = taken.ids("input_ids", self.vocabulary)?;
        taken.ids_or("attention_mask", shape, 1, 2)?;
        taken.ids_or("token_type_ids", shape, 0, self.types)?;
        fits("input_ids", shape[1], self.positions)?;
        taken.finish()
    }

    fn forward(&self, weights: &Weights, inputs: &InputTypes) -> Result<Graph> {
        let shape = &inputs["input_ids"].shape;
        let mut b = GraphBuilder::new(weights);
        let prefix = if weights.has("embeddings.word_embeddings.weight") { "" } else { "bert" };
        let at = Names::from(prefix);
        let [ids, types, mask] = ["input_ids", "token_type_ids", "attention_mask"]
            .map(|name| b.input(name, DType::I32, shape.as_slice()));
        let hidden = self.encode(&mut b, &at, [ids, types, mask], None)?;
        b.output("last_hidden_state", hidden);
        if weights.has(&format!("{}.weight", at.part("pooler.dense").today())) {
            let pooled = self.pool(&mut b, &at, hidden)?;
            b.output("pooler_output", pooled);
        }
        Ok(b.finish())
    }

    fn twin_inputs(&self, draw: &mut Draw, tokens: Option<usize>) -> Result<NamedTensors> {
        let tokens = twin_tokens(tokens, 128, self.positions)?;
        let ids = (0..tokens).map(|_| draw.below(self.vocabulary) as i32).collect();
        let mask = (0..tokens).map(|t| i32::from(t < tokens * 3 / 4)).collect();
        Ok(NamedTensors::from([
            ("input_ids".to_owned(), Tensor::i32([1, tokens], ids)),
            ("attention_mask".to_owned(), Tensor::i32([1, tokens], mask)),
        ]))
    }
}
