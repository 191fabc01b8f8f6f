//! One document with everything that the views hold.

use serde::Serialize;

use super::RenderError;
use crate::analyse::run_view::RunView;

/// The document's shape; raised whenever a reader would notice.
const FORMAT_VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    format_version: u32,
    runs: &'a [&'a RunView],
}

pub(super) fn render(runs: &[&RunView]) -> Result<String, RenderError> {
    let mut text = serde_json::to_string_pretty(&Document { format_version: FORMAT_VERSION, runs })?;
    text.push('\n');
    Ok(text)
}
