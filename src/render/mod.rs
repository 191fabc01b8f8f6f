//! Views as documents. Pure: text in, text out; who writes it where is the command's business.

mod csv;
mod json;
mod jsonl;
mod markdown;
#[cfg(test)]
mod tests;

use crate::analyse::view::RunView;

/// The documents that a report can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One self-contained page.
    Html,
    /// Tables for people, in plain text.
    Markdown,
    /// One document with everything.
    Json,
    /// One cell a line: the stable machine form.
    Jsonl,
    /// One cell a line, for spreadsheets.
    Csv,
}

impl Format {
    /// The usual extension of its files.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Markdown => "md",
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
        }
    }
}

/// A document that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// Values that JSON cannot hold.
    #[error("report: {0}")]
    Json(#[from] serde_json::Error),
    /// The renderer is not built.
    #[error("report: {0} is not built yet: use markdown, json, jsonl or csv")]
    NotBuilt(&'static str),
}

/// The runs as a document.
pub fn render(runs: &[RunView], format: Format) -> Result<String, RenderError> {
    match format {
        Format::Html => Err(RenderError::NotBuilt("html")),
        Format::Markdown => Ok(markdown::render(runs)),
        Format::Json => json::render(runs),
        Format::Jsonl => jsonl::render(runs),
        Format::Csv => Ok(csv::render(runs)),
    }
}
