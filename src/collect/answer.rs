//! What a cell's outputs say, in what a person can check: labels, boxes, text, rankings, likenesses of sentences.
//!
//! Said of the outputs that the page uploaded, never of those that are expected; what cannot be said (no tokenizer, no
//! names) is not said. It proves nothing: the verdict rests on the comparison alone.

use std::fmt::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;
use webmatrix_engine::models::Config;
use webmatrix_engine::tasks::{
    Answer, Detection, Detokenize, Labels, Material as Needs, Scored, Vocabulary, answer, cosines,
    generated_text,
};
use webmatrix_engine::tensor::read_safetensors;
use webmatrix_engine::{NamedTensors, Tensor};

use super::material::{CONFIG, INPUTS, Material};
use super::text::TOKENIZER;
use crate::plan::ModelClass;
use crate::serve::FileSource;

/// One thing that outputs say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// What kind of thing.
    pub task: Task,
    /// Which item of the batch it is about, from 0.
    pub item: u32,
    /// The best is 0.
    pub rank: u32,
    /// A label, a text, token ids, or which other item.
    pub text: String,
    /// A probability, or a cosine.
    pub score: Option<f64>,
    /// Left, top, right and bottom of a box, in pixels.
    pub corners: Option<[f64; 4]>,
}

/// The kinds of things that outputs say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A class of a picture, with its probability.
    Label,
    /// A text that was ranked, with its probability.
    Ranking,
    /// An object in a picture, with its probability and place.
    Box,
    /// What was generated or heard.
    Text,
    /// The tokens that were generated, where no tokenizer says what they mean.
    Tokens,
    /// How alike the embeddings of two items are: their cosine.
    Embedding,
}

impl Task {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Label, Self::Ranking, Self::Box, Self::Text, Self::Tokens, Self::Embedding];

    /// Its one spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Ranking => "ranking",
            Self::Box => "box",
            Self::Text => "text",
            Self::Tokens => "tokens",
            Self::Embedding => "embedding",
        }
    }
}

/// The letters of wav2vec 2.0, which has no other tokenizer.
pub(super) const VOCABULARY: &str = "vocab.json";

/// Likeliest classes that are said of an item.
const TOP: usize = 5;
/// The probability that an object must exceed, as in transformers' examples.
const SURE: f64 = 0.5;
/// Items, and things of an item, that are said at most: a batch of a thousand is no reading.
const MOST: usize = 16;

/// What outputs say; nothing, where that cannot be said.
pub(super) fn said(class: ModelClass, material: &Material, outputs: &[u8]) -> Vec<Statement> {
    let Some(folder) = Behind::of(material) else { return Vec::new() };
    let Ok(outputs) = read_safetensors("outputs", outputs) else { return Vec::new() };
    folder.said(class.as_str(), &outputs).unwrap_or_default()
}

/// What stands behind outputs on the host. Twins are made in the page: nobody gave their classes names.
struct Behind {
    config: Config,
    inputs: NamedTensors,
    tokenizer: Option<Tokenizer>,
    vocabulary: Option<Vocabulary>,
    /// Heights and widths of a person's own pictures.
    sizes: Vec<[usize; 2]>,
}

impl Behind {
    fn of(material: &Material) -> Option<Self> {
        let read = |name: &str| match material.files.get(name)? {
            FileSource::Bytes(bytes) => Some(bytes.to_vec()),
            FileSource::Disk(path) => std::fs::read(path).ok(),
        };
        let beside = |name: &str| material.folder.as_ref().map(|folder| folder.join(name));
        let config = Config::parse(CONFIG, &read(CONFIG)?).ok()?;
        let vocabulary = beside(VOCABULARY).and_then(|path| std::fs::read(path).ok());
        Some(Self {
            inputs: read_safetensors(INPUTS, &read(INPUTS)?).ok()?,
            tokenizer: beside(TOKENIZER).and_then(|path| tokenizer(&path)),
            vocabulary: vocabulary.and_then(|text| Vocabulary::read(&text, &config).ok()),
            sizes: material.sizes.clone(),
            config,
        })
    }

    fn said(&self, class: &str, outputs: &NamedTensors) -> Option<Vec<Statement>> {
        let decode = |ids: &[i32]| self.decoded(ids).unwrap_or_default();
        let candidates = self.candidates();
        let candidates: Vec<&str> = candidates.iter().map(String::as_str).collect();
        let sizes = self.sizes(outputs);
        let everything = Tensor::i32([0, 0], Vec::new());
        let mask = match self.inputs.get("attention_mask") {
            Some(mask) => mask.clone(),
            // Without a mask, every token is shown.
            None => match self.inputs.get("input_ids") {
                Some(ids) => Tensor::i32(ids.shape().to_vec(), vec![1; ids.shape().iter().product()]),
                None => everything,
            },
        };
        let needs = Needs {
            labels: Labels::read(&self.config).ok()?,
            top: TOP,
            candidates: &candidates,
            sizes: &sizes,
            threshold: SURE,
            vocabulary: self.vocabulary.as_ref(),
            attention_mask: Some(&mask),
            detokenize: self.tokenizer.is_some().then_some(&decode as &Detokenize<'_>),
        };
        match answer(class, outputs, &needs) {
            Ok(answer) => Some(statements(answer)),
            Err(_) if self.tokenizer.is_none() && outputs.contains_key("generated_ids") => {
                let ids = |ids: &[i32]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
                Some(texts(Task::Tokens, generated_text(outputs, ids).ok()?))
            }
            Err(_) => None,
        }
    }

    fn decoded(&self, ids: &[i32]) -> Option<String> {
        let ids: Vec<u32> = ids.iter().map(|&id| u32::try_from(id)).collect::<Result<_, _>>().ok()?;
        self.tokenizer.as_ref()?.decode(&ids, true).ok()
    }

    /// The texts that are ranked: as the tokenizer reads back what the model was given, else by their places.
    fn candidates(&self) -> Vec<String> {
        let Some(&[texts, width]) = self.inputs.get("input_ids").map(Tensor::shape) else {
            return Vec::new();
        };
        let ids = self.inputs["input_ids"].as_i32();
        let name = |at: usize| {
            let decoded = self.decoded(&ids[at * width..(at + 1) * width]);
            decoded.unwrap_or_else(|| format!("text {at}"))
        };
        (0..texts).map(name).collect()
    }

    /// The size of each picture: a person's own, or what of `pixel_values` its mask shows.
    fn sizes(&self, outputs: &NamedTensors) -> Vec<[usize; 2]> {
        let Some(&[batch, _, _]) = outputs.get("logits").map(Tensor::shape) else { return Vec::new() };
        if self.sizes.len() == batch {
            return self.sizes.clone();
        }
        let Some(&[_, _, height, width]) = self.inputs.get("pixel_values").map(Tensor::shape) else {
            return Vec::new();
        };
        let Some(mask) = self.inputs.get("pixel_mask").filter(|mask| mask.shape() == [batch, height, width])
        else {
            return vec![[height, width]; batch];
        };
        let shown = |mask: &[i32]| {
            let column = mask.iter().step_by(width).filter(|shown| **shown != 0).count();
            [column, mask[..width].iter().filter(|shown| **shown != 0).count()]
        };
        mask.as_i32().chunks_exact(height * width).map(shown).collect()
    }
}

fn tokenizer(path: &Path) -> Option<Tokenizer> {
    if path.is_file() { Tokenizer::from_file(path).ok() } else { None }
}

/// An answer, thing by thing.
fn statements(answer: Answer) -> Vec<Statement> {
    match answer {
        Answer::Labels(items) => scored(Task::Label, items),
        Answer::Rankings(items) => scored(Task::Ranking, items),
        Answer::Boxes(items) => {
            let of = |found: Detection| (found.label, Some(found.score), Some(found.corners));
            numbered(Task::Box, items.into_iter().map(|item| item.into_iter().map(of).collect()))
        }
        Answer::Text(items) => texts(Task::Text, items),
        Answer::Embeddings(rows) => likenesses(&rows),
    }
}

type Thing = (String, Option<f64>, Option<[f64; 4]>);

fn scored(task: Task, items: Vec<Vec<Scored>>) -> Vec<Statement> {
    let of =
        |item: Vec<Scored>| item.into_iter().map(|scored| (scored.label, Some(scored.score), None)).collect();
    numbered(task, items.into_iter().map(of))
}

fn texts(task: Task, items: Vec<String>) -> Vec<Statement> {
    numbered(task, items.into_iter().map(|text| vec![(text, None, None)]))
}

/// How alike each item's embedding is to those of the items after it.
fn likenesses(rows: &[Vec<f32>]) -> Vec<Statement> {
    let width = rows.first().map_or(0, Vec::len);
    let all = Tensor::f32([rows.len(), width], rows.concat());
    let Ok(cosines) = cosines(&all, &all) else { return Vec::new() };
    let of = |(at, row): (usize, Vec<f64>)| {
        let later = row.into_iter().enumerate().skip(at + 1);
        later.map(|(other, cosine)| (other.to_string(), Some(cosine), None)).collect()
    };
    numbered(Task::Embedding, cosines.into_iter().enumerate().map(of))
}

fn numbered(task: Task, items: impl Iterator<Item = Vec<Thing>>) -> Vec<Statement> {
    let of = |(item, things): (u32, Vec<Thing>)| {
        let ranked = (0_u32..).zip(things).take(MOST);
        ranked.map(move |(rank, (text, score, corners))| Statement { task, item, rank, text, score, corners })
    };
    (0_u32..).zip(items).take(MOST).flat_map(of).collect()
}

/// Statements as lines for people, one an item: `label: tabby cat 0.83, lynx 0.05`. Where there are several items, each
/// line begins with its item's number.
pub fn lines(statements: &[Statement]) -> Vec<String> {
    let several = statements.iter().any(|statement| statement.item > 0);
    let mut lines = Vec::new();
    for of_item in statements.chunk_by(|a, b| (a.task, a.item) == (b.task, b.item)) {
        let Some(first) = of_item.first() else { continue };
        let things: Vec<String> = of_item.iter().map(thing).collect();
        let number = if several && first.task != Task::Embedding {
            format!("[{}] ", first.item)
        } else {
            String::new()
        };
        lines.push(format!("{number}{}: {}", first.task.as_str(), things.join(", ")));
    }
    lines
}

fn thing(statement: &Statement) -> String {
    let Statement { task, item, text, score, corners, .. } = statement;
    let mut said = match task {
        Task::Text => format!("{text:?}"),
        Task::Embedding => format!("cosine of {item} and {text}"),
        _ => text.clone(),
    };
    // Writing to a string cannot fail.
    if let Some(score) = score {
        let _ = write!(said, " {score:.2}");
    }
    if let Some(corners) = corners {
        let _ = write!(said, " at {:.0?}", corners);
    }
    said
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::collect::goldens::golden;
    use crate::collect::weights::of_golden;

    /// What the golden's expected outputs, as if a page had uploaded them, say.
    fn of(class: &str, change: impl FnOnce(&mut Material)) -> String {
        let class: ModelClass = class.parse().unwrap_or_else(|error| panic!("{error}"));
        let mut material = of_golden(class).unwrap_or_else(|error| panic!("{error}"));
        let outputs: Bytes = golden(class.as_str()).unwrap_or_else(|| panic!("no golden")).expected();
        change(&mut material);
        lines(&said(class, &material, &outputs)).join("\n")
    }

    #[test]
    fn goldens_say_what_they_say_in_transformers() {
        let said = ["bert", "vit", "clip", "llama", "detr", "wav2vec2"];
        let said = said.map(|class| format!("{class}\n{}", of(class, |_| ())));
        insta::assert_snapshot!(said.join("\n"), @r"
        bert
        embedding: cosine of 0 and 1 0.80
        vit
        [0] label: LABEL_7 0.43, LABEL_2 0.23, LABEL_3 0.14, LABEL_0 0.06, LABEL_9 0.04
        [1] label: LABEL_3 0.30, LABEL_7 0.20, LABEL_2 0.16, LABEL_9 0.11, LABEL_4 0.08
        clip
        [0] ranking: text 1 0.76, text 2 0.22, text 0 0.02
        [1] ranking: text 1 0.70, text 2 0.27, text 0 0.03
        llama
        tokens: 221 320 36 175 283 222 332 163 36 287 195 465 429 293 340 471 104 357 167 19 25 407 425 445 216 372 257 417 211 433 433 461
        detr

        wav2vec2
        ");
    }

    /// DETR's golden is sure of nothing; here all of its queries are made sure of class 3.
    #[test]
    fn boxes_are_in_pixels_of_the_picture() {
        let class: ModelClass = "detr".parse().unwrap_or_else(|error| panic!("{error}"));
        let mut material = of_golden(class).unwrap_or_else(|error| panic!("{error}"));
        let outputs = golden("detr").unwrap_or_else(|| panic!("no golden")).expected();
        let mut outputs = read_safetensors("expected", &outputs).unwrap_or_else(|error| panic!("{error}"));
        let shape = outputs["logits"].shape().to_vec();
        let classes = shape[2];
        let sure = (0..shape.iter().product()).map(|at| if at % classes == 3 { 9.0 } else { 0.0 }).collect();
        outputs.insert("logits".to_owned(), Tensor::f32(shape, sure));
        let outputs = webmatrix_engine::tensor::write_safetensors(&outputs);
        let outputs = outputs.unwrap_or_else(|error| panic!("{error}"));
        let corners = |material: &Material| {
            let first = said(class, material, &outputs).into_iter().next();
            let first = first.unwrap_or_else(|| panic!("nothing is said"));
            (first.text, first.corners.unwrap_or_default())
        };
        // Of the golden's padded picture, what its mask shows; of a person's own, the whole.
        let (label, small) = corners(&material);
        material.sizes = vec![[640, 960]];
        let (_, large) = corners(&material);
        assert_eq!(label, "LABEL_3");
        let mask = golden("detr").map(|golden| golden.inputs).unwrap_or_default();
        let mask = read_safetensors(INPUTS, mask).unwrap_or_else(|error| panic!("{error}"));
        let shown = mask["pixel_mask"].as_i32()[..96].iter().filter(|shown| **shown != 0).count() as f64;
        for (small, large) in [(small[0], large[0]), (small[2], large[2])] {
            assert!((large - small * 960.0 / shown).abs() < 1e-6, "{small} {large} {shown}");
        }
    }

    #[test]
    fn names_and_texts_come_from_the_folder() {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let tokenizer = r#"{"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0, "cat": 1}, "unk_token": "a"}}"#;
        let put = |file: &str, text: &str| {
            std::fs::write(folder.path().join(file), text).unwrap_or_else(|error| panic!("{error}"));
        };
        put(TOKENIZER, tokenizer);
        let said = of("t5", |material| material.folder = Some(folder.path().to_owned()));
        assert!(said.starts_with("text: \"") || said.starts_with("[0] text: \""), "{said}");
        let named = of("vit", |material| {
            let config = golden("vit").map(|golden| golden.config).unwrap_or_default();
            let mut config: serde_json::Value = serde_json::from_slice(config).unwrap_or_default();
            config["id2label"]["7"] = "tabby cat".into();
            let config = FileSource::Bytes(config.to_string().into());
            material.files.insert(CONFIG.to_owned(), config);
        });
        assert!(named.starts_with("[0] label: tabby cat 0.43, "), "{named}");
    }

    #[test]
    fn what_is_no_answer_is_not_said() {
        let class: ModelClass = "vit".parse().unwrap_or_else(|error| panic!("{error}"));
        let material = of_golden(class).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(said(class, &material, b"no tensors"), []);
        let nan = Tensor::f32([1, 2], vec![f32::NAN, 0.0]);
        let outputs = NamedTensors::from([("logits".to_owned(), nan)]);
        let outputs = webmatrix_engine::tensor::write_safetensors(&outputs);
        assert_eq!(said(class, &material, &outputs.unwrap_or_else(|error| panic!("{error}"))), []);
    }
}
