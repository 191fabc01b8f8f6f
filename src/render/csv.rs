//! One cell a line, for spreadsheets (RFC 4180).

use crate::analyse::view::{CellView, RunView};

const COLUMNS: [&str; 18] = [
    "id",
    "browser",
    "browser_version",
    "model",
    "size",
    "runtime",
    "backend",
    "precision",
    "profile",
    "status",
    "flaky",
    "evidence",
    "implementation",
    "agreement",
    "accuracy",
    "median_ms",
    "error",
    "run",
];

pub(super) fn render(runs: &[&RunView]) -> String {
    let mut text = line(COLUMNS.map(str::to_owned));
    for cell in runs.iter().flat_map(|run| &run.cells) {
        text.push_str(&line(fields(cell)));
    }
    text
}

fn fields(cell: &CellView) -> [String; 18] {
    let agreement = cell.agreement.as_ref().map(|agreement| {
        let word = if agreement.ok { "agrees" } else { "differs" };
        format!(
            "{word} max_abs={:.3e} cosine={:.9} ({})",
            agreement.max_abs, agreement.cosine, agreement.reference
        )
    });
    let accuracy = cell.accuracy.as_ref().map(|accuracy| {
        let mut text = format!("bits_per_weight={:.3}", accuracy.bits_per_weight);
        if let Some(cosine) = accuracy.cosine {
            text.push_str(&format!(" cosine={cosine:.6}"));
        }
        if let Some(agreement) = accuracy.agreement {
            text.push_str(&format!(" agreement={agreement:.4}"));
        }
        format!("{text} ({})", accuracy.reference)
    });
    [
        cell.id.clone(),
        cell.browser.clone(),
        cell.browser_version.clone(),
        cell.model.clone(),
        cell.size.clone(),
        cell.runtime.clone(),
        cell.backend.clone(),
        cell.precision.clone(),
        cell.profile.clone(),
        cell.status.map(|status| status.to_string()).unwrap_or_default(),
        cell.flaky.to_string(),
        cell.evidence.to_string(),
        cell.implementation.clone().unwrap_or_default(),
        agreement.unwrap_or_default(),
        accuracy.unwrap_or_default(),
        cell.median_ms.map(|ms| ms.to_string()).unwrap_or_default(),
        cell.error.clone().unwrap_or_default(),
        cell.run.clone(),
    ]
}

fn line(fields: [String; 18]) -> String {
    fields.map(|text| field(&text)).join(",") + "\r\n"
}

/// Quoted where the format needs it. Text of browsers and models must not become a formula in a
/// spreadsheet that opens the file.
fn field(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if guard.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}
