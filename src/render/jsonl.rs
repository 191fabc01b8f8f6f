//! One cell a line, or one op case: the stable machine form.

use super::RenderError;
use crate::analyse::run_view::RunView;

pub(super) fn render(runs: &[&RunView]) -> Result<String, RenderError> {
    let mut text = String::new();
    for cell in runs.iter().flat_map(|run| &run.cells) {
        text.push_str(&serde_json::to_string(cell)?);
        text.push('\n');
    }
    for case in runs.iter().filter_map(|run| run.ops.as_ref()).flat_map(|ops| &ops.cases) {
        text.push_str(&serde_json::to_string(case)?);
        text.push('\n');
    }
    Ok(text)
}
