//! LLaVA-NeXT (Liu et al. 2024): `LlavaNextForConditionalGeneration`. A LLaVA that sees an image whole and, at a higher
//! resolution, in tiles, with a learned row at the end of each line of patches.

use crate::error::{Error, Result};
use crate::ir::Graph;
use crate::models::inputs::Inputs;
use crate::models::layers::Names;
use crate::models::llava::Llava;
use crate::models::tiles::{image_rows, resolutions, select_best_resolution};
use crate::models::{Config, Decoder, End, InputTypes, Model, Prompt};
use crate::tensor::{DType, NamedTensors, Tensor};
use crate::weights::{Weights, twin::Draw};

/// What `config.json` says of a LLaVA-NeXT.
#[derive(Debug)]
pub(super) struct LlavaNext {
    inner: Llava,
    /// `image_grid_pinpoints`: heights and widths in pixels that images may be resized to.
    resolutions: Vec<[usize; 2]>,
}

impl LlavaNext {
    pub(super) fn new(config: &Config) -> Result<Self> {
        // Unlike LLaVA's, the text model's own flag counts for nothing.
        let inner = Llava::read(config, config.flag_or("tie_word_embeddings", false)?)?;
        if inner.rows() != inner.vision.side().pow(2) {
            let reason =
                "tiles take a row for each patch: default leaves CLIP's class token out, full is for SigLIP";
            let strategy = config.text_or("vision_feature_select_strategy", "default")?;
            return Err(Error::config("vision_feature_select_strategy", strategy, reason));
        }
        let resolutions = resolutions(config, inner.vision.image)?;
        Ok(Self { inner, resolutions })
    }

    /// Tiles down and across for an image of this size.
    fn tiles(&self, size: [u32; 2]) -> [usize; 2] {
        let best = select_best_resolution(size, &self.resolutions).expect("there is a resolution");
        best.map(|pixels| pixels / self.inner.vision.image)
    }

    /// Takes `image_sizes [images, 2]` and gives the heights and widths.
    fn take_sizes(taken: &mut Inputs<'_>) -> Result<Vec<[u32; 2]>> {
        let name = "image_sizes";
        let sizes = taken.given(name).ok_or_else(|| Error::input(name, "missing"))?;
        if sizes.dtype() != DType::I32 || !matches!(sizes.shape(), [images, 2] if *images > 0) {
            let reason =
                format!("is {:?} {:?} where integers of [images, 2] belong", sizes.dtype(), sizes.shape());
            return Err(Error::input(name, reason));
        }
        let side = |&side: &i32| {
            u32::try_from(side)
                .ok()
                .filter(|side| *side > 0)
                .ok_or_else(|| Error::input(name, format!("holds {side}")))
        };
        let (sizes, _) = sizes.as_i32().as_chunks::<2>();
        sizes.iter().map(|[height, width]| Ok([side(height)?, side(width)?])).collect()
    }

    /// Takes `pixel_values`: by image `[images, tiles, channels, height, width]`, where images of fewer tiles are padded,
    /// or one after another `[tiles, channels, height, width]`. Puts the `counts` of tiles that there are, one after
    /// another.
    fn take_pixels(&self, taken: &mut Inputs<'_>, counts: &[usize]) -> Result<()> {
        let name = "pixel_values";
        // Saturating: a hostile size asks for more tiles than 32 bits count.
        let total = counts.iter().fold(0_usize, |sum, count| sum.saturating_add(*count));
        let pixels = taken.given(name).ok_or_else(|| Error::input(name, "missing"))?;
        let [channels, height, width] = self.inner.vision.pixels().map(Some);
        if pixels.shape().len() == 4 {
            let have = taken.floats(name, &[None, channels, height, width])?[0];
            return if have == total {
                Ok(())
            } else {
                Err(Error::input(name, format!("holds {have} tiles where image_sizes asks for {total}")))
            };
        }
        let most = taken.floats(name, &[Some(counts.len()), None, channels, height, width])?[1];
        if let Some(count) = counts.iter().find(|count| **count > most) {
            let reason = format!("holds {most} tiles an image where image_sizes asks for {count}");
            return Err(Error::input(name, reason));
        }
        let tile: usize = self.inner.vision.pixels().iter().product();
        let images = pixels.as_f32().chunks_exact(most * tile);
        let kept = images.zip(counts).flat_map(|(image, count)| &image[..count * tile]).copied().collect();
        taken.put(name, Tensor::f32([&[total], &self.inner.vision.pixels()[..]].concat(), kept));
        Ok(())
    }
}

impl Model for LlavaNext {
    fn prepare(&self, inputs: &NamedTensors) -> Result<NamedTensors> {
        let mut taken = Inputs::new(inputs);
        let tokens = self.inner.take_text(&mut taken)?;
        // Without images this is a text model.
        if inputs.contains_key("pixel_values") {
            let sizes = Self::take_sizes(&mut taken)?;
            let counts: Vec<usize> =
                sizes.iter().map(|size| 1 + self.tiles(*size).iter().product::<usize>()).collect();
            self.take_pixels(&mut taken, &counts)?;
            // In the graph's table the newline stands behind the tokens, and the tiles behind it.
            let (newline, mut first) = (tokens as i32, tokens + 1);
            let mut rows = Vec::new();
            for (size, count) in sizes.iter().zip(counts) {
                rows.extend(image_rows(*size, self.tiles(*size), self.inner.vision.side(), newline, first));
                first += count * self.inner.rows();
            }
            self.inner.put_merged(&mut taken, &rows)?;
        }
        taken.finish()
    }

    fn decoder(&self) -> Option<&dyn Decoder> {
        Some(self)
    }

    fn image_tokens(&self, inputs: &NamedTensors) -> Result<Option<(i32, Vec<usize>)>> {
        let sizes = Self::take_sizes(&mut Inputs::new(inputs))?;
        let count =
            |size: &[u32; 2]| image_rows(*size, self.tiles(*size), self.inner.vision.side(), 0, 0).len();
        Ok(Some((self.inner.image_token, sizes.iter().map(count).collect())))
    }

    fn twin_inputs(&self, draw: &mut Draw, tokens: Option<usize>) -> Result<NamedTensors> {
        // As high as the first resolution and three quarters as wide, so that some padding is cut off.
        let size = [self.resolutions[0][0] as u32, (self.resolutions[0][1] * 3 / 4).max(1) as u32];
        let tiles = self.tiles(size);
        let rows = image_rows(size, tiles, self.inner.vision.side(), 0, 0);
        Ok(NamedTensors::from([
            ("input_ids".to_owned(), self.inner.twin_ids(draw, rows.len(), tokens)?),
            ("pixel_values".to_owned(), self.inner.vision.twin_pixels(draw, &[1, 1 + tiles[0] * tiles[1]])),
            ("image_sizes".to_owned(), Tensor::i32([1, 2], size.map(|side| side as i32).to_vec())),
        ]))
    }
}

impl Decoder for LlavaNext {
    fn prefill(&self, weights: &Weights, inputs: &InputTypes, context: usize) -> Result<Graph> {
        let newline = Names::any(["model.image_newline", "image_newline"].map(str::to_owned));
        self.inner.graph(weights, inputs, context, Some(&newline))
    }

    fn step(&self, weights: &Weights, inputs: &InputTypes, tokens: usize, context: usize) -> Result<Graph> {
        Decoder::step(&self.inner, weights, inputs, tokens, context)
    }

    fn prompt(&self) -> Prompt {
        self.inner.prompt()
    }

    fn end(&self) -> &End {
        self.inner.end()
    }

    fn max_context(&self) -> usize {
        self.inner.max_context()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::twin_config;

    /// The tiny twin, of tiles of 32 pixels, 16 patches each, and its inputs: an image of 32 by 48 in one by two tiles,
    /// which makes 16 rows and four lines of six patches with a newline.
    fn tiny() -> (LlavaNext, NamedTensors) {
        let model = LlavaNext::new(&twin_config("llava_next", "tiny").unwrap()).unwrap();
        let inputs = model.twin_inputs(&mut Draw::new(0, "inputs"), None).unwrap();
        (model, inputs)
    }

    #[test]
    fn only_tiles_that_there_are_reach_the_graph() {
        let (model, mut inputs) = tiny();
        let prepared = model.prepare(&inputs).unwrap();
        assert_eq!(prepared["pixel_values"].shape(), [3, 3, 32, 32]);
        let ids = inputs["input_ids"].clone();
        assert_eq!(ids.as_i32().iter().filter(|id| **id == model.inner.image_token).count(), 16 + 4 * 7);
        // The tiles one after another, as Hugging Face also takes them.
        inputs.insert("pixel_values".into(), prepared["pixel_values"].clone());
        assert_eq!(model.prepare(&inputs).unwrap(), prepared);
        // Two more, for an image with more tiles in the same batch.
        let padded = [inputs["pixel_values"].as_f32(), &[0.0; 2 * 3 * 32 * 32]].concat();
        inputs.insert("pixel_values".into(), Tensor::f32([1, 5, 3, 32, 32], padded));
        assert_eq!(model.prepare(&inputs).unwrap(), prepared);
    }

    #[test]
    fn counts_that_do_not_match_are_named() {
        let (model, inputs) = tiny();
        let error = |name: &str, tensor: Tensor| {
            let mut inputs = inputs.clone();
            inputs.insert(name.into(), tensor);
            model.prepare(&inputs).unwrap_err().to_string()
        };
        assert_eq!(
            error("input_ids", Tensor::i32([1, 2], vec![5, model.inner.image_token])),
            "input input_ids: 1 image tokens do not take the 44 features of the images",
        );
        assert_eq!(
            error("image_sizes", Tensor::i32([1, 2], vec![64, 64])),
            "input pixel_values: holds 3 tiles an image where image_sizes asks for 5",
        );
        assert_eq!(
            error("pixel_values", Tensor::zeros(DType::F32, [4, 3, 32, 32])),
            "input pixel_values: holds 4 tiles where image_sizes asks for 3",
        );
        assert_eq!(error("image_sizes", Tensor::i32([1, 2], vec![64, 0])), "input image_sizes: holds 0");
        assert!(
            error("image_sizes", Tensor::i32([2], vec![64, 64])).starts_with("input image_sizes: is I32 [2]")
        );
        assert!(error("image_sizes", Tensor::i32([2, 2], vec![64; 4])).starts_with("input pixel_values: "));
    }

    #[test]
    fn without_images_it_is_a_text_model() {
        let (model, _) = tiny();
        let text = NamedTensors::from([("input_ids".to_owned(), Tensor::i32([1, 3], vec![5, 6, 7]))]);
        assert_eq!(model.prepare(&text).unwrap(), text);
    }

    #[test]
    fn configs_that_cannot_be_honoured_are_refused_by_name() {
        for (config, field) in [
            (r#"{"vision_feature_select_strategy": "full"}"#, "vision_feature_select_strategy"),
            (r#"{"image_grid_pinpoints": [[336, 500]]}"#, "image_grid_pinpoints"),
            (r#"{"image_grid_pinpoints": []}"#, "image_grid_pinpoints"),
            (r#"{"image_grid_pinpoints": [336, 336]}"#, "image_grid_pinpoints"),
            (r#"{"text_config": {"model_type": "gpt2"}}"#, "text_config.model_type"),
            (r#"{"vision_config": {"model_type": "pixtral"}}"#, "vision_config.model_type"),
            // Its first patch would be left out.
            (r#"{"vision_config": {"model_type": "siglip_vision_model"}}"#, "vision_feature_select_strategy"),
            (r#"{"image_token_index": -1}"#, "image_token_index"),
            (r#"{"projector_hidden_act": "mish"}"#, "projector_hidden_act"),
        ] {
            let config = Config::parse("config.json", config.as_bytes()).unwrap();
            let error = LlavaNext::new(&config).unwrap_err().to_string();
            assert!(error.starts_with(&format!("config field {field} = ")), "{error}");
        }
    }
}
