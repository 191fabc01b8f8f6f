//! Programs that `cargo install` builds, kept among the tools.

use super::Setup;
use crate::process::words;

/// A program to build.
pub(super) struct Tool {
    name: &'static str,
    version: &'static str,
    why: &'static str,
    /// What it does takes so little time that the compiler's optimisations would not pay for theirs.
    unoptimised: bool,
}

/// Speaks WebDriver for Firefox; Debian has no package of it.
pub(super) const GECKODRIVER: Tool =
    Tool { name: "geckodriver", version: "0.37.1", why: "drives Firefox", unoptimised: false };

/// Reads our `deny.toml`.
pub(super) const CARGO_DENY: Tool =
    Tool { name: "cargo-deny", version: "0.20.2", why: "checks licences and sources", unoptimised: true };

/// Brings `tool`, unless some version of it is there already.
pub(super) fn bring(setup: &mut Setup<'_>, tool: &Tool) {
    let Tool { name, version, why, unoptimised } = tool;
    if setup.ws.program(name).is_some() {
        return;
    }
    let mut install = words(&format!("cargo install {name} --locked --version {version} --root"));
    install.arg(setup.ws.tools.join("cargo")).args(unoptimised.then_some("--debug"));
    // Neither the checkout's configuration nor its target folder is any business of this tool.
    install.env_remove("CARGO_TARGET_DIR").current_dir(&setup.ws.tools);
    setup.bring(&format!("{name}, which {why} (a few minutes)"), [install]);
}
