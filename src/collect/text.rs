//! Sentences for a model that comes with a tokenizer: tokenised on the host, by that tokenizer.

use std::path::Path;

use tokenizers::{PaddingParams, Tokenizer};
use webmatrix_engine::models::{Model, Prompt};
use webmatrix_engine::weights::twin::Draw;
use webmatrix_engine::{NamedTensors, Tensor};

/// The file that says how text becomes tokens.
pub(super) const TOKENIZER: &str = "tokenizer.json";

/// The first two mean nearly the same, the third something else: a sentence model must place them so.
pub(super) const SENTENCES: [&str; 3] = [
    "A woman is playing the guitar on a small stage.",
    "Someone performs music with a guitar in front of an audience.",
    "The central bank raised interest rates again on Thursday.",
];

/// What sentences take the place of.
const TEXT: [&str; 4] = ["input_ids", "attention_mask", "token_type_ids", "decoder_input_ids"];

/// The sentences that a model is given where nobody says what. Text that is to be continued cannot be padded, so there is
/// only one.
pub(super) fn sentences(model: &dyn Model) -> &'static [&'static str] {
    if is_continued(model) { &SENTENCES[..1] } else { &SENTENCES[..] }
}

/// Whether the model goes on where its text ends.
pub(super) fn is_continued(model: &dyn Model) -> bool {
    model.decoder().is_some_and(|decoder| decoder.prompt() == Prompt::Given)
}

/// The seeded inputs with texts in place of their text, if they have any.
pub(super) fn instead(
    model: &dyn Model,
    seeded: NamedTensors,
    tokenizer: &Path,
    texts: &[&str],
) -> Result<NamedTensors, String> {
    if !is_read(model, &seeded) {
        return Ok(seeded);
    }
    let others = not_text(&seeded);
    let mut inputs = encode(tokenizer, texts)?;
    inputs.extend(others);
    // Most classes know one type of token only, and take no input that says so.
    if model.prepare(&inputs).is_err() {
        inputs.remove("token_type_ids");
    }
    Ok(inputs)
}

/// Whether the inputs have text that another can take the place of. A model that writes about a picture has the picture's
/// tokens among the text's: no sentence has them.
pub(super) fn is_read(model: &dyn Model, inputs: &NamedTensors) -> bool {
    inputs.contains_key("input_ids") && (model.decoder().is_none() || not_text(inputs).is_empty())
}

fn not_text(inputs: &NamedTensors) -> NamedTensors {
    inputs.iter().filter(|(name, _)| !TEXT.contains(&name.as_str())).map(own).collect()
}

fn own((name, tensor): (&String, &Tensor)) -> (String, Tensor) {
    (name.clone(), tensor.clone())
}

/// `input_ids`, `attention_mask` and `token_type_ids`, one row a sentence, padded to the longest.
pub(super) fn encode(tokenizer: &Path, sentences: &[&str]) -> Result<NamedTensors, String> {
    let fault = |error: tokenizers::Error| format!("{}: {error}", tokenizer.display());
    let mut loaded = Tokenizer::from_file(tokenizer).map_err(fault)?;
    // The file may pad to a fixed length; here the longest sentence decides.
    let padding = PaddingParams { strategy: tokenizers::PaddingStrategy::BatchLongest, ..Default::default() };
    let padding = match loaded.get_padding() {
        Some(own) => PaddingParams { strategy: tokenizers::PaddingStrategy::BatchLongest, ..own.clone() },
        None => padding,
    };
    loaded.with_padding(Some(padding));
    let rows = loaded.encode_batch(sentences.to_vec(), true).map_err(fault)?;
    let width = rows.first().map_or(0, tokenizers::Encoding::len);
    let shape = [rows.len(), width];
    let column = |values: fn(&tokenizers::Encoding) -> &[u32]| {
        Tensor::i32(shape, rows.iter().flat_map(|row| values(row).iter().map(|&v| v as i32)).collect())
    };
    Ok(NamedTensors::from([
        ("input_ids".to_owned(), column(tokenizers::Encoding::get_ids)),
        ("attention_mask".to_owned(), column(tokenizers::Encoding::get_attention_mask)),
        ("token_type_ids".to_owned(), column(tokenizers::Encoding::get_type_ids)),
    ]))
}

/// Tokens that a model is given at once to be scored by, where it has so many positions.
const WINDOW: usize = 256;
/// Logits of a scored text, at most: 128 MiB of them are uploaded.
const MOST_LOGITS: usize = 1 << 25;

/// A text that a model is scored by: its tokens in windows of one length, one after another, as many as there are logits for.
/// What is left at the end fills no window, and is left out.
pub(super) fn scored(model: &dyn Model, tokenizer: &Path, corpus: &str) -> Result<NamedTensors, String> {
    let fault = |error: tokenizers::Error| format!("{}: {error}", tokenizer.display());
    let mut loaded = Tokenizer::from_file(tokenizer).map_err(fault)?;
    // The file may cut texts to the length that the model was trained with.
    loaded.with_truncation(None).map_err(fault)?;
    loaded.with_padding(None);
    let encoded = loaded.encode(corpus, true).map_err(fault)?;
    let ids: Vec<i32> = encoded.get_ids().iter().map(|&id| id as i32).collect();
    let most = model.decoder().map_or(WINDOW, |decoder| decoder.max_context()).min(WINDOW);
    let window = ids.len().min(most);
    if window < 2 {
        return Err(format!("--text: has {} tokens, and only what follows another can be scored", ids.len()));
    }
    let room = (MOST_LOGITS / (window * loaded.get_vocab_size(true)).max(1)).max(1);
    let rows = (ids.len() / window).min(room);
    let shape = [rows, window];
    let ids = ids[..rows * window].to_vec();
    let mask = Tensor::i32(shape, vec![1; ids.len()]);
    let mut inputs = NamedTensors::from([
        ("input_ids".to_owned(), Tensor::i32(shape, ids)),
        ("attention_mask".to_owned(), mask),
    ]);
    if model.prepare(&inputs).is_err() {
        inputs.remove("attention_mask");
    }
    Ok(inputs)
}

/// What models are calibrated with where nobody says: a sentence a line.
const CALIBRATION: &str = include_str!("../../matrices/calibration.txt");
/// Rows of random words beside these sentences, and tokens of each: more directions than forty sentences have.
const RANDOM_ROWS: usize = 120;
const RANDOM_TOKENS: usize = 18;

/// Texts that quantisation is calibrated with: sentences that are nobody's input, and random words of the vocabulary. Text
/// that is to be continued is one row.
pub(super) fn calibration(
    model: &dyn Model,
    seeded: NamedTensors,
    tokenizer: &Path,
) -> Result<NamedTensors, String> {
    let fault = |error: tokenizers::Error| format!("{}: {error}", tokenizer.display());
    let words = Tokenizer::from_file(tokenizer).map_err(fault)?;
    let mut draw = Draw::new(0, "calibration");
    let size = words.get_vocab_size(true);
    let mut rows: Vec<String> = CALIBRATION.lines().map(str::to_owned).collect();
    for _ in 0..RANDOM_ROWS {
        let tokens: Vec<u32> = (0..RANDOM_TOKENS).map(|_| draw.below(size) as u32).collect();
        rows.push(words.decode(&tokens, true).map_err(fault)?);
    }
    if is_continued(model) {
        rows = vec![CALIBRATION.lines().collect::<Vec<_>>().join(" ")];
    }
    instead(model, seeded, tokenizer, &rows.iter().map(String::as_str).collect::<Vec<_>>())
}
