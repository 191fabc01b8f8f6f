//! CLIP (Radford et al. 2021): `CLIPModel`.

use crate::error::{Error, Result};
use crate::ir::{Graph, GraphBuilder};
use crate::models::clip_towers::{TextTower, VisionTower, logit_scale, tower, unit};
use crate::models::inputs::Inputs;
use crate::models::layers::{Linear, Names};
use crate::models::{Config, InputTypes, Model};
use crate::ops::{Gemm, Op};
use crate::tensor::{DType, NamedTensors};
use crate::weights::{Weights, twin::Draw};

/// What `config.json` says of a CLIP.
#[derive(Debug)]
pub(super) struct Clip {
    text: TextTower,
    vision: VisionTower,
    projection: usize,
}

impl Clip {
    pub(super) fn new(config: &Config) -> Result<Self> {
        let text = TextTower::defaults(tower(config, "text_config")?)
            .with_defaults(serde_json::json!({"eos_token_id": 49407}));
        let vision = VisionTower::defaults(tower(config, "vision_config")?);
        let eos = text.token_ids("eos_token_id")?;
        let &[eos] = &eos[..] else {
            let reason = "texts are pooled at one token id: none and several are not implemented";
            return Err(Error::config("eos_token_id", format!("{eos:?}"), reason));
        };
        Ok(Self {
            text: TextTower::new(&text, eos)?,
            vision: VisionTower::new(&vision, "pre_layrnorm")?,
            projection: config.size_or("projection_dim", 512)?,
        })
    }
}

impl Model for Clip {
    fn prepare(&self, inputs: &NamedTensors) -> Result<NamedTensors> {
        let mut taken = Inputs::new(inputs);
        self.text.prepare(&mut taken)?;
        let [channels, height, width] = self.vision.pixels().map(Some);
        taken.floats("pixel_values", &[None, channels, height, width])?;
        taken.finish()
    }

    fn forward(&self, weights: &Weights, inputs: &InputTypes) -> Result<Graph> {
        let mut b = GraphBuilder::new(weights);
        let project = |name: &str, from: usize| Linear::new(name, from, self.projection).bias(false);

        let texts = self.text.build(&mut b, &Names::from("text_model"), inputs)?;
        let texts = project("text_projection", self.text.stack.width).build(&mut b, texts)?;
        let texts = unit(&mut b, texts)?;

        let at = Names::from("vision_model");
        let pixels = b.input("pixel_values", DType::F32, inputs["pixel_values"].shape.as_slice());
        let states = self.vision.states(&mut b, &at, pixels, self.vision.stack.layers)?;
        let images = self.vision.pool(&mut b, &at, states[self.vision.stack.layers])?;
        let images = project("visual_projection", self.vision.stack.width).build(&mut b, images)?;
        let images = unit(&mut b, images)?;

        let scale = logit_scale(&mut b)?;
        let cosines = b.op(Op::Gemm(Gemm::default()), &[images, texts])?;
        let logits = b.mul(cosines, scale)?;
        b.output("text_embeds", texts);
        b.output("image_embeds", images);
        b.output("logits_per_image", logits);
        Ok(b.finish())
    }

    fn shared_inputs(&self) -> &'static [&'static str] {
        &["input_ids", "attention_mask"]
    }

    fn twin_inputs(&self, draw: &mut Draw, tokens: Option<usize>) -> Result<NamedTensors> {
        let mut inputs = self.text.twin_inputs(draw, 3, tokens)?;
        inputs.insert("pixel_values".into(), self.vision.twin_pixels(draw, &[1]));
        Ok(inputs)
    }
}
