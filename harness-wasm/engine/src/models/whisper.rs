//! Whisper (Radford et al. 2022): `WhisperForConditionalGeneration`, with its log-mel front end.

use crate::error::{Error, Result};
use crate::frontend::LogMel;
use crate::ir::{Graph, GraphBuilder, ValueId};
use crate::models::inputs::{Inputs, fits, no_tokens, rows};
use crate::models::layers::{
    Block, Cache, Conv1d, Linear, MultiHead, Names, Norms, head_width, keep_memory, layer_norm, memory,
    weight,
};
use crate::models::{Config, Decoder, End, InputTypes, Model, Prompt};
use crate::ops::{Op, Unary};
use crate::tensor::{DType, NamedTensors, Tensor};
use crate::weights::{Weights, twin::Draw};

/// What `config.json` says of a Whisper.
#[derive(Debug)]
pub(super) struct Whisper {
    vocabulary: usize,
    front_end: LogMel,
    mels: usize,
    width: usize,
    encoder: Stack,
    decoder: Stack,
    /// Positions of the encoder, after its convolutions have halved the frames.
    sources: usize,
    targets: usize,
    activation: Unary,
    start: i32,
    end: End,
}

/// One of the two stacks.
#[derive(Clone, Copy, Debug)]
struct Stack {
    layers: usize,
    heads: usize,
    feed_forward: usize,
}

impl Stack {
    fn new(config: &Config, side: &str, width: usize) -> Result<Self> {
        let heads = config.size(&format!("{side}_attention_heads"))?;
        head_width(width, heads)?;
        Ok(Self {
            layers: config.size(&format!("{side}_layers"))?,
            heads,
            feed_forward: config.size(&format!("{side}_ffn_dim"))?,
        })
    }
}

impl Whisper {
    pub(super) fn new(config: &Config) -> Result<Self> {
        config.require_flag("tie_word_embeddings", true)?;
        let width = config.size("d_model")?;
        let mels = config.size_or("num_mel_bins", 80)?;
        let sources = config.size_or("max_source_positions", 1500)?;
        Ok(Self {
            vocabulary: config.size("vocab_size")?,
            front_end: front_end(config, mels, 2 * sources)?,
            mels,
            width,
            encoder: Stack::new(config, "encoder", width)?,
            decoder: Stack::new(config, "decoder", width)?,
            sources,
            targets: config.size_or("max_target_positions", 448)?,
            activation: config.activation("activation_function", "gelu")?,
            start: config.token_ids("decoder_start_token_id")?.first().copied().unwrap_or(50257),
            end: End::of(config)?,
        })
    }

    /// Frames that the encoder reads.
    const fn frames(&self) -> usize {
        2 * self.sources
    }

    /// Keys have no bias, in any Whisper.
    fn attention(&self, at: &Names, heads: usize) -> MultiHead {
        let mut block = MultiHead::new(at, ["q_proj", "k_proj", "v_proj", "out_proj"], self.width, heads);
        block.k = block.k.bias(false);
        block
    }

    fn feed_forward(&self, at: &Names, stack: Stack) -> [Linear; 2] {
        [
            Linear::new(at.part("fc1"), self.width, stack.feed_forward).then(self.activation),
            Linear::new(at.part("fc2"), stack.feed_forward, self.width),
        ]
    }

    /// Features `[batch, mels, frames]` to `[batch, sources, width]`.
    fn encode(&self, b: &mut GraphBuilder<'_>, mut x: ValueId) -> Result<ValueId> {
        let at = Names::of_model().part("encoder");
        for (conv, stride, channels) in [("conv1", 1, self.mels), ("conv2", 2, self.width)] {
            let at = at.part(conv);
            b.scope(at.today());
            let filter = weight(b, &at, &[".weight"], &[self.width, channels, 3])?;
            let bias = weight(b, &at, &[".bias"], &[self.width])?;
            x = Conv1d { stride, padding: 1, ..Conv1d::default() }.build(b, x, filter, Some(bias))?;
            x = b.unary(Unary::Gelu, x)?;
        }
        let x = b.transpose(x, &[0, 2, 1])?;
        let positions = weight(b, &at.part("embed_positions"), &[".weight"], &[self.sources, self.width])?;
        let mut x = b.add(x, positions)?;
        for layer in 0..self.encoder.layers {
            let at = at.part(&format!("layers.{layer}"));
            let block = Block {
                scope: at.today().to_owned(),
                attention: self.attention(&at.part("self_attn"), self.encoder.heads),
                feed_forward: self.feed_forward(&at, self.encoder),
                norms: [at.part("self_attn_layer_norm"), at.part("final_layer_norm")],
                placement: Norms::Before,
                epsilon: EPSILON,
            };
            x = block.build(b, x, &[])?;
        }
        layer_norm(b, &at.part("layer_norm"), EPSILON, x)
    }

    fn cross_attention(&self, layer: usize) -> MultiHead {
        let at = Names::of_model().part(&format!("decoder.layers.{layer}.encoder_attn"));
        self.attention(&at, self.decoder.heads)
    }

    /// Decoder tokens to logits; `memory` gives a layer's keys and values of the encoder's result.
    fn decode(
        &self,
        b: &mut GraphBuilder<'_>,
        shape: [usize; 2],
        context: usize,
        mut memory: impl FnMut(&mut GraphBuilder<'_>, usize) -> Result<[ValueId; 2]>,
    ) -> Result<ValueId> {
        let ids = b.input("decoder_input_ids", DType::I32, shape);
        let cache = Cache { context, position: b.input("position", DType::I32, [1]) };
        let at = Names::of_model().part("decoder");
        b.scope(at.today());
        let table = weight(b, &at.part("embed_tokens"), &[".weight"], &[self.vocabulary, self.width])?;
        // `scale_embedding` is written in configs, but Hugging Face's Whisper never scales.
        let x = b.op(Op::Gather { axis: 0 }, &[table, ids])?;
        let positions = weight(b, &at.part("embed_positions"), &[".weight"], &[self.targets, self.width])?;
        let places = cache.places(b, shape[1])?;
        let positions = b.op(Op::Gather { axis: 0 }, &[positions, places])?;
        let mut x = b.add(x, positions)?;
        for layer in 0..self.decoder.layers {
            let at = at.part(&format!("layers.{layer}"));
            b.scope(format!("{}.self_attn", at.today()));
            let normal = layer_norm(b, &at.part("self_attn_layer_norm"), EPSILON, x)?;
            let mut block = self.attention(&at.part("self_attn"), self.decoder.heads);
            block.op.causal = true;
            let (k, v) = (block.k.build(b, normal)?, block.v.build(b, normal)?);
            let k = cache.append(b, &format!("decoder.{layer}.key"), k)?;
            let v = cache.append(b, &format!("decoder.{layer}.value"), v)?;
            let mixed = block.mix(b, normal, [k, v], &[cache.position])?;
            x = b.add(mixed, x)?;
            b.scope(format!("{}.encoder_attn", at.today()));
            let normal = layer_norm(b, &at.part("encoder_attn_layer_norm"), EPSILON, x)?;
            let pair = memory(b, layer)?;
            let mixed = self.cross_attention(layer).mix(b, normal, pair, &[])?;
            x = b.add(mixed, x)?;
            b.scope(format!("{}.feed_forward", at.today()));
            let normal = layer_norm(b, &at.part("final_layer_norm"), EPSILON, x)?;
            let [inner, outer] = self.feed_forward(&at, self.decoder);
            let inner = inner.build(b, normal)?;
            let fed = outer.build(b, inner)?;
            x = b.add(fed, x)?;
        }
        b.scope("proj_out");
        let x = layer_norm(b, &at.part("layer_norm"), EPSILON, x)?;
        Linear::new(at.part("embed_tokens"), self.width, self.vocabulary).bias(false).build(b, x)
    }
}

/// The front end of `preprocessor_config.json`, which must give what the encoder reads, or every Whisper's.
fn front_end(config: &Config, mels: usize, frames: usize) -> Result<LogMel> {
    let Some(preprocessor) = config.preprocessor() else { return Ok(LogMel::whisper(mels, frames)) };
    let made = LogMel::of_whisper(preprocessor)?;
    for (field, made, read) in [("feature_size", made.mels(), mels), ("chunk_length", made.frames(0), frames)]
    {
        if made != read {
            let reason = format!("the front end makes {made} mels or frames where the encoder reads {read}");
            return Err(Error::config(field, made, reason));
        }
    }
    Ok(made)
}

/// PyTorch's default, which no Whisper config changes.
const EPSILON: f64 = 1e-5;

impl Model for Whisper {
    fn prepare(&self, inputs: &NamedTensors) -> Result<NamedTensors> {
        let mut taken = Inputs::new(inputs);
        let batch = match (inputs.get("audio"), inputs.get("input_features")) {
            (Some(_), Some(_)) => {
                return Err(Error::input("audio", "give either audio or input_features, not both"));
            }
            (Some(_), None) => {
                let audio = taken.audio("audio")?;
                let batch = audio.shape()[0];
                taken.put("audio", self.front_end.fill(&rows(&audio))?);
                batch
            }
            _ => taken.floats("input_features", &[None, Some(self.mels), Some(self.frames())])?[0],
        };
        match inputs.get("decoder_input_ids").map(Tensor::shape) {
            Some(&[given, _]) if given != batch => {
                let reason = format!("has {given} sequences for {batch} of audio");
                return Err(Error::input("decoder_input_ids", reason));
            }
            Some(_) => {
                let [_, tokens] = taken.ids("decoder_input_ids", self.vocabulary)?;
                fits("decoder_input_ids", tokens, self.targets)?;
            }
            None => taken.ids_or("decoder_input_ids", [batch, 1], self.start, self.vocabulary)?,
        }
        taken.finish()
    }

    fn decoder(&self) -> Option<&dyn Decoder> {
        Some(self)
    }

    fn twin_inputs(&self, draw: &mut Draw, tokens: Option<usize>) -> Result<NamedTensors> {
        no_tokens(tokens)?;
        let samples = self.frames() * self.front_end.hop() * 3 / 4;
        let audio = (0..samples).map(|_| 0.1 * draw.normal()).collect();
        let ids = (0..4).map(|_| draw.below(self.vocabulary) as i32).collect();
        Ok(NamedTensors::from([
            ("audio".to_owned(), Tensor::f32([1, samples], audio)),
            ("decoder_input_ids".to_owned(), Tensor::i32([1, 4], ids)),
        ]))
    }
}

impl Decoder for Whisper {
    fn prefill(&self, weights: &Weights, inputs: &InputTypes, context: usize) -> Result<Graph> {
        let &[batch, tokens] = &inputs["decoder_input_ids"].shape[..] else {
            unreachable!("prepared: rank 2")
        };
        let mut b = GraphBuilder::new(weights);
        let features = self.front_end.features_of(&mut b, inputs)?;
        let encoded = self.encode(&mut b, features)?;
        b.output("encoder_last_hidden_state", encoded);
        let logits = self.decode(&mut b, [batch, tokens], context, |b, layer| {
            keep_memory(b, layer, &self.cross_attention(layer), encoded)
        })?;
        b.output("logits", logits);
        Ok(b.finish())
    }

    fn step(&self, weights: &Weights, inputs: &InputTypes, tokens: usize, context: usize) -> Result<Graph> {
        let batch = inputs["decoder_input_ids"].shape[0];
        let mut b = GraphBuilder::new(weights);
        let shape = [batch, self.sources, self.width];
        let logits = self.decode(&mut b, [batch, tokens], context, |b, layer| Ok(memory(b, layer, shape)))?;
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
        self.targets
    }
}
