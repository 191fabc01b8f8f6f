//! The report that people open: one self-contained page, readable from disk, without a request.

mod detail;
mod matrix;
mod ops;

use serde::Serialize;
use tera::{Context, Tera};
use webmatrix_wire::Status;

use crate::analyse::dossier::Dossier;
use crate::collect::is_unexpected;
use crate::render::RenderError;
use crate::store::OpCaseRow;

/// The page's template, style and script: part of the program.
const TEMPLATE: &str = include_str!("../../../reports/report.html");
pub(super) const STYLE: &str = include_str!("../../../reports/report.css");
const SCRIPT: &str = include_str!("../../../reports/report.js");

/// The runs as a page. Everything that comes from browsers or users is escaped: the template engine
/// escapes text, and the page's script only ever sets text.
pub(super) fn render(dossiers: &[Dossier]) -> Result<String, RenderError> {
    let mut tera = Tera::default();
    tera.add_raw_template("report.html", TEMPLATE)?;
    let mut first = 0;
    let mut runs = Vec::with_capacity(dossiers.len());
    for dossier in dossiers {
        runs.push(matrix::run(dossier, first));
        first += dossier.view.cells.len();
    }
    let mut context = Context::new();
    context.insert("title", &title(dossiers));
    context.insert("headline", &headline(dossiers));
    context.insert("runs", &runs);
    context.insert("css", STYLE);
    context.insert("js", SCRIPT);
    context.insert("data", &embedded(&detail::data(dossiers))?);
    Ok(tera.render("report.html", &context)?)
}

/// JSON that can stand inside a script element: no `<` that could end it.
fn embedded(data: &impl Serialize) -> Result<String, RenderError> {
    Ok(serde_json::to_string(data)?.replace('<', "\\u003c"))
}

fn title(dossiers: &[Dossier]) -> String {
    match dossiers {
        [one] => format!("{} {}", one.view.run.matrix, one.view.run.started_at.get(..10).unwrap_or_default()),
        many => format!("{} runs", many.len()),
    }
}

/// The report in one sentence.
fn headline(dossiers: &[Dossier]) -> String {
    let cells = || dossiers.iter().flat_map(|dossier| &dossier.view.cells);
    let proven = cells().filter(|cell| cell.is_green()).count();
    let failed = cells().filter(|cell| cell.status.is_some_and(is_unexpected)).count();
    let cells_of = |n: usize| if n == 1 { "1 cell is".to_owned() } else { format!("{n} cells are") };
    let op_cases =
        || dossiers.iter().filter_map(|dossier| dossier.view.ops.as_ref()).flat_map(|ops| &ops.cases);
    if cells().next().is_none() && op_cases().next().is_some() {
        let status = |case: &OpCaseRow| case.status.parse::<Status>().ok();
        let passed = op_cases().filter(|case| status(case) == Some(Status::Pass)).count();
        let failed = op_cases().filter(|case| status(case).is_some_and(is_unexpected)).count();
        let failed =
            if failed == 0 { "none that ran failed".to_owned() } else { format!("{failed} ran and failed") };
        return format!(
            "{passed} of {} op cases agree with the scalar oracle; {failed}.",
            op_cases().count()
        );
    }
    match failed {
        0 if proven == 0 => {
            "No cell is proven, and none failed: nothing that ran could be compared.".to_owned()
        }
        0 => format!("{} proven, and nothing that ran failed.", cells_of(proven)),
        n => format!("{} proven; {n} ran and failed.", cells_of(proven)),
    }
}
