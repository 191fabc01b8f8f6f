//! Sentences for a model that comes with a tokenizer: tokenised on the host, by that tokenizer.

use std::path::Path;

use tokenizers::{PaddingParams, Tokenizer};
use webmatrix_engine::{NamedTensors, Tensor};

/// The file that says how text becomes tokens.
pub(super) const TOKENIZER: &str = "tokenizer.json";

/// The first two mean nearly the same, the third something else: a sentence model must place them so.
pub(super) const SENTENCES: [&str; 3] = [
    "A woman is playing the guitar on a small stage.",
    "Someone performs music with a guitar in front of an audience.",
    "The central bank raised interest rates again on Thursday.",
];

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
