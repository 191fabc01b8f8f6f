//! wav2vec 2.0 (Baevski et al. 2020): `Wav2Vec2ForCTC`, and `Wav2Vec2Model` without the head.

use crate::error::{Error, Result};
use crate::frontend::Waveform;
use crate::ir::{Graph, GraphBuilder, ValueId};
use crate::models::inputs::{Inputs, no_tokens};
use crate::models::layers::{Block, Conv1d, Linear, MultiHead, Names, Norms, head_width, layer_norm, weight};
use crate::models::{Config, InputTypes, Model};
use crate::ops::{Binary, Op, Reduce, Unary};
use crate::tensor::{DType, NamedTensors, Tensor};
use crate::weights::{Weights, twin::Draw};

/// PyTorch's for norms whose epsilon no config changes.
const EPSILON: f64 = 1e-5;

/// What `config.json` says of a wav2vec 2.0.
#[derive(Debug)]
pub(super) struct Wav2Vec2 {
    front_end: Waveform,
    convs: Vec<Conv>,
    conv_bias: bool,
    conv_norm: ConvNorm,
    conv_activation: Unary,
    positions: Positions,
    width: usize,
    layers: usize,
    heads: usize,
    intermediate: usize,
    activation: Unary,
    epsilon: f64,
    /// `do_stable_layer_norm`: norms in front of what they serve, and one behind all layers.
    stable: bool,
    /// Width inside the adapter of each layer.
    layer_adapter: Option<usize>,
    adapter: Option<Adapter>,
    vocabulary: usize,
}

/// A convolution of the waveform.
#[derive(Clone, Copy, Debug)]
struct Conv {
    to: usize,
    taps: usize,
    stride: usize,
}

/// What follows the convolutions of the waveform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConvNorm {
    /// Each channel of the first is normalised over time.
    Group,
    /// Each frame of each is normalised over channels.
    Layer,
}

/// The convolution that tells frames where they stand.
#[derive(Clone, Copy, Debug)]
struct Positions {
    taps: usize,
    groups: usize,
}

/// The convolutions behind the encoder.
#[derive(Clone, Copy, Debug)]
struct Adapter {
    layers: usize,
    width: usize,
    taps: usize,
    stride: usize,
}

impl Wav2Vec2 {
    pub(super) fn new(config: &Config) -> Result<Self> {
        let width = config.size_or("hidden_size", 768)?;
        let heads = config.size_or("num_attention_heads", 12)?;
        head_width(width, heads)?;
        let groups = config.size_or("num_conv_pos_embedding_groups", 16)?;
        if !width.is_multiple_of(groups) {
            let reason = format!("does not divide hidden_size {width}");
            return Err(Error::config("num_conv_pos_embedding_groups", groups, reason));
        }
        let stable = config.flag_or("do_stable_layer_norm", false)?;
        let layer_adapter = config.get("adapter_attn_dim").map(|_| config.size("adapter_attn_dim"));
        Ok(Self {
            front_end: config
                .preprocessor()
                .map_or_else(|| Ok(Waveform::default()), Waveform::of_wav2vec2)?,
            convs: convs(config)?,
            conv_bias: config.flag_or("conv_bias", false)?,
            conv_norm: match config.text_or("feat_extract_norm", "group")? {
                "group" => ConvNorm::Group,
                "layer" => ConvNorm::Layer,
                other => {
                    let reason = "only group and layer are implemented";
                    return Err(Error::config("feat_extract_norm", other, reason));
                }
            },
            conv_activation: config.activation("feat_extract_activation", "gelu")?,
            positions: Positions { taps: config.size_or("num_conv_pos_embeddings", 128)?, groups },
            width,
            layers: config.size_or("num_hidden_layers", 12)?,
            heads,
            intermediate: config.size_or("intermediate_size", 3072)?,
            activation: config.activation("hidden_act", "gelu")?,
            epsilon: config.number_or("layer_norm_eps", 1e-5)?,
            stable,
            // As Hugging Face: only the stable encoder has them.
            layer_adapter: layer_adapter.transpose()?.filter(|_| stable),
            adapter: match config.flag_or("add_adapter", false)? {
                false => None,
                true => Some(Adapter {
                    layers: config.size_or("num_adapter_layers", 3)?,
                    width: config.size_or("output_hidden_size", width)?,
                    taps: config.size_or("adapter_kernel_size", 3)?,
                    stride: config.size_or("adapter_stride", 2)?,
                }),
            },
            vocabulary: config.size_or("vocab_size", 32)?,
        })
    }

    /// How many frames the convolutions make of so many samples, if any.
    fn frames(&self, samples: usize) -> Option<usize> {
        self.convs.iter().try_fold(samples, |n, conv| Some(n.checked_sub(conv.taps)? / conv.stride + 1))
    }

    /// The frames that are not padding, `[batch, frames]`: those that the samples not masked would make alone.
    fn frame_mask(&self, mask: &[i32], [batch, samples]: [usize; 2]) -> Result<Tensor> {
        let frames = self.frames(samples).expect("checked before masks are read");
        let mut out = Vec::with_capacity(batch * frames);
        for length in lengths(mask, samples) {
            let own = self.frames(length).ok_or_else(|| {
                Error::input("attention_mask", format!("leaves {length} samples, too few for one frame"))
            })?;
            out.extend((0..frames).map(|frame| i32::from(frame < own)));
        }
        Ok(Tensor::i32([batch, frames], out))
    }

    /// `[batch, 1, samples]` to `[batch, frames, channels]`.
    fn features(&self, b: &mut GraphBuilder<'_>, at: &Names, mut x: ValueId) -> Result<ValueId> {
        let mut from = 1;
        for (i, conv) in self.convs.iter().enumerate() {
            let at = at.part(&format!("conv_layers.{i}"));
            b.scope(at.today());
            let filter = weight(b, &at.part("conv"), &[".weight"], &[conv.to, from, conv.taps])?;
            let bias = match self.conv_bias {
                true => Some(weight(b, &at.part("conv"), &[".bias"], &[conv.to])?),
                false => None,
            };
            x = Conv1d { stride: conv.stride, ..Conv1d::default() }.build(b, x, filter, bias)?;
            x = match self.conv_norm {
                ConvNorm::Group if i > 0 => x,
                ConvNorm::Group => channel_norm(b, &at.part("layer_norm"), x)?,
                ConvNorm::Layer => {
                    let frames = b.transpose(x, &[0, 2, 1])?;
                    let normal = layer_norm(b, &at.part("layer_norm"), EPSILON, frames)?;
                    b.transpose(normal, &[0, 2, 1])?
                }
            };
            x = b.unary(self.conv_activation, x)?;
            from = conv.to;
        }
        b.transpose(x, &[0, 2, 1])
    }

    /// What the convolution over `x [batch, frames, width]` says of places.
    fn places(&self, b: &mut GraphBuilder<'_>, at: &Names, x: ValueId) -> Result<ValueId> {
        b.scope(at.today());
        let Positions { taps, groups } = self.positions;
        let at = at.part("conv");
        let filter = positional_filter(b, &at, [self.width, self.width / groups, taps])?;
        let bias = weight(b, &at, &[".bias"], &[self.width])?;
        let x = b.transpose(x, &[0, 2, 1])?;
        let y = Conv1d { padding: taps / 2, groups, ..Conv1d::default() }.build(b, x, filter, Some(bias))?;
        // Half the taps on either side make one frame too many of an even number.
        let shape = b.shape(x).to_vec();
        let y = b.slice(y, &[0, 0, 0], &shape)?;
        let y = b.unary(self.conv_activation, y)?;
        b.transpose(y, &[0, 2, 1])
    }

    /// The layers below `at` on `x [batch, frames, width]`: the last one's result, then what the encoder gives.
    fn encode(
        &self,
        b: &mut GraphBuilder<'_>,
        at: &Names,
        mut x: ValueId,
        mask: Option<ValueId>,
    ) -> Result<[ValueId; 2]> {
        if let Some(mask) = mask {
            let shape = [b.shape(mask), &[1]].concat();
            let real = b.reshape(mask, shape)?;
            let nothing = b.constant(Tensor::f32([1], vec![0.0]));
            x = b.op(Op::Where, &[real, x, nothing])?;
        }
        let places = self.places(b, &at.part("pos_conv_embed"), x)?;
        x = b.add(x, places)?;
        let norm = at.part("layer_norm");
        if !self.stable {
            x = layer_norm(b, &norm, self.epsilon, x)?;
        }
        for layer in 0..self.layers {
            let at = at.part(&format!("layers.{layer}"));
            x = self.block(&at, mask.is_some()).build(b, x, mask.as_slice())?;
            if let Some(inner) = self.layer_adapter {
                x = self.adapted(b, &at.part("adapter_layer"), inner, x)?;
            }
        }
        let last = if self.stable { layer_norm(b, &norm, self.epsilon, x)? } else { x };
        Ok([x, last])
    }

    fn block(&self, at: &Names, masked: bool) -> Block {
        let parts = ["q_proj", "k_proj", "v_proj", "out_proj"];
        let mut attention = MultiHead::new(&at.part("attention"), parts, self.width, self.heads);
        attention.op.masked = masked;
        Block {
            scope: at.today().to_owned(),
            attention,
            feed_forward: [
                Linear::new(at.part("feed_forward.intermediate_dense"), self.width, self.intermediate)
                    .then(self.activation),
                Linear::new(at.part("feed_forward.output_dense"), self.intermediate, self.width),
            ],
            norms: [at.part("layer_norm"), at.part("final_layer_norm")],
            placement: if self.stable { Norms::Before } else { Norms::After },
            epsilon: self.epsilon,
        }
    }

    /// The bottleneck by which one model serves many languages, added to `x`.
    fn adapted(&self, b: &mut GraphBuilder<'_>, at: &Names, inner: usize, x: ValueId) -> Result<ValueId> {
        b.scope(at.today());
        let y = layer_norm(b, &at.part("norm"), EPSILON, x)?;
        let y = Linear::new(at.part("linear_1"), self.width, inner).then(Unary::Relu).build(b, y)?;
        let y = Linear::new(at.part("linear_2"), inner, self.width).build(b, y)?;
        b.add(x, y)
    }

    /// The convolutions behind the encoder, on `x [batch, frames, width]`.
    fn shorten(&self, b: &mut GraphBuilder<'_>, at: &Names, op: Adapter, mut x: ValueId) -> Result<ValueId> {
        b.scope(at.today());
        if op.width != self.width {
            x = Linear::new(at.part("proj"), self.width, op.width).build(b, x)?;
            x = layer_norm(b, &at.part("proj_layer_norm"), EPSILON, x)?;
        }
        x = b.transpose(x, &[0, 2, 1])?;
        for layer in 0..op.layers {
            let at = at.part(&format!("layers.{layer}.conv"));
            let filter = weight(b, &at, &[".weight"], &[2 * op.width, op.width, op.taps])?;
            let bias = weight(b, &at, &[".bias"], &[2 * op.width])?;
            let conv = Conv1d { stride: op.stride, padding: 1, groups: 1 };
            let y = conv.build(b, x, filter, Some(bias))?;
            let &[batch, _, frames] = b.shape(y) else { unreachable!("rank 3: a convolution over time") };
            // A gated linear unit: the second half of the channels decides what passes of the first.
            let kept = b.slice(y, &[0, 0, 0], &[batch, op.width, frames])?;
            let gate = b.slice(y, &[0, op.width, 0], &[batch, op.width, frames])?;
            let gate = b.unary(Unary::Sigmoid, gate)?;
            x = b.mul(kept, gate)?;
        }
        b.transpose(x, &[0, 2, 1])
    }
}

/// `conv_dim`, `conv_kernel` and `conv_stride`, with Hugging Face's defaults.
fn convs(config: &Config) -> Result<Vec<Conv>> {
    let to = config.sizes_or("conv_dim", &[512; 7])?;
    let taps = config.sizes_or("conv_kernel", &[10, 3, 3, 3, 3, 2, 2])?;
    let strides = config.sizes_or("conv_stride", &[5, 2, 2, 2, 2, 2, 2])?;
    for (field, sizes) in [("conv_kernel", &taps), ("conv_stride", &strides)] {
        if sizes.len() != to.len() || to.is_empty() {
            let reason = format!("must have as many members as conv_dim {to:?}, one at least");
            return Err(Error::config(field, format!("{sizes:?}"), reason));
        }
    }
    let all = to.iter().zip(taps).zip(strides);
    Ok(all.map(|((&to, taps), stride)| Conv { to, taps, stride }).collect())
}

/// Group norm of `x [batch, channels, time]` with every channel a group of its own.
fn channel_norm(b: &mut GraphBuilder<'_>, at: &Names, x: ValueId) -> Result<ValueId> {
    let &[_, channels, time] = b.shape(x) else { unreachable!("rank 3: a convolution over time") };
    let ones = b.constant(Tensor::f32([time], vec![1.0; time]));
    let zeros = b.constant(Tensor::f32([time], vec![0.0; time]));
    let normal = b.op(Op::LayerNormalization { epsilon: EPSILON as f32 }, &[x, ones, zeros])?;
    let scale = weight(b, at, &[".weight"], &[channels])?;
    let bias = weight(b, at, &[".bias"], &[channels])?;
    let (scale, bias) = (b.reshape(scale, [channels, 1])?, b.reshape(bias, [channels, 1])?);
    let scaled = b.mul(normal, scale)?;
    b.add(scaled, bias)
}

/// The filter `[to, from, taps]` of the positional convolution. It is stored as one direction and one magnitude per
/// tap, today's spelling first, or, in checkpoints that were exported, as it is.
fn positional_filter(b: &mut GraphBuilder<'_>, at: &Names, shape: [usize; 3]) -> Result<ValueId> {
    let [to, from, taps] = shape;
    let magnitudes = [".parametrizations.weight.original0", ".weight_g"];
    let directions = [".parametrizations.weight.original1", ".weight_v"];
    let stored = |ending: &str| b.weights().has(&format!("{}{ending}", at.today()));
    if !magnitudes.iter().any(|ending| stored(ending)) {
        return weight(b, at, &[".weight"], &shape);
    }
    let magnitude = weight(b, at, &magnitudes, &[1, 1, taps])?;
    let direction = weight(b, at, &directions, &shape)?;
    let by_tap = b.transpose(direction, &[2, 0, 1])?;
    let by_tap = b.reshape(by_tap, [taps, to * from])?;
    let square = b.mul(by_tap, by_tap)?;
    let mean = b.op(Op::Reduce(Reduce::Mean), &[square])?;
    let count = b.constant(Tensor::f32([1], vec![(to * from) as f32]));
    let sum = b.mul(mean, count)?;
    let length = b.unary(Unary::Sqrt, sum)?;
    let length = b.reshape(length, [1, 1, taps])?;
    let scale = b.op(Op::Binary(Binary::Div), &[magnitude, length])?;
    b.mul(direction, scale)
}

/// How many samples of each sequence are not masked.
fn lengths(mask: &[i32], samples: usize) -> impl Iterator<Item = usize> {
    mask.chunks_exact(samples).map(|row| row.iter().filter(|value| **value != 0).count())
}

impl Model for Wav2Vec2 {
    fn prepare(&self, inputs: &NamedTensors) -> Result<NamedTensors> {
        let mut taken = Inputs::new(inputs);
        let has_values = taken.given("input_values").is_some();
        let audio = if taken.given("audio").is_some() { Some(taken.audio("audio")?) } else { None };
        let shape = match (&audio, has_values) {
            (_, true) => taken.floats("input_values", &[None, None])?,
            (Some(audio), false) => audio.shape().to_vec(),
            (None, false) => return Err(Error::input("input_values", "missing, and so is audio")),
        };
        let &[batch, samples] = &shape[..] else { unreachable!("rank 2: checked") };
        if self.frames(samples).is_none() {
            let name = if has_values { "input_values" } else { "audio" };
            return Err(Error::input(name, format!("{samples} samples are too few for one frame")));
        }
        let mask = taken.mask("attention_mask", &shape)?;
        if let Some(mask) = mask {
            taken.put("frame_mask", self.frame_mask(mask, [batch, samples])?);
        }
        let Some(audio) = audio else { return taken.finish() };
        if audio.shape() != shape {
            let reason = format!("is {:?} beside input_values of {shape:?}", audio.shape());
            return Err(Error::input("audio", reason));
        }
        let lengths = mask.map_or(vec![samples; batch], |mask| lengths(mask, samples).collect());
        let mut own = audio.as_f32().to_vec();
        self.front_end.settle(&mut own, samples, &lengths);
        match inputs.get("input_values") {
            Some(values) => agree(values.as_f32(), &own)?,
            None => taken.put("input_values", Tensor::f32(shape, own)),
        }
        taken.finish()
    }

    fn forward(&self, weights: &Weights, inputs: &InputTypes) -> Result<Graph> {
        let mut b = GraphBuilder::new(weights);
        let prefixed = weights.has("wav2vec2.feature_projection.projection.weight");
        let at = Names::from(if prefixed { "wav2vec2" } else { "" });
        let &[batch, samples] = &inputs["input_values"].shape[..] else { unreachable!("prepared: rank 2") };
        let x = b.input("input_values", DType::F32, [batch, samples]);
        let mask = inputs.get("frame_mask").map(|ty| b.input("frame_mask", DType::I32, ty.shape.as_slice()));
        let x = b.reshape(x, [batch, 1, samples])?;
        let features = self.features(&mut b, &at.part("feature_extractor"), x)?;
        let channels = b.shape(features)[2];
        let projection = at.part("feature_projection");
        b.scope(projection.today());
        let features = layer_norm(&mut b, &projection.part("layer_norm"), self.epsilon, features)?;
        let x = Linear::new(projection.part("projection"), channels, self.width).build(&mut b, features)?;
        let [raw, mut last] = self.encode(&mut b, &at.part("encoder"), x, mask)?;
        if let Some(adapter) = self.adapter {
            last = self.shorten(&mut b, &at.part("adapter"), adapter, last)?;
        }
        if weights.has("lm_head.weight") {
            b.scope("lm_head");
            let width = b.shape(last)[2];
            let logits = Linear::new("lm_head", width, self.vocabulary).build(&mut b, last)?;
            b.output("logits", logits);
            // As `hidden_states[-1]`: what the last layer gives, before the stable encoder's norm.
            b.output("last_hidden_state", raw);
        } else {
            b.output("last_hidden_state", last);
            b.output("extract_features", features);
        }
        Ok(b.finish())
    }

    /// One second at 16 kHz.
    fn twin_inputs(&self, draw: &mut Draw, tokens: Option<usize>) -> Result<NamedTensors> {
        no_tokens(tokens)?;
        let samples = (0..16_000).map(|_| draw.normal()).collect();
        Ok(NamedTensors::from([("input_values".to_owned(), Tensor::f32([1, 16_000], samples))]))
    }
}

/// Refuses input values that are not what the feature extractor makes of the audio beside them.
fn agree(values: &[f32], own: &[f32]) -> Result<()> {
    let near = |y: f32, e: f32| (y - e).abs() <= 1e-4 * (1.0 + e.abs());
    match values.iter().zip(own).position(|(&y, &e)| !near(y, e)) {
        None => Ok(()),
        Some(at) => Err(Error::input(
            "input_values",
            format!(
                "holds {} at {at}, where the front end makes {} of the audio: send only one of them",
                values[at], own[at]
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(config: &str) -> Wav2Vec2 {
        Wav2Vec2::new(&Config::parse("config.json", config.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn frames_are_those_of_the_published_models() {
        let model = model("{}");
        // One second at 16 kHz makes 49 frames; 400 samples are the receptive field.
        for (samples, frames) in
            [(16_000, Some(49)), (400, Some(1)), (719, Some(1)), (720, Some(2)), (399, None)]
        {
            assert_eq!(model.frames(samples), frames, "{samples} samples");
        }
    }

    #[test]
    fn a_mask_is_what_the_real_samples_would_make_alone() {
        let model = model(r#"{"conv_dim": [4, 4], "conv_kernel": [3, 2], "conv_stride": [2, 1]}"#);
        let mask = [[1, 1, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 0, 0, 0]].concat();
        let frames = model.frame_mask(&mask, [2, 9]).unwrap();
        assert_eq!(frames, Tensor::i32([2, 3], vec![1, 1, 1, 1, 0, 0]));
        assert!(model.frame_mask(&[1, 1, 1, 1, 0, 0], [1, 6]).is_err());
    }

    #[test]
    fn the_preprocessor_says_whether_audio_is_normalized() {
        let config = |text: &str| Config::parse("", text.as_bytes()).unwrap();
        let model = |preprocessor: &str| Wav2Vec2::new(&config("{}").with_preprocessor(config(preprocessor)));
        let kind = r#""feature_extractor_type": "Wav2Vec2FeatureExtractor""#;
        let raw = model(&format!(r#"{{"do_normalize": false, {kind}}}"#)).unwrap();
        let audio = Tensor::f32([1, 800], vec![3.0; 800]);
        let inputs = NamedTensors::from([("audio".to_owned(), audio.clone())]);
        assert_eq!(raw.prepare(&inputs).unwrap()["input_values"], audio);
        assert!(model(r#"{"feature_extractor_type": "WhisperFeatureExtractor"}"#).is_err());
    }

    #[test]
    fn audio_and_values_must_agree() {
        let model = model("{}");
        let audio: Vec<f32> = (0..800).map(|i| (i as f32 * 0.1).sin()).collect();
        let mut values = audio.clone();
        model.front_end.settle(&mut values, 800, &[800]);
        let values = Tensor::f32([1, 800], values);
        let audio = Tensor::f32([800], audio);
        let both = |values: Tensor| {
            let inputs = [("audio".to_owned(), audio.clone()), ("input_values".to_owned(), values)];
            model.prepare(&NamedTensors::from(inputs))
        };
        assert_eq!(both(values.clone()).unwrap()["input_values"], values);
        let alone = model.prepare(&NamedTensors::from([("audio".to_owned(), audio.clone())]));
        assert_eq!(alone.unwrap()["input_values"], values);
        let error = both(audio.clone().reshaped([1, 800])).unwrap_err().to_string();
        assert!(error.starts_with("input input_values: holds"), "{error}");
    }
}
