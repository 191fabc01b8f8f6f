//! T5 (Raffel et al. 2019), also v1.1 with gated feed-forward: `T5ForConditionalGeneration`.

use crate::error::{Error, Result};
use crate::ir::{Graph, GraphBuilder, ValueId};
use crate::models::inputs::{Inputs, twin_tokens};
use crate::models::layers::{Cache, Linear, MultiHead, Names, keep_memory, memory, rms_norm, weight};
use crate::models::{Config, Decoder, End, InputTypes, Model, Prompt};
use crate::ops::{Attention, Op, Unary};
use crate::tensor::{DType, NamedTensors, Tensor};
use crate::weights::{Weights, twin::Draw};

/// T5 has no position table, so any length runs; this bounds the tables of relative positions.
const LONGEST: usize = 4096;

/// What `config.json` says of a T5.
#[derive(Debug)]
pub(super) struct T5 {
    vocabulary: usize,
    width: usize,
    kv: usize,
    heads: usize,
    feed_forward: usize,
    encoder_layers: usize,
    decoder_layers: usize,
    relative: Relative,
    activation: Unary,
    gated: bool,
    epsilon: f64,
    tied: bool,
    /// Whether hidden states are scaled down in front of the output projection.
    scaled: bool,
    start: i32,
    end: End,
}

/// How relative positions are sorted into buckets.
#[derive(Clone, Copy, Debug)]
struct Relative {
    buckets: usize,
    distance: usize,
}

impl T5 {
    pub(super) fn new(config: &Config) -> Result<Self> {
        config.require_flag("is_decoder", false)?;
        let projection = config.text_or("feed_forward_proj", "relu")?;
        let (gated, name) = match projection.split_once('-') {
            Some(("gated", name)) => (true, name),
            Some(_) => {
                return Err(Error::config("feed_forward_proj", projection, "must be ACT or gated-ACT"));
            }
            None => (false, projection),
        };
        // What v1.1 calls GELU is the tanh curve. Newer configs also spell out what the projection implies.
        let name = if projection == "gated-gelu" { "gelu_new" } else { name };
        let name = config.text_or("dense_act_fn", name)?;
        let gated = config.flag_or("is_gated_act", gated)?;
        let layers = config.size("num_layers")?;
        let tied = config.flag_or("tie_word_embeddings", true)?;
        let relative = Relative {
            buckets: config.size_or("relative_attention_num_buckets", 32)?,
            distance: config.size_or("relative_attention_max_distance", 128)?,
        };
        // The encoder halves the buckets by sign and each half again by distance.
        if !relative.buckets.is_multiple_of(4) || relative.distance <= relative.buckets / 2 {
            return Err(Error::config(
                "relative_attention_num_buckets",
                relative.buckets,
                format!("must be a multiple of 4 and less than twice the distance {}", relative.distance),
            ));
        }
        Ok(Self {
            vocabulary: config.size("vocab_size")?,
            width: config.size("d_model")?,
            kv: config.size("d_kv")?,
            heads: config.size("num_heads")?,
            feed_forward: config.size("d_ff")?,
            encoder_layers: layers,
            decoder_layers: config.size_or("num_decoder_layers", layers)?,
            relative,
            activation: Config::activation_named("feed_forward_proj", name)?,
            gated,
            epsilon: config.number_or("layer_norm_epsilon", 1e-6)?,
            tied,
            scaled: config.flag_or("scale_decoder_outputs", tied)?,
            start: config.token_ids("decoder_start_token_id")?.first().copied().unwrap_or(0),
            end: End::of(config)?,
        })
    }

    fn attention(&self, at: &Names, op: Attention) -> MultiHead {
        let inner = self.heads * self.kv;
        let linear = |part: &str, from, to| Linear::new(at.part(part), from, to).bias(false);
        MultiHead {
            q: linear("q", self.width, inner),
            k: linear("k", self.width, inner),
            v: linear("v", self.width, inner),
            out: linear("o", inner, self.width),
            op,
        }
    }

    /// Scores are not scaled.
    fn op(&self) -> Attention {
        Attention { scale: 1.0, ..Attention::new(self.heads, self.heads, self.kv) }
    }

    /// Learned scores `[queries, heads, keys]` of every query for every key, by their distance.
    fn relative_scores(&self, b: &mut GraphBuilder<'_>, stack: &str, tokens: usize) -> Result<ValueId> {
        let at = Names::from(format!("{stack}.block.0.layer.0.SelfAttention.relative_attention_bias"));
        let table = weight(b, &at, &[".weight"], &[self.relative.buckets, self.heads])?;
        let bidirectional = stack == "encoder";
        let buckets = (0..tokens * tokens)
            .map(|i| self.relative.bucket((i % tokens) as i64 - (i / tokens) as i64, bidirectional) as i32);
        let buckets = b.constant(Tensor::i32([tokens, tokens], buckets.collect()));
        let scores = b.op(Op::Gather { axis: 0 }, &[table, buckets])?;
        b.transpose(scores, &[0, 2, 1])
    }

    fn embed(&self, b: &mut GraphBuilder<'_>, ids: ValueId) -> Result<ValueId> {
        b.scope("shared");
        let names = Names::any(["shared".into(), "encoder.embed_tokens".into()]);
        let table = weight(b, &names, &[".weight"], &[self.vocabulary, self.width])?;
        b.op(Op::Gather { axis: 0 }, &[table, ids])
    }

    fn feed_forward(&self, b: &mut GraphBuilder<'_>, at: &Names, x: ValueId) -> Result<ValueId> {
        let normal = rms_norm(b, &at.part("layer_norm"), self.epsilon, x)?;
        let at = at.part("DenseReluDense");
        let linear = |part: &str, from, to| Linear::new(at.part(part), from, to).bias(false);
        let first = if self.gated { "wi_0" } else { "wi" };
        let mut inner =
            linear(first, self.width, self.feed_forward).then(self.activation).build(b, normal)?;
        if self.gated {
            let up = linear("wi_1", self.width, self.feed_forward).build(b, normal)?;
            inner = b.mul(inner, up)?;
        }
        let y = linear("wo", self.feed_forward, self.width).build(b, inner)?;
        b.add(y, x)
    }

    /// `input_ids` and `attention_mask`, both `[batch, tokens]`, to `[batch, tokens, width]`.
    fn encode(&self, b: &mut GraphBuilder<'_>, ids: ValueId, mask: ValueId) -> Result<ValueId> {
        let tokens = b.shape(ids)[1];
        let mut x = self.embed(b, ids)?;
        b.scope("encoder");
        let scores = self.relative_scores(b, "encoder", tokens)?;
        let scores = b.transpose(scores, &[1, 0, 2])?;
        let bias = b.reshape(scores, [1, self.heads, tokens, tokens])?;
        for layer in 0..self.encoder_layers {
            let at = Names::from(format!("encoder.block.{layer}"));
            b.scope(at.today());
            let own = at.part("layer.0");
            let normal = rms_norm(b, &own.part("layer_norm"), self.epsilon, x)?;
            let op = Attention { masked: true, biased: true, ..self.op() };
            let mixed =
                self.attention(&own.part("SelfAttention"), op).build(b, normal, normal, &[mask, bias])?;
            x = b.add(mixed, x)?;
            x = self.feed_forward(b, &at.part("layer.1"), x)?;
        }
        rms_norm(b, &"encoder.final_layer_norm".into(), self.epsilon, x)
    }

    fn cross_attention(&self, layer: usize) -> MultiHead {
        let at = Names::from(format!("decoder.block.{layer}.layer.1.EncDecAttention"));
        self.attention(&at, Attention { masked: true, ..self.op() })
    }

    /// Decoder tokens to logits. `memory` gives a layer's keys and values of the encoder's result, `mask`
    /// says which of them count.
    fn decode(
        &self,
        b: &mut GraphBuilder<'_>,
        shape: [usize; 2],
        context: usize,
        mask: ValueId,
        mut memory: impl FnMut(&mut GraphBuilder<'_>, usize) -> Result<[ValueId; 2]>,
    ) -> Result<ValueId> {
        let ids = b.input("decoder_input_ids", DType::I32, shape);
        let cache = Cache { context, position: b.input("position", DType::I32, [1]) };
        let mut x = self.embed(b, ids)?;
        b.scope("decoder");
        let scores = self.relative_scores(b, "decoder", context)?;
        let places = cache.places(b, shape[1])?;
        let scores = b.op(Op::Gather { axis: 0 }, &[scores, places])?;
        let scores = b.transpose(scores, &[1, 0, 2])?;
        let bias = b.reshape(scores, [1, self.heads, shape[1], context])?;
        for layer in 0..self.decoder_layers {
            let at = Names::from(format!("decoder.block.{layer}"));
            b.scope(at.today());
            let own = at.part("layer.0");
            let normal = rms_norm(b, &own.part("layer_norm"), self.epsilon, x)?;
            let op = Attention { biased: true, causal: true, ..self.op() };
            let block = self.attention(&own.part("SelfAttention"), op);
            let (k, v) = (block.k.build(b, normal)?, block.v.build(b, normal)?);
            let k = cache.append(b, &format!("decoder.{layer}.key"), k)?;
            let v = cache.append(b, &format!("decoder.{layer}.value"), v)?;
            let mixed = block.mix(b, normal, [k, v], &[bias, cache.position])?;
            x = b.add(mixed, x)?;
            let normal = rms_norm(b, &at.part("layer.1.layer_norm"), self.epsilon, x)?;
            let pair = memory(b, layer)?;
            let mixed = self.cross_attention(layer).mix(b, normal, pair, &[mask])?;
            x = b.add(mixed, x)?;
            x = self.feed_forward(b, &at.part("layer.2"), x)?;
        }
        b.scope("lm_head");
        let mut x = rms_norm(b, &"decoder.final_layer_norm".into(), self.epsilon, x)?;
        if self.scaled {
            let scale = b.constant(Tensor::f32([1], vec![(self.width as f64).powf(-0.5) as f32]));
            x = b.mul(x, scale)?;
        }
        let tied = ["shared".to_owned(), "encoder.embed_tokens".to_owned()];
        let own = !self.tied || Names::from("lm_head").held_by(b.weights());
        let own = own.then(|| "lm_head".to_owned());
        let head = Names::any(own.into_iter().chain(tied));
        Linear::new(head, self.width, self.vocabulary).bias(false).build(b, x)
    }
}

impl Relative {
    /// The bucket of a key `offset` places behind the query.
    fn bucket(self, offset: i64, bidirectional: bool) -> usize {
        let (buckets, first, distance) = if bidirectional {
            let half = self.buckets / 2;
            (half, if offset > 0 { half } else { 0 }, offset.unsigned_abs() as usize)
        } else {
            (self.buckets, 0, (-offset).max(0) as usize)
        };
        let exact = buckets / 2;
        if distance < exact {
            return first + distance;
        }
        // In float32, as Hugging Face: at the edge of a bucket the rounding decides.
        let far = libm::logf(distance as f32 / exact as f32)
            / libm::log(self.distance as f64 / exact as f64) as f32
            * (buckets - exact) as f32;
        first + (exact + far as usize).min(buckets - 1)
    }
}

impl Model for T5 {
    fn prepare(&self, inputs: &NamedTensors) -> Result<NamedTensors> {
        let mut taken = Inputs::new(inputs);
        let shape = taken.ids("input_ids", self.vocabulary)?;
        taken.ids_or("attention_mask", shape, 1, 2)?;
        match inputs.get("decoder_input_ids").map(Tensor::shape) {
            Some(&[batch, _]) if batch != shape[0] => {
                let reason = format!("has {batch} sequences where input_ids has {}", shape[0]);
                return Err(Error::input("decoder_input_ids", reason));
            }
            Some(_) => taken.ids("decoder_input_ids", self.vocabulary).map(drop)?,
            None => taken.ids_or("decoder_input_ids", [shape[0], 1], self.start, self.vocabulary)?,
        }
        taken.finish()
    }

    fn decoder(&self) -> Option<&dyn Decoder> {
        Some(self)
    }

    fn twin_inputs(&self, draw: &mut Draw, tokens: Option<usize>) -> Result<NamedTensors> {
        let tokens = twin_tokens(tokens, 32, usize::MAX)?;
        let mut ids = |tokens: usize| {
            Tensor::i32([1, tokens], (0..tokens).map(|_| draw.below(self.vocabulary) as i32).collect())
        };
        Ok(NamedTensors::from([
            ("input_ids".to_owned(), ids(tokens)),
            ("decoder_input_ids".to_owned(), ids(8)),
        ]))
    }
}

impl Decoder for T5 {
    fn prefill(&self, weights: &Weights, inputs: &InputTypes, context: usize) -> Result<Graph> {
        let shape = &inputs["input_ids"].shape;
        let &[batch, tokens] = &inputs["decoder_input_ids"].shape[..] else {
            unreachable!("prepared: rank 2")
        };
        let mut b = GraphBuilder::new(weights);
        let ids = b.input("input_ids", DType::I32, shape.as_slice());
        let mask = b.input("attention_mask", DType::I32, shape.as_slice());
        let encoded = self.encode(&mut b, ids, mask)?;
        b.output("encoder_last_hidden_state", encoded);
        let logits = self.decode(&mut b, [batch, tokens], context, mask, |b, layer| {
            keep_memory(b, layer, &self.cross_attention(layer), encoded)
        })?;
        b.output("logits", logits);
        Ok(b.finish())
    }

    fn step(&self, weights: &Weights, inputs: &InputTypes, tokens: usize, context: usize) -> Result<Graph> {
        let &[batch, keys] = &inputs["input_ids"].shape[..] else { unreachable!("prepared: rank 2") };
        let mut b = GraphBuilder::new(weights);
        let mask = b.input("attention_mask", DType::I32, [batch, keys]);
        let width = self.heads * self.kv;
        let logits = self.decode(&mut b, [batch, tokens], context, mask, |b, layer| {
            Ok(memory(b, layer, [batch, keys, width]))
        })?;
        b.output("logits", logits);
        Ok(b.finish())
    }

    fn prompt(&self) -> Prompt {
        Prompt::Start(vec![self.start])
    }

    fn end(&self) -> &End {
        &self.end
    }

    fn max_context(&self) -> usize {
        LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::Relative;

    /// Against `T5Attention._relative_position_bucket` of transformers 5.23.
    #[test]
    fn buckets() {
        let relative = Relative { buckets: 32, distance: 128 };
        let both: Vec<usize> = [-200, -128, -64, -20, -8, -7, 0, 1, 7, 8, 11, 12, 90, 127, 128]
            .map(|at| relative.bucket(at, true))
            .into();
        assert_eq!(both, [15, 15, 14, 10, 8, 7, 0, 17, 23, 24, 24, 25, 30, 31, 31]);
        let back: Vec<usize> =
            [3, 0, -15, -16, -20, -60, -127, -500].map(|at| relative.bucket(at, false)).into();
        assert_eq!(back, [0, 0, 15, 16, 17, 26, 31, 31]);
    }
}
