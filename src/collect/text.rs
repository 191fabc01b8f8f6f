//! Sentences for a model that comes with a tokenizer: tokenised on the host, by that tokenizer.

use std::path::Path;

use tokenizers::{PaddingParams, Tokenizer};
use webmatrix_engine::models::{Model, Prompt};
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

/// The seeded inputs with sentences in place of their text, if they have any.
pub(super) fn instead(
    model: &dyn Model,
    seeded: NamedTensors,
    tokenizer: &Path,
) -> Result<NamedTensors, String> {
    let decoder = model.decoder();
    let others: NamedTensors =
        seeded.iter().filter(|(name, _)| !TEXT.contains(&name.as_str())).map(own).collect();
    // A model that writes about a picture has the picture's tokens among the text's: no sentence has them.
    if !seeded.contains_key("input_ids") || (decoder.is_some() && !others.is_empty()) {
        return Ok(seeded);
    }
    // Text that is to be continued cannot be padded, so there is only one.
    let continued = decoder.is_some_and(|decoder| decoder.prompt() == Prompt::Given);
    let sentences = if continued { &SENTENCES[..1] } else { &SENTENCES[..] };
    let mut inputs = encode(tokenizer, sentences)?;
    inputs.extend(others);
    // Most classes know one type of token only, and take no input that says so.
    if model.prepare(&inputs).is_err() {
        inputs.remove("token_type_ids");
    }
    Ok(inputs)
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
