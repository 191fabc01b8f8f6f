//! DETR (Carion et al. 2020): `DetrForObjectDetection` on a ResNet, and `DetrModel` without the heads.

use std::f64::consts::TAU;

use crate::error::{Error, Result};
use crate::ir::{Graph, GraphBuilder, ValueId};
use crate::models::inputs::{Inputs, no_tokens};
use crate::models::layers::{Linear, MultiHead, Names, head_width, layer_norm, weight};
use crate::models::resnet::ResNet;
use crate::models::{Config, InputTypes, Model};
use crate::ops::{Conv2d, Op, Unary};
use crate::tensor::{DType, NamedTensors, Tensor};
use crate::weights::{Weights, twin::Draw};

/// PyTorch's for layer norms; no config changes it.
const EPSILON: f64 = 1e-5;

/// Rows and columns that learned position embeddings are made for.
const LEARNED: usize = 50;

/// What `config.json` says of a DETR.
#[derive(Debug)]
pub(super) struct Detr {
    backbone: ResNet,
    width: usize,
    queries: usize,
    labels: usize,
    encoder: Stack,
    decoder: Stack,
    activation: Unary,
    places: Places,
    /// `auxiliary_loss`: the decoder's norm is applied after every layer, too.
    auxiliary: bool,
}

/// One side of the transformer.
#[derive(Clone, Copy, Debug)]
struct Stack {
    layers: usize,
    heads: usize,
    intermediate: usize,
}

/// Where positions of the feature map come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Places {
    /// Sines of counted, unmasked pixels: computed on the host, since masks decide them.
    Sine,
    /// A table of rows and one of columns.
    Learned,
}

impl Stack {
    fn new(config: &Config, side: &str, width: usize) -> Result<Self> {
        let heads = config.size_or(&format!("{side}_attention_heads"), 8)?;
        head_width(width, heads)?;
        Ok(Self {
            layers: config.size_or(&format!("{side}_layers"), 6)?,
            heads,
            intermediate: config.size_or(&format!("{side}_ffn_dim"), 2048)?,
        })
    }
}

impl Detr {
    pub(super) fn new(config: &Config) -> Result<Self> {
        let width = config.size_or("d_model", 256)?;
        let (places, divisor) = match config.text_or("position_embedding_type", "sine")? {
            "sine" => (Places::Sine, 4),
            "learned" => (Places::Learned, 2),
            other => {
                let reason = "only sine and learned are implemented";
                return Err(Error::config("position_embedding_type", other, reason));
            }
        };
        if !width.is_multiple_of(divisor) {
            let reason = format!("position embeddings need a multiple of {divisor}");
            return Err(Error::config("d_model", width, reason));
        }
        Ok(Self {
            backbone: backbone(config)?,
            width,
            queries: config.size_or("num_queries", 100)?,
            labels: config.labels()?,
            encoder: Stack::new(config, "encoder", width)?,
            decoder: Stack::new(config, "decoder", width)?,
            activation: config.activation("activation_function", "relu")?,
            places,
            auxiliary: config.flag_or("auxiliary_loss", false)?,
        })
    }

    /// What each place of the feature map is added to: `[batch, places, width]`, or `[places, width]` for all images.
    fn places(
        &self,
        b: &mut GraphBuilder<'_>,
        at: &Names,
        inputs: &InputTypes,
        [height, width]: [usize; 2],
    ) -> Result<ValueId> {
        b.scope("position_embedding");
        if self.places == Places::Sine {
            let shape = inputs["position_embedding"].shape.as_slice();
            return Ok(b.input("position_embedding", DType::F32, shape));
        }
        let at = at.part_of(&["position_embedding", "backbone.position_embedding"]);
        let half = self.width / 2;
        let mut table = |part: &str, size: usize, shape: [usize; 3]| {
            let table = weight(b, &at.part(part), &[".weight"], &[LEARNED, half])?;
            let used = b.slice(table, &[0, 0], &[size, half])?;
            let used = b.reshape(used, shape)?;
            b.op(Op::Expand { shape: vec![height, width, half] }, &[used])
        };
        let columns = table("column_embeddings", width, [1, width, half])?;
        let rows = table("row_embeddings", height, [height, 1, half])?;
        let both = b.op(Op::Concat { axis: 2 }, &[columns, rows])?;
        b.reshape(both, [height * width, self.width])
    }

    /// Attention from queries to keys with values, each `[batch, _, width]`, added to `x` and normalised.
    fn attend(
        &self,
        b: &mut GraphBuilder<'_>,
        at: &Names,
        [name, norm]: [&str; 2],
        heads: usize,
        [x, q, k, v]: [ValueId; 4],
        mask: Option<ValueId>,
    ) -> Result<ValueId> {
        b.scope(at.part(name).today());
        let parts: [&[&str]; 4] = [&["q_proj"], &["k_proj"], &["v_proj"], &["o_proj", "out_proj"]];
        let square =
            |spellings: &[&str]| Linear::new(at.part(name).part_of(spellings), self.width, self.width);
        let mut attention = MultiHead::of(parts.map(square), self.width, heads);
        attention.op.masked = mask.is_some();
        let (k, v) = (attention.k.build(b, k)?, attention.v.build(b, v)?);
        let y = attention.mix(b, q, [k, v], mask.as_slice())?;
        let sum = b.add(x, y)?;
        layer_norm(b, &at.part(norm), EPSILON, sum)
    }

    fn feed_forward(
        &self,
        b: &mut GraphBuilder<'_>,
        at: &Names,
        inner: usize,
        x: ValueId,
    ) -> Result<ValueId> {
        b.scope(at.part("mlp").today());
        let into = Linear::new(at.part_of(&["mlp.fc1", "fc1"]), self.width, inner).then(self.activation);
        let y = into.build(b, x)?;
        let y = Linear::new(at.part_of(&["mlp.fc2", "fc2"]), inner, self.width).build(b, y)?;
        let sum = b.add(x, y)?;
        layer_norm(b, &at.part("final_layer_norm"), EPSILON, sum)
    }

    /// `x [batch, places, width]`, with positions added to queries and keys.
    fn encode(
        &self,
        b: &mut GraphBuilder<'_>,
        at: &Names,
        mut x: ValueId,
        places: ValueId,
        mask: ValueId,
    ) -> Result<ValueId> {
        for layer in 0..self.encoder.layers {
            let at = at.part(&format!("encoder.layers.{layer}"));
            let placed = b.add(x, places)?;
            let names = ["self_attn", "self_attn_layer_norm"];
            x = self.attend(b, &at, names, self.encoder.heads, [x, placed, placed, x], Some(mask))?;
            x = self.feed_forward(b, &at, self.encoder.intermediate, x)?;
        }
        Ok(x)
    }

    /// What each query finds in `memory [batch, places, width]`: `[batch, queries, width]`.
    fn decode(
        &self,
        b: &mut GraphBuilder<'_>,
        at: &Names,
        memory: ValueId,
        places: ValueId,
        mask: ValueId,
    ) -> Result<ValueId> {
        let shape = [b.shape(memory)[0], self.queries, self.width];
        b.scope("query_position_embeddings");
        let queries =
            weight(b, &at.part("query_position_embeddings"), &[".weight"], &[self.queries, self.width])?;
        let keys = b.add(memory, places)?;
        let mut x = b.constant(Tensor::zeros(DType::F32, shape));
        let norm = at.part("decoder.layernorm");
        let heads = self.decoder.heads;
        for layer in 0..self.decoder.layers {
            let at = at.part(&format!("decoder.layers.{layer}"));
            let asked = b.add(x, queries)?;
            let names = ["self_attn", "self_attn_layer_norm"];
            x = self.attend(b, &at, names, heads, [x, asked, asked, x], None)?;
            let asked = b.add(x, queries)?;
            let names = ["encoder_attn", "encoder_attn_layer_norm"];
            x = self.attend(b, &at, names, heads, [x, asked, keys, memory], Some(mask))?;
            x = self.feed_forward(b, &at, self.decoder.intermediate, x)?;
            if self.auxiliary {
                x = layer_norm(b, &norm, EPSILON, x)?;
            }
        }
        layer_norm(b, &norm, EPSILON, x)
    }
}

/// `backbone_config`, or what older configs say in its place.
fn backbone(config: &Config) -> Result<ResNet> {
    let channels = config.size_or("num_channels", 3)?;
    if let Some(own) = config.object("backbone_config")? {
        let model = own.text_or("model_type", "resnet")?;
        return match model {
            "resnet" => ResNet::new(&own),
            "timm_backbone" => {
                let name = own.text_or("backbone", "resnet50")?;
                let stride = own.size_or("output_stride", 32)?;
                ResNet::timm(&own, name, own.size_or("num_channels", channels)?, stride)
            }
            other => Err(Error::config("backbone_config.model_type", other, "only ResNets are implemented")),
        };
    }
    if !config.flag_or("use_timm_backbone", true)? {
        if let Some(name) = config.get("backbone") {
            let reason = "a backbone by name needs use_timm_backbone; write backbone_config";
            return Err(Error::config("backbone", name, reason));
        }
        return ResNet::new(&Config::parse("backbone_config", b"{}")?);
    }
    let extra = config.part_over("backbone_kwargs", "{}")?;
    let stride = if config.flag_or("dilation", false)? { 16 } else { 32 };
    ResNet::timm(
        &extra,
        config.text_or("backbone", "resnet50")?,
        extra.size_or("num_channels", extra.size_or("in_chans", channels)?)?,
        extra.size_or("output_stride", stride)?,
    )
}

impl Model for Detr {
    fn prepare(&self, inputs: &NamedTensors) -> Result<NamedTensors> {
        let mut taken = Inputs::new(inputs);
        let shape = taken.floats("pixel_values", &[None, Some(self.backbone.channels), None, None])?;
        let (batch, image) = (shape[0], [shape[2], shape[3]]);
        let map = self.backbone.size(image);
        if self.places == Places::Learned && map.iter().any(|&size| size > LEARNED) {
            let reason = format!("a feature map of {map:?} exceeds {LEARNED} learned positions a side");
            return Err(Error::input("pixel_values", reason));
        }
        let pixels = taken.mask("pixel_mask", &[batch, image[0], image[1]])?;
        let mask = pixels.map_or_else(|| vec![1; batch * map[0] * map[1]], |mask| shrink(mask, image, map));
        if mask.chunks_exact(map[0] * map[1]).any(|image| !image.contains(&1)) {
            return Err(Error::input("pixel_mask", "hides the whole of an image"));
        }
        if self.places == Places::Sine {
            let sines = sine_embedding(&mask, map, self.width);
            let shape = [batch, map[0] * map[1], self.width];
            taken.put("position_embedding", Tensor::f32(shape, sines));
        }
        taken.put("feature_mask", Tensor::i32([batch, map[0] * map[1]], mask));
        taken.finish()
    }

    fn forward(&self, weights: &Weights, inputs: &InputTypes) -> Result<Graph> {
        let mut b = GraphBuilder::new(weights);
        let prefixed = weights.has("model.query_position_embeddings.weight");
        let at = Names::from(if prefixed { "model" } else { "" });
        let pixels = b.input("pixel_values", DType::F32, inputs["pixel_values"].shape.as_slice());
        let mask = b.input("feature_mask", DType::I32, inputs["feature_mask"].shape.as_slice());
        let names = at.part_of(&["backbone.model", "backbone.conv_encoder.model"]);
        let features = self.backbone.build(&mut b, &names, pixels)?;
        let &[batch, _, height, width] = b.shape(features) else { unreachable!("rank 4: a feature map") };
        let places = self.places(&mut b, &at, inputs, [height, width])?;
        let projection = at.part("input_projection");
        b.scope(projection.today());
        let filter = weight(&mut b, &projection, &[".weight"], &[self.width, self.backbone.to(), 1, 1])?;
        let bias = weight(&mut b, &projection, &[".bias"], &[self.width])?;
        let x = b.op(Op::Conv2d(Conv2d::default()), &[features, filter, bias])?;
        let x = b.reshape(x, [batch, self.width, height * width])?;
        let x = b.transpose(x, &[0, 2, 1])?;
        let memory = self.encode(&mut b, &at, x, places, mask)?;
        let found = self.decode(&mut b, &at, memory, places, mask)?;
        b.output("last_hidden_state", found);
        b.output("encoder_last_hidden_state", memory);
        if weights.has("class_labels_classifier.weight") {
            b.scope("class_labels_classifier");
            // One more for "no object".
            let logits =
                Linear::new("class_labels_classifier", self.width, self.labels + 1).build(&mut b, found)?;
            b.output("logits", logits);
            b.scope("bbox_predictor");
            let layer =
                |i: usize, to: usize| Linear::new(format!("bbox_predictor.layers.{i}"), self.width, to);
            let x = layer(0, self.width).then(Unary::Relu).build(&mut b, found)?;
            let x = layer(1, self.width).then(Unary::Relu).build(&mut b, x)?;
            let boxes = layer(2, 4).then(Unary::Sigmoid).build(&mut b, x)?;
            b.output("pred_boxes", boxes);
        }
        Ok(b.finish())
    }

    /// An image with padding on its right.
    fn twin_inputs(&self, draw: &mut Draw, tokens: Option<usize>) -> Result<NamedTensors> {
        no_tokens(tokens)?;
        const SIZE: [usize; 2] = [256, 320];
        let [height, width] = SIZE;
        let shape = [1, self.backbone.channels, height, width];
        let pixels = (0..shape.iter().product()).map(|_| draw.normal()).collect();
        let mask = (0..height * width).map(|at| i32::from(at % width < width * 3 / 4)).collect();
        Ok(NamedTensors::from([
            ("pixel_values".to_owned(), Tensor::f32(shape, pixels)),
            ("pixel_mask".to_owned(), Tensor::i32([1, height, width], mask)),
        ]))
    }
}

/// The mask of a feature map: of each image's mask the nearest elements, as PyTorch finds them, in float32.
fn shrink(mask: &[i32], [height, width]: [usize; 2], [rows, columns]: [usize; 2]) -> Vec<i32> {
    let nearest = |to: usize, from: usize| -> Vec<usize> {
        let scale = from as f32 / to as f32;
        (0..to).map(|at| ((at as f32 * scale) as usize).min(from - 1)).collect()
    };
    let (rows, columns) = (nearest(rows, height), nearest(columns, width));
    let mut out = Vec::with_capacity(mask.len() / (height * width) * rows.len() * columns.len());
    for image in mask.chunks_exact(height * width) {
        for row in &rows {
            out.extend(columns.iter().map(|column| image[row * width + column]));
        }
    }
    out
}

/// Sines and cosines of each place's row and column, counted over unmasked places and scaled to a full turn:
/// `[batch, rows, columns, width]`, the row's in the first half of the width.
fn sine_embedding(mask: &[i32], [rows, columns]: [usize; 2], width: usize) -> Vec<f32> {
    const TEMPERATURE: f64 = 10_000.0;
    let half = width / 2;
    let periods: Vec<f64> =
        (0..half).map(|i| libm::pow(TEMPERATURE, (i / 2 * 2) as f64 / half as f64)).collect();
    let mut out = Vec::with_capacity(mask.len() * width);
    for image in mask.chunks_exact(rows * columns) {
        // How many places of this image along a line are not masked.
        let count =
            |places: &mut dyn Iterator<Item = usize>| places.map(|at| f64::from(image[at])).sum::<f64>();
        for row in 0..rows {
            for column in 0..columns {
                let above = count(&mut (0..=row).map(|r| r * columns + column));
                let height = count(&mut (0..rows).map(|r| r * columns + column));
                let before = count(&mut (0..=column).map(|c| row * columns + c));
                let length = count(&mut (0..columns).map(|c| row * columns + c));
                for (place, extent) in [(above, height), (before, length)] {
                    let turn = place / (extent + 1e-6) * TAU;
                    out.extend(periods.iter().enumerate().map(|(i, period)| {
                        let angle = turn / period;
                        (if i % 2 == 0 { libm::sin(angle) } else { libm::cos(angle) }) as f32
                    }));
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_shrink_to_the_nearest_pixel() {
        let mask: Vec<i32> = (0..2 * 5 * 7).map(|i| i32::from(i < 35 || i % 7 < 4)).collect();
        // Rows 0 and 2, columns 0, 2 and 4 of each image.
        let small = shrink(&mask, [5, 7], [2, 3]);
        assert_eq!(small, [1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 0]);
        assert_eq!(shrink(&mask, [5, 7], [5, 7]), mask);
    }

    #[test]
    fn places_are_counted_without_padding() {
        // The second column is padding: places in it count as the first's.
        let out = sine_embedding(&[1, 0, 1, 0], [2, 2], 4);
        let near = |y: &[f32], e: [f64; 4]| y.iter().zip(e).all(|(y, e)| (f64::from(*y) - e).abs() < 1e-4);
        // Halfway down is half a turn; the only column is a whole turn; nothing in a column is none.
        assert!(near(&out[..4], [0.0, -1.0, 0.0, 1.0]), "{out:?}");
        assert!(near(&out[4..8], [0.0, 1.0, 0.0, 1.0]), "{out:?}");
        assert!(near(&out[8..12], [0.0, 1.0, 0.0, 1.0]), "{out:?}");
        assert_eq!(sine_embedding(&[1, 1], [1, 2], 8).len(), 16);
    }

    #[test]
    fn what_is_not_a_resnet_is_refused_by_name() {
        for (text, field) in [
            (r#"{"backbone_config": {"model_type": "swin"}}"#, "backbone_config.model_type"),
            (r#"{"backbone": "efficientnet_b0"}"#, "backbone"),
            (r#"{"d_model": 34, "encoder_attention_heads": 2}"#, "d_model"),
            (r#"{"position_embedding_type": "v4"}"#, "position_embedding_type"),
        ] {
            let error = Detr::new(&Config::parse("config.json", text.as_bytes()).unwrap()).unwrap_err();
            assert!(error.to_string().starts_with(&format!("config field {field} = ")), "{error}");
        }
    }
}
