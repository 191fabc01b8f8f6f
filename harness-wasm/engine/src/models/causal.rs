//! The decoder-only stack that LLaMA, Qwen and their multimodal kin share: rotary attention over a cache,
//! gated feed-forward, RMS norms in front.

use crate::error::{Error, Result};
use crate::ir::{Graph, GraphBuilder, ValueId};
use crate::models::inputs::{Inputs, twin_tokens};
use crate::models::layers::{Cache, Linear, MultiHead, Names, Rope, Rotary, head_width, rms_norm, weight};
use crate::models::{Config, Decoder, End, InputTypes, Model, Prompt};
use crate::ops::{Attention, Binary, Op, Unary};
use crate::tensor::{DType, NamedTensors, Tensor};
use crate::weights::{Weights, twin::Draw};

/// Longer sequences than any checkpoint takes: bounds what a hostile length can make us allocate.
pub(super) const LONGEST: usize = 1 << 20;

/// What tells one class from another.
#[derive(Clone, Debug)]
pub(super) struct Dialect {
    /// The module that holds embeddings and layers.
    pub(super) model: Names,
    /// The untied output projection.
    pub(super) head: Names,
    /// Whether query, key and value have a bias.
    pub(super) qkv_bias: bool,
    /// Whether the attention's output projection has one.
    pub(super) out_bias: bool,
    /// Whether queries and keys are normalised head by head.
    pub(super) qk_norm: bool,
    /// By layer: how many keys back attention reaches.
    pub(super) windows: Vec<Option<usize>>,
}

/// What `config.json` says of the stack.
#[derive(Debug)]
pub(super) struct Causal {
    dialect: Dialect,
    pub(super) vocabulary: usize,
    pub(super) width: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    head: usize,
    intermediate: usize,
    activation: Unary,
    mlp_bias: bool,
    tied: bool,
    epsilon: f64,
    pub(super) positions: usize,
    rope: Rope,
    pub(super) end: End,
}

impl Causal {
    /// Reads the fields that every class has; `head_dim` is what the class assumes where none is written.
    pub(super) fn new(config: &Config, dialect: Dialect, head_dim: Option<usize>) -> Result<Self> {
        let width = config.size("hidden_size")?;
        let heads = config.size("num_attention_heads")?;
        let head = match (config.get("head_dim"), head_dim) {
            (Some(_), _) => config.size("head_dim")?,
            (None, Some(head)) => head,
            (None, None) => head_width(width, heads)?,
        };
        let kv_heads = config.size_or("num_key_value_heads", heads)?;
        if heads % kv_heads != 0 {
            return Err(Error::config(
                "num_key_value_heads",
                kv_heads,
                format!("does not divide {heads} heads"),
            ));
        }
        let positions = config.size_or("max_position_embeddings", 2048)?;
        Ok(Self {
            vocabulary: config.size("vocab_size")?,
            width,
            layers: config.size("num_hidden_layers")?,
            heads,
            kv_heads,
            head,
            intermediate: config.size("intermediate_size")?,
            activation: config.activation("hidden_act", "silu")?,
            mlp_bias: config.flag_or("mlp_bias", false)?,
            tied: config.flag_or("tie_word_embeddings", false)?,
            epsilon: config.number_or("rms_norm_eps", 1e-6)?,
            positions,
            rope: Rope::new(config, head, positions)?,
            end: End::of(config)?,
            dialect,
        })
    }

    /// Whether the output projection is the embedding table.
    pub(super) fn tied(mut self, tied: bool) -> Self {
        self.tied = tied;
        self
    }

    /// Token ids `[batch, tokens]` to `[batch, tokens, width]`.
    pub(super) fn embed(&self, b: &mut GraphBuilder<'_>, ids: ValueId) -> Result<ValueId> {
        b.scope("embed_tokens");
        let table = weight(
            b,
            &self.dialect.model.part("embed_tokens"),
            &[".weight"],
            &[self.vocabulary, self.width],
        )?;
        b.op(Op::Gather { axis: 0 }, &[table, ids])
    }

    /// Embeddings `[batch, tokens, width]` to logits `[batch, tokens, vocabulary]`, with keys and values
    /// appended to caches of `context` positions from the input `position` on; the first `prompt` of them are
    /// taken at once.
    pub(super) fn logits(
        &self,
        b: &mut GraphBuilder<'_>,
        mut x: ValueId,
        [prompt, context]: [usize; 2],
    ) -> Result<ValueId> {
        let position = b.input("position", DType::I32, [1]);
        let cache = Cache { context, position };
        let rotary = self.rope.build(b, [prompt, context], position);
        for layer in 0..self.layers {
            let at = self.dialect.model.part(&format!("layers.{layer}"));
            b.scope(format!("{}.self_attn", at.today()));
            let normal = rms_norm(b, &at.part("input_layernorm"), self.epsilon, x)?;
            let attended = self.attention(b, layer, &at.part("self_attn"), normal, cache, rotary)?;
            x = b.add(attended, x)?;
            b.scope(format!("{}.mlp", at.today()));
            let normal = rms_norm(b, &at.part("post_attention_layernorm"), self.epsilon, x)?;
            let fed = self.mlp(b, &at.part("mlp"), normal)?;
            x = b.add(fed, x)?;
        }
        b.scope("lm_head");
        let x = rms_norm(b, &self.dialect.model.part("norm"), self.epsilon, x)?;
        // As Hugging Face: an output projection that a tied checkpoint stores all the same is used.
        let tied = self.tied && !self.dialect.head.held_by(b.weights());
        let head = if tied { self.dialect.model.part("embed_tokens") } else { self.dialect.head.clone() };
        Linear::new(head, self.width, self.vocabulary).bias(false).build(b, x)
    }

    fn attention(
        &self,
        b: &mut GraphBuilder<'_>,
        layer: usize,
        at: &Names,
        x: ValueId,
        cache: Cache,
        rotary: Rotary,
    ) -> Result<ValueId> {
        let (wide, narrow) = (self.heads * self.head, self.kv_heads * self.head);
        let linear = |part: &str, from, to, bias| Linear::new(at.part(part), from, to).bias(bias);
        let bias = self.dialect.qkv_bias;
        let block = MultiHead {
            q: linear("q_proj", self.width, wide, bias),
            k: linear("k_proj", self.width, narrow, bias),
            v: linear("v_proj", self.width, narrow, bias),
            out: linear("o_proj", wide, self.width, self.dialect.out_bias),
            op: Attention {
                causal: true,
                window: self.dialect.windows.get(layer).copied().flatten(),
                ..Attention::new(self.heads, self.kv_heads, self.head)
            },
        };
        let (q, k, v) = (block.q.build(b, x)?, block.k.build(b, x)?, block.v.build(b, x)?);
        let q = self.head_norm(b, &at.part("q_norm"), self.heads, q)?;
        let k = self.head_norm(b, &at.part("k_norm"), self.kv_heads, k)?;
        let q = rotary.apply(b, self.heads, q)?;
        let k = rotary.apply(b, self.kv_heads, k)?;
        let k = cache.append(b, &format!("layers.{layer}.key"), k)?;
        let v = cache.append(b, &format!("layers.{layer}.value"), v)?;
        let mixed = b.op(Op::Attention(block.op), &[q, k, v, cache.position])?;
        block.out.build(b, mixed)
    }

    /// Normalises each head of `x [batch, tokens, heads * head]`, in the classes that do.
    fn head_norm(&self, b: &mut GraphBuilder<'_>, at: &Names, heads: usize, x: ValueId) -> Result<ValueId> {
        if !self.dialect.qk_norm {
            return Ok(x);
        }
        let shape = b.shape(x).to_vec();
        let apart = b.reshape(x, [shape[0], shape[1], heads, self.head])?;
        let normal = rms_norm(b, at, self.epsilon, apart)?;
        b.reshape(normal, shape)
    }

    fn mlp(&self, b: &mut GraphBuilder<'_>, at: &Names, x: ValueId) -> Result<ValueId> {
        let linear = |part: &str, from, to| Linear::new(at.part(part), from, to).bias(self.mlp_bias);
        let up = linear("up_proj", self.width, self.intermediate).build(b, x)?;
        let gate = linear("gate_proj", self.width, self.intermediate);
        let gated = if self.activation == Unary::Silu {
            let gate = gate.build(b, x)?;
            b.op(Op::Binary(Binary::SwiGlu), &[gate, up])?
        } else {
            let gate = gate.then(self.activation).build(b, x)?;
            b.mul(gate, up)?
        };
        linear("down_proj", self.intermediate, self.width).build(b, gated)
    }

    /// The graph of `[batch, tokens]` text tokens, after a prompt or of one.
    pub(super) fn text(&self, weights: &Weights, shape: [usize; 2], lengths: [usize; 2]) -> Result<Graph> {
        let mut b = GraphBuilder::new(weights);
        let ids = b.input("input_ids", DType::I32, shape);
        let x = self.embed(&mut b, ids)?;
        let logits = self.logits(&mut b, x, lengths)?;
        b.output("logits", logits);
        Ok(b.finish())
    }
}

/// A class that is nothing but the stack.
impl Model for Causal {
    fn prepare(&self, inputs: &NamedTensors) -> Result<NamedTensors> {
        let mut taken = Inputs::new(inputs);
        let [batch, tokens] = taken.ids("input_ids", self.vocabulary)?;
        taken.full_mask("attention_mask", [batch, tokens])?;
        taken.finish()
    }

    fn decoder(&self) -> Option<&dyn Decoder> {
        Some(self)
    }

    fn twin_inputs(&self, draw: &mut Draw, tokens: Option<usize>) -> Result<NamedTensors> {
        let tokens = twin_tokens(tokens, 32, self.positions)?;
        let ids = (0..tokens).map(|_| draw.below(self.vocabulary) as i32).collect();
        Ok(NamedTensors::from([("input_ids".to_owned(), Tensor::i32([1, tokens], ids))]))
    }
}

impl Decoder for Causal {
    fn prefill(&self, weights: &Weights, inputs: &InputTypes, context: usize) -> Result<Graph> {
        let &[batch, tokens] = &inputs["input_ids"].shape[..] else { unreachable!("prepared: rank 2") };
        self.text(weights, [batch, tokens], [tokens, context])
    }

    fn step(&self, weights: &Weights, inputs: &InputTypes, tokens: usize, context: usize) -> Result<Graph> {
        let &[batch, prompt] = &inputs["input_ids"].shape[..] else { unreachable!("prepared: rank 2") };
        self.text(weights, [batch, tokens], [prompt, context])
    }

    fn prompt(&self) -> Prompt {
        Prompt::Given
    }

    fn end(&self) -> &End {
        &self.end
    }

    /// Rotary positions have no table that could end: what the model was trained for is no limit.
    fn max_context(&self) -> usize {
        LONGEST
    }
}

/// By layer, how far attention reaches in configs that write `sliding_window` and either `layer_types` or
/// `max_window_layers`.
pub(super) fn windows(config: &Config) -> Result<Vec<Option<usize>>> {
    let layers = config.size("num_hidden_layers")?;
    let window = match config.get("sliding_window") {
        Some(_) if config.flag_or("use_sliding_window", false)? => Some(config.size("sliding_window")?),
        _ => None,
    };
    let Some(kinds) = config.get("layer_types") else {
        let full = config.count_or("max_window_layers", 28)?;
        return Ok((0..layers).map(|layer| window.filter(|_| layer >= full)).collect());
    };
    let kinds = kinds.as_array().filter(|kinds| kinds.len() == layers);
    let kinds =
        kinds.ok_or_else(|| Error::config("layer_types", "", format!("must name {layers} layers")))?;
    kinds
        .iter()
        .map(|kind| match kind.as_str() {
            Some("full_attention") => Ok(None),
            Some("sliding_attention") => match window {
                Some(window) => Ok(Some(window)),
                None => Err(Error::config("sliding_window", "null", "layer_types asks for a window")),
            },
            _ => Err(Error::config(
                "layer_types",
                kind,
                "only full_attention and sliding_attention are implemented",
            )),
        })
        .collect()
}
