//! CLAP (Wu et al. 2022): `ClapModel`, with its log-mel front end.

use crate::error::{Error, Result};
use crate::frontend::LogMel;
use crate::ir::{Graph, GraphBuilder, ValueId};
use crate::models::bert::Bert;
use crate::models::fusion::SPECTRA;
use crate::models::inputs::{Inputs, fits, rows, twin_tokens};
use crate::models::layers::{Linear, Names, l2_normalize};
use crate::models::swin::Swin;
use crate::models::{Config, InputTypes, Model};
use crate::ops::{Gemm, Op, Unary};
use crate::tensor::{DType, NamedTensors, Tensor};
use crate::weights::{Weights, twin::Draw};

/// `ClapTextConfig`'s defaults.
const TEXT: &str = r#"{
    "vocab_size": 50265, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "max_position_embeddings": 514, "type_vocab_size": 1, "pad_token_id": 1
}"#;

/// What `config.json` says of a CLAP.
#[derive(Debug)]
pub(super) struct Clap {
    text: Bert,
    padding: i32,
    /// None where spectra are fused: how a sound is cut is drawn by lot, so that only its spectra say what it is.
    front_end: Option<LogMel>,
    audio: Swin,
    projection: usize,
    activation: Unary,
}

impl Clap {
    pub(super) fn new(config: &Config) -> Result<Self> {
        let text = config.part_over("text_config", TEXT)?;
        let audio = Swin::new(&config.part_over("audio_config", "{}")?)?;
        Ok(Self {
            padding: text.token_ids("pad_token_id")?.first().copied().unwrap_or(1),
            // What the parts say of their projections, the whole overrules.
            activation: config.activation("projection_hidden_act", "relu")?,
            projection: config.size_or("projection_dim", 512)?,
            text: Bert::new(&text)?,
            front_end: if audio.fusion.is_some() { None } else { Some(front_end(config, audio.mels)?) },
            audio,
        })
    }

    /// Two linear layers, then length 1.
    fn project(&self, b: &mut GraphBuilder<'_>, at: &str, pooled: ValueId) -> Result<ValueId> {
        let at = Names::from(at);
        b.scope(at.today());
        let from = b.shape(pooled)[1];
        let inner =
            Linear::new(at.part("linear1"), from, self.projection).then(self.activation).build(b, pooled)?;
        let y = Linear::new(at.part("linear2"), self.projection, self.projection).build(b, inner)?;
        l2_normalize(b, y)
    }

    /// Takes `audio` or `input_features`, and gives the number of frames.
    fn take_sound(&self, taken: &mut Inputs<'_>, front_end: &LogMel) -> Result<usize> {
        // Says which clips were cut short; only fusion looks at it.
        taken.given("is_longer");
        match (taken.given("audio"), taken.given("input_features")) {
            (Some(_), Some(_)) => Err(Error::input("audio", "give either audio or input_features, not both")),
            (Some(_), None) => {
                let audio = taken.audio("audio")?;
                taken.put("audio", front_end.fill(&rows(&audio))?);
                Ok(front_end.frames(audio.shape()[1]))
            }
            _ => Ok(taken.floats("input_features", &[None, Some(1), None, Some(self.audio.mels)])?[2]),
        }
    }

    /// Takes the four spectra of each clip and whether they differ, and gives the number of frames.
    fn take_spectra(&self, taken: &mut Inputs<'_>) -> Result<usize> {
        if taken.given("audio").is_some() {
            let reason = "fusion cuts it by lot: give input_features of four spectra a clip, and is_longer";
            return Err(Error::input("audio", reason));
        }
        let shape = taken.floats("input_features", &[None, Some(SPECTRA), None, Some(self.audio.mels)])?;
        let longer = taken.ids("is_longer", 2)?;
        if longer != [shape[0], 1] {
            let reason = format!("has shape {longer:?} where {:?} belongs", [shape[0], 1]);
            return Err(Error::input("is_longer", reason));
        }
        Ok(shape[2])
    }

    /// RoBERTa's positions: tokens count from behind the padding's own place, which padding keeps.
    fn positions(&self, ids: &Tensor) -> Tensor {
        let places = ids.as_i32().chunks_exact(ids.shape()[1]).flat_map(|row| {
            let mut place = self.padding;
            row.iter().map(move |&id| {
                if id == self.padding {
                    return self.padding;
                }
                place += 1;
                place
            })
        });
        Tensor::i32(ids.shape(), places.collect())
    }
}

/// The front end of `preprocessor_config.json`, which must give what the audio tower reads, or every CLAP's, for sounds
/// as they are.
fn front_end(config: &Config, mels: usize) -> Result<LogMel> {
    let Some(preprocessor) = config.preprocessor() else { return Ok(LogMel::clap(mels)) };
    let made = LogMel::of_clap(preprocessor)?;
    if made.mels() == mels {
        Ok(made)
    } else {
        let reason = format!("is not the audio tower's num_mel_bins {mels}");
        Err(Error::config("feature_size", made.mels(), reason))
    }
}

impl Model for Clap {
    fn prepare(&self, inputs: &NamedTensors) -> Result<NamedTensors> {
        let mut taken = Inputs::new(inputs);
        let shape = taken.ids("input_ids", self.text.vocabulary)?;
        fits("input_ids", shape[1] + self.padding as usize + 1, self.text.positions)?;
        taken.ids_or("attention_mask", shape, 1, 2)?;
        taken.put("position_ids", self.positions(&inputs["input_ids"]));
        let frames = match &self.front_end {
            Some(front_end) => self.take_sound(&mut taken, front_end)?,
            None => self.take_spectra(&mut taken)?,
        };
        if frames > self.audio.frames() {
            let reason = format!("{frames} frames exceed the {} that spec_size allows", self.audio.frames());
            return Err(Error::input("audio", reason));
        }
        taken.finish()
    }

    fn forward(&self, weights: &Weights, inputs: &InputTypes) -> Result<Graph> {
        let mut b = GraphBuilder::new(weights);
        let shape = inputs["input_ids"].shape.as_slice();
        let [ids, mask, places] =
            ["input_ids", "attention_mask", "position_ids"].map(|name| b.input(name, DType::I32, shape));
        let types = b.constant(Tensor::zeros(DType::I32, shape));
        let at = Names::from("text_model");
        let hidden = self.text.encode(&mut b, &at, [ids, types, mask], Some(places))?;
        let pooled = self.text.pool(&mut b, &at, hidden)?;
        let text = self.project(&mut b, "text_projection", pooled)?;

        let (features, longer) = match &self.front_end {
            Some(front_end) => (front_end.features_of(&mut b, inputs)?, None),
            None => {
                let features = inputs["input_features"].shape.as_slice();
                let features = b.input("input_features", DType::F32, features);
                let longer = b.input("is_longer", DType::I32, inputs["is_longer"].shape.as_slice());
                (features, Some(longer))
            }
        };
        let pooled = self.audio.encode(&mut b, &"audio_model.audio_encoder".into(), features, longer)?;
        let audio = self.project(&mut b, "audio_projection", pooled)?;
        b.output("text_embeds", text);
        b.output("audio_embeds", audio);

        b.scope("logits");
        let scale = b.weight(&["logit_scale_a"], [])?;
        let scale = b.reshape(scale, [1])?;
        let scale = b.unary(Unary::Exp, scale)?;
        let cosines = b.op(Op::Gemm(Gemm::default()), &[audio, text])?;
        let logits = b.mul(cosines, scale)?;
        b.output("logits_per_audio", logits);
        Ok(b.finish())
    }

    fn shared_inputs(&self) -> &'static [&'static str] {
        &["input_ids", "attention_mask"]
    }

    fn twin_inputs(&self, draw: &mut Draw, tokens: Option<usize>) -> Result<NamedTensors> {
        let tokens = twin_tokens(tokens, 12, self.text.positions - self.padding as usize - 1)?;
        let mut ids: Vec<i32> = (0..2 * tokens).map(|_| draw.below(self.text.vocabulary) as i32).collect();
        // The second text is shorter.
        ids[2 * tokens - 3.min(tokens - 1)..].fill(self.padding);
        let mask = ids.iter().map(|&id| i32::from(id != self.padding)).collect();
        let frames = self.audio.frames();
        let mut inputs = NamedTensors::from([
            ("input_ids".to_owned(), Tensor::i32([2, tokens], ids)),
            ("attention_mask".to_owned(), Tensor::i32([2, tokens], mask)),
        ]);
        if let Some(front_end) = &self.front_end {
            let samples = (frames - 1).min(200) * front_end.hop();
            let audio = (0..samples).map(|_| 0.1 * draw.normal()).collect();
            inputs.insert("audio".to_owned(), Tensor::f32([1, samples], audio));
        } else {
            let shape = [1, SPECTRA, frames, self.audio.mels];
            let features = (0..shape.iter().product()).map(|_| draw.normal()).collect();
            inputs.insert("input_features".to_owned(), Tensor::f32(shape, features));
            inputs.insert("is_longer".to_owned(), Tensor::i32([1, 1], vec![1]));
        }
        Ok(inputs)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Pictures of `spec` by `spec`, in patches of 4.
    fn fused(spec: usize) -> Result<Clap> {
        let config = json!({
            "text_config": {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8},
            "audio_config": {
                "enable_fusion": true, "num_mel_bins": spec / 2, "spec_size": spec, "window_size": 2,
                "depths": [1], "num_attention_heads": [1], "patch_embeds_hidden_size": 8,
            },
        });
        Clap::new(&Config::parse("config.json", config.to_string().as_bytes()).unwrap())
    }

    #[test]
    fn fusion_takes_four_spectra_a_clip_and_whether_they_differ() {
        let model = fused(32).unwrap();
        let inputs = model.twin_inputs(&mut Draw::new(0, "inputs"), None).unwrap();
        assert_eq!(inputs["input_features"].shape(), [1, 4, 64, 16]);
        assert!(model.prepare(&inputs).is_ok());
        let error = |name: &str, tensor: Option<Tensor>| {
            let mut inputs = inputs.clone();
            match tensor {
                Some(tensor) => inputs.insert(name.to_owned(), tensor),
                None => inputs.remove(name),
            };
            model.prepare(&inputs).unwrap_err().to_string()
        };
        assert_eq!(error("is_longer", None), "input is_longer: missing");
        assert_eq!(
            error("is_longer", Some(Tensor::i32([1, 2], vec![1, 0]))),
            "input is_longer: has shape [1, 2] where [1, 1] belongs"
        );
        let audio = Tensor::zeros(DType::F32, [100]);
        assert!(error("audio", Some(audio)).starts_with("input audio: fusion cuts it by lot"));
        let plain = Tensor::zeros(DType::F32, [1, 1, 64, 16]);
        assert!(error("input_features", Some(plain)).contains("where floats of [any, 4, any, 16] belong"));
    }

    #[test]
    fn pictures_narrower_than_the_patches_of_cuts_are_refused() {
        assert!(fused(12).is_ok());
        let error = fused(8).unwrap_err().to_string();
        assert!(error.starts_with("config field spec_size = 8"), "{error}");
    }
}
