//! The report that people open: one self-contained page, readable from disk, without a request.
//!
//! What it knows stands in it as data: a block with the runs' cells in columns, and compressed ones with what stands behind
//! cells, which its script unpacks one by one. The script (`reports/js`) makes every view of that.

mod behind;
mod claims;
mod columns;
mod ops;
mod pieces;
mod run;
mod script;

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde::Serialize;
use tera::{Context, Tera};
use webmatrix_wire::Status;

use self::behind::Session;
use self::run::Run;
use crate::analyse::dossier::Dossier;
use crate::collect::is_unexpected;
use crate::render::RenderError;
use crate::render::text::count;
use crate::store::OpCaseRow;

/// The page's template and style: part of the program.
const TEMPLATE: &str = include_str!("../../../reports/report.html");
pub(super) const STYLE: &str = include_str!("../../../reports/report.css");
/// What draws charts: reports/vendor says what it is.
const CHARTS: &str = include_str!("../../../reports/vendor/plot.js");

/// The page's data.
#[derive(Debug, Serialize)]
struct Data<'a> {
    runs: Vec<Run<'a>>,
    sessions: HashMap<&'a str, Session<'a>>,
    /// Cells of a block.
    block: usize,
}

/// Where a page is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// From a file: it never asks anyone anything.
    File,
    /// From the dashboard that serves it, which tells it of changes.
    Live,
}

/// The runs as a page. Everything that comes from browsers or users is data: the template engine escapes text, the page's
/// script only ever sets text, and no other script may run.
pub fn page(dossiers: &[Dossier], reading: Reading) -> Result<String, RenderError> {
    let mut tera = Tera::default();
    tera.add_raw_template("report.html", TEMPLATE)?;
    let mut blocks = Vec::new();
    let mut runs = Vec::with_capacity(dossiers.len());
    for dossier in dossiers {
        runs.push(run::run(dossier, blocks.len()));
        for block in behind::cells(dossier).chunks(behind::BLOCK) {
            blocks.push(packed(&block)?);
        }
    }
    let data = Data { runs, sessions: behind::sessions(dossiers), block: behind::BLOCK };
    let script = script::script();
    let mut context = Context::new();
    context.insert("title", &title(dossiers));
    context.insert("headline", &headline(dossiers));
    context.insert("css", STYLE);
    context.insert("charts", CHARTS);
    context.insert("js", &script);
    context.insert("scripts", &format!("{} {}", script::hash(CHARTS), script::hash(&script)));
    context.insert("connect", if reading == Reading::Live { "'self'" } else { "'none'" });
    context.insert("live", &(reading == Reading::Live));
    context.insert("data", &embedded(&data)?);
    context.insert("blocks", &blocks);
    Ok(tera.render("report.html", &context)?)
}

/// JSON that can stand inside a script element: no `<` that could end it.
fn embedded(data: &impl Serialize) -> Result<String, RenderError> {
    Ok(serde_json::to_string(data)?.replace('<', "\\u003c"))
}

/// JSON in a twelfth to a sixth of its room: deflated, and as text again. Most of a large report is what nobody opens.
fn packed(data: &impl Serialize) -> Result<String, RenderError> {
    let mut deflated = DeflateEncoder::new(Vec::new(), Compression::default());
    serde_json::to_writer(&mut deflated, data)?;
    Ok(STANDARD.encode(deflated.finish()?))
}

fn title(dossiers: &[Dossier]) -> String {
    match dossiers {
        [] => "nothing yet".to_owned(),
        [one] => format!("{} {}", one.view.run.matrix, one.view.run.started_at.get(..10).unwrap_or_default()),
        many => format!("{} runs", many.len()),
    }
}

/// The report in one sentence.
fn headline(dossiers: &[Dossier]) -> String {
    let cells = || dossiers.iter().flat_map(|dossier| &dossier.view.cells);
    let proven = cells().filter(|cell| cell.is_green()).count();
    let failed = cells().filter(|cell| cell.status.is_some_and(is_unexpected)).count();
    let cells_of = |n: usize| if n == 1 { "1 cell is".to_owned() } else { format!("{} cells are", count(n)) };
    let op_cases =
        || dossiers.iter().filter_map(|dossier| dossier.view.ops.as_ref()).flat_map(|ops| &ops.cases);
    if dossiers.is_empty() {
        return "No run yet: what `webmatrix run` measures is shown here as it is measured.".to_owned();
    }
    if cells().next().is_none() && op_cases().next().is_some() {
        let status = |case: &OpCaseRow| case.status.parse::<Status>().ok();
        let passed = op_cases().filter(|case| status(case) == Some(Status::Pass)).count();
        let failed = op_cases().filter(|case| status(case).is_some_and(is_unexpected)).count();
        let failed = if failed == 0 {
            "none that ran failed".to_owned()
        } else {
            format!("{} ran and failed", count(failed))
        };
        return format!(
            "{} of {} op cases agree with the scalar oracle; {failed}.",
            count(passed),
            count(op_cases().count())
        );
    }
    match failed {
        0 if proven == 0 => {
            "No cell is proven, and none failed: nothing that ran could be compared.".to_owned()
        }
        0 => format!("{} proven, and nothing that ran failed.", cells_of(proven)),
        n => format!("{} proven; {} ran and failed.", cells_of(proven), count(n)),
    }
}
