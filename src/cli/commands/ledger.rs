//! The ledger of claims beside what a run measured.

use std::collections::HashSet;
use std::path::Path;

use webmatrix_wire::Precision;

use super::stored::uploaded;
use crate::analyse::claims::settle;
use crate::analyse::dossier::Dossier;
use crate::error::{Exit, ExitStatus, Failure};
use crate::plan::Claims;
use crate::store::{Database, StoreError};

/// The ledger of a file, else the one that the program carries.
pub(super) fn ledger(file: Option<&Path>) -> Result<Claims, Failure> {
    let Some(file) = file else { return Claims::embedded().exit(ExitStatus::BadData) };
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::text(ExitStatus::BadData, format!("claims {name}: {error}")))?;
    Claims::parse(&name, &text).exit(ExitStatus::BadData)
}

/// Judges the claims by the cells of a run that are shown. Uploaded outputs lie beside the database; what is gone of them is
/// nothing that a claim may rest on. A run without cells, such as one of op cases, says nothing of any.
pub(super) fn judge(
    database: &Database,
    file: &Path,
    ledger: &Claims,
    dossier: &mut Dossier,
) -> Result<(), StoreError> {
    if dossier.view.cells.is_empty() {
        return Ok(());
    }
    // Accuracy is told of what was quantised, beside full precision.
    let told: HashSet<&str> = dossier
        .view
        .cells
        .iter()
        .filter(|cell| cell.is_green())
        .filter(|cell| cell.accuracy.is_some() || cell.precision == Precision::Fp32.as_str())
        .map(|cell| cell.id.as_str())
        .collect();
    let attempts: HashSet<&str> = dossier
        .rows
        .iter()
        .filter(|row| told.contains(row.cell.as_str()))
        .filter_map(|row| row.attempt.as_deref())
        .collect();
    let mut outputs = Vec::new();
    if dossier.view.cells.iter().any(|cell| cell.accuracy.is_some()) {
        outputs = database.outputs(&dossier.view.run.run)?;
        outputs.retain(|row| attempts.contains(row.attempt.as_str()));
    }
    let (uploaded, _gone) = uploaded(&outputs, file.parent().unwrap_or(Path::new(".")));
    dossier.view.claims = settle(ledger, dossier, &uploaded);
    Ok(())
}
