//! axe-core, which says what keeps people from using the report. Tests load it into the page; it is no part of anything
//! that is built (its licence, MPL-2.0, would allow that).

use anyhow::Result;

use super::{Setup, npm};

const PACKAGE: &str = "axe-core";
const VERSION: &str = "4.14.1";

/// Brings the package.
pub(super) fn bring(setup: &mut Setup<'_>) -> Result<()> {
    npm::bring(setup, PACKAGE, VERSION, "which finds what is not accessible in the report")?;
    Ok(())
}
