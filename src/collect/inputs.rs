//! What a model works on where its folder does not say it: a person's own pictures, sounds and texts, sentences where
//! the folder has a tokenizer, seeded values for everything else.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use webmatrix_engine::frontend::{Picture, Preprocessor, decode, sample_frames};
use webmatrix_engine::models::{Config, Model, model, repeated};
use webmatrix_engine::tensor::{read_safetensors, write_safetensors};
use webmatrix_engine::weights::twin::Draw;
use webmatrix_engine::{Error, NamedTensors, Tensor};

use super::material::{INPUTS, PREPROCESSOR};
use super::text;
use crate::plan::Shape;

/// A person's own pictures, sounds and texts, in place of what a folder says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Pictures, an item each; for a class that reads videos, the frames of one.
    pub images: Vec<PathBuf>,
    /// Sounds, an item each.
    pub audio: Vec<PathBuf>,
    /// Texts.
    pub texts: Vec<String>,
    /// A text that models which continue text are scored by: they are given it, and generate nothing.
    pub corpus: Option<String>,
}

impl Given {
    /// Whether nothing is given.
    pub const fn is_empty(&self) -> bool {
        self.images.is_empty() && self.audio.is_empty() && self.texts.is_empty() && self.corpus.is_none()
    }
}

/// More bytes than this are no picture or sound that a model takes.
const MOST_BYTES: u64 = 1 << 28;

/// Refuses a `preprocessor_config.json` that the model or the front end cannot honour.
pub(super) fn front_end(class: &str, config: &[u8], preprocessor: &[u8]) -> Result<(), String> {
    let honoured = || -> Result<(), Error> {
        Preprocessor::read(&Config::parse(PREPROCESSOR, preprocessor)?)?;
        // A fault of the config alone is told where configs are read.
        if Config::of_files(config, None).and_then(|config| model(class, &config)).is_err() {
            return Ok(());
        }
        model(class, &Config::of_files(config, Some(preprocessor))?).map(drop)
    };
    honoured().map_err(|error| {
        let text = match error {
            Error::Data { reason, .. } => reason,
            other => other.to_string(),
        };
        format!(
            "as {class}: {text}; change it, or take the file away if {INPUTS} holds what it would have made"
        )
    })
}

/// Inputs for a model: named tensors, safetensors. `own` are the folder's; what is given takes their place, and a shape
/// that is not the usual one is made of them by repetition. With them come the heights and widths of pictures given.
pub(super) fn inputs(
    class: &str,
    (config, preprocessor): (&[u8], Option<&[u8]>),
    folder: &Path,
    own: Option<&[u8]>,
    given: &Given,
    shape: Shape,
) -> Result<(Bytes, Vec<[usize; 2]>), String> {
    let told = |error: Error| error.to_string();
    let config = Config::of_files(config, preprocessor).map_err(told)?;
    let model = model(class, &config).map_err(told)?;
    let pictures = decoded(&given.images)?;
    let inputs = match own {
        Some(own) if given.is_empty() => read_safetensors(INPUTS, own).map_err(told)?,
        _ => {
            let seeded = model.twin_inputs(&mut Draw::new(0, "inputs"), None).map_err(told)?;
            let front_end = preprocessor.map(|text| {
                Config::parse(PREPROCESSOR, text).and_then(|config| Preprocessor::read(&config)).map_err(told)
            });
            made(class, &*model, seeded, front_end.transpose()?.as_ref(), folder, given, &pictures)?
        }
    };
    let [batch, tokens] = [shape.batch, shape.tokens].map(|size| size.map(|size| size as usize));
    let inputs = repeated(&*model, inputs, batch, tokens).map_err(told)?;
    // Found now rather than in every page.
    model.prepare(&inputs).map_err(told)?;
    let sizes = pictures.iter().map(Picture::size).collect();
    write_safetensors(&inputs).map(|inputs| (Bytes::from(inputs), sizes)).map_err(told)
}

/// Seeded inputs with what is given, and with sentences, in their place.
fn made(
    class: &str,
    model: &dyn Model,
    seeded: NamedTensors,
    front_end: Option<&Preprocessor>,
    folder: &Path,
    given: &Given,
    shown: &[Picture],
) -> Result<NamedTensors, String> {
    let front_end = |what: &str| {
        let lacks =
            || format!("{what}: {} lacks {PREPROCESSOR}, which says how it is read", folder.display());
        front_end.ok_or_else(lacks)
    };
    let tokenizer = folder.join(text::TOKENIZER);
    if let Some(corpus) = &given.corpus {
        if !text::is_continued(model) || !text::is_read(model, &seeded) {
            return Err(format!(
                "{class} continues no text, so no text surprises it: leave it out of what is scored by one"
            ));
        }
        if !tokenizer.is_file() {
            return Err(format!("--text: {} is missing: it says how text is read", tokenizer.display()));
        }
        return text::scored(model, &tokenizer, corpus);
    }
    let mut inputs = seeded;
    if !given.images.is_empty() {
        let Some(pixels) = inputs.remove("pixel_values") else {
            return Err(format!("--image: {class} takes no pictures"));
        };
        inputs.remove("pixel_mask");
        inputs.remove("image_sizes");
        inputs.extend(pictures(front_end("--image")?, shown, &pixels)?);
        let of_pictures = model.image_tokens(&inputs).map_err(|error| error.to_string())?;
        if let Some((token, counts)) = of_pictures {
            let [prompt] = &given.texts[..] else {
                return Err(format!(
                    "--image: {class} reads pictures where its text has them: give one --text, with its image token \
                     (such as <image>) for each picture"
                ));
            };
            let ids = text::encode(&folder.join(text::TOKENIZER), &[prompt])?;
            inputs.insert("input_ids".to_owned(), with_pictures(&ids["input_ids"], token, &counts)?);
            return Ok(inputs);
        }
    }
    if !given.audio.is_empty() {
        if inputs.remove("audio").or_else(|| inputs.remove("input_values")).is_none() {
            return Err(format!("--audio: {class} takes no sound"));
        }
        inputs.insert("audio".to_owned(), sounds(front_end("--audio")?, &given.audio)?);
    }
    let given: Vec<&str> = given.texts.iter().map(String::as_str).collect();
    match (tokenizer.is_file(), given.is_empty()) {
        (false, false) => {
            Err(format!("--text: {} is missing: it says how text is read", tokenizer.display()))
        }
        (false, true) => Ok(inputs),
        (true, true) => text::instead(model, inputs, &tokenizer, text::sentences(model)),
        (true, false) if !text::is_read(model, &inputs) => {
            Err(format!("--text: {class} reads no text of one's own"))
        }
        (true, false) if given.len() > 1 && text::is_continued(model) => {
            Err(format!("--text: {class} goes on where its text ends: give one"))
        }
        (true, false) => text::instead(model, inputs, &tokenizer, &given),
    }
}

/// A text's tokens, with as many of each picture's as it takes.
fn with_pictures(ids: &Tensor, token: i32, counts: &[usize]) -> Result<Tensor, String> {
    let mut left = counts.iter();
    let mut expanded = Vec::new();
    for &id in ids.as_i32() {
        // A picture's token too many is counted below.
        let count = if id == token { left.next().copied().unwrap_or_default() } else { 1 };
        expanded.extend(std::iter::repeat_n(id, count));
    }
    let places = ids.as_i32().iter().filter(|id| **id == token).count();
    if places == counts.len() {
        Ok(Tensor::i32([1, expanded.len()], expanded))
    } else {
        Err(format!(
            "--text: has {places} of token {token}, which stands for a picture, for {} pictures",
            counts.len()
        ))
    }
}

/// Reads a plain file, if it is no larger than a picture or sound may be.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let fault = |reason: String| format!("{}: {reason}", path.display());
    let facts = std::fs::metadata(path).map_err(|error| fault(error.to_string()))?;
    if !facts.is_file() || facts.len() > MOST_BYTES {
        return Err(fault(format!("is no plain file of at most {MOST_BYTES} bytes")));
    }
    std::fs::read(path).map_err(|error| fault(error.to_string()))
}

/// A person's pictures, as they are in their files.
fn decoded(files: &[PathBuf]) -> Result<Vec<Picture>, String> {
    let picture = |path: &PathBuf| {
        decode::picture(&path.display().to_string(), &read(path)?).map_err(|error| error.to_string())
    };
    files.iter().map(picture).collect()
}

/// Pictures as a front end makes them; `usual` is what a twin's are, whose frames a video must have.
fn pictures(front_end: &Preprocessor, pictures: &[Picture], usual: &Tensor) -> Result<NamedTensors, String> {
    let made = match front_end {
        Preprocessor::Images(front) => front.images(pictures),
        Preprocessor::Tiles(front) => front.images(pictures),
        Preprocessor::Videos(front) => {
            let frames = sample_frames(0, pictures.len(), usual.shape().get(1).copied().unwrap_or(1));
            let frames: Vec<Picture> = frames.into_iter().map(|at| pictures[at].clone()).collect();
            front.videos(&[&frames])
        }
        Preprocessor::LogMel(_) | Preprocessor::Waveform(_) => {
            return Err(format!("--image: {PREPROCESSOR} is for sounds"));
        }
    };
    made.map_err(|error| error.to_string())
}

/// Sounds `[sounds, samples]`, as they are: what a model makes of them is its own.
fn sounds(front_end: &Preprocessor, files: &[PathBuf]) -> Result<Tensor, String> {
    let rate = match front_end {
        Preprocessor::LogMel(front) => front.sampling_rate(),
        Preprocessor::Waveform(front) => front.sampling_rate(),
        _ => return Err(format!("--audio: {PREPROCESSOR} is for pictures")),
    };
    let mut rows = Vec::new();
    let mut samples = None;
    for path in files {
        let sound = decode::sound(&path.display().to_string(), &read(path)?).map_err(|e| e.to_string())?;
        if sound.sampling_rate != rate {
            return Err(format!(
                "{}: has {} samples a second, the model takes {rate}: resample it",
                path.display(),
                sound.sampling_rate
            ));
        }
        if *samples.get_or_insert(sound.samples.len()) != sound.samples.len() {
            return Err(format!("{}: sounds of several lengths make no batch: cut them", path.display()));
        }
        rows.extend(sound.samples);
    }
    Ok(Tensor::f32([files.len(), samples.unwrap_or_default()], rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pictures_token_becomes_as_many_as_it_takes() {
        let ids = Tensor::i32([1, 5], vec![1, 9, 2, 9, 3]);
        let made = with_pictures(&ids, 9, &[2, 3]);
        assert_eq!(made, Ok(Tensor::i32([1, 8], vec![1, 9, 9, 2, 9, 9, 9, 3])));
        assert!(with_pictures(&ids, 9, &[2]).is_err() && with_pictures(&ids, 9, &[1, 1, 1]).is_err());
    }

    const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

    fn fixture(file: &str) -> Vec<u8> {
        std::fs::read(format!("{FIXTURES}/{file}")).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// The picture is the first of the front end's fixture.
    #[test]
    fn a_picture_becomes_what_transformers_makes_of_it() {
        let preprocessor = fixture("frontends/vit/preprocessor_config.json");
        let config: serde_json::Value =
            serde_json::from_slice(&fixture("goldens/vit/config.json")).unwrap_or_else(|e| panic!("{e}"));
        let mut config = config;
        config["image_size"] = 24.into();
        let given =
            Given { images: vec![format!("{FIXTURES}/media/picture.png").into()], ..Given::default() };
        let config = config.to_string().into_bytes();
        let of = |batch| {
            let shape = Shape { batch, tokens: None };
            let front_end = Some(&preprocessor[..]);
            let made = inputs("vit", (&config, front_end), Path::new("nowhere"), None, &given, shape);
            let (made, sizes) = made.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(sizes, [[37, 53]]);
            read_safetensors("made", &made).unwrap_or_else(|error| panic!("{error}"))
        };
        let expected = fixture("frontends/vit/expected.safetensors");
        let expected = read_safetensors("expected", &expected).unwrap_or_else(|error| panic!("{error}"));
        let first = &expected["pixel_values"].as_f32()[..3 * 24 * 24];
        assert_eq!(of(None)["pixel_values"], Tensor::f32([1, 3, 24, 24], first.to_vec()));
        assert_eq!(of(Some(2))["pixel_values"], Tensor::f32([2, 3, 24, 24], first.repeat(2)));
    }
}
