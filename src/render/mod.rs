//! Views as documents. Pure: text in, text out; who writes it where is the command's business.

mod badge;
mod comparison;
mod csv;
mod explanation;
mod gate;
mod html;
mod json;
mod jsonl;
mod junit;
mod markdown;
mod rows;
mod speeds;
#[cfg(test)]
mod tests;
mod text;
mod wptreport;

pub use comparison::{ComparisonFormat, Sheet, render_comparison, sheet};
pub use explanation::render_explanation;
pub use gate::{GateFormat, render_gate};
pub use html::{Reading, page};

use crate::analyse::can_i_run::can_i_run;
use crate::analyse::dossier::Dossier;
use crate::analyse::run_view::RunView;

/// The documents that a report can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One self-contained page.
    Html,
    /// Tables for people, in plain text.
    Markdown,
    /// The same, what failed first, no longer than the summary of a CI job may be.
    Summary,
    /// One document with everything.
    Json,
    /// One cell a line: the stable machine form.
    Jsonl,
    /// One cell a line, for spreadsheets.
    Csv,
    /// JUnit XML, for CI systems.
    Junit,
    /// What web-platform-tests keep results in; of one browser.
    Wptreport,
    /// Bencher Metric Format.
    Bmf,
    /// github-action-benchmark's `customSmallerIsBetter`.
    GhaBenchmark,
    /// What shields.io makes a badge of.
    Badge,
    /// What an application should choose, by browser and GPU.
    CanIRun,
    /// One cell a row, columns with types; a file, never text.
    Parquet,
}

impl Format {
    /// The usual extension of its files.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Markdown | Self::Summary => "md",
            Self::Json | Self::Wptreport | Self::Bmf | Self::GhaBenchmark | Self::Badge | Self::CanIRun => {
                "json"
            }
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Junit => "xml",
            Self::Parquet => "parquet",
        }
    }

    /// The usual name of its files, without the extension.
    pub const fn stem(self) -> &'static str {
        match self {
            Self::Html | Self::Markdown | Self::Json | Self::Jsonl | Self::Csv | Self::Parquet => "report",
            Self::Summary => "summary",
            Self::Junit => "junit",
            Self::Wptreport => "wptreport",
            Self::Bmf => "bmf",
            Self::GhaBenchmark => "gha-benchmark",
            Self::Badge => "badge",
            Self::CanIRun => "can-i-run",
        }
    }

    /// Whether it shows what became of claims.
    pub const fn shows_claims(self) -> bool {
        matches!(self, Self::Html | Self::Markdown | Self::Json)
    }

    /// Whether it shows what stands behind cells: attempts, samples, logs.
    pub const fn shows_evidence(self) -> bool {
        match self {
            Self::Html
            | Self::Junit
            | Self::Wptreport
            | Self::Bmf
            | Self::GhaBenchmark
            | Self::Badge
            | Self::CanIRun => true,
            Self::Markdown | Self::Summary | Self::Json | Self::Jsonl | Self::Csv | Self::Parquet => false,
        }
    }
}

/// A document that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// Values that JSON cannot hold.
    #[error("report: {0}")]
    Json(#[from] serde_json::Error),
    /// Values that XML cannot hold.
    #[error("report: {0}")]
    Junit(#[from] quick_junit::SerializeError),
    /// What stands behind cells cannot be compressed.
    #[error("report: {0}")]
    Packed(#[from] std::io::Error),
    /// The page's template does not fit its data: a fault of this program.
    #[error("report: {0:?}")]
    Template(#[from] tera::Error),
    /// A format that is no text.
    #[error("report: {0} is no text: the store writes it")]
    NoText(&'static str),
    /// A format that holds one run.
    #[error("report: {0} is of one run: choose one with --run ID")]
    ManyRuns(&'static str),
}

/// What an application reads `can-i-run.json` with.
const READER: &str = include_str!("../../pages/can-i-run.js");

/// What a report is made into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// What its file is called in a folder.
    pub name: String,
    /// The document.
    pub text: String,
}

/// The runs as documents: the one that stands for all first, if the format has one; those of browsers behind it.
///
/// # Errors
/// If the values do not fit the format.
pub fn documents(runs: &[Dossier], format: Format) -> Result<Vec<Rendered>, RenderError> {
    let name = |label: &str| {
        let label = if label.is_empty() { String::new() } else { format!("-{}", text::file_name(label)) };
        format!("{}{label}.{}", format.stem(), format.extension())
    };
    let parts = match (format, runs) {
        (Format::Badge, _) => badge::render(runs)?,
        (Format::Wptreport, [run]) => wptreport::render(run)?,
        (Format::Wptreport, _) => return Err(RenderError::ManyRuns("wptreport")),
        _ => vec![(String::new(), render(runs, format)?)],
    };
    let made = |(label, text): (String, String)| Rendered { name: name(&label), text };
    let mut documents: Vec<Rendered> = parts.into_iter().map(made).collect();
    if format == Format::CanIRun {
        documents.push(Rendered { name: "can-i-run.js".to_owned(), text: READER.to_owned() });
    }
    Ok(documents)
}

/// The runs as one document; of formats that are of one browser, the first.
///
/// # Errors
/// If the values do not fit the format.
pub fn render(runs: &[Dossier], format: Format) -> Result<String, RenderError> {
    let views: Vec<&RunView> = runs.iter().map(|dossier| &dossier.view).collect();
    match format {
        Format::Html => html::page(runs, Reading::File),
        Format::Markdown => Ok(markdown::render(&views)),
        Format::Summary => Ok(markdown::summary(&views)),
        Format::Json => json::render(&views),
        Format::Jsonl => jsonl::render(&views),
        Format::Csv => Ok(csv::render(&views)),
        Format::Junit => junit::render(runs),
        Format::Parquet => Err(RenderError::NoText("parquet")),
        Format::Bmf => speeds::bmf(runs),
        Format::CanIRun => Ok(serde_json::to_string_pretty(&can_i_run(runs))? + "\n"),
        Format::GhaBenchmark => speeds::gha(runs),
        Format::Badge | Format::Wptreport => {
            Ok(documents(runs, format)?.into_iter().next().map(|one| one.text).unwrap_or_default())
        }
    }
}
