//! Programs that `cargo install` builds, kept among the tools.

use super::Setup;
use crate::process::words;

/// The version of `geckodriver` that is known to work with the Firefoxes we test.
pub(super) const GECKODRIVER: &str = "0.37.1";
/// The version of `cargo-deny` that reads our `deny.toml`.
pub(super) const CARGO_DENY: &str = "0.20.2";

/// Brings `name`, unless some version of it is there already.
pub(super) fn bring(setup: &mut Setup<'_>, name: &str, version: &str, why: &str) {
    if setup.ws.program(name).is_some() {
        return;
    }
    let mut install = words(&format!("cargo install {name} --locked --version {version} --root"));
    install.arg(setup.ws.tools.join("cargo"));
    // Neither the checkout's configuration nor its target folder is any business of this tool.
    install.env_remove("CARGO_TARGET_DIR").current_dir(&setup.ws.tools);
    setup.bring(&format!("{name}, which {why} (a few minutes)"), [install]);
}
