//! LLaMA (Touvron et al. 2023): `LlamaForCausalLM`.

use crate::error::{Error, Result};
use crate::ir::{Graph, GraphBuilder, ValueId};
use crate::models::layers::{Linear, head_width, rms_norm};
use crate::models::rope::Rope;
use crate::models::{Config, Decoder, InputTypes, Inputs, Model};
use crate::ops::{Attention, Binary, Op, Unary};
use crate::tensor::{DType, NamedTensors, Tensor};
use crate::weights::{Weights, twin::Draw};

/// What `config.json` says of a LLaMA.
#[derive(Debug)]
pub(super) struct Llama {
    vocabulary: usize,
    width: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    head: usize,
    intermediate: usize,
    activation: Unary,
    attention_bias: bool,
    mlp_bias: bool,
    tied: bool,
    epsilon: f64,
    positions: usize,
    rope: Rope,
}

/// What the layers of one graph share.
struct Step {
    batch: usize,
    tokens: usize,
    context: usize,
    cos: ValueId,
    sin: ValueId,
    position: ValueId,
}

impl Llama {
    pub(super) fn new(config: &Config) -> Result<Self> {
        let width = config.size("hidden_size")?;
        let heads = config.size("num_attention_heads")?;
        let head = match config.get("head_dim") {
            Some(_) => config.size("head_dim")?,
            None => head_width(width, heads)?,
        };
        let kv_heads = config.size_or("num_key_value_heads", heads)?;
        if heads % kv_heads != 0 {
            return Err(Error::config(
                "num_key_value_heads",
                kv_heads,
                format!("does not divide {heads} heads"),
            ));
        }
        Ok(Self {
            vocabulary: config.size("vocab_size")?,
            width,
            layers: config.size("num_hidden_layers")?,
            heads,
            kv_heads,
            head,
            intermediate: config.size("intermediate_size")?,
            activation: config.activation("hidden_act", "silu")?,
            attention_bias: config.flag_or("attention_bias", false)?,
            mlp_bias: config.flag_or("mlp_bias", false)?,
            tied: config.flag_or("tie_word_embeddings", false)?,
            epsilon: config.number_or("rms_norm_eps", 1e-6)?,
            positions: config.size_or("max_position_embeddings", 2048)?,
            rope: Rope::new(config, head)?,
        })
    }

    fn attention(&self, b: &mut GraphBuilder<'_>, layer: usize, x: ValueId, step: &Step) -> Result<ValueId> {
        let at = format!("model.layers.{layer}.self_attn");
        b.scope(at.clone());
        let (wide, narrow) = (self.heads * self.head, self.kv_heads * self.head);
        let mut project = |part: &str, to: usize| -> Result<ValueId> {
            let linear = Linear::new(vec![format!("{at}.{part}")], self.width, to).bias(self.attention_bias);
            let y = linear.build(b, x)?;
            b.reshape(y, [step.batch, step.tokens, to])
        };
        let (q, k, v) = (project("q_proj", wide)?, project("k_proj", narrow)?, project("v_proj", narrow)?);
        let rotary = [step.cos, step.sin, step.position];
        let q = b.op(Op::Rope { heads: self.heads }, &[&[q][..], &rotary].concat())?;
        let k = b.op(Op::Rope { heads: self.kv_heads }, &[&[k][..], &rotary].concat())?;
        let mut cached = |name: &str, new: ValueId| -> Result<ValueId> {
            let before =
                b.state(&format!("layers.{layer}.{name}"), DType::F32, [step.batch, step.context, narrow]);
            let after = b.op(Op::KvAppend, &[before, new, step.position])?;
            b.set_state(before, after)?;
            Ok(after)
        };
        let (k, v) = (cached("key", k)?, cached("value", v)?);
        let attention = Attention {
            heads: self.heads,
            kv_heads: self.kv_heads,
            scale: (1.0 / (self.head as f64).sqrt()) as f32,
            masked: false,
            causal: true,
        };
        let mixed = b.op(Op::Attention(attention), &[q, k, v, step.position])?;
        let mixed = b.reshape(mixed, [step.batch * step.tokens, wide])?;
        Linear::new(vec![format!("{at}.o_proj")], wide, self.width).bias(self.attention_bias).build(b, mixed)
    }

    fn mlp(&self, b: &mut GraphBuilder<'_>, layer: usize, x: ValueId) -> Result<ValueId> {
        let at = format!("model.layers.{layer}.mlp");
        b.scope(at.clone());
        let linear =
            |part: &str, from, to| Linear::new(vec![format!("{at}.{part}")], from, to).bias(self.mlp_bias);
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
}

impl Model for Llama {
    fn prepare(&self, inputs: &NamedTensors) -> Result<NamedTensors> {
        let mut taken = Inputs::new(inputs);
        let [batch, tokens] = taken.ids("input_ids", self.vocabulary)?;
        if tokens > self.positions {
            return Err(Error::input(
                "input_ids",
                format!("{tokens} tokens exceed {} positions", self.positions),
            ));
        }
        // A mask of ones changes nothing; any other would change positions too, which is not built.
        taken.ids_or("attention_mask", [batch, tokens], 1, 2)?;
        let mut taken = taken.finish()?;
        if taken.remove("attention_mask").is_some_and(|mask| mask.as_i32().contains(&0)) {
            return Err(Error::input(
                "attention_mask",
                "padding is not implemented for this class: send full sequences",
            ));
        }
        Ok(taken)
    }

    fn forward(&self, weights: &Weights, inputs: &InputTypes) -> Result<Graph> {
        let &[batch, tokens] = &inputs["input_ids"].shape[..] else { unreachable!("prepared: rank 2") };
        self.step(weights, batch, tokens, tokens)
    }

    fn decoder(&self) -> Option<&dyn Decoder> {
        Some(self)
    }

    fn twin_inputs(&self, draw: &mut Draw) -> NamedTensors {
        let tokens = self.positions.min(32);
        let ids = (0..tokens).map(|_| draw.below(self.vocabulary) as i32).collect();
        NamedTensors::from([("input_ids".to_owned(), Tensor::i32([1, tokens], ids))])
    }
}

impl Decoder for Llama {
    fn step(&self, weights: &Weights, batch: usize, tokens: usize, context: usize) -> Result<Graph> {
        let mut b = GraphBuilder::new(weights);
        b.scope("embed_tokens");
        let table = b.weight(&["model.embed_tokens.weight"], [self.vocabulary, self.width])?;
        let ids = b.input("input_ids", DType::I32, [batch, tokens]);
        let position = b.input("position", DType::I32, [1]);
        let (cos, sin) = self.rope.tables(context);
        let (cos, sin) = (b.constant(cos), b.constant(sin));
        let step = Step { batch, tokens, context, cos, sin, position };
        let x = b.op(Op::Gather { axis: 0 }, &[table, ids])?;
        let mut x = b.reshape(x, [batch * tokens, self.width])?;
        for layer in 0..self.layers {
            let at = format!("model.layers.{layer}");
            let normal = rms_norm(&mut b, &format!("{at}.input_layernorm"), self.epsilon, x)?;
            let attended = self.attention(&mut b, layer, normal, &step)?;
            x = b.add(attended, x)?;
            let normal = rms_norm(&mut b, &format!("{at}.post_attention_layernorm"), self.epsilon, x)?;
            let fed = self.mlp(&mut b, layer, normal)?;
            x = b.add(fed, x)?;
        }
        b.scope("head");
        let x = rms_norm(&mut b, "model.norm", self.epsilon, x)?;
        let head = if self.tied { "model.embed_tokens" } else { "lm_head" };
        let logits =
            Linear::new(vec![head.into()], self.width, self.vocabulary).bias(false).build(&mut b, x)?;
        let logits = b.reshape(logits, [batch, tokens, self.vocabulary])?;
        b.output("logits", logits);
        Ok(b.finish())
    }

    fn max_context(&self) -> usize {
        self.positions
    }
}
