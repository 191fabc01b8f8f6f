//! LLaVA (Liu et al. 2023): `LlavaForConditionalGeneration`. What a vision tower, CLIP's or SigLIP's, makes of an image,
//! projected, takes the place of the image tokens of a text model.

use serde_json::json;

use crate::error::{Error, Result};
use crate::ir::{Graph, GraphBuilder, ValueId};
use crate::models::causal::Causal;
use crate::models::clip_towers::VisionTower;
use crate::models::inputs::{Inputs, twin_tokens};
use crate::models::layers::{Linear, Names, weight};
use crate::models::{Config, Decoder, End, InputTypes, Model, Prompt, llama, mistral, qwen2};
use crate::ops::Op;
use crate::tensor::{DType, NamedTensors, Tensor};
use crate::weights::{Weights, twin::Draw};

/// What `config.json` says of a LLaVA.
#[derive(Debug)]
pub(super) struct Llava {
    pub(super) text: Causal,
    pub(super) vision: VisionTower,
    projector: [Linear; 2],
    /// Which of the vision tower's hidden states are projected, side by side; 0 is what enters its first block.
    states: Vec<usize>,
    /// Whether all of an image's tokens are projected: else not the first one, which is CLIP's class token.
    all_tokens: bool,
    pub(super) image_token: i32,
}

impl Llava {
    /// Reads a LLaVA's config.
    pub(super) fn new(config: &Config) -> Result<Self> {
        // Saved with either; Hugging Face takes what one of them says.
        let tied = config.flag_or("tie_word_embeddings", false)?
            || config.object_or_empty("text_config")?.flag_or("tie_word_embeddings", false)?;
        Self::read(config, tied)
    }

    /// Reads what LLaVA and LLaVA-NeXT have in common.
    pub(super) fn read(config: &Config, tied: bool) -> Result<Self> {
        let text = text(config)?.tied(tied);
        let vision = vision(config)?;
        let states = states(config, vision.stack.layers)?;
        let all_tokens = match config.text_or("vision_feature_select_strategy", "default")? {
            "default" => false,
            "full" => true,
            other => {
                let reason = "only default and full are implemented";
                return Err(Error::config("vision_feature_select_strategy", other, reason));
            }
        };
        if vision.tokens() == 1 && !all_tokens {
            let reason = "leaves nothing of an image that is one patch: use full";
            return Err(Error::config("vision_feature_select_strategy", "default", reason));
        }
        let at = Names::any(["model.multi_modal_projector", "multi_modal_projector"].map(str::to_owned));
        let bias = config.flag_or("multimodal_projector_bias", true)?;
        let activation = config.activation("projector_hidden_act", "gelu")?;
        let linear = |name: &str, from: usize| Linear::new(at.part(name), from, text.width).bias(bias);
        Ok(Self {
            projector: [
                linear("linear_1", vision.stack.width * states.len()).then(activation),
                linear("linear_2", text.width),
            ],
            states,
            all_tokens,
            image_token: image_token(config)?,
            text,
            vision,
        })
    }

    /// Projected rows of one image or tile.
    pub(super) fn rows(&self) -> usize {
        self.vision.tokens() - usize::from(!self.all_tokens)
    }

    /// Takes `input_ids` and an `attention_mask` that hides nothing; gives the number of tokens in all.
    pub(super) fn take_text(&self, taken: &mut Inputs<'_>) -> Result<usize> {
        let shape = taken.ids("input_ids", self.text.vocabulary)?;
        taken.full_mask("attention_mask", shape)?;
        Ok(shape[0] * shape[1])
    }

    /// Puts `merged_rows [batch, tokens]`: for each token, which row of the graph's table stands for it. Image tokens take
    /// `image_rows`, one after another.
    pub(super) fn put_merged(&self, taken: &mut Inputs<'_>, image_rows: &[i32]) -> Result<()> {
        let ids = taken.given("input_ids").expect("just taken");
        let merged = merge(ids.as_i32(), self.image_token, image_rows)?;
        taken.put("merged_rows", Tensor::i32(ids.shape(), merged));
        Ok(())
    }

    /// The graph of prepared inputs. Its table of rows is that of the tokens' embeddings, then the row between the lines
    /// of an image where there is one, then the projected images.
    pub(super) fn graph(
        &self,
        weights: &Weights,
        inputs: &InputTypes,
        context: usize,
        newline: Option<&Names>,
    ) -> Result<Graph> {
        let &[batch, tokens] = &inputs["input_ids"].shape[..] else { unreachable!("prepared: rank 2") };
        let Some(pixels) = inputs.get("pixel_values") else {
            return self.text.prefill(weights, inputs, context);
        };
        let mut b = GraphBuilder::new(weights);
        let width = self.text.width;
        let ids = b.input("input_ids", DType::I32, [batch, tokens]);
        let words = self.text.embed(&mut b, ids)?;
        let mut table = vec![b.reshape(words, [batch * tokens, width])?];
        if let Some(newline) = newline {
            let row = weight(&mut b, newline, &[""], &[width])?;
            table.push(b.reshape(row, [1, width])?);
        }
        let pixels = b.input("pixel_values", DType::F32, pixels.shape.as_slice());
        table.push(self.project(&mut b, pixels)?);
        b.scope("merge");
        let table = b.op(Op::Concat { axis: 0 }, &table)?;
        let merged = b.input("merged_rows", DType::I32, [batch, tokens]);
        let x = b.op(Op::Gather { axis: 0 }, &[table, merged])?;
        let logits = self.text.logits(&mut b, x, [tokens, context])?;
        b.output("logits", logits);
        Ok(b.finish())
    }

    /// `[images, channels, height, width]` pixels to `[images * rows, text width]`.
    fn project(&self, b: &mut GraphBuilder<'_>, pixels: ValueId) -> Result<ValueId> {
        let at = Names::any(
            [
                "model.vision_tower",
                "model.vision_tower.vision_model",
                "vision_tower.vision_model",
                "vision_tower",
            ]
            .map(str::to_owned),
        );
        let deepest = self.states.iter().copied().max().unwrap_or(0);
        let states = self.vision.states(b, &at, pixels, deepest)?;
        let chosen: Vec<ValueId> = self.states.iter().map(|&state| states[state]).collect();
        b.scope("multi_modal_projector");
        let mut x = match chosen[..] {
            [one] => one,
            _ => b.op(Op::Concat { axis: 2 }, &chosen)?,
        };
        let &[images, tokens, width] = b.shape(x) else { unreachable!("embedded: rank 3") };
        if !self.all_tokens {
            x = b.slice(x, &[0, 1, 0], &[images, tokens - 1, width])?;
        }
        let x = self.projector[0].build(b, x)?;
        let x = self.projector[1].build(b, x)?;
        b.reshape(x, [images * self.rows(), self.text.width])
    }

    /// A seeded prompt, so long where that is said, in which this many image tokens stand together.
    pub(super) fn twin_ids(
        &self,
        draw: &mut Draw,
        image_tokens: usize,
        tokens: Option<usize>,
    ) -> Result<Tensor> {
        let tokens = twin_tokens(tokens, image_tokens + 16, self.text.max_context())?;
        // A question about a picture has words before and behind it.
        let words = tokens.checked_sub(image_tokens).filter(|words| *words >= 2).ok_or_else(|| {
            let reason =
                format!("{tokens} tokens are too few for the {image_tokens} of an image and two words");
            Error::input("input_ids", reason)
        })?;
        let before = (words / 2).min(4);
        let mut word = || {
            let id = draw.below(self.text.vocabulary - 1) as i32;
            id + i32::from(id >= self.image_token)
        };
        let mut ids: Vec<i32> = (0..before).map(|_| word()).collect();
        ids.extend(std::iter::repeat_n(self.image_token, image_tokens));
        ids.extend((before..words).map(|_| word()));
        Ok(Tensor::i32([1, ids.len()], ids))
    }
}

/// The text model, whichever it is.
fn text(config: &Config) -> Result<Causal> {
    let text = config.object_or_empty("text_config")?;
    let model =
        Names::any(["model.language_model", "language_model.model", "language_model"].map(str::to_owned));
    let head = Names::any(["lm_head", "language_model.lm_head"].map(str::to_owned));
    match text.text_or("model_type", "llama")? {
        "llama" => {
            let text = text.clone().with_defaults(json!({
                "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
                "num_attention_heads": 32, "eos_token_id": 2,
            }));
            llama::causal(&text, model, head)
        }
        "mistral" => mistral::causal(&text, model, head),
        "qwen2" => {
            let text = text.clone().with_defaults(json!({
                "vocab_size": 151_936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
                "num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 32768,
            }));
            qwen2::causal(&text, model, head)
        }
        other => Err(Error::config(
            "text_config.model_type",
            other,
            "only llama, mistral and qwen2 are implemented",
        )),
    }
}

/// The vision tower: CLIP's or SigLIP's. A config that says nothing of it means CLIP's ViT-L/14 for images of 336 pixels;
/// one that says something, the tower's own defaults for the rest.
fn vision(config: &Config) -> Result<VisionTower> {
    let mut vision = config.object_or_empty("vision_config")?;
    if config.get("vision_config").is_none() {
        vision = vision.with_defaults(json!({
            "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
            "image_size": 336, "patch_size": 14,
        }));
    }
    match vision.text_or("model_type", "clip_vision_model")? {
        "clip_vision_model" => VisionTower::new(&VisionTower::defaults(vision), "pre_layrnorm"),
        "siglip_vision_model" => VisionTower::siglip(vision),
        other => Err(Error::config(
            "vision_config.model_type",
            other,
            "only clip_vision_model and siglip_vision_model are implemented",
        )),
    }
}

/// `vision_feature_layer`: one hidden state or several, negative ones counted from the last.
fn states(config: &Config, layers: usize) -> Result<Vec<usize>> {
    let name = "vision_feature_layer";
    let written = config.get(name).cloned().unwrap_or_else(|| json!(-2));
    let resolve = |value: &serde_json::Value| {
        let index = value.as_i64().map(|index| if index < 0 { index + layers as i64 + 1 } else { index });
        index.and_then(|index| usize::try_from(index).ok()).filter(|state| *state <= layers).ok_or_else(
            || Error::config(name, value, format!("the vision tower has hidden states 0 to {layers}")),
        )
    };
    match &written {
        serde_json::Value::Array(several) if several.is_empty() => {
            Err(Error::config(name, "[]", "must name a hidden state"))
        }
        serde_json::Value::Array(several) => several.iter().map(resolve).collect(),
        one => Ok(vec![resolve(one)?]),
    }
}

/// The id that an image stands for, under either of its names.
fn image_token(config: &Config) -> Result<i32> {
    let name = if config.get("image_token_id").is_some() { "image_token_id" } else { "image_token_index" };
    let Some(written) = config.get(name) else { return Ok(32000) };
    let id = written.as_i64().and_then(|id| i32::try_from(id).ok()).filter(|id| *id >= 0);
    id.ok_or_else(|| Error::config(name, written, "must be a token id"))
}

/// For each token, the row that stands for it: its own embedding or, for an image token, the next of `image_rows`.
fn merge(ids: &[i32], image_token: i32, image_rows: &[i32]) -> Result<Vec<i32>> {
    let places = ids.iter().filter(|id| **id == image_token).count();
    if places != image_rows.len() {
        let reason =
            format!("{places} image tokens do not take the {} features of the images", image_rows.len());
        return Err(Error::input("input_ids", reason));
    }
    let mut image_rows = image_rows.iter();
    let row = |(at, id): (usize, &i32)| {
        let image = (*id == image_token).then(|| image_rows.next()).flatten();
        image.copied().unwrap_or(at as i32)
    };
    Ok(ids.iter().enumerate().map(row).collect())
}

impl Model for Llava {
    fn prepare(&self, inputs: &NamedTensors) -> Result<NamedTensors> {
        let mut taken = Inputs::new(inputs);
        let tokens = self.take_text(&mut taken)?;
        // Without images this is a text model.
        if inputs.contains_key("pixel_values") {
            let [channels, height, width] = self.vision.pixels().map(Some);
            let images = taken.floats("pixel_values", &[None, channels, height, width])?[0];
            let image_rows: Vec<i32> = (0..images * self.rows()).map(|row| (tokens + row) as i32).collect();
            self.put_merged(&mut taken, &image_rows)?;
        }
        taken.finish()
    }

    fn decoder(&self) -> Option<&dyn Decoder> {
        Some(self)
    }

    fn image_tokens(&self, inputs: &NamedTensors) -> Result<Option<(i32, Vec<usize>)>> {
        let images = inputs.get("pixel_values").and_then(|pixels| pixels.shape().first().copied());
        Ok(Some((self.image_token, vec![self.rows(); images.unwrap_or(0)])))
    }

    fn twin_inputs(&self, draw: &mut Draw, tokens: Option<usize>) -> Result<NamedTensors> {
        Ok(NamedTensors::from([
            ("input_ids".to_owned(), self.twin_ids(draw, self.rows(), tokens)?),
            ("pixel_values".to_owned(), self.vision.twin_pixels(draw, &[1])),
        ]))
    }
}

impl Decoder for Llava {
    fn prefill(&self, weights: &Weights, inputs: &InputTypes, context: usize) -> Result<Graph> {
        self.graph(weights, inputs, context, None)
    }

    fn step(&self, weights: &Weights, inputs: &InputTypes, tokens: usize, context: usize) -> Result<Graph> {
        Decoder::step(&self.text, weights, inputs, tokens, context)
    }

    fn prompt(&self) -> Prompt {
        self.text.prompt()
    }

    fn end(&self) -> &End {
        self.text.end()
    }

    fn max_context(&self) -> usize {
        self.text.max_context()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_tokens_take_image_rows_in_order() {
        assert_eq!(merge(&[5, 9, 9, 6, 9], 9, &[30, 20, 10]).unwrap(), [0, 30, 20, 3, 10]);
        let error = merge(&[5, 9, 9], 9, &[1]).unwrap_err().to_string();
        assert_eq!(error, "input input_ids: 2 image tokens do not take the 1 features of the images");
    }

    #[test]
    fn hidden_states_count_from_both_ends() {
        let read = |layer: &str| {
            let config = format!(r#"{{"vision_feature_layer": {layer}}}"#);
            states(&Config::parse("config.json", config.as_bytes()).unwrap(), 3)
        };
        assert_eq!(read("null").unwrap(), [2]);
        assert_eq!(read("-4").unwrap(), [0]);
        assert_eq!(read("[-1, 0, 3]").unwrap(), [3, 0, 3]);
        for bad in ["4", "-5", "[]", "1.5", "[1, \"x\"]"] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.starts_with("config field vision_feature_layer = "), "{error}");
        }
    }

    /// `llava-hf/llava-1.5-7b-hf` writes little more than what it is made of.
    #[test]
    fn what_a_config_leaves_out_has_hugging_faces_defaults() {
        let config = br#"{"image_token_index": 32000, "vision_feature_layer": -2,
            "text_config": {"max_position_embeddings": 4096, "rms_norm_eps": 1e-05, "vocab_size": 32064},
            "vision_config": {"hidden_size": 1024, "image_size": 336, "patch_size": 14, "num_hidden_layers": 24,
                              "num_attention_heads": 16, "intermediate_size": 4096}}"#;
        let model = Llava::new(&Config::parse("config.json", config).unwrap()).unwrap();
        assert_eq!((model.rows(), model.text.width, model.text.end.stop.clone()), (576, 4096, vec![2]));
        let bare = Llava::new(&Config::parse("config.json", b"{}").unwrap()).unwrap();
        assert_eq!((bare.rows(), bare.states.clone(), bare.image_token), (576, vec![23], 32000));
        let partial = Config::parse("config.json", br#"{"vision_config": {"image_size": 64}}"#).unwrap();
        assert_eq!(Llava::new(&partial).unwrap().rows(), 4);
    }

    /// `llava-hf/llava-interleave-qwen-0.5b-hf` projects all 27 by 27 patches; `default` would leave out the first.
    #[test]
    fn siglip_has_no_class_token_to_leave_out() {
        let rows = |strategy: &str| {
            let config = json!({
                "vision_feature_select_strategy": strategy,
                "vision_config": {
                    "model_type": "siglip_vision_model", "hidden_size": 1152, "image_size": 384, "patch_size": 14,
                    "intermediate_size": 4304, "num_hidden_layers": 26, "num_attention_heads": 16,
                },
            });
            Llava::new(&Config::parse("config.json", config.to_string().as_bytes()).unwrap()).unwrap().rows()
        };
        assert_eq!([rows("full"), rows("default")], [729, 728]);
        let one = br#"{"vision_config": {"model_type": "siglip_vision_model", "image_size": 16}}"#;
        let error = Llava::new(&Config::parse("config.json", one).unwrap()).unwrap_err().to_string();
        assert!(error.starts_with("config field vision_feature_select_strategy = "), "{error}");
    }
}
