//! A toolchain that builds for `wasm32-unknown-unknown`.

use super::{Setup, apt};
use crate::harness::toolchain::{self, Toolchain};
use crate::harness::variant::Variant;
use crate::process::words;

/// Debian's compiler for its browsers. It is newer than Debian's own `rustc`, and can build the standard library for wasm
/// from source, which serves machines where rustup has nothing to fetch from.
const DEBIAN: [&str; 5] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-clippy", "lld"];

/// Brings rustup's target where it can be had, else asks for Debian's packages.
pub(super) fn bring(setup: &mut Setup<'_>) {
    if present() {
        return;
    }
    if toolchain::rustup_allowed() && which::which("rustup").is_ok() {
        let target = words("rustup target add wasm32-unknown-unknown");
        let source = builds_std().then(|| words("rustup component add rust-src"));
        let added = setup
            .attempt("the wasm target, which the harness is built for", [target].into_iter().chain(source));
        if added || !setup.install {
            return;
        }
    }
    if apt::present() {
        setup.packages.extend(DEBIAN);
    }
}

/// Says whether, after all steps, there is none: neither rustup nor the packages are a failure by themselves.
pub(super) fn verify(setup: &mut Setup<'_>) {
    if !present() {
        setup.failed.push("a Rust toolchain for wasm32-unknown-unknown".to_owned());
    }
}

fn present() -> bool {
    Toolchain::find(builds_std()).is_some()
}

/// Whether a variant that the binary ships needs the standard library compiled anew.
fn builds_std() -> bool {
    Variant::defaults().iter().any(|variant| variant.rebuilds_std)
}
