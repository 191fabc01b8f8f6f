//! The op matrix in plain text.

use std::fmt::{Result, Write};

use webmatrix_wire::{EvidenceGrade, Status};

use super::escape;
use crate::analyse::op_matrix::{OpCell, OpMatrix};

/// One table: a line an op and element type, a column a browser and backend, and beside them what WebNN
/// contexts say that they take. Then why what is not green is not.
pub(super) fn matrix(text: &mut String, ops: &OpMatrix) -> Result {
    write!(text, "| op | type |")?;
    for column in &ops.columns {
        write!(text, " {} {} |", escape(&column.browser), escape(&column.backend))?;
    }
    for limits in &ops.limits {
        write!(text, " opSupportLimits of {} |", escape(&limits.browser))?;
    }
    writeln!(text, "\n|---|---|{}", "---|".repeat(ops.columns.len() + ops.limits.len()))?;
    for (at, row) in ops.rows.iter().enumerate() {
        write!(text, "| {} | {} |", escape(&row.op), escape(&row.dtype))?;
        for cell in &row.cells {
            write!(text, " {} |", cell.as_ref().map(word).unwrap_or_default())?;
        }
        for limits in &ops.limits {
            let taken = match &limits.ops[at] {
                None => "made of others".to_owned(),
                Some(types) => escape(&types.join(" ")),
            };
            write!(text, " {taken} |")?;
        }
        text.push('\n');
    }
    writeln!(
        text,
        "\nA number is the part of its tolerance that the worst element of the op's cases uses, against the scalar \
         oracle.\n"
    )?;
    not_green(text, ops)
}

fn word(cell: &OpCell) -> String {
    let used = cell.ratio.map(|ratio| format!(" {:.0} %", ratio * 100.0)).unwrap_or_default();
    let mut word = match (cell.status, cell.evidence) {
        (Some(Status::Pass), EvidenceGrade::Hardware) => format!("PASS{used}"),
        (Some(Status::Pass), EvidenceGrade::Software | EvidenceGrade::Cpu) => {
            format!("PASS ({}){used}", cell.evidence)
        }
        (Some(Status::Pass), evidence) => format!("pass ({evidence}){used}"),
        (Some(status), _) if cell.proven > 0 => format!("{status}, {} of {} pass", cell.proven, cell.cases),
        (Some(status), _) => status.to_string(),
        (None, _) => "unknown".to_owned(),
    };
    if cell.flaky {
        word.push('~');
    }
    word
}

fn not_green(text: &mut String, ops: &OpMatrix) -> Result {
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for (at, column) in ops.columns.iter().enumerate() {
        for row in &ops.rows {
            let Some(cell) = row.cells[at].as_ref().filter(|cell| !cell.is_green()) else { continue };
            let status = cell.status.map_or("unknown", Status::as_str);
            let why = escape(cell.error.as_deref().unwrap_or_default());
            let (browser, backend) = (escape(&column.browser), escape(&column.backend));
            let reason = format!("{browser} {backend} | {status}: {why}");
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, names)) => names.push(&row.op),
                None => reasons.push((reason, vec![&row.op])),
            }
        }
    }
    if reasons.is_empty() {
        return Ok(());
    }
    writeln!(text, "## Ops that are not green\n\n| where | why | ops |\n|---|---|---|")?;
    for (reason, names) in &reasons {
        let names =
            if names.len() == ops.rows.len() { "every op".to_owned() } else { escape(&names.join(", ")) };
        writeln!(text, "| {reason} | {names} |")?;
    }
    text.push('\n');
    Ok(())
}
