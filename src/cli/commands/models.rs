//! `webmatrix models`: what the classes are, how large, and where they were measured to run.

use std::collections::HashMap;

use serde::Serialize;

use crate::analyse::catalogue::{Measured, ModelEntry, Place, entry, measured};
use crate::analyse::view::CellView;
use crate::cli::args::{ListArgs, ModelsFormat};
use crate::cli::{out, table};
use crate::error::{Exit, ExitStatus, Failure};
use crate::plan::{ModelClass, Runtime, Size};
use crate::store::{Database, RunSelection, StoreError};

/// The list as a document.
#[derive(Debug, Serialize)]
struct List {
    /// Where the measurements come from; none if there is no database.
    database: Option<String>,
    models: Vec<ModelEntry>,
}

pub(in crate::cli) fn list(args: &ListArgs) -> Result<ExitStatus, Failure> {
    if args.size == Size::Own {
        let text = "size own is that of your own weights: use one of tiny, small, base";
        return Err(Failure::text(ExitStatus::Usage, text));
    }
    let found = match Database::open_read_only(&args.db) {
        Ok(database) => Some(measurements(&database).exit(ExitStatus::BadData)?),
        Err(StoreError::Missing(_)) => None,
        Err(error) => return Err(Failure::new(ExitStatus::BadData, error)),
    };
    let database = found.is_some().then(|| args.db.display().to_string());
    let mut found = found.unwrap_or_default();
    let one = |class: ModelClass| entry(class, args.size, found.remove(class.as_str()));
    let models = ModelClass::all().map(one).collect::<Result<Vec<_>, _>>();
    let models = models.map_err(|error| Failure::text(ExitStatus::BadData, error))?;
    let list = List { database, models };
    match args.format {
        ModelsFormat::Json => out::line(&serde_json::to_string_pretty(&list).exit(ExitStatus::BadData)?),
        ModelsFormat::Table => out::text(&text(&list, args)),
    }
    Ok(ExitStatus::AsExpected)
}

/// What the latest run that measured each class found of it.
fn measurements(database: &Database) -> Result<HashMap<String, Measured>, StoreError> {
    let mut found = HashMap::new();
    for (model, run) in database.latest_by_model()? {
        let rows = database.runs(&RunSelection::Id(run.clone()))?;
        let started_at = rows.into_iter().map(|row| row.started_at).next().unwrap_or_default();
        let cells = database.cells(&run)?.into_iter();
        // A file that another runtime ran may be called like a class.
        let cells = cells.filter(|cell| cell.model == model && cell.runtime == Runtime::WebMatrix.as_str());
        let cells: Vec<CellView> = cells.map(CellView::of).collect();
        found.extend(measured(&run, &started_at, &cells).map(|measured| (model, measured)));
    }
    Ok(found)
}

fn text(list: &List, args: &ListArgs) -> String {
    let mut header = vec!["class", "modality", "family", "task", "parameters"];
    header.extend(list.models.iter().take(1).flat_map(|model| &model.memory).map(|at| at.precision.as_str()));
    let line = |model: &ModelEntry| {
        let mut line = [model.class, model.modality, model.family, model.task].map(str::to_owned).to_vec();
        line.push(millions(model.parameters));
        line.extend(model.memory.iter().map(|at| mebibytes(at.bytes)));
        line
    };
    let lines: Vec<Vec<String>> = list.models.iter().map(line).collect();
    let mut text = table::table(&header, &lines);
    text.push_str(&format!(
        "\nParameters and MiB of weights at size {}: computed from the shapes that the config implies, scales included; \
         not measured.\n\n",
        args.size
    ));
    if list.database.is_none() {
        text.push_str(&format!(
            "Nothing is known of where they run: there is no database {}. `webmatrix run` measures, --db names another.\n",
            args.db.display()
        ));
        return text;
    }
    let line = |model: &ModelEntry| {
        let Some(measured) = &model.measured else {
            return vec![model.class.to_owned(), "never measured".to_owned()];
        };
        let best = measured.recommended.as_ref().map(|place| format!("{} {}", place.browser, place.backend));
        vec![
            model.class.to_owned(),
            places(&measured.passes),
            places(&measured.failures),
            best.unwrap_or_else(|| "-".to_owned()),
            measured.reason.clone(),
        ]
    };
    let lines: Vec<Vec<String>> = list.models.iter().map(line).collect();
    text.push_str(&table::table(&["class", "passes on", "fails on", "recommended", "because"], &lines));
    text.push_str(
        "\nFrom the latest run that measured the class. sw: a software GPU, whose time never recommends.\n",
    );
    text
}

/// Browsers with their backends, each once.
fn places(places: &[Place]) -> String {
    let mut browsers: Vec<(&str, Vec<String>)> = Vec::new();
    for place in places {
        let mark = match place.evidence {
            webmatrix_wire::EvidenceGrade::Software => " (sw)",
            webmatrix_wire::EvidenceGrade::Fallback => " (fallback)",
            _ => "",
        };
        let backend = format!("{}{mark}", place.backend);
        match browsers.iter_mut().find(|(browser, _)| *browser == place.browser) {
            Some((_, backends)) if backends.contains(&backend) => {}
            Some((_, backends)) => backends.push(backend),
            None => browsers.push((&place.browser, vec![backend])),
        }
    }
    let each: Vec<String> =
        browsers.iter().map(|(browser, backends)| format!("{browser}: {}", backends.join(", "))).collect();
    if each.is_empty() { "-".to_owned() } else { each.join("; ") }
}

fn millions(parameters: u64) -> String {
    match parameters as f64 / 1e6 {
        millions if millions >= 10.0 => format!("{millions:.0} M"),
        millions => format!("{millions:.2} M"),
    }
}

fn mebibytes(bytes: u64) -> String {
    match bytes as f64 / f64::from(1 << 20) {
        mebibytes if mebibytes >= 10.0 => format!("{mebibytes:.0}"),
        mebibytes => format!("{mebibytes:.2}"),
    }
}
