//! One cell a line, for spreadsheets (RFC 4180).

use webmatrix_wire::Status;

use crate::analyse::run_view::RunView;
use crate::analyse::view::CellView;

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
    let mut text = line(&COLUMNS.map(Field::text));
    for cell in runs.iter().flat_map(|run| &run.cells) {
        text.push_str(&line(&fields(cell)));
    }
    text
}

/// What a field holds: a number is written as it is, a text so that no spreadsheet computes it.
enum Field {
    Text(String),
    Number(Option<f64>),
}

impl Field {
    fn text(text: impl ToString) -> Self {
        Self::Text(text.to_string())
    }

    fn optional(text: Option<&String>) -> Self {
        Self::Text(text.cloned().unwrap_or_default())
    }
}

fn fields(cell: &CellView) -> [Field; 18] {
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
        Field::text(&cell.id),
        Field::text(&cell.browser),
        Field::text(&cell.browser_version),
        Field::text(&cell.model),
        Field::text(&cell.size),
        Field::text(&cell.runtime),
        Field::text(&cell.backend),
        Field::text(&cell.precision),
        Field::text(&cell.profile),
        Field::text(cell.status.map_or("", Status::as_str)),
        Field::text(cell.flaky),
        Field::text(cell.evidence),
        Field::optional(cell.implementation.as_ref()),
        Field::optional(agreement.as_ref()),
        Field::optional(accuracy.as_ref()),
        Field::Number(cell.median_ms),
        Field::optional(cell.error.as_ref()),
        Field::text(&cell.run),
    ]
}

fn line(fields: &[Field]) -> String {
    let fields: Vec<String> = fields.iter().map(field).collect();
    fields.join(",") + "\r\n"
}

/// Quoted where the format needs it.
fn field(field: &Field) -> String {
    let text = match field {
        Field::Text(text) => text,
        // What is not finite is no number to a spreadsheet.
        Field::Number(number) => {
            return number
                .filter(|number| number.is_finite())
                .map(|number| number.to_string())
                .unwrap_or_default();
        }
    };
    let guard = if starts_a_formula(text) { "'" } else { "" };
    if guard.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        return text.clone();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

/// Whether a spreadsheet that opens the file would compute a text, by OWASP's list with the full-width forms of its signs.
/// Blanks in front are no help where a spreadsheet drops them.
fn starts_a_formula(text: &str) -> bool {
    const SIGNS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    text.starts_with(SIGNS) || text.trim_start().starts_with(SIGNS)
}
