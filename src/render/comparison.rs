//! Comparisons as documents.

use serde::Serialize;
use tera::{Context, Tera};

use super::RenderError;
use super::html::STYLE;
use super::markdown::escape;
use super::rows::{class, cosine, latency, memory, optional, range, ratio, verdict};
use crate::analyse::comparison::{Comparison, Kind, Latency, Row, Starting};
use crate::plan::DEFAULT_PROFILE;

const TEMPLATE: &str = include_str!("../../reports/comparison.html");

/// The documents that a comparison can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ComparisonFormat {
    /// For people, in a terminal.
    Table,
    /// One document with everything: the stable machine form.
    Json,
    /// A table for people, in plain text.
    Markdown,
    /// One self-contained page.
    Html,
}

/// A comparison as people read it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sheet {
    /// What stands over the columns.
    pub header: Vec<&'static str>,
    /// Cell by cell.
    pub lines: Vec<Vec<String>>,
    /// What must be known to read it.
    pub notes: Vec<String>,
}

/// A column: its heading, and what stands in it.
type Column = (&'static str, fn(&Row) -> String);

/// Lays a comparison out. What no cell has gets no column.
pub fn sheet(comparison: &Comparison) -> Sheet {
    let rows = &comparison.rows;
    let mut columns: Vec<Column> = vec![
        ("model", |row| format!("{}@{}", row.model, row.size)),
        ("place", |row| format!("{} {}", row.browser, row.backend)),
        ("precision", |row| row.precision.clone()),
        (
            "feature",
            |row| if row.profile == DEFAULT_PROFILE { "none".to_owned() } else { row.profile.clone() },
        ),
        ("verdict", verdict),
        ("bits", |row| optional(row.memory.as_ref(), |memory| format!("{:.2}", memory.bits_per_weight))),
        ("memory", memory),
        ("median ms", |row| optional(row.latency.median_ms, |ms| format!("{ms:.2}"))),
        ("latency", latency),
        ("cosine", cosine),
    ];
    if comparison.kind == Kind::Features && rows.iter().any(|row| row.starting.is_some()) {
        // What some features change is not how long an inference takes, but when the first one is over.
        let parts: [Column; 5] = [
            ("loading", |row| starting(row, |start| &start.load)),
            ("compiling", |row| starting(row, |start| &start.compile)),
            ("first inference", |row| starting(row, |start| &start.first)),
            ("start ms", |row| {
                let ms = row.starting.as_ref().and_then(|start| start.start.median_ms);
                optional(ms, |ms| format!("{ms:.1}"))
            }),
            ("start", |row| starting(row, |start| &start.start)),
        ];
        let after = columns.iter().position(|(heading, _)| *heading == "cosine").unwrap_or(columns.len());
        columns.splice(after..after, parts);
    }
    if rows.iter().all(|row| row.profile == DEFAULT_PROFILE) {
        columns.retain(|(heading, _)| *heading != "feature");
    }
    if rows.iter().any(|row| row.accuracy.as_ref().is_some_and(|accuracy| accuracy.agreement.is_some())) {
        columns.push(("top-1 the same", |row| {
            let same = row.accuracy.as_ref().and_then(|accuracy| accuracy.agreement);
            optional(same, |same| format!("{} %", range(same.scaled(100.0), 1)))
        }));
    }
    if rows.iter().any(|row| row.accuracy.as_ref().is_some_and(|accuracy| accuracy.divergence.is_some())) {
        columns.push(("KL (nats)", |row| {
            optional(row.accuracy.as_ref().and_then(|accuracy| accuracy.divergence), |nats| range(nats, 4))
        }));
    }
    if rows.iter().any(|row| row.perplexity.is_some()) {
        columns
            .push(("perplexity", |row| optional(row.perplexity.as_ref(), |text| range(text.perplexity, 2))));
        columns.push(("against fp32", |row| {
            optional(row.perplexity.as_ref().and_then(|text| text.ratio), |ratio| range(ratio, 3))
        }));
    }
    columns.push(("efficiency", |row| optional(row.efficiency, |times| range(times, 2))));
    columns.push(("", |row| row.reason.clone().or_else(|| row.doubt.clone()).unwrap_or_default()));
    Sheet {
        header: columns.iter().map(|(heading, _)| *heading).collect(),
        lines: rows.iter().map(|row| columns.iter().map(|(_, cell)| cell(row)).collect()).collect(),
        notes: notes(comparison),
    }
}

/// How many times as long a part of the start takes.
fn starting(row: &Row, part: fn(&Starting) -> &Latency) -> String {
    optional(row.starting.as_ref(), |start| ratio(part(start)))
}

fn notes(comparison: &Comparison) -> Vec<String> {
    let (latency, full) = match comparison.kind {
        Kind::Precisions => ("the same cell at fp16, where that passed, else at fp32", "in the same place"),
        Kind::Platforms => {
            ("the first place that was timed at the same precision", "in the first place that has it")
        }
        Kind::Features => (
            "the same cell without any feature, of relaxed-simd with simd128 and of shaders-ahead with shaders-lazy",
            "in the same place without any feature",
        ),
    };
    let turns = if comparison.interleaved {
        "Cells were run in turn, several times each: what changed on the machine meanwhile fell on all alike."
    } else {
        "Not all cells were run in turn: what changed on the machine meanwhile is a part of such ratios."
    };
    let mut notes = vec![
        match comparison.kind {
            Kind::Features => "Bits and memory: weights as the page holds them, scales included, beside the same cell \
                               without any feature."
                .to_owned(),
            Kind::Precisions | Kind::Platforms => {
                "Bits and memory: weights as the page holds them, scales included, beside fp16 in the same place, where \
                 that passed, else fp32."
                    .to_owned()
            }
        },
        format!("Latency: medians beside {latency}; below 1 is faster. {turns}"),
        format!(
            "Accuracy: what pages uploaded, beside what was uploaded at fp32 {full}; of cells without one, what was \
             recorded with them. Logits are of the same given tokens."
        ),
        "In brackets: 95 % intervals, by bootstrap and of fewer than five none; of top-1 Wilson's. Efficiency: how many times smaller, times how many \
         times as fast."
            .to_owned(),
    ];
    if comparison.kind == Kind::Features {
        notes.push(
            "Loading, compiling and the first inference are parts of the start, which is measured as a whole, from the job's \
             beginning: parts may overlap. Browsers keep what they compiled of modules and shaders for the next page, unless \
             each try has one of its own, as those of features of the start have."
                .to_owned(),
        );
    }
    notes
}

/// A comparison in the format asked for, but for [`ComparisonFormat::Table`], whose columns are the terminal's business.
///
/// # Errors
/// If the values or the template do not fit: a fault of this program.
pub fn render_comparison(comparison: &Comparison, format: ComparisonFormat) -> Result<String, RenderError> {
    match format {
        ComparisonFormat::Json => Ok(serde_json::to_string_pretty(comparison)? + "\n"),
        ComparisonFormat::Table | ComparisonFormat::Markdown => Ok(markdown(comparison)),
        ComparisonFormat::Html => html(comparison),
    }
}

fn markdown(comparison: &Comparison) -> String {
    let Sheet { header, lines, notes } = sheet(comparison);
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = format!("# {}: run {}\n\n", title(comparison.kind), escape(&comparison.run));
    text.push_str(&line(header.iter().map(|heading| (*heading).to_owned()).collect()));
    text.push_str(&format!("|{}\n", "---|".repeat(header.len())));
    for cells in &lines {
        text.push_str(&line(cells.iter().map(|cell| escape(cell)).collect()));
    }
    text.push('\n');
    notes.iter().for_each(|note| text.push_str(&format!("- {note}\n")));
    text
}

const fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Precisions => "Precisions beside one another",
        Kind::Platforms => "Platforms beside one another",
        Kind::Features => "Features, each beside none",
    }
}

/// A line of the page.
#[derive(Serialize)]
struct Line {
    /// How its verdict looks.
    class: String,
    cells: Vec<String>,
}

fn html(comparison: &Comparison) -> Result<String, RenderError> {
    let Sheet { header, lines, notes } = sheet(comparison);
    let lines: Vec<Line> = comparison
        .rows
        .iter()
        .zip(lines)
        .map(|(row, cells)| Line { class: class(row.status, row.evidence), cells })
        .collect();
    let mut tera = Tera::default();
    tera.add_raw_template("comparison.html", TEMPLATE)?;
    let mut context = Context::new();
    context.insert("title", title(comparison.kind));
    context.insert("headline", &headline(comparison));
    context.insert("run", &comparison.run);
    context.insert("css", STYLE);
    context.insert("verdict", &header.iter().position(|heading| *heading == "verdict"));
    context.insert("header", &header);
    context.insert("lines", &lines);
    context.insert("notes", &notes);
    Ok(tera.render("comparison.html", &context)?)
}

/// The comparison in one sentence: what was shown, and nothing else.
fn headline(comparison: &Comparison) -> String {
    let compared = comparison.rows.iter().filter(|row| row.reason.is_none()).count();
    let says = |says: &str| comparison.rows.iter().filter(|row| row.latency.says == says).count();
    format!(
        "{compared} of {} cells are proven; of those timed beside another, {} shown faster, {} slower, {} neither.",
        comparison.rows.len(),
        says("faster"),
        says("slower"),
        says("no difference shown") + says("too few samples")
    )
}
