//! Views as documents. Pure: text in, text out; who writes it where is the command's business.

mod comparison;
mod csv;
mod gate;
mod html;
mod json;
mod jsonl;
mod markdown;
#[cfg(test)]
mod tests;

pub use comparison::{ComparisonFormat, Sheet, render_comparison, sheet};
pub use gate::{GateFormat, render_gate};

use crate::analyse::dossier::Dossier;
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
    /// The page's template does not fit its data: a fault of this program.
    #[error("report: {0:?}")]
    Template(#[from] tera::Error),
}

/// The runs as a document. Only the page shows what stands behind the cells; the others need no more
/// than the dossiers' views.
pub fn render(runs: &[Dossier], format: Format) -> Result<String, RenderError> {
    let views: Vec<&RunView> = runs.iter().map(|dossier| &dossier.view).collect();
    match format {
        Format::Html => html::render(runs),
        Format::Markdown => Ok(markdown::render(&views)),
        Format::Json => json::render(&views),
        Format::Jsonl => jsonl::render(&views),
        Format::Csv => Ok(csv::render(&views)),
    }
}
